import * as fc from 'fast-check'
import t from 'tap'
import { ReceiveWindow } from './flow-control.ts'

const SIZE = 1000

void t.test(
  'a peer within its credit is never refused, never stuck, and has at most what it should have under way',
  async () => {
    const step = fc.record({ wish: fc.integer({ min: 1, max: 400 }), size: fc.constantFrom(100, 333, SIZE) })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), (steps) => {
        const window = new ReceiveWindow(SIZE)
        let credit = SIZE
        for (const { wish, size } of steps) {
          const sent = Math.min(wish, credit)
          credit -= sent
          if (!window.receive(sent)) return false
          const before = credit
          credit += window.release(sent, size)
          if (credit === 0 || credit > SIZE || (credit > before && credit > size)) return false
          // Everything was taken: more than half of what it should have is never kept back.
          if (credit <= size / 2) return false
        }
        return true
      }),
    )
  },
)

void t.test('a peer that exceeds its credit is found out', async (t) => {
  const window = new ReceiveWindow(SIZE)
  t.ok(window.receive(SIZE))
  t.notOk(window.receive(1))
})

void t.test('a credit that is withheld comes with the next', async (t) => {
  const window = new ReceiveWindow(SIZE)
  window.receive(600)
  const credit = window.release(600)
  t.equal(credit, 600)
  window.withhold(credit)
  t.equal(window.release(0), 600)
})
