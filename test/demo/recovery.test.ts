// How the demo judges what it saw of programs while workers were killed.
import t from 'tap'
import type { LoadResult, Span } from './programs.ts'
import { recovery } from './recovery.ts'

function load(answered: readonly Span[], broken: readonly Span[] = [], rest: Partial<LoadResult> = {}): LoadResult {
  const started = answered.length + broken.length
  const counts = { started, ok: answered.length, cut: broken.length, refused: 0, timedOut: 0, slowestMs: 0, errors: {} }
  return { ...counts, answered, broken, ...rest }
}

void t.test('time from a kill to the next answer counts, the longest of all kills', async (t) => {
  const answered: Span[] = [
    [90, 101],
    [105, 140],
    [110, 130],
    [200, 260],
  ]
  t.match(recovery(load(answered), [100, 200]), {
    ok: true,
    observed: /0 cut; .*answered 60 ms after a kill at the latest$/,
  })
})

void t.test('a long time is told, not judged', async (t) => {
  t.match(recovery(load([[110, 801]]), [100]), { ok: true, observed: /701 ms .*usually within 500 ms/ })
})

void t.test('what breaks by the kill is told; anything else is a failure', async (t) => {
  const answered: Span[] = [[120, 150]]
  for (const broken of [
    [90, 105],
    [102, 110],
    [140, 160],
  ] as const)
    t.match(recovery(load(answered, [broken]), [100]), { ok: true, observed: /1 cut by the kills;/ })
  for (const broken of [
    [80, 99],
    [151, 170],
  ] as const)
    t.match(recovery(load(answered, [broken]), [100]), { ok: false, observed: /1 cut \(1 of them/ })
})

void t.test('refused, silent, never answered again, or not killed at all: failures', async (t) => {
  const answered: Span[] = [[120, 150]]
  t.notOk(recovery(load(answered, [], { refused: 1 }), [100]).ok)
  t.notOk(recovery(load(answered, [], { timedOut: 1 }), [100]).ok)
  t.notOk(recovery(load(answered), [100, 130]).ok)
  t.notOk(recovery(load(answered), []).ok)
})
