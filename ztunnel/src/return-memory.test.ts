import t from 'tap'
import { returnMemory } from './return-memory.ts'

const MB = 1024 * 1024

/** Garbage by the return: some that V8 holds and some that the C library holds. */
function makeGarbage(): void {
  const kept: unknown[] = []
  for (let index = 0; index < 100_000; index++) kept.push({ index })
  for (let index = 0; index < 300; index++) kept.push(Buffer.allocUnsafeSlow(100_000).fill(1))
}

void t.test('gives memory back that nobody uses', (t) => {
  makeGarbage()
  const before = process.memoryUsage.rss()
  returnMemory()
  const given = before - process.memoryUsage.rss()
  t.ok(given > 20 * MB, `${Math.round(given / MB)} MB`)
  t.equal('gc' in globalThis, false)
  t.end()
})

void t.test('leaves a large heap alone, whose collection would take long', (t) => {
  const used = Array.from({ length: 1_000_000 }, (_, index) => ({ index }))
  makeGarbage()
  const before = process.memoryUsage().external
  returnMemory()
  t.ok(process.memoryUsage().external > before - MB, `${used.length} are in use`)
  t.end()
})
