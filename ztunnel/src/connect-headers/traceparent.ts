import { randomFillSync } from 'node:crypto'

/** Random bytes for 256 ids at once: one call to the generator for each id costs 1 µs. */
const pool = Buffer.allocUnsafeSlow(256 * 24)
let used = pool.length

/** A W3C traceparent of a new trace, not sampled. */
export function newTraceparent(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const trace = pool.toString('hex', used, used + 16)
  const span = pool.toString('hex', used + 16, used + 24)
  used += 24
  return `00-${trace}-${span}-00`
}
