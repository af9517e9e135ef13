import { totalmem } from 'node:os'

/** Memory of the container, or of the machine where that has less or there is no limit; in bytes. */
export function availableMemory(): number {
  return Math.min(process.constrainedMemory() || totalmem(), totalmem())
}
