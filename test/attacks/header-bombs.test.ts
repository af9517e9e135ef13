// CVE-2016-6581 (HPACK bomb), CVE-2026-47774 (cookie amplification): small header blocks that expand to large header lists.
import { attack, eventually } from './kit.ts'
import { Code, connectBlock, headers, literal, NEWEST, Type } from './raw-frames.ts'

/** Fills the dynamic table with one field of almost 4 KB. */
const fill = (name: string) => connectBlock('busy:1', literal(name, 'c'.repeat(3900), true))

attack('one large field named sixteen thousand times', { ends: Code.calm, tunnels: 1 }, async (peer) => {
  await peer.send(headers(1, fill('x-b')))
  await peer.flood(500, (i) => headers(3 + 2 * i, connectBlock('echo:1', Buffer.alloc(16_000, NEWEST))), 1)
})

attack(
  'cookies up to the limit, on as many streams as allowed',
  { ends: 'tolerated', tunnels: 201 },
  async (peer, victim, t) => {
    const before = process.memoryUsage().heapUsed
    await peer.send(headers(1, fill('cookie')))
    const block = connectBlock('pending:1', Buffer.alloc(16, NEWEST))
    for (let i = 0; i < 200; i++) await peer.send(headers(3 + 2 * i, block))
    await eventually(() => victim.tunnels >= 202)
    const grownMb = (process.memoryUsage().heapUsed - before) / 1e6
    t.ok(grownMb < 50, `12 MB of header lists held in ${grownMb.toFixed(1)} MB`)
  },
)

attack(
  'a header list above the limit is answered 431, and the next request is read all the same',
  { ends: 'tolerated', tunnels: 2 },
  async (peer, _victim, t) => {
    await peer.send(headers(1, fill('cookie')), headers(3, connectBlock('echo:1', Buffer.alloc(17, NEWEST))))
    await peer.send(headers(5, connectBlock('busy:1', Buffer.alloc(2, NEWEST))))
    await eventually(() => peer.of(Type.headers).length === 3)
    const answers = peer.of(Type.headers).map(({ stream, payload }) => [stream, payload.toString('latin1').slice(-3)])
    t.same(answers, [
      [1, '503'],
      [3, '431'],
      [5, '503'],
    ])
  },
)

attack('thousands of tiny fields', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  const block = connectBlock('echo:1', ...Array.from({ length: 1000 }, () => literal('a', '')))
  await peer.flood(1000, (i) => headers(1 + 2 * i, block), 20)
})

attack('a table that is emptied and filled in every block', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  const thrash = Buffer.concat([
    Buffer.of(0x20, 0x3f, 0xe1, 0x1f),
    ...Array.from({ length: 300 }, (_, i) => literal(`x-${i}`, 'v', true)),
  ])
  await peer.flood(1000, (i) => headers(1 + 2 * i, thrash), 20)
})
