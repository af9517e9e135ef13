import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { HeapSlab, type SecurePort } from '../io/index.ts'
import { bothIos, turn } from '../io/io-fixture.ts'
import { silentLog } from '../telemetry/index.ts'
import { HboneConnection } from './connection.ts'
import { CLIENT_PREFACE, Flag, FrameType } from './frames.ts'
import { connectRequestBlock } from './header-block.ts'
import { Leftovers } from './leftovers.ts'
import { DEFAULT_LIMITS } from './limits.ts'

/** A port whose bytes the test brings; notes whether it may bring more. */
class QuietPort implements SecurePort {
  readonly remote = { address: '10.0.0.1', port: 1 }
  readonly local = { address: '10.0.0.2', port: 15_008 }
  readonly fd = -1
  readonly consumesOnWrite = true
  isPaused = false

  start(): void {}
  write(): void {}
  end(): void {}
  destroy(): void {}

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }
}

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, payload])
}

void t.test('a peer with many tiny frames is not read until the others had their turn', async (t) => {
  for (const io of bothIos()) {
    const port = new QuietPort()
    const clock = new FakeClock()
    const connection = new HboneConnection({
      role: 'server',
      io,
      port,
      limits: DEFAULT_LIMITS,
      leftovers: new Leftovers({ clock }),
      clock,
      log: silentLog,
      hooks: { onRequest: () => {}, onChange: () => {}, onTick: () => {} },
    })
    connection.start()
    const bring = (...bytes: Buffer[]): void => {
      const slab = new HeapSlab(Buffer.concat(bytes))
      connection.onBytes(slab, 0, slab.bytes.length, false)
    }
    const request = connectRequestBlock('10.0.0.2:80', [])
    bring(CLIENT_PREFACE, frame(FrameType.settings, 0, 0, Buffer.alloc(0)))
    bring(frame(FrameType.headers, Flag.endHeaders, 1, request))
    const [bulk, tiny] = [Buffer.alloc(16_384), Buffer.alloc(1)].map((data) => frame(FrameType.data, 0, 1, data))
    if (bulk === undefined || tiny === undefined) return
    for (let i = 0; i < 100; i++) bring(bulk)
    t.notOk(port.isPaused, 'bulk goes on')
    const record = Buffer.concat(Array.from({ length: 1600 }, () => tiny))
    for (let i = 0; i < 6; i++) bring(record)
    t.ok(port.isPaused)
    await turn()
    t.notOk(port.isPaused, 'until the next turn of the loop')
    t.equal(connection.state, 'open')
    connection.destroy()
    t.equal(clock.pendingTimers, 0)
  }
})
