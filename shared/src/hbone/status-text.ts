import { STATUS_CODES } from 'node:http'

/**
 * Where Node's reason phrases differ from those of Rust's `http` crate, whose Display form Istio's ztunnel logs; undefined:
 * the crate does not know the code. status-text.test.ts has all of them.
 */
const DIFFERENT: ReadonlyMap<number, string | undefined> = new Map([
  [203, 'Non Authoritative Information'],
  [418, "I'm a teapot"],
  [509, undefined],
])

/** `401 Unauthorized`, letter by letter as Istio's ztunnel writes the status of a failed CONNECT. */
export function statusText(status: number): string {
  const reason = DIFFERENT.has(status) ? DIFFERENT.get(status) : STATUS_CODES[status]
  return `${status} ${reason ?? '<unknown status code>'}`
}
