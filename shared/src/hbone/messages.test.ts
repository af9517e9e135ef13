import * as fc from 'fast-check'
import t from 'tap'
import { parseConnectRequest } from './connect-request.ts'
import { parseConnectResponse } from './connect-response.ts'
import { HboneError } from './hbone-error.ts'
import { connectRequestBlock, responseBlock } from './header-block.ts'
import { faultOfTrailers } from './header-list.ts'
import { HpackDecoder, type HeaderField } from './hpack/index.ts'
import { IoError, type IoErrorCode } from '../io/io-error.ts'

const CONNECT: HeaderField[] = [
  [':method', 'CONNECT'],
  [':authority', '10.0.0.2:8080'],
]
const GET: HeaderField[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/'],
]
const decode = (block: Buffer) =>
  new HpackDecoder({ maxTableSize: 4096, maxHeaderListBytes: 65_536 }).decode(block).headers

const codeOf = (code: IoErrorCode) => HboneError.from(new IoError(code, 'why'), 'h2', 'x').code

void t.test('a CONNECT has a method, an authority and its fields', async (t) => {
  const request = parseConnectRequest([...CONNECT, ['baggage', 'a=b'], ['baggage', 'c=d'], ['te', 'trailers']])
  if (request.malformed) throw new Error(request.reason)
  t.equal(request.method, 'CONNECT')
  t.equal(request.authority, '10.0.0.2:8080')
  t.equal(request.fields.first('baggage'), 'a=b')
  t.same(request.fields.all('baggage'), ['a=b', 'c=d'])
  t.equal(request.fields.first('forwarded'), undefined)
  t.equal(request.fields.first(':method'), undefined)
})

void t.test('other methods are read too, to be answered', async (t) => {
  t.match(parseConnectRequest([...GET, [':authority', 'a']]), { malformed: false, method: 'GET', authority: 'a' })
  t.match(parseConnectRequest([...GET, ['host', 'a']]), { malformed: false, method: 'GET', authority: undefined })
  t.match(parseConnectRequest([...CONNECT, ['host', '10.0.0.2:8080']]), { malformed: false })
})

void t.test('requests against RFC 9113 §8 are malformed, with the reason', async (t) => {
  const cases: [reason: RegExp, headers: HeaderField[]][] = [
    [/:method is missing/, []],
    [/:method is missing/, [[':authority', 'a:1']]],
    [
      /:method is no token/,
      [
        [':method', 'GE T'],
        [':authority', 'a:1'],
      ],
    ],
    [/no :authority/, [[':method', 'CONNECT']]],
    [
      /no :authority/,
      [
        [':method', 'CONNECT'],
        [':authority', ''],
      ],
    ],
    [/has a :scheme or :path/, [...CONNECT, [':scheme', 'https']]],
    [/has a :scheme or :path/, [...CONNECT, [':path', '/']]],
    [/":protocol" is no pseudo-header/, [...CONNECT, [':protocol', 'connect-udp']]],
    [/":status" is no pseudo-header/, [...CONNECT, [':status', '200']]],
    [/":" is no pseudo-header/, [...CONNECT, [':', '200']]],
    [/:authority stands twice/, [...CONNECT, [':authority', '10.0.0.3:8080']]],
    [/:method stands twice/, [...CONNECT, [':method', 'CONNECT']]],
    [
      /stands after a field/,
      [
        [':method', 'CONNECT'],
        ['a', 'b'],
        [':authority', 'a:1'],
      ],
    ],
    [
      /:scheme or :path is missing/,
      [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'a'],
      ],
    ],
    [
      /:scheme or :path is missing/,
      [
        [':method', 'GET'],
        [':path', '/'],
        [':authority', 'a'],
      ],
    ],
    [
      /:scheme or :path is missing/,
      [
        [':method', 'connect'],
        [':authority', 'a:1'],
      ],
    ],
    [/field name "Baggage" is not/, [...CONNECT, ['Baggage', 'a']]],
    [/field name "" is not/, [...CONNECT, ['', '']]],
    [/field name "a b" is not/, [...CONNECT, ['a b', '']]],
    [/field name "a:b" is not/, [...CONNECT, ['a:b', '']]],
    [/field name "é" is not/, [...CONNECT, ['é', '']]],
    [/field name "a\\u0000" is not/, [...CONNECT, ['a\0', '']]],
    [/value of "a" is not/, [...CONNECT, ['a', 'b\r\nc: d']]],
    [/value of "a" is not/, [...CONNECT, ['a', 'b\0']]],
    [/value of "a" is not/, [...CONNECT, ['a', ' b']]],
    [/value of "a" is not/, [...CONNECT, ['a', 'b\t']]],
    [
      /value of :authority is not/,
      [
        [':method', 'CONNECT'],
        [':authority', 'a:1\r\n'],
      ],
    ],
    [/connection does not belong/, [...CONNECT, ['connection', 'close']]],
    [/keep-alive does not belong/, [...CONNECT, ['keep-alive', '1']]],
    [/proxy-connection does not belong/, [...CONNECT, ['proxy-connection', 'x']]],
    [/transfer-encoding does not belong/, [...CONNECT, ['transfer-encoding', 'chunked']]],
    [/upgrade does not belong/, [...CONNECT, ['upgrade', 'h2c']]],
    [/te may only/, [...CONNECT, ['te', 'gzip']]],
    [/host and :authority differ/, [...CONNECT, ['host', '10.0.0.3:8080']]],
    [/host stands twice/, [...CONNECT, ['host', '10.0.0.2:8080'], ['host', '10.0.0.2:8080']]],
    [/more than 128 header fields/, [...CONNECT, ...Array.from({ length: 127 }, (): HeaderField => ['cookie', 'a'])]],
  ]
  for (const [reason, headers] of cases) {
    const request = parseConnectRequest(headers)
    t.match(request.malformed ? request.reason : 'accepted', reason, JSON.stringify(headers).slice(0, 80))
  }
})

