// A thread of its own for a large local file: see read-in-thread.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { YamlError } from '../../config-file/yaml-error.ts'
import { parseLocalFile } from './local-file.ts'
import type { ReadingReply, ReadingRequest } from './read-in-thread.ts'
import { writeResources, type WrittenResource } from './written-resource.ts'

// Only readInThread starts this thread.
const { content, mayBeEmpty } = workerData as ReadingRequest

function reply(message: ReadingReply): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has none
  parentPort?.postMessage(message)
}

/** One part for each time that it is asked: all at once would keep the thread that takes them busy for a second. */
function answer(parts: Iterator<readonly WrittenResource[], void>): void {
  const { done, value } = parts.next()
  reply(done ? { type: 'end' } : { type: 'resources', resources: value })
}

try {
  const warn = (sentence: string): void => reply({ type: 'warning', sentence })
  const text = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('utf8')
  const parts = writeResources(parseLocalFile(text, { mayBeEmpty, warn }))
  parentPort?.on('message', () => answer(parts))
  answer(parts)
} catch (error) {
  if (!(error instanceof YamlError)) throw error
  reply({ type: 'problems', problems: error.problems })
}
