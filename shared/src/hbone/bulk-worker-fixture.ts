// Run by bulk.test.ts in a thread of its own, so that sources and sinks never wait for the proxies' loop: connects `count`
// times to both ports, writes without end to the one and reads from the other.
import { connect } from 'node:net'
import { workerData } from 'node:worker_threads'

const { sourcePort, sinkPort, count } = workerData as { sourcePort: number; sinkPort: number; count: number }
const block = Buffer.alloc(262_144)

for (let i = 0; i < count; i++) {
  const source = connect({ port: sourcePort, host: '127.0.0.1' })
  const pump = (): void => {
    while (source.writable && source.write(block));
  }
  source
    .on('connect', pump)
    .on('drain', pump)
    .on('error', () => {})
  connect({ port: sinkPort, host: '127.0.0.1' })
    .on('error', () => {})
    .resume()
}
