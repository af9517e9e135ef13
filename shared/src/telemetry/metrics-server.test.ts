import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import t from 'tap'
import { ask, brief, endpointKit, PLAIN } from './http-fixture.ts'
import { serveMetrics } from './index.ts'

const nothing = (): void => {}

void t.test('metrics: two paths, any method, the type that Accept asks for', async (t) => {
  const { open, options } = endpointKit(t)
  let scrapes = 0
  const port = await open(serveMetrics(async () => `# EOF ${++scrapes}\n`, options))
  const openMetrics = 'application/openmetrics-text;charset=utf-8;version=1.0.0'
  const cases = [
    ['application/openmetrics-text; version=1.0.0; charset=utf-8', openMetrics],
    ['text/plain;version=0.0.4;q=0.5, Application/OpenMetrics-Text;q=0.1', openMetrics],
    ['text/plain', PLAIN],
    ['*/*', PLAIN],
    ['application/openmetrics-text2', PLAIN],
  ] as const
  for (const [accept, type] of cases) {
    t.same(brief(await ask(port, 'GET', '/metrics', `accept: ${accept}`)), [200, type, `# EOF ${scrapes}\n`], accept)
  }
  t.same(brief(await ask(port, 'GET', '/stats/prometheus')), [200, PLAIN, '# EOF 6\n'])
  t.same(brief(await ask(port, 'POST', '/metrics?a=b')), [200, PLAIN, '# EOF 7\n'])
  const head = await ask(port, 'HEAD', '/metrics')
  t.same(brief(head), [200, PLAIN, ''])
  t.equal(head.headers.get('content-length'), '8')
  t.same(brief(await ask(port, 'GET', 'http://host:15020/metrics')), [200, PLAIN, '# EOF 9\n'], 'absolute form')
  t.same(brief(await ask(port, 'GET', '/metrics/')), [404, PLAIN, 'not found\n'])
  t.same(brief(await ask(port, 'GET', '/')), [404, PLAIN, 'not found\n'])
  t.equal(scrapes, 9)
})

void t.test('who asks for metrics while they are being made gets the same, later ones anew', async (t) => {
  const { open, options } = endpointKit(t)
  const made: ((text: string) => void)[] = []
  let arrived = nothing
  const isMade = new Promise<void>((resolve) => (arrived = resolve))
  const render = (): Promise<string> =>
    new Promise((resolve) => {
      made.push(resolve)
      arrived()
    })
  const port = await open(serveMetrics(render, options))
  const first = ask(port, 'GET', '/metrics')
  await isMade
  const others = Array.from({ length: 20 }, () => ask(port, 'GET', '/metrics', 'accept-encoding: gzip'))
  // Their connections are accepted in order: once a request that waits for nothing is answered, theirs have come.
  for (let i = 0; i < 3; i++) await ask(port, 'GET', '/')
  made[0]?.('# 1\n# EOF\n')
  for (const answer of [await first, ...(await Promise.all(others))]) t.equal(String(answer.body), '# 1\n# EOF\n')
  t.equal(made.length, 1)
  const later = ask(port, 'GET', '/metrics')
  while (made.length === 1) await setImmediate()
  made[1]?.('# 2\n# EOF\n')
  t.equal(String((await later).body), '# 2\n# EOF\n')
})

void t.test('metrics that took long to make are not made again at once', async (t) => {
  const { open, options, clock } = endpointKit(t)
  let made = 0
  const render = async (): Promise<string> => {
    await clock.advance(100)
    return `# ${++made}\n`
  }
  const port = await open(serveMetrics(render, options))
  t.equal(String((await ask(port, 'GET', '/metrics')).body), '# 1\n')
  for (const [before, stepMs] of [0, 3_600_000, -3_600_000].entries()) {
    clock.stepWallClock(stepMs)
    const later = Promise.all([ask(port, 'GET', '/metrics'), ask(port, 'GET', '/metrics')])
    for (let i = 0; i < 3; i++) await ask(port, 'GET', '/')
    await clock.advance(299)
    for (let i = 0; i < 3; i++) await ask(port, 'GET', '/')
    t.equal(made, before + 1, `by a wall clock set by ${stepMs}`)
    await clock.advance(1)
    const text = `# ${before + 2}\n`
    t.same(
      (await later).map(({ body }) => String(body)),
      [text, text],
    )
  }
})

void t.test('metrics are packed as the client likes it best, small ones not at all', async (t) => {
  const { open, options } = endpointKit(t)
  const body = `${'istio_tcp_sent_bytes_total{a="b"} 1\n'.repeat(100)}# EOF\n`
  const port = await open(serveMetrics(() => body, options))
  const small = await open(serveMetrics(() => '# EOF\n', options))
  const unpack = new Map<string, (body: Buffer) => Promise<Buffer>>([
    ['gzip', promisify(gunzip)],
    ['br', promisify(brotliDecompress)],
    ['zstd', promisify(zstdDecompress)],
    ['deflate', promisify(inflate)],
  ])
  const cases = [
    ['gzip', 'gzip'],
    ['br', 'br'],
    ['zstd', 'zstd'],
    ['deflate', 'deflate'],
    ['GZIP;q=0.5, br;q=0.2', 'gzip'],
    ['gzip, deflate, br, zstd', 'zstd'],
    ['*', 'zstd'],
    ['*, zstd;q=0', 'gzip'],
    ['identity;q=0.1, gzip;q=0.5', 'gzip'],
    ['identity, gzip;q=0.5', undefined],
    ['identity', undefined],
    ['gzip;q=0', undefined],
    ['gzip;q=x', undefined],
    ['compress, exi', undefined],
    ['', undefined],
  ] as const
  for (const [accept, encoding] of cases) {
    const answer = await ask(port, 'GET', '/metrics', `accept-encoding: ${accept}`)
    t.equal(answer.headers.get('content-encoding'), encoding, accept)
    t.equal(answer.headers.get('vary'), 'accept-encoding')
    t.equal(answer.headers.get('content-length'), String(answer.body.length))
    const plain = await unpack.get(encoding ?? '')?.(answer.body)
    t.equal(String(plain ?? answer.body), body)
  }
  const answer = await ask(small, 'GET', '/metrics', 'accept-encoding: gzip')
  t.same([answer.headers.get('content-encoding'), String(answer.body)], [undefined, '# EOF\n'])
})