void t.test('the text of a peer is escaped and cut in a reason', async (t) => {
  const request = parseConnectRequest([...CONNECT, [`\n${'x'.repeat(10_000)}`, '']])
  t.ok(request.malformed && request.reason.length < 100 && !request.reason.includes('\n'))
})

void t.test('a response has a status of three digits, and nothing else that begins with a colon', async (t) => {
  t.match(
    parseConnectResponse([
      [':status', '200'],
      ['baggage', 'a=b'],
    ]),
    { malformed: false, status: 200 },
  )
  t.match(parseConnectResponse([[':status', '103']]), { malformed: false, status: 103 })
  for (const status of ['', '20', '2000', '+20', '099', '600', '101', '2oo', ' 200']) {
    t.match(parseConnectResponse([[':status', status]]), { malformed: true }, JSON.stringify(status))
  }
  t.match(parseConnectResponse([]), { malformed: true })
  t.match(
    parseConnectResponse([
      [':status', '200'],
      [':status', '200'],
    ]),
    { malformed: true },
  )
  t.match(
    parseConnectResponse([
      [':status', '200'],
      [':authority', 'a'],
    ]),
    { malformed: true },
  )
})

void t.test('trailers hold ordinary fields only', async (t) => {
  t.equal(faultOfTrailers([['grpc-status', '0']]), undefined)
  t.equal(faultOfTrailers([]), undefined)
  t.match(faultOfTrailers([[':status', '200']]), /":status" is no pseudo-header/)
  t.match(faultOfTrailers([['A', '']]), /field name "A"/)
})

void t.test('what we send is what a peer of our own rules reads', async (t) => {
  const block = connectRequestBlock('[fd00::1]:80', [
    ['forwarded', 'for="[::1]:80"'],
    ['x-forwarded-network', ''],
  ])
  const request = parseConnectRequest(decode(block))
  t.match(request, { malformed: false, method: 'CONNECT', authority: '[fd00::1]:80' })
  t.ok(!request.malformed && request.fields.first('x-forwarded-network') === '')
  t.match(parseConnectResponse(decode(responseBlock(401, []))), { malformed: false, status: 401 })
})

void t.test('a header of ours that HTTP/2 cannot carry is refused before anything is sent', async (t) => {
  const lists: HeaderField[][] = [
    [['a', 'b\r\nc: d']],
    [['A', 'b']],
    [['a', 'b\u0100']],
    [[':path', '/']],
    [['connection', 'x']],
  ]
  for (const headers of lists) {
    t.throws(() => connectRequestBlock('a:1', headers), { name: 'HboneError', code: 'h2' })
    t.throws(() => responseBlock(200, headers), { name: 'HboneError', code: 'h2' })
  }
  for (const authority of ['', 'a:1\n', 'a\u2028']) {
    t.throws(() => connectRequestBlock(authority, []), { name: 'HboneError', code: 'h2' })
  }
})

void t.test('any request that we can say is understood exactly', async () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).map((text) => `x-${text}`)
  const value = fc.stringMatching(/^[!-~]{0,40}$/)
  fc.assert(
    fc.property(fc.stringMatching(/^[!-~]{1,60}$/), fc.array(fc.tuple(name, value)), (authority, headers) => {
      const request = parseConnectRequest(decode(connectRequestBlock(authority, headers)))
      if (request.malformed || request.authority !== authority) return false
      return headers.every(([name, value]) => request.fields.all(name).includes(value))
    }),
  )
})

void t.test('failures of a dial or a handshake become codes of the room', async (t) => {
  t.equal(codeOf('timeout'), 'dial-timeout')
  t.equal(codeOf('refused'), 'dial')
  t.equal(codeOf('unreachable'), 'dial')
  t.equal(codeOf('tls'), 'tls')
  t.equal(codeOf('tls-verify'), 'tls-verify')
  t.equal(codeOf('handshake-timeout'), 'handshake-timeout')
  t.equal(codeOf('aborted'), 'aborted')
  t.equal(codeOf('reset'), 'h2')
  t.equal(codeOf('other'), 'h2')
  const own = new HboneError('status', 'no', { status: 503 })
  t.equal(HboneError.from(own, 'h2', 'x'), own)
  t.match(HboneError.from('text', 'identity', 'certificate'), { code: 'identity', message: 'certificate: text' })
})
