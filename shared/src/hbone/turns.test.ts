import t from 'tap'
import { accepted, bothIos, eventually, turn } from '../io/io-fixture.ts'
import { ErrorCode } from './error-code.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { data, quietServer, request, reset } from './quiet-server-fixture.ts'

const BULK = 16_384

void t.test('a peer with many tiny frames is not read until the others had their turn', async (t) => {
  for (const io of bothIos()) {
    const { connection, port, clock, bring } = await quietServer(io)
    bring(request(1))
    for (let i = 0; i < 100; i++) bring(data(1, BULK))
    t.notOk(port.isPaused, 'bulk goes on')
    const record = Buffer.concat(Array.from({ length: 1600 }, () => data(1, 1)))
    for (let i = 0; i < 6; i++) bring(record)
    t.ok(port.isPaused)
    await turn()
    t.notOk(port.isPaused, 'until the next turn of the loop')
    t.equal(connection.state, 'open')
    connection.destroy()
    t.equal(clock.pendingTimers, 0)
  }
})

void t.test('nor is one with large header blocks, or with many TLS records', async (t) => {
  for (const io of bothIos()) {
    const { connection, port, clock, bring } = await quietServer(io)
    bring(request(1))
    let requests = 0
    for (; requests < 100 && !port.isPaused; requests++) bring(request(3 + 2 * requests, [['a', 'b'.repeat(16_384)]]))
    t.equal(requests, 8, '128 KiB of header blocks at once')
    await turn()
    t.notOk(port.isPaused)

    const octets = data(1, 2000)
    let read = 0
    while (read < octets.length && !port.isPaused) bring(octets.subarray(read, ++read))
    t.equal(read, 1024, 'records of one octet')
    await turn()
    t.notOk(port.isPaused)
    t.equal(connection.state, 'open')
    connection.destroy()
    t.equal(clock.pendingTimers, 0)
  }
})

void t.test('beside small messages bulk has less under way, and is read in smaller portions', async (t) => {
  const { streamWindowBytes } = DEFAULT_LIMITS
  const begins = [{}, { roundTripMs: 3, stepMs: 1000 }, { roundTripMs: 3, stepMs: -1000 }, { isAcknowledged: false }]
  for (const [io, begin] of bothIos().flatMap((io) => begins.map((begin) => [io, begin] as const))) {
    const { connection, port, streams, bring, credit } = await quietServer(io, begin)
    const { roundTripMs = 0, isAcknowledged = true } = begin
    // A round trip that nobody knows is no short one.
    const perMs = DEFAULT_LIMITS.contendedWindowBytes
    const wanted = isAcknowledged ? perMs * Math.max(1, roundTripMs) : streamWindowBytes
    bring(request(1), request(3))
    const apps = await Promise.all(streams.map(() => accepted(io)))
    const splices = streams.map((stream, at) => stream.attach((apps[at] as (typeof apps)[number]).end))
    let taken = 0
    for (const { socket } of apps) socket.on('data', (bytes) => (taken += bytes.length))
    let sent = 0
    let sentSmall = 0
    const left = (): number => streamWindowBytes + (credit.get(1) ?? 0) - sent
    /** Sends while it may, and waits until all of it was taken. Gives the credit that is left then. */
    const sendBulk = async (bytes: number): Promise<number> => {
      for (const target = sent + bytes; sent < target;) {
        if (port.isPaused || left() < BULK) await turn()
        else {
          bring(data(1, BULK))
          sent += BULK
        }
      }
      await eventually(() => taken === sent + sentSmall, 'the application took it')
      await turn()
      await turn()
      return left()
    }
    const sendSmall = (): void => {
      bring(data(3, 100))
      sentSmall += 100
    }

    t.ok((await sendBulk(2 * streamWindowBytes)) > streamWindowBytes / 2, 'alone it may have all of it')
    sendSmall()
    const contended = await sendBulk(2 * streamWindowBytes)
    t.ok(contended <= wanted && contended > wanted / 2, `${contended} beside small messages, ${JSON.stringify(begin)}`)
    for (let i = 0; i < 3; i++) bring(data(1, BULK))
    t.notOk(port.isPaused)
    bring(data(1, BULK))
    sent += 4 * BULK
    t.ok(port.isPaused, '64 KiB at once')
    t.ok((await sendBulk(17 * streamWindowBytes)) > streamWindowBytes / 2, 'when they have stopped, as before')
    connection.destroy()
    await Promise.allSettled(splices)
    for (const { socket } of apps) socket.destroy()
  }
})

void t.test('streams that the peer resets are forgotten, though the connection has no credit', async (t) => {
  for (const io of bothIos()) {
    const { connection, streams, bring } = await quietServer(io)
    connection.send.window = 0
    for (const id of [1, 3, 5]) {
      bring(request(id))
      const { end, socket } = await accepted(io)
      const splice = streams.at(-1)?.attach(end)
      socket.on('error', () => {}).write('x')
      await eventually(() => connection.send.waiting === 1, 'it waits for credit')
      bring(reset(id, ErrorCode.cancel))
      await splice
      t.equal(connection.send.waiting, 0)
      socket.destroy()
    }
    connection.destroy()
  }
})
