import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { whyNotRead } from '../errors/index.ts'
import { newFifo } from './fifo-fixture.ts'
import { readRegularFile, readRegularFileSync } from './index.ts'

const directory = mkdtempSync(join(tmpdir(), 'ambit-regular-'))
t.teardown(() => rmSync(directory, { recursive: true }))
const pathOf = (name: string): string => join(directory, name)

async function ways(path: string, maxBytes: number): Promise<readonly string[]> {
  const [way, other] = [async () => readRegularFileSync(path, maxBytes), () => readRegularFile(path, maxBytes)]
  return Promise.all([told(way), told(other)])
}

async function told(read: () => Promise<Buffer>): Promise<string> {
  try {
    return `read: ${(await read()).toString()}`
  } catch (error) {
    return whyNotRead(error)
  }
}

void t.test('a file of at most so many bytes is read, also through a link', async (t) => {
  const [file, link, long] = [pathOf('file'), pathOf('link'), pathOf('long')]
  writeFileSync(file, 'twelve bytes')
  symlinkSync(file, link)
  for (const path of [file, link]) t.same(await ways(path, 12), ['read: twelve bytes', 'read: twelve bytes'])
  t.same(await ways(file, 11), ['it is larger than 11 bytes', 'it is larger than 11 bytes'])
  const text = 'abcdefg'.repeat(100_000)
  writeFileSync(long, text)
  t.same(await ways(long, text.length), [`read: ${text}`, `read: ${text}`])
  writeFileSync(file, '')
  t.same(await ways(file, 12), ['read: ', 'read: '])
})

void t.test('the bound holds for what is read, whatever size the file says', async (t) => {
  const mappings = '/proc/self/smaps'
  t.same(await ways(mappings, 20_000), ['it is larger than 20000 bytes', 'it is larger than 20000 bytes'])
  t.ok(readRegularFileSync(mappings, 2 ** 26).length > 20_000)
  t.ok((await readRegularFile('/proc/self/status', 50_000)).includes('VmHWM'))
  const sparse = pathOf('sparse')
  writeFileSync(sparse, '')
  truncateSync(sparse, 3 * 2 ** 30)
  t.same(await ways(sparse, 9), ['it is larger than 9 bytes', 'it is larger than 9 bytes'])
})

void t.test('what is no regular file is refused at once', async (t) => {
  const [fifo, socket] = [pathOf('fifo'), pathOf('socket')]
  newFifo(t, fifo)
  const server = createServer().listen(socket)
  await once(server, 'listening')
  t.teardown(() => server.close())
  for (const path of [fifo, socket, '/dev/zero', '/dev/null'])
    t.same(await ways(path, 10), ['it is no regular file', 'it is no regular file'], path)
  t.same(await ways(directory, 10), ['it is a directory', 'it is a directory'])
  t.same(await ways(pathOf('none'), 10), ['there is no such file', 'there is no such file'])
})
