import * as fc from 'fast-check'
import t from 'tap'
import { NumberedTable, type Numbered } from './numbered-table.ts'

/** Few numbers, many of which have the same place in a small table. */
const ids = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.integer({ min: 0, max: 40 }).map((n) => 2 ** 30 + 64 * n + 1),
)
const steps = fc.array(fc.record({ adds: fc.boolean(), id: ids }), { maxLength: 200 })

void t.test('does as a Map does', async () => {
  fc.assert(
    fc.property(steps, (all) => {
      const table = new NumberedTable<Numbered>()
      const expected = new Map<number, Numbered>()
      for (const { adds, id } of all) {
        if (adds && !expected.has(id)) {
          const item = { id }
          table.add(item)
          expected.set(id, item)
        } else if (!adds && table.delete(id) !== expected.delete(id)) return false
        if (table.size !== expected.size) return false
      }
      const listed = new Set(table.list())
      if (listed.size !== expected.size) return false
      return [...expected].every(([id, item]) => table.get(id) === item && listed.has(item))
    }),
  )
})

void t.test('knows nothing of numbers that were never added', async (t) => {
  const table = new NumberedTable<Numbered>()
  t.equal(table.get(2 ** 31 - 1), undefined)
  t.equal(table.delete(1), false)
})
