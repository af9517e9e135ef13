// A server's connection whose bytes the test brings and sees, without TLS and a socket.
import { FakeClock } from '../clock/index.ts'
import { HeapSlab, type ByteIo, type SecurePort, type Slab } from '../io/index.ts'
import { silentLog } from '../log/index.ts'
import { HboneConnection } from './connection.ts'
import { CLIENT_PREFACE, Flag, FRAME_HEADER_BYTES, FrameType } from './frames.ts'
import { connectRequestBlock } from './header-block.ts'
import type { HeaderField } from './hpack/index.ts'
import { HeldMemory } from './held-memory.ts'
import { Leftovers } from './leftovers.ts'
import { DEFAULT_LIMITS, type HboneLimits } from './limits.ts'
import type { TunnelStream } from './tunnel-stream.ts'

/** Notes whether it may bring more, and passes on what is written. */
export class QuietPort implements SecurePort {
  readonly remote = { address: '10.0.0.1', port: 1 }
  readonly local = { address: '10.0.0.2', port: 15_008 }
  readonly fd = -1
  readonly consumesOnWrite = true
  isPaused = false
  onWrite: (bytes: Buffer) => void = () => {}

  start(): void {}
  end(): void {}
  destroy(): void {}

  write(slab: Slab, start: number, end: number): void {
    this.onWrite(slab.bytes.subarray(start, end))
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }
}

export interface QuietServer {
  readonly connection: HboneConnection
  readonly port: QuietPort
  readonly clock: FakeClock
  /** Streams that were asked for, in order. */
  readonly streams: readonly TunnelStream[]
  readonly bring: (...bytes: Buffer[]) => void
  /** Credit that the peer was given, by stream. */
  readonly credit: ReadonlyMap<number, number>
}

export interface QuietBeginning {
  /** How long the peer's ACK of our SETTINGS takes. Default 0. */
  readonly roundTripMs?: number
  /** By how much the wall clock is set meanwhile. Default 0. */
  readonly stepMs?: number
  /** False where no ACK comes. Default true. */
  readonly isAcknowledged?: boolean
  /** Those that differ from the defaults. */
  readonly limits?: Partial<HboneLimits>
}

/** Has begun: preface and SETTINGS are exchanged. */
export async function quietServer(
  io: ByteIo,
  { roundTripMs = 0, stepMs = 0, isAcknowledged = true, limits = {} }: QuietBeginning = {},
): Promise<QuietServer> {
  const port = new QuietPort()
  const clock = new FakeClock()
  const streams: TunnelStream[] = []
  const credit = new Map<number, number>()
  const connection = new HboneConnection({
    role: 'server',
    io,
    port,
    limits: { ...DEFAULT_LIMITS, ...limits },
    leftovers: new Leftovers({ clock }),
    memory: new HeldMemory().share(),
    clock,
    log: silentLog,
    hooks: { onRequest: (stream) => streams.push(stream), onChange: () => {}, onTick: () => {} },
  })
  port.onWrite = (bytes) => {
    for (let at = 0; at < bytes.length; at += FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3)) {
      if (bytes[at + 3] !== FrameType.windowUpdate) continue
      const id = bytes.readUInt32BE(at + 5)
      credit.set(id, (credit.get(id) ?? 0) + bytes.readUInt32BE(at + FRAME_HEADER_BYTES))
    }
    setImmediate(() => connection.onWritten())
  }
  const bring = (...bytes: Buffer[]): void => {
    const slab = new HeapSlab(Buffer.concat(bytes))
    connection.onBytes(slab, 0, slab.bytes.length, false)
  }
  connection.start()
  clock.stepWallClock(stepMs)
  await clock.advance(roundTripMs)
  const nothing = Buffer.alloc(0)
  bring(CLIENT_PREFACE, frame(FrameType.settings, 0, 0, nothing))
  if (isAcknowledged) bring(frame(FrameType.settings, Flag.ack, 0, nothing))
  return { connection, port, clock, streams, bring, credit }
}

export function request(streamId: number, headers: readonly HeaderField[] = []): Buffer {
  return frame(FrameType.headers, Flag.endHeaders, streamId, connectRequestBlock('10.0.0.2:80', headers))
}

export function data(streamId: number, length: number): Buffer {
  return frame(FrameType.data, 0, streamId, Buffer.alloc(length))
}

export function reset(streamId: number, h2Code: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(h2Code)
  return frame(FrameType.rstStream, 0, streamId, payload)
}

export function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, payload])
}
