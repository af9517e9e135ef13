import { Worker } from 'node:worker_threads'
import { YamlError } from '../../config-file/index.ts'
import type { WrittenResource } from './written-resource.ts'

/** Of the thread: text, events and resources of the largest file that is reasonable. */
const MAX_HEAP_MB = 4_096

export interface ReadingRequest {
  readonly text: string
  readonly mayBeEmpty: boolean
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
 * the text is wrong, with another error where the thread ran out of memory or `signal` stopped it; what `take` got counts for
 * nothing then.
 */
export async function readInThread(
  request: ReadingRequest,
  { take, warn }: Reader,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const thread = new Worker(new URL('reading-thread.ts', import.meta.url), {
    workerData: request,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  })
  const stop = (): void => reject(new Error('the reading was stopped'))
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
  thread.on('error', reject)
  thread.on('exit', () => reject(new Error('the thread that reads the file ended before it was done')))
  try {
    await promise
  } finally {
    signal.removeEventListener('abort', stop)
    await thread.terminate()
  }
}
