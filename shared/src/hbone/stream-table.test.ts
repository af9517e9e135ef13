import t from 'tap'
import { bothIos, turn } from '../io/io-fixture.ts'
import { ErrorCode } from './error-code.ts'
import { DEFAULT_WINDOW } from './frames.ts'
import { data, quietServer, request } from './quiet-server-fixture.ts'

const FRAME = 16_384

/** A short write waits for more until a turn has brought none. */
async function written(): Promise<void> {
  await turn()
  await turn()
  await turn()
}

void t.test('while streams hold too much the peer gets no credit, and it comes when one of them ends', async (t) => {
  for (const io of bothIos()) {
    const limits = { connectionWindowBytes: DEFAULT_WINDOW, maxHeldBytes: 2 * FRAME }
    const { connection, streams, bring, credit } = await quietServer(io, { limits })
    const table = connection.streams
    bring(request(1), request(3), data(1, FRAME), data(1, FRAME))
    await written()
    t.same([table.heldBytes, credit.get(0)], [2 * FRAME, 2 * FRAME])
    bring(data(3, FRAME))
    bring(data(3, FRAME))
    await written()
    t.same([table.heldBytes, credit.get(0)], [4 * FRAME, 2 * FRAME], 'withheld')
    streams[1]?.reset(ErrorCode.cancel)
    await written()
    t.same([table.heldBytes, credit.get(0)], [2 * FRAME, 4 * FRAME])
    connection.destroy()
    t.equal(table.heldBytes, 0)
  }
})

void t.test('a stream that is over is remembered where we have reset it', async (t) => {
  for (const io of bothIos()) {
    const { connection, streams, bring } = await quietServer(io)
    const table = connection.streams
    bring(request(1), request(3))
    t.same([table.size, table.list().length, table.get(3)], [2, 2, streams[1]])
    t.notOk(table.wasReset(3))
    table.reset(3, ErrorCode.protocolError)
    t.ok(streams[1]?.isOver)
    t.same([table.size, table.get(3), table.wasReset(3)], [1, undefined, true])
    bring(data(3, FRAME))
    t.equal(connection.state, 'open', 'the peer may not know yet')
    table.reset(5, ErrorCode.refusedStream)
    t.ok(table.wasReset(5), 'one that never was here')
    t.throws(() => table.lateData(7, 1, false), 'more than can have been under way')
    connection.destroy()
    t.equal(table.size, 0)
  }
})
