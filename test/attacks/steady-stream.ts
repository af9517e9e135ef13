import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { OutgoingTunnel } from '@ambit/shared/hbone'
import { eventually } from './kit.ts'
import type { PoolUser } from './upstream.ts'

/** A tunnel joined with an application whose far end is the test's. */
export async function join(user: PoolUser, tunnel: OutgoingTunnel): Promise<{ socket: Socket; abort: () => void }> {
  const { end, socket } = await user.applications.pair()
  const splice = tunnel.splice(end)
  return { socket, abort: () => splice.abort() }
}

/** Sends random bytes through an echo until told to stop. How many came back, all of them right; else it throws. */
export async function steadyStream(user: PoolUser, port: number, stop: AbortSignal): Promise<number> {
  const { socket } = await join(user, await user.open(port))
  const [sent, received] = [createHash('sha256'), createHash('sha256')]
  let [bytesSent, bytesReceived] = [0, 0]
  socket.on('data', (bytes: Buffer) => {
    received.update(bytes)
    bytesReceived += bytes.length
  })
  while (!stop.aborted) {
    const chunk = randomBytes(1 + Math.floor(Math.random() * 20_000))
    sent.update(chunk)
    bytesSent += chunk.length
    socket.write(chunk)
    await eventually(() => bytesReceived >= bytesSent)
  }
  socket.end()
  if (!(await eventually(() => socket.destroyed || socket.readableEnded)))
    throw new Error('a steady stream did not end')
  if (sent.digest('hex') !== received.digest('hex')) throw new Error('bytes of a steady stream differ')
  return bytesReceived
}
