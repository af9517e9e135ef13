import t from 'tap'
import { BulkBudget } from './bulk-budget.ts'
import { turn } from './io-fixture.ts'

/** Takes what is left of the turn, in pieces of that many bytes; how many pieces. */
function takeAll(budget: BulkBudget, bytes: number): number {
  let pieces = 0
  while (budget.take(bytes)) pieces++
  return pieces
}

void t.test('a turn of the loop has so much, and the next one as much again', async (t) => {
  const budget = new BulkBudget()
  t.equal(takeAll(budget, 65_536), 8)
  t.notOk(budget.take(1))
  await turn()
  t.ok(budget.take(500_000_000), 'whoever is first may take more than there is')
  t.notOk(budget.take(1))
  await turn()
  t.equal(takeAll(budget, 524_287), 2)
})

void t.test('who waits goes on in the order of asking, as many as a turn has room for', async (t) => {
  const budget = new BulkBudget()
  const went: number[] = []
  takeAll(budget, 65_536)
  for (let i = 0; i < 20; i++) {
    const goOn = (): void => {
      t.ok(budget.take(65_536), 'there is something for who is called')
      went.push(i)
    }
    budget.wait({ goOn })
  }
  t.same(went, [])
  const counts: number[] = []
  for (let turns = 0; turns < 3; turns++) {
    await turn()
    counts.push(went.length)
  }
  t.same(counts, [8, 16, 20])
  t.same(
    went,
    Array.from({ length: 20 }, (_, i) => i),
  )
})

void t.test('who asks again while others wait stands behind them', async (t) => {
  const budget = new BulkBudget()
  const went: string[] = []
  const waiter = (name: string): { goOn: () => void } => {
    const self = {
      goOn: (): void => {
        budget.take(300_000)
        went.push(name)
        if (went.length < 8) budget.wait(self)
      },
    }
    return self
  }
  for (const name of ['a', 'b', 'c']) budget.wait(waiter(name))
  while (went.length < 8) await turn()
  t.same(went, ['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b'])
})
