import t from 'tap'
import type { HboneError, HboneServerConnection } from '@ambit/shared/hbone'
import { Handshakes } from './handshakes.ts'

class Half implements HboneServerConnection {
  readonly remote = { address: '10.0.0.1', port: 1 }
  readonly local = { address: '10.0.0.2', port: 15_008 }
  readonly peer = undefined
  readonly bufferedBytes = 0
  readonly closed = Promise.resolve()
  readonly done = Promise.withResolvers<void>()

  get ready(): Promise<void> {
    return this.done.promise
  }

  drain(): void {}

  destroy(reason?: HboneError): void {
    this.done.reject(reason)
  }
}

void t.test('where too many are under way the oldest is broken off', async (t) => {
  const handshakes = new Handshakes()
  const halves = Array.from({ length: 1_024 }, () => new Half())
  const outcomes = halves.map((half) => handshakes.done(half))
  halves[0]?.done.resolve()
  await outcomes[0]
  const late = [new Half(), new Half()]
  const ends = late.map((half) => handshakes.done(half))
  await t.rejects(outcomes[1] ?? Promise.resolve(), { code: 'overloaded', message: /more than 1024 TLS handshakes/ })
  for (const half of [...halves, ...late]) half.done.resolve()
  const settled = await Promise.allSettled([...outcomes, ...ends])
  t.equal(settled.filter(({ status }) => status === 'rejected').length, 1)
})
