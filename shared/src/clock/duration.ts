const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** `10s`, `1m30s`, `500ms`, or a plain number of seconds, as milliseconds; undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1_000
  if (!/^(\d{1,10}(ms|s|m|h))+$/.test(text)) return undefined
  let totalMs = 0
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g))
    totalMs += Number(count) * (UNITS_MS[unit ?? ''] ?? 0)
  return totalMs
}
