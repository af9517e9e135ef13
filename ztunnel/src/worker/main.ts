// A data worker process: accepts, tunnels and enforces for the pods that the control process hands to it.
import { systemClock } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import type { FromWorker, ToWorker } from '../messages.ts'
import { Worker } from './worker.ts'

if (!process.send) {
  process.stderr.write('this is the worker of ztunnel; start ztunnel itself (npm run ztunnel -- --help)\n')
  process.exit(2)
}

// The control process alone decides when a worker ends; a Ctrl-C reaches the whole process group.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
// No debugger for whoever shares its network (see main.mjs).
process.on('SIGUSR1', () => {})
// Without its control process a worker has no policy updates: it must not go on. A drained one has nothing more to do.
process.on('disconnect', () => process.exit(worker.isDrained ? 0 : 1))

const worker = new Worker({
  send: (message: FromWorker) => void process.send?.(message),
  clock: systemClock,
  logFd: 1,
})
process.on('message', (message, handle) => {
  try {
    // Only the control process writes on this channel.
    worker.receive(message as ToWorker, handle)
  } catch (error) {
    process.stderr.write(`data worker: ${messageOf(error)}\n`)
    process.exit(1)
  }
})
