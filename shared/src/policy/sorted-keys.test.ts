import t from 'tap'
import { SortedKeys } from './sorted-keys.ts'

void t.test('keys are told in their order, whatever order they came and went in', async (t) => {
  const sorted = new SortedKeys()
  const plain = new Set<string>()
  let number = 1
  for (let step = 0; step < 6_000; step++) {
    // A full period of a linear congruence: each of 4,096 numbers, in disorder.
    number = (number * 1_229 + 1) % 4_096
    const key = `ns/${number}`
    if (plain.delete(key)) sorted.delete(key)
    else {
      plain.add(key)
      sorted.add(key)
    }
    if (step % 1_000 === 0) t.same([...sorted], [...plain].sort())
  }
  sorted.delete('ns/none')
  sorted.delete('zz')
  t.same([...sorted], [...plain].sort())
  for (const key of plain) sorted.delete(key)
  t.same([...sorted], [])
  sorted.delete('ns/1')
})
