import { Worker } from 'node:worker_threads'
import { YamlError } from '../../config-file/index.ts'
import type { WrittenResource } from './written-resource.ts'

const MIB = 1024 * 1024

/** What the thread is told. */
export interface ReadingRequest {
  /** A text in UTF-8. */
  readonly content: Uint8Array<ArrayBuffer>
  readonly mayBeEmpty: boolean
}

interface Reading extends ReadingRequest {
  /** What the thread's heap may hold: text, events and resources. */
  readonly maxReadingBytes: number
}

export type ReadingReply =
  | { readonly type: 'resources'; readonly resources: readonly WrittenResource[] }
  | { readonly type: 'warning'; readonly sentence: string }
  | { readonly type: 'end' }
  | { readonly type: 'problems'; readonly problems: readonly string[] }

interface Reader {
  /** Gets the resources in parts. */
  readonly take: (resources: readonly WrittenResource[]) => void
  readonly warn: (sentence: string) => void
}

/**
 * What parseLocalFile does, in a thread that ends with it, so that the caller's goes on meanwhile. Rejects with YamlError where
 * the text is wrong, with another error where the thread ran out of memory, and with the reason of `signal` where that stopped it;
 * what `take` got counts for nothing then. The content is the thread's from now on, and gone here.
 */
export async function readInThread(
  { content, mayBeEmpty, maxReadingBytes }: Reading,
  { take, warn }: Reader,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const thread = new Worker(new URL('reading-thread.ts', import.meta.url), {
    workerData: { content, mayBeEmpty } satisfies ReadingRequest,
    transferList: [content.buffer],
    resourceLimits: { maxOldGenerationSizeMb: Math.ceil(maxReadingBytes / MIB) },
  })
  const stop = (): void => reject(signal.reason)
  signal.addEventListener('abort', stop)
  thread.on('message', (reply: ReadingReply) => {
    if (reply.type === 'resources') {
      take(reply.resources)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
      thread.postMessage('next')
    } else if (reply.type === 'warning') warn(reply.sentence)
    else if (reply.type === 'end') resolve()
    else reject(new YamlError(reply.problems))
  })
  thread.on('error', (error) => reject(hasRunOut(error) ? tooLittle(maxReadingBytes) : error))
  thread.on('exit', () => reject(new Error('the thread that reads the file ended before it was done')))
  try {
    await promise
  } finally {
    signal.removeEventListener('abort', stop)
    await thread.terminate()
  }
}

function hasRunOut(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
}

function tooLittle(maxReadingBytes: number): Error {
  return new Error(
    `reading it takes more than ${Math.ceil(maxReadingBytes / MIB)} MiB of memory; if it is the mesh, give the container or machine more`,
  )
}
