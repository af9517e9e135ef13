import { reasonByCode } from './reason-by-code.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'this process may not read it',
  EPERM: 'this process may not read it',
}

/**
 * Why a file cannot be read, from what reading it threw: a clause for behind its path, which it does not repeat. What is not
 * of the system's common answers keeps its own words.
 */
export function whyNotRead(thrown: unknown): string {
  return reasonByCode(thrown, REASONS)
}
