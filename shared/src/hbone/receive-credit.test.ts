import t from 'tap'
import { ReceiveCredit, type CreditHost } from './receive-credit.ts'

const WINDOW = 1000

/** A connection that notes what it is told. */
class FakeHost implements CreditHost {
  windowBytes = WINDOW
  heldBytes = 0
  /** Credit given, in order. */
  readonly given: number[] = []
  readonly send = {
    numberFrame: (_type: number, _streamId: number, credit: number): void => void this.given.push(credit),
  }

  readonly streams = { held: (change: number): void => void (this.heldBytes += change) }
}

function creditOf(host: FakeHost): ReceiveCredit {
  return new ReceiveCredit(host, 1, WINDOW)
}

void t.test('what is held is no credit until the application took it', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  t.ok(credit.receive(WINDOW))
  credit.hold(WINDOW)
  t.same([credit.heldBytes, host.heldBytes, host.given], [WINDOW, WINDOW, []])
  credit.taken(499)
  t.same(host.given, [], 'little is not worth a frame')
  credit.taken(1)
  t.same([credit.heldBytes, host.heldBytes, host.given], [500, 500, [500]])
  t.notOk(credit.receive(501), 'more than was given')
})

void t.test('padding is credit at once, and no part of what is held', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  credit.receive(600)
  credit.release(600)
  t.same([credit.heldBytes, host.heldBytes, host.given], [0, 0, [600]])
})

void t.test('where less should be under way, credit is withheld until the peer has used up more', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  host.windowBytes = 200
  credit.receive(700)
  credit.hold(700)
  credit.taken(700)
  t.same(host.given, [])
  credit.receive(200)
  credit.hold(200)
  credit.taken(200)
  t.same(host.given, [100])
})

void t.test('a peer that has ended gets no credit, though the rest is still taken', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  credit.receive(WINDOW)
  credit.hold(WINDOW)
  credit.end()
  t.ok(credit.hasEnded)
  credit.taken(600)
  t.same([credit.heldBytes, host.given], [400, []])
  credit.drop()
  credit.drop()
  t.same([credit.heldBytes, host.heldBytes, host.given], [0, 0, []])
})
