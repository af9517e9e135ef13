import type { LoadResult } from './programs.ts'

/** How long it usually takes at most, on a machine that has the time, until new connections are answered after a worker died. */
const USUAL_MS = 500

/**
 * How programs fared while workers were killed at these times (milliseconds since 1970). Judged are failures alone: a time
 * depends on what else the machine does, so it is told, and told plainly where it is longer than usual.
 */
export function recovery(
  { started, refused, timedOut, cut, broken, answered }: LoadResult,
  kills: readonly number[],
): { readonly ok: boolean; readonly observed: string } {
  const waits = kills.map((at) => Math.min(...answered.flatMap(([began, ended]) => (began >= at ? [ended - at] : []))))
  const longest = Math.max(...waits)
  const isRecovered = kills.length > 0 && Number.isFinite(longest)
  // What a worker had accepted dies with it, and so does what the other node sends on a tunnel whose loss it has not noticed
  // yet. Before a kill and once new connections are answered again nothing may break.
  const unexplained = broken.filter(([began, ended]) => {
    return !kills.some((at, index) => began <= at + (waits[index] ?? 0) && ended >= at)
  }).length
  const slow = longest > USUAL_MS ? ` (usually within ${USUAL_MS} ms; a busy machine takes longer)` : ''
  // What a kill cut is no fault; what was cut otherwise is.
  const how = unexplained > 0 ? ` (${unexplained} of them not by a kill)` : cut > 0 ? ' by the kills' : ''
  const time = isRecovered
    ? `a new one was answered ${longest} ms after a kill at the latest${slow}`
    : 'no new one was answered after a kill'
  return {
    ok: refused === 0 && timedOut === 0 && unexplained === 0 && isRecovered,
    observed: `${started} connections: ${refused} refused, ${timedOut} timed out, ${cut} cut${how}; ${time}`,
  }
}
