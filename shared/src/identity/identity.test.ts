import * as fc from 'fast-check'
import t from 'tap'
import { IdentityError, parseIdentityPart, parseTrustDomain, SpiffeId } from './index.ts'

const ALLOWED = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:'
const part = fc.string({ unit: fc.constantFrom(...ALLOWED.split('')), maxLength: 40 })

void t.test('a SPIFFE id has its three parts and prints as it was written', async (t) => {
  const id = SpiffeId.parse('spiffe://td.with.dots/ns/a.b/sa/c.d')
  t.equal(id.trustDomain, 'td.with.dots')
  t.equal(id.namespace, 'a.b')
  t.equal(id.serviceAccount, 'c.d')
  t.equal(String(id), 'spiffe://td.with.dots/ns/a.b/sa/c.d')
  t.equal(JSON.stringify({ id }), '{"id":"spiffe://td.with.dots/ns/a.b/sa/c.d"}')
})

void t.test('parts may be empty, as in ztunnel', async (t) => {
  t.equal(SpiffeId.parse('spiffe:///ns//sa/').serviceAccount, '')
  t.equal(SpiffeId.parse('spiffe://td/ns//sa/').trustDomain, 'td')
})

void t.test('what comes out goes in again, for any allowed parts', async () => {
  fc.assert(
    fc.property(part, part, part, (td, ns, sa) => {
      const made = SpiffeId.of(td, ns, sa)
      const read = SpiffeId.parse(made.toString())
      return read.equals(made) && read.trustDomain === td && read.namespace === ns && read.serviceAccount === sa
    }),
  )
})

void t.test('anything that parses prints as the very same text', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('spiffe://', '/', 'ns', 'sa', 'a', '.', ',', '\0', ' ', 'é'), { maxLength: 12 }),
      (pieces) => {
        const text = pieces.join('')
        try {
          return SpiffeId.parse(text).toString() === text
        } catch (error) {
          return error instanceof IdentityError
        }
      },
    ),
  )
})

void t.test('what is no SPIFFE id is refused', async (t) => {
  const refused = [
    '',
    'spiffe://',
    'spiffe://td/ns/a/sa/b/',
    'spiffe://td/ns/a/sa/b/c',
    'spiffe://td/ns/a/sa',
    'spiffe://td/sa/b/ns/a',
    'spiffe://td/ns/a/ns/b',
    'spiffe://td/sa/a/sa/b',
    'spiffe://td/NS/a/sa/b',
    'spiffe:///td/ns/a/sa/b',
    'td/ns/a/sa/b',
    'https://td/ns/a/sa/b',
    'spiffe:/td/ns/a/sa/b',
    'SPIFFE://td/ns/a/sa/b',
    ' spiffe://td/ns/a/sa/b',
    'spiffe://td/ns/a/sa/b ',
    'spiffe://td/ns/a/sa/b\n',
    'spiffe://td/ns/a/sa/b\0',
    'spiffe://td/ns/a/sa/b\0.evil',
    'spiffe://td/ns/a/sa/b,URI:spiffe:',
    'spiffe://td/ns/a/sa/b, URI:spiffe://td/ns/a/sa/c',
    'spiffe://td/ns/a/sa/"b"',
    "spiffe://td/ns/a/sa/'b'",
    'spiffe://td/ns/a/sa/b\\c',
    'spiffe://td/ns/a/sa/b%00',
    'spiffe://td/ns/a/sa/b?x',
    'spiffe://td/ns/a/sa/b#x',
    'spiffe://user@td/ns/a/sa/b',
    'spiffe://td/ns/*/sa/b',
    'spiffe://td/ns/a/sa/b\u007f',
    'spiffe://td/ns/a/sa/bé',
    'spiffe://td/ns/а/sa/b', // Cyrillic а
    `spiffe://td/ns/a/sa/${'b'.repeat(2048)}`,
  ]
  for (const text of refused) {
    t.throws(
      () => SpiffeId.parse(text),
      { name: 'IdentityError', code: 'bad-spiffe-id' },
      JSON.stringify(text.slice(0, 60)),
    )
  }
})

void t.test('one character that is not allowed makes any id refused, wherever it stands', async () => {
  const bad = fc
    .oneof(fc.nat(0xff), fc.nat(0x10ffff))
    .map((code) => String.fromCodePoint(code))
    .filter((c) => !ALLOWED.includes(c))
  fc.assert(
    fc.property(part, bad, part, fc.constantFrom(0, 1, 2), (before, c, after, where) => {
      const parts: [string, string, string] = ['td', 'a', 'b']
      parts[where] = before + c + after
      try {
        SpiffeId.of(parts[0], parts[1], parts[2])
        return false
      } catch (error) {
        return error instanceof IdentityError && !error.message.includes('\0') && error.message.length < 1000
      }
    }),
  )
})

void t.test('the longest id has 2048 characters', async (t) => {
  const room = 2048 - 'spiffe://td/ns/a/sa/'.length
  t.equal(SpiffeId.of('td', 'a', 'b'.repeat(room)).toString().length, 2048)
  t.throws(() => SpiffeId.of('td', 'a', 'b'.repeat(room + 1)), { code: 'bad-spiffe-id' })
})

void t.test('ids are equal only when all three parts are, with their case', async (t) => {
  const id = SpiffeId.of('td', 'a', 'b')
  t.ok(id.equals(SpiffeId.parse('spiffe://td/ns/a/sa/b')))
  const others = [
    ['te', 'a', 'b'],
    ['td', 'c', 'b'],
    ['td', 'a', 'c'],
    ['TD', 'a', 'b'],
    ['td', 'a', 'B'],
  ] as const
  for (const other of others) {
    t.notOk(id.equals(SpiffeId.of(other[0], other[1], other[2])), other.join(' '))
  }
})

void t.test('a trust domain is never empty, long, or strange', async (t) => {
  t.equal(parseTrustDomain('cluster.local'), 'cluster.local')
  t.equal(parseTrustDomain('example.com:project.svc.id.goog'), 'example.com:project.svc.id.goog')
  t.equal(parseTrustDomain('a'.repeat(255)).length, 255)
  for (const text of ['', 'a/b', 'a b', 'a,b', 'a\0', 'é', '*', 'a'.repeat(256)]) {
    t.throws(() => parseTrustDomain(text), { code: 'bad-trust-domain' }, JSON.stringify(text.slice(0, 20)))
  }
})

void t.test('a configured namespace or service account makes an identity, whatever the trust domain', async (t) => {
  const longest = 'a'.repeat(253)
  for (const text of ['default', 'a.b-c_d', longest]) t.equal(parseIdentityPart(text), text)
  t.ok(SpiffeId.of('t'.repeat(255), longest, longest))
  for (const text of ['', 'a,b', 's"x', 'a/b', 'a b', 'a\0', 'é', `${longest}a`])
    t.throws(() => parseIdentityPart(text), { code: 'bad-identity-part' }, JSON.stringify(text.slice(0, 20)))
})
