/** The first wait after a failed fetch; it doubles up to MAX_BACKOFF_MS. */
const FIRST_BACKOFF_MS = 1_000
const MAX_BACKOFF_MS = 150_000
/** After 15 minutes of failures the wait is always the longest; the doubling has got there long before. */
const MAX_DOUBLINGS = 8
/** A wait is between 80 % and 120 % of its nominal length, so that many proxies do not come back at once. */
const BACKOFF_SPREAD = 0.2
/** A refresh comes up to this share of the half-life early, so that certificates fetched together drift apart. */
const REFRESH_SPREAD = 0.05

export interface Validity {
  /** Unix time. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** A number from 0 up to, not including, 1; Math.random outside tests. */
export type Random = () => number

/**
 * When a certificate is to be replaced: at half of its life, up to 5 % of that half earlier (24 h: 11.4 to 12 h after it
 * began). A time in the past means now, and so does a certificate that is not valid yet or whose range is reversed:
 * the CA's clock or ours is wrong, and only a new one can help.
 */
export function refreshAtMs({ notBeforeMs, notAfterMs }: Validity, nowMs: number, random: Random): number {
  const isUsable = notAfterMs > notBeforeMs && notBeforeMs <= nowMs
  if (!isUsable) return nowMs
  const halfLifeMs = (notAfterMs - notBeforeMs) / 2
  return Math.max(nowMs, Math.floor(notBeforeMs + halfLifeMs * (1 - REFRESH_SPREAD * random())))
}

/** How long to wait after the given number of failures in a row (1 or more): 1 s, 2 s, 4 s ... 150 s, each ±20 %. */
export function backoffMs(failures: number, random: Random): number {
  const doublings = Math.min(Math.max(failures - 1, 0), MAX_DOUBLINGS)
  const nominalMs = Math.min(FIRST_BACKOFF_MS * 2 ** doublings, MAX_BACKOFF_MS)
  return Math.round(nominalMs * (1 - BACKOFF_SPREAD + 2 * BACKOFF_SPREAD * random()))
}
