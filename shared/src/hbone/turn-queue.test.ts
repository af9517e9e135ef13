import t from 'tap'
import { TurnQueue } from './turn-queue.ts'

const MB = 1_048_576

function takers(...served: number[]): { served: number }[] {
  return served.map((bytes) => ({ served: bytes }))
}

void t.test('who was served least is next, and of equals who waits longest', async (t) => {
  const queue = new TurnQueue()
  const [much, first, second, least] = takers(300, 200, 200, 100)
  for (const taker of [much, first, second, least]) queue.add(taker!)
  t.equal(queue.length, 4)
  for (const expected of [least, first, second, much, undefined]) t.equal(queue.next(), expected)
  t.equal(queue.length, 0)
})

void t.test('who is removed has no turn, and removing somebody else changes nothing', async (t) => {
  const queue = new TurnQueue()
  const [gone, stays, never] = takers(1, 2, 3)
  queue.add(gone!)
  queue.add(stays!)
  queue.remove(gone!)
  queue.remove(never!)
  t.equal(queue.next(), stays)
  t.equal(queue.next(), undefined)
  queue.add(stays!)
  queue.clear()
  t.equal(queue.length, 0)
})

void t.test('the level is that of who had most when it had a turn', async (t) => {
  const queue = new TurnQueue()
  const [little, much] = takers(10, 500)
  t.equal(queue.level, 0)
  queue.began(much!)
  queue.began(little!)
  t.equal(queue.level, 500)
})

void t.test('who comes back catches up by one megabyte at most', async (t) => {
  const queue = new TurnQueue()
  const [ahead, near, far] = takers(10 * MB, 9 * MB + 1, 0)
  queue.began(ahead!)
  for (const taker of [ahead, near, far]) queue.returned(taker!)
  t.equal(ahead?.served, 10 * MB)
  t.equal(near?.served, 9 * MB + 1)
  t.equal(far?.served, 9 * MB)
})
