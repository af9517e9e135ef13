import * as fc from 'fast-check'
import t from 'tap'
import { countMarked, IdSet, isMarked, markedIds, wordsFor } from './id-set.ts'

const HIGHEST = 2_000

/** Ranges that come and go, so that sets pass from lists to bits. */
const change = fc.record({
  comes: fc.boolean(),
  from: fc.integer({ min: 0, max: HIGHEST }),
  count: fc.integer({ min: 1, max: 600 }),
})

void t.test('few or many, a set has what came and did not go', async () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      const ids = new IdSet()
      const plain = new Set<number>()
      for (const { comes, from, count } of changes) {
        for (let id = from; id < Math.min(from + count, HIGHEST); id++) {
          if (comes === plain.has(id)) continue
          if (comes) {
            ids.add(id)
            plain.add(id)
          } else {
            ids.delete(id)
            plain.delete(id)
          }
        }
      }
      const expected = [...plain].sort((a, b) => a - b)
      const words = new Uint32Array(wordsFor(HIGHEST))
      ids.markIn(words)
      const isSame =
        ids.size === plain.size &&
        [...ids.ids].sort((a, b) => a - b).join() === expected.join() &&
        markedIds(words).join() === expected.join() &&
        countMarked(words) === expected.length &&
        expected.every((id) => isMarked(words, id))
      words.fill(0xffff_ffff)
      ids.clearIn(words)
      return isSame && countMarked(words) === words.length * 32 - expected.length
    }),
    { numRuns: 300 },
  )
})
