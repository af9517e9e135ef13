import t from 'tap'
import { parseDurationMs } from './duration.ts'

void t.test('a number of seconds, or numbers with units, and nothing else', async (t) => {
  for (const [text, ms] of [
    ['0', 0],
    ['90', 90_000],
    ['500ms', 500],
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['87600h', 315_360_000_000],
    ['1h1m1s1ms', 3_661_001],
  ] as const)
    t.equal(parseDurationMs(text), ms, text)
  for (const text of ['', ' 1s', '1 s', '-1s', '1.5s', '1d', 's', '1m30', 'soon', '12345678901s'])
    t.equal(parseDurationMs(text), undefined, text)
})
