import { getEventListeners } from 'node:events'
import t from 'tap'
import { Cancellation, Waiters } from './index.ts'

void t.test('all who wait have the next outcome, and it is over for them', async (t) => {
  const waiters = new Waiters<string>()
  const { signal } = new AbortController()
  const all = Promise.all([waiters.wait(), waiters.wait(new Cancellation()), waiters.wait(signal)])
  t.equal(waiters.size, 3)
  waiters.resolve('it is there')
  t.equal(waiters.size, 0)
  t.same(getEventListeners(signal, 'abort'), [])
  t.same(await all, ['it is there', 'it is there', 'it is there'])
  const late = waiters.wait(signal)
  waiters.reject(new Error('it is gone'))
  await t.rejects(late, { message: 'it is gone' })
  t.same(getEventListeners(signal, 'abort'), [])
})

void t.test('who leaves is told why, and the others wait on', async (t) => {
  const waiters = new Waiters<string>()
  const [leaving, staying] = [new Cancellation(), new AbortController()]
  const left: number[] = []
  const first = waiters.wait(leaving, () => left.push(waiters.size))
  const second = waiters.wait(staying.signal, () => left.push(-1))
  leaving.abort(new Error('nobody there any more'))
  await t.rejects(first, { message: 'nobody there any more' })
  t.same(left, [1], 'the owner is told when it does not wait any more')
  waiters.resolve('it is there')
  staying.abort()
  t.equal(await second, 'it is there')
  t.same(left, [1])
})
