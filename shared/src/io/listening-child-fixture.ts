// Run by io.test.ts in a child process: accepts on the socket that it is sent, and says "child" to whoever connects.
import { HandleIo } from './handle/handle-io.ts'
import { loadBindings } from './handle/node-bindings.ts'
import { HeapSlab } from './slab.ts'
import { StreamIo } from './stream/stream-io.ts'

const io = process.argv[2] === 'handle' ? new HandleIo(loadBindings()) : new StreamIo()
const greeting = new HeapSlab(Buffer.from('child'))

process.on('message', (_message, handle) => {
  io.listen(handle, 1, (end) => {
    const port = io.attach(end, { onData() {}, onEnd() {}, onTaken() {}, onError() {} })
    port.write(greeting, 0, greeting.bytes.length)
    port.end()
  })
  process.send?.('listening')
})
