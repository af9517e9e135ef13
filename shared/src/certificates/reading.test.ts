import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import t from 'tap'
import { SpiffeId } from '../identity/index.ts'
import { silentLog, type Log } from '../log/index.ts'
import { authority, CLIENT, DAY, leafExtensions, NOW, oddLeaf, SERVER, workload } from './certificate-fixture.ts'
import {
  boolean,
  objectIdentifier,
  octetString,
  readDer,
  sequence,
  set,
  tagged,
  unsignedInteger,
  utf8String,
  type DerNode,
} from './der.ts'
import { extension, subjectAltName } from './extensions.ts'
import {
  fromWire,
  generateKeyPair,
  issueCertificate,
  parseCertificate,
  parsePemChain,
  parseX509,
  splitPem,
  toWire,
  workloadCertificateFrom,
} from './index.ts'
import { OID } from './object-identifiers.ts'
import { MAX_PEM_LENGTH, readPem, writePem } from './pem.ts'

const TWO_MINUTES = 120_000

void t.test('PEM is split into blocks whatever stands between them', async (t) => {
  const [a, b] = [authority('a').pem, authority('b').pem]
  const key = generateKeyPair().privateKeyPem
  t.same(splitPem(`# roots\r\n${a}${key}some text${b.replaceAll('\n', '\r\n')}`), [a, b])
  t.same(splitPem(''), [])
  t.same(parsePemChain(a + b).map(String), [a, b])
  t.throws(() => parsePemChain(`${a}${writePem('CERTIFICATE', Buffer.from('x'))}`), { code: 'malformed' })
  for (const text of [
    a.slice(0, -30),
    a.replace('END CERTIFICATE', 'END KEY'),
    a.replace('MII', 'M,I'),
    '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n',
    '-----BEGIN ',
    'x'.repeat(MAX_PEM_LENGTH + 1),
  ]) {
    t.throws(() => splitPem(text), { code: 'malformed' }, JSON.stringify(text.slice(0, 40)))
  }
})

void t.test('PEM comes out as it went in, for any bytes', async () => {
  const label = fc.constantFrom('CERTIFICATE', 'X509 CRL', 'A-B 1')
  const block = fc.record({
    label,
    der: fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  })
  fc.assert(
    fc.property(fc.array(block, { maxLength: 4 }), (blocks) => {
      const read = readPem(blocks.map(({ label, der }) => writePem(label, der)).join('\n'))
      return (
        read.length === blocks.length &&
        read.every(({ label, der }, at) => label === blocks[at]?.label && der.equals(blocks[at].der))
      )
    }),
  )
})

void t.test('names are taken from the DER, each whole', async (t) => {
  const root = authority('root')
  const urisIn = (extensions: Parameters<typeof oddLeaf>[1]): readonly string[] =>
    parseCertificate(parseX509(oddLeaf(root, extensions))).uris
  for (const uris of [
    ['spiffe://td/ns/a/sa/b'],
    ['spiffe://td/ns/a/sa/b, URI:spiffe://td/ns/evil/sa/x'],
    ['spiffe://td/ns/a/sa/"b"'],
    ['spiffe://td/ns/a/sa/b\0.evil'],
    ['a', 'b'],
  ]) {
    t.same(urisIn(Object.values(leafExtensions(uris))), uris)
  }
  const dns = subjectAltName({ dnsNames: ['spiffe://td/ns/a/sa/b'], ipAddresses: ['10.0.0.1'] }, true)
  t.same(urisIn([dns]), [], 'a DNS name is no identity, whatever it looks like')
  t.same(urisIn([]), [])
})

void t.test('certificates that do not keep to the rules are not read', async (t) => {
  const root = authority('root')
  const { names, usage, constraints } = leafExtensions()
  const many = Array.from({ length: 33 }, (_, at) => extension(`1.2.3.${at}`, false, sequence()))
  const refused: Record<string, readonly DerNode[]> = {
    'an extension twice': [names, usage, names],
    'an unknown one twice': [extension('1.2.3', false, sequence()), extension('1.2.3', false, sequence())],
    'a critical extension that nobody understands': [names, extension('1.2.3', true, sequence())],
    'too many extensions': many,
    'too many names': [subjectAltName({ uris: Array.from({ length: 257 }, () => 'a') }, true)],
    'names that are no sequence': [extension(OID.subjectAltName, true, set())],
    'a name that is a structure': [
      extension(OID.subjectAltName, true, sequence(tagged(6, utf8String('spiffe://td/ns/a/sa/b')))),
    ],
    'a usage that is no bit string': [extension(OID.keyUsage, true, sequence())],
    'a usage that is no identifier': [extension(OID.extendedKeyUsage, false, sequence(utf8String('x')))],
    'a path length out of range': [
      extension(OID.basicConstraints, true, sequence(boolean(true), unsignedInteger(Buffer.of(200)))),
    ],
    'names that are no DER': [sequence(objectIdentifier(OID.subjectAltName), octetString(Buffer.from('x')))],
  }
  for (const [name, extensions] of Object.entries(refused)) {
    t.throws(() => parseCertificate(parseX509(oddLeaf(root, extensions))), { code: 'malformed' }, name)
  }
  const longest = extension(OID.basicConstraints, true, sequence(boolean(true), unsignedInteger(Buffer.of(127))))
  const most = subjectAltName({ uris: Array.from({ length: 256 }, () => 'a') }, true)
  const atLimits = parseCertificate(parseX509(oddLeaf(root, [...many.slice(0, 30), longest, most])))
  t.equal(atLimits.pathLength, 127)
  t.equal(atLimits.uris.length, 256)
  const plain = parseCertificate(parseX509(oddLeaf(root, [extension('1.2.3', false, sequence()), names, constraints])))
  t.same(plain.uris, [CLIENT.toString()], 'an unknown extension that is not critical does no harm')
})

