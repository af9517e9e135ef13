import t from 'tap'
import { DAY_MS, HOUR_MS } from './certificate-manager-fixture.ts'
import { backoffMs, refreshAtMs } from './refresh-schedule.ts'

void t.test('refreshes at half-life, a little early, and at once when the range makes no sense', async (t) => {
  const start = Date.UTC(2026, 0, 1)
  const day = { notBeforeMs: start, notAfterMs: start + DAY_MS }
  t.equal(
    refreshAtMs(day, start, () => 0),
    start + 12 * HOUR_MS,
    'never later than half',
  )
  t.ok(refreshAtMs(day, start, () => 0.999_999) > start + 11.39 * HOUR_MS, 'at most 5 % of the half early')
  t.equal(
    refreshAtMs(day, start + 20 * HOUR_MS, () => 0),
    start + 20 * HOUR_MS,
    'half has passed: now',
  )
  t.equal(
    refreshAtMs(day, start + 48 * HOUR_MS, () => 0),
    start + 48 * HOUR_MS,
    'expired: now',
  )
  t.equal(
    refreshAtMs(day, start - HOUR_MS, () => 0),
    start - HOUR_MS,
    'not yet valid: now',
  )
  t.equal(
    refreshAtMs({ notBeforeMs: start, notAfterMs: start - 1 }, start, () => 0),
    start,
    'reversed: now',
  )
  t.equal(
    refreshAtMs({ notBeforeMs: start, notAfterMs: Number.NaN }, start, () => 0),
    start,
    'not a time: now',
  )
})

void t.test('backs off from 1 s to 150 s, a fifth more or less', async (t) => {
  const middle = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1_000_000].map((failures) => backoffMs(failures, () => 0.5) / 1_000)
  t.same(middle, [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150])
  t.equal(
    backoffMs(1, () => 0),
    800,
  )
  t.equal(Math.round(backoffMs(9, () => 0.999_999_9)), 180_000)
})
