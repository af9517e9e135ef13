// A name server for tests, on loopback: says what it is told to say, and what it was asked. Messages as in RFC 1035, 4.1.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { addressBytes, familyOf } from '../ip/index.ts'

/** Answers to one question: records, an RCODE of RFC 1035, or nothing at all. */
export type Saying =
  | { readonly addresses: readonly string[]; readonly ttl: number; readonly alias?: { readonly ttl: number } }
  | 'no-such-name'
  | 'server-failure'
  | 'silence'

export interface NameServer {
  /** `address:port`. */
  readonly address: string
  /** By `name A` or `name AAAA`; a name that is in it has no other records, others do not exist. May be changed. */
  readonly sayings: Record<string, Saying>
  /** `name A` or `name AAAA`, in the order of asking. */
  readonly asked: readonly string[]
  close(): void
}

const TYPES = new Map([
  [1, 'A'],
  [5, 'CNAME'],
  [28, 'AAAA'],
])
const [A, CNAME, AAAA] = TYPES.keys()
const HEADER_BYTES = 12
const RESPONSE = 0x8180
const RCODES = { 'server-failure': 2, 'no-such-name': 3 }

/** Whoever starts it closes it. */
export async function startNameServer(sayings: Record<string, Saying>): Promise<NameServer> {
  const socket = createSocket('udp4')
  const asked: string[] = []
  socket.on('message', (query, { address, port }) => {
    const question = readQuestion(query)
    asked.push(`${question.name} ${question.type}`)
    const known = Object.keys(sayings).some((key) => key.startsWith(`${question.name} `))
    const saying = sayings[asked.at(-1) ?? ''] ?? (known ? { addresses: [], ttl: 0 } : 'no-such-name')
    if (saying !== 'silence') socket.send(encodeAnswer(query, question.end, saying), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { address: `127.0.0.1:${socket.address().port}`, sayings, asked, close: () => void socket.close() }
}

function readQuestion(query: Buffer): { readonly name: string; readonly type: string; readonly end: number } {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), type: TYPES.get(query.readUInt16BE(at + 1)) ?? 'other', end: at + 5 }
}

function encodeAnswer(query: Buffer, questionEnd: number, saying: Exclude<Saying, 'silence'>): Buffer {
  const records = typeof saying === 'string' ? [] : encodeRecords(saying)
  const header = Buffer.from(query.subarray(0, HEADER_BYTES))
  header.writeUInt16BE(RESPONSE | (typeof saying === 'string' ? RCODES[saying] : 0), 2)
  for (const [index, count] of [1, records.length, 0, 0].entries()) header.writeUInt16BE(count, 4 + 2 * index)
  return Buffer.concat([header, query.subarray(HEADER_BYTES, questionEnd), ...records])
}

/** Names are pointers to that of the question; the alias, where there is one, is `alias`. */
function encodeRecords({ addresses, ttl, alias }: Extract<Saying, object>): Buffer[] {
  const asked = Buffer.of(0xc0, HEADER_BYTES)
  const target = Buffer.from('\x05alias\x00', 'latin1')
  return [
    ...(alias ? [encodeRecord(asked, CNAME, alias.ttl, target)] : []),
    ...addresses.map((address) => {
      return encodeRecord(alias ? target : asked, familyOf(address) === 6 ? AAAA : A, ttl, addressBytes(address))
    }),
  ]
}

function encodeRecord(name: Buffer, type = 0, ttl: number, data: Buffer): Buffer {
  const fields = Buffer.alloc(10)
  fields.writeUInt16BE(type, 0)
  fields.writeUInt16BE(1, 2)
  fields.writeUInt32BE(ttl, 4)
  fields.writeUInt16BE(data.length, 8)
  return Buffer.concat([name, fields, data])
}