void t.test('an identifier made of a UUID is one that nobody here understands', async (t) => {
  const root = authority('root')
  const { names } = leafExtensions()
  // 2.25.329800735698586629295641978511506172918: f81d4fae-7dec-11d0-a765-00a0c91e6bf6 as X.667 writes it.
  const identifier = readDer(Buffer.from('06146983f09da7ebcfdee0c7a1a7b2c0948cc8f9d776', 'hex'))
  const [plain, critical] = [[], [boolean(true)]].map((flag) => {
    return parseX509(oddLeaf(root, [sequence(identifier, ...flag, octetString(Buffer.alloc(0))), names]))
  })
  t.ok(plain && critical)
  t.same(plain && parseCertificate(plain).uris, [CLIENT.toString()])
  t.throws(() => critical && parseCertificate(critical), { code: 'malformed', message: /not understood: 0x6983/ })
})

void t.test("a CA's answer becomes a workload certificate", async (t) => {
  const root = authority('root')
  const middle = authority('middle', { under: root })
  const oldRoot = authority('old root')
  const key = generateKeyPair()
  const leaf = issueCertificate({
    signer: middle.signer,
    publicKeyDer: key.publicKeyDer,
    identity: CLIENT,
    nowMs: NOW,
    ttlMs: DAY,
  })
  const answer = [leaf, middle.pem, root.pem + oldRoot.pem]
  const certificate = workloadCertificateFrom(CLIENT, key.privateKeyPem, answer, silentLog)
  t.same(certificate.chainPem, [leaf, middle.pem])
  t.same(certificate.rootsPem, [root.pem, oldRoot.pem])
  t.equal(certificate.notBeforeMs, NOW - TWO_MINUTES)
  t.equal(certificate.notAfterMs, NOW + DAY)
  t.equal(certificate.serialNumber, BigInt(`0x${parseX509(leaf).serialNumber}`).toString())
  t.ok(certificate.identity.equals(CLIENT))

  const passed = fromWire(JSON.parse(JSON.stringify(toWire(certificate))))
  t.same(toWire(passed), toWire(certificate))
  t.ok(passed.identity.equals(CLIENT))
  t.same(structuredClone(toWire(certificate)), toWire(certificate))

  const decided = workloadCertificateFrom(undefined, key.privateKeyPem, answer, silentLog)
  t.ok(decided.identity.equals(CLIENT), 'in dedicated mode it is who the CA says')
})

void t.test('roots are never presented, nor kept twice, and unreadable ones are skipped with a warning', async (t) => {
  const root = authority('root')
  const key = generateKeyPair()
  const leaf = issueCertificate({
    signer: root.signer,
    publicKeyDer: key.publicKeyDer,
    identity: CLIENT,
    nowMs: NOW,
    ttlMs: DAY,
  })
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (message) => void warnings.push(message) }
  const bundle = writePem('CERTIFICATE', Buffer.from('junk')) + root.pem + root.pem
  const certificate = workloadCertificateFrom(CLIENT, key.privateKeyPem, [leaf, root.pem, bundle], log)
  t.same(certificate.chainPem, [leaf])
  t.same(certificate.rootsPem, [root.pem])
  t.equal(warnings.length, 1)
})

void t.test("a CA's answer that cannot be used is refused", async (t) => {
  const root = authority('root')
  const key = generateKeyPair()
  const issue = (identity: SpiffeId | undefined): string =>
    issueCertificate({ signer: root.signer, publicKeyDer: key.publicKeyDer, identity, nowMs: NOW, ttlMs: DAY })
  const leaf = issue(CLIENT)
  const two = oddLeaf(root, Object.values(leafExtensions([SERVER.toString(), CLIENT.toString()])), {
    publicKeyDer: key.publicKeyDer,
  })
  const junk = writePem('CERTIFICATE', Buffer.from('junk'))
  const refused: [name: string, code: string, answer: readonly string[], identity?: SpiffeId | null][] = [
    ['nothing', 'empty-chain', []],
    ['one element', 'no-root', [leaf]],
    ['an empty bundle', 'no-root', [leaf, '']],
    ['a bundle of junk', 'no-root', [leaf, junk]],
    ['no leaf', 'malformed', ['', root.pem]],
    ['junk as the leaf', 'malformed', [junk, root.pem]],
    ['junk as an intermediate', 'malformed', [leaf, junk, root.pem]],
    ['a chain without end', 'malformed', [leaf.repeat(9), root.pem]],
    [
      'roots without end',
      'malformed',
      [leaf, Array.from({ length: 257 }, () => authority('one of many').pem).join('')],
    ],
    ['the certificate of another', 'identity-mismatch', [issue(SERVER), root.pem]],
    ['a certificate of nobody', 'identity-mismatch', [issue(undefined), root.pem]],
    ['another one first', 'identity-mismatch', [two, root.pem]],
    ['nobody where the CA decides', 'no-identity', [issue(undefined), root.pem], null],
    ['the certificate of another key', 'key-mismatch', [workload(root, CLIENT).chainPem[0] ?? '', root.pem]],
  ]
  t.equal(workloadCertificateFrom(CLIENT, key.privateKeyPem, [leaf.repeat(8), root.pem], silentLog).chainPem.length, 8)
  for (const [name, code, answer, identity = CLIENT] of refused) {
    t.throws(
      () => workloadCertificateFrom(identity ?? undefined, key.privateKeyPem, answer, silentLog),
      { name: 'CertificateError', code },
      name,
    )
  }
})
