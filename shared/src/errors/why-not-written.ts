import { reasonByCode } from './reason-by-code.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory',
  ENOTDIR: 'there is no such directory',
  EISDIR: 'it is a directory',
  EACCES: 'this process may not write there',
  EPERM: 'this process may not write there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the file system is full',
  EDQUOT: 'the disk quota is used up',
}

/**
 * Why a file cannot be written, from what writing it threw: a clause for behind its path, which it does not repeat, nor that of
 * a temporary file beside it. What is not of the system's common answers keeps its own words.
 */
export function whyNotWritten(thrown: unknown): string {
  return reasonByCode(thrown, REASONS)
}
