// node:http2 (nghttp2) as the client of our HBONE server, over real mutual TLS.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type SessionOptions } from 'node:http2'
import t from 'tap'
import { systemClock } from '@ambit/shared/clock'
import { Victim } from '../attacks/victim.ts'

t.setTimeout(60_000)

async function session(victim: Victim, options: SessionOptions = {}): Promise<ClientHttp2Session> {
  const socket = await victim.dialTls()
  const opened = connect(`https://127.0.0.1:${victim.port}`, { ...options, createConnection: () => socket })
  await once(opened, 'connect')
  return opened
}

function tunnel(client: ClientHttp2Session, authority = 'echo:1', headers = {}): ClientHttp2Stream {
  return client.request({ ':method': 'CONNECT', ':authority': authority, ...headers }, { endStream: false })
}

async function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
  return headers[':status']
}

/** Sends `bytes` through an echo and answers whether the same came back, and then the end. */
async function echoes(stream: ClientHttp2Stream, bytes: Buffer): Promise<boolean> {
  const hash = createHash('sha256')
  stream.end(bytes)
  for await (const chunk of stream) hash.update(chunk as Buffer)
  return hash.digest('hex') === createHash('sha256').update(bytes).digest('hex')
}

async function close(client: ClientHttp2Session): Promise<void> {
  const closed = once(client, 'close')
  client.close()
  await closed
}

void t.test('a tunnel carries bytes both ways and ends half by half', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  const client = await session(victim)
  const stream = tunnel(client)
  t.equal(await statusOf(stream), 200)
  t.ok(await echoes(stream, randomBytes(8 * 1024 * 1024)), '8 MB, then END_STREAM both ways')
  const many = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const one = tunnel(client)
      return (await statusOf(one)) === 200 && echoes(one, randomBytes(1_000 + i * 997))
    }),
  )
  t.equal(many.filter((same) => same).length, 100, '100 tunnels of one connection at once')
  await close(client)
  victim.close()
})

void t.test('windows and frames of any size that nghttp2 asks for', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  for (const settings of [
    { initialWindowSize: 1 },
    { initialWindowSize: 65_535, maxFrameSize: 16_384 },
    { initialWindowSize: 10 * 1024 * 1024, maxFrameSize: 2 ** 24 - 1 },
    { headerTableSize: 0 },
    { headerTableSize: 65_536, maxHeaderListSize: 100 },
  ]) {
    const client = await session(victim, { settings })
    const stream = tunnel(client)
    t.equal(await statusOf(stream), 200, JSON.stringify(settings))
    t.ok(await echoes(stream, randomBytes(settings.initialWindowSize === 1 ? 300 : 3_000_000)))
    await close(client)
  }
  victim.close()
})

void t.test('settings that change while a tunnel is in use', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  const client = await session(victim)
  const stream = tunnel(client)
  await statusOf(stream)
  const bytes = randomBytes(6 * 1024 * 1024)
  const done = echoes(stream, bytes)
  for (const settings of [
    { initialWindowSize: 1_000 },
    { headerTableSize: 0 },
    { maxFrameSize: 100_000 },
    { initialWindowSize: 1_000_000 },
    { headerTableSize: 4_096 },
  ])
    await new Promise<void>((resolve, reject) => {
      client.settings(settings, (error) => (error ? reject(error) : resolve()))
    })
  t.ok(await done)
  t.equal(await statusOf(tunnel(client)), 200)
  client.destroy()
  victim.close()
})

void t.test('a table that shrinks and grows again before our next header block', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  const client = await session(victim)
  const set = (headerTableSize: number): Promise<void> =>
    new Promise((resolve, reject) => {
      client.settings({ headerTableSize }, (error) => (error ? reject(error) : resolve()))
    })
  await Promise.all([set(0), set(4096)])
  t.equal(await statusOf(tunnel(client)), 200)
  client.destroy()
  victim.close()
})

void t.test('resets: ours and theirs are one stream’s end, and the connection lives', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  const client = await session(victim)
  const other = tunnel(client)
  await statusOf(other)
  for (const code of [constants.NGHTTP2_CANCEL, constants.NGHTTP2_INTERNAL_ERROR, constants.NGHTTP2_NO_ERROR]) {
    const stream = tunnel(client)
    stream.on('error', () => {})
    await statusOf(stream)
    stream.write('x')
    const closed = new Promise((resolve) => stream.once('close', resolve))
    stream.close(code)
    await closed
  }
  t.ok(await echoes(other, randomBytes(100_000)))
  await close(client)
  victim.close()
})

void t.test('a server that drains says so and lets the open tunnel end', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  const client = await session(victim)
  const stream = tunnel(client)
  await statusOf(stream)
  const goaways: unknown[][] = []
  client.on('goaway', (code, last) => goaways.push([code, last]))
  for (const connection of victim.connections) connection.drain()
  await once(client, 'goaway')
  t.ok(await echoes(stream, randomBytes(1_000_000)))
  await once(client, 'close')
  t.same(goaways.at(0), [0, 2 ** 31 - 1], 'first the warning')
  t.same(goaways.at(-1), [0, 1], 'then the last stream that counts')
  victim.close()
})

void t.test('what is no CONNECT, or one that cannot be served, is answered, and the connection lives', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  const client = await session(victim, { maxSendHeaderBlockLength: 200_000 })
  const get = client.request({ ':path': '/' })
  t.equal(await statusOf(get), 405)
  get.close()
  t.equal(await statusOf(tunnel(client, 'busy:1')), 503)
  const large = tunnel(client, 'echo:1', { 'x-large': 'y'.repeat(60_000) })
  t.equal(await statusOf(large), 200, '60 KB of headers')
  t.ok(await echoes(large, Buffer.from('still')))
  const tooLarge = tunnel(client, 'echo:1', { 'x-large': 'y'.repeat(64_000), 'x-more': 'z'.repeat(4_000) })
  t.equal(await statusOf(tooLarge), 431)
  t.equal(await statusOf(tunnel(client)), 200)
  client.destroy()
  victim.close()
})

void t.test('PING is answered, trailers are taken for the end', async (t) => {
  const victim = await Victim.start({ clock: systemClock })
  const client = await session(victim)
  const payload = Buffer.from('12345678')
  const [, answer] = await new Promise<[number, Buffer]>((resolve, reject) => {
    client.ping(payload, (error, durationMs, echoed) => (error ? reject(error) : resolve([durationMs, echoed])))
  })
  t.same(answer, payload)
  const stream = client.request(
    { ':method': 'CONNECT', ':authority': 'echo:1' },
    { endStream: false, waitForTrailers: true },
  )
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-done': 'yes' }))
  await statusOf(stream)
  t.ok(await echoes(stream, randomBytes(50_000)))
  await close(client)
  victim.close()
})
