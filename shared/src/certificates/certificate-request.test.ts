import { Buffer } from 'node:buffer'
import { sign } from 'node:crypto'
import * as fc from 'fast-check'
import t from 'tap'
import { authority, CLIENT, otherKeys, SERVER, workload } from './certificate-fixture.ts'
import {
  bitString,
  objectIdentifier,
  octetString,
  readDer,
  sequence,
  set,
  tagged,
  toDer,
  unsignedInteger,
  utf8String,
  type DerNode,
} from './der.ts'
import { extension, subjectAltName } from './extensions.ts'
import {
  CertificateError,
  createCsr,
  generateKeyPair,
  parseCertificate,
  parseX509,
  readCsr,
  type KeyPair,
} from './index.ts'
import { openssl, hasOpenssl } from './openssl-fixture.ts'
import { OID } from './object-identifiers.ts'
import { readPem, writePem } from './pem.ts'
import { signatureIdentifier, signed } from './signature-algorithm.ts'
import { distinguishedName } from './write-certificate.ts'

/** True when `work` succeeds or throws an error of this room. */
function isHandled(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (error) {
    return error instanceof CertificateError
  }
}

void t.test('a signing request of OpenSSL is understood', { skip: !hasOpenssl && 'no openssl' }, async (t) => {
  const { privateKeyPem, publicKeyDer } = generateKeyPair()
  const args = [
    'req',
    '-new',
    '-key',
    'key.pem',
    '-subj',
    '/O=x/CN=some body',
    '-addext',
    `subjectAltName=URI:${CLIENT.toString()},DNS:a.b`,
  ]
  const request = readCsr(openssl({ 'key.pem': privateKeyPem }, ...args) ?? '')
  t.same(request.publicKeyDer, publicKeyDer)
  t.equal(request.commonName, 'some body')
  t.same(request.uris, [CLIENT.toString()])
})

/** A signing request field by field. */
function oddRequest(
  key: KeyPair,
  parts: { subject?: DerNode; attributes?: readonly DerNode[]; signedWith?: KeyPair } = {},
): string {
  const { subject = sequence(), attributes = [], signedWith = key } = parts
  const body = sequence(unsignedInteger(Buffer.of(0)), subject, readDer(key.publicKeyDer), tagged(0, ...attributes))
  return writePem('CERTIFICATE REQUEST', signed(body, signedWith.privateKey))
}

void t.test('a request says whose key it is, and nothing else counts', async (t) => {
  const key = generateKeyPair()
  t.same(readCsr(createCsr(key, SERVER)), {
    publicKeyDer: key.publicKeyDer,
    commonName: undefined,
    uris: [SERVER.toString()],
  })
  t.same(readCsr(oddRequest(key)), { publicKeyDer: key.publicKeyDer, commonName: undefined, uris: [] })
  const named = readCsr(
    oddRequest(key, { subject: distinguishedName({ organization: 'o', commonName: 'c'.repeat(64) }) }),
  )
  t.equal(named.commonName, 'c'.repeat(64))
  const other = sequence(objectIdentifier('1.2.3.4'), set(utf8String('challenge')))
  const made = sequence(readDer(Buffer.concat([Buffer.of(6, 11), Buffer.alloc(10, 0xff), Buffer.of(1)])), set())
  const wishes = sequence(
    objectIdentifier(OID.extensionRequest),
    set(
      sequence(extension(OID.keyUsage, true, sequence()), subjectAltName({ uris: ['a', 'b'], dnsNames: ['c'] }, false)),
    ),
  )
  t.same(readCsr(oddRequest(key, { attributes: [other, made, wishes] })).uris, ['a', 'b'])
})

void t.test('a request that must not be signed is refused', async (t) => {
  const key = generateKeyPair()
  const good = createCsr(key, CLIENT)
  const { der = Buffer.alloc(0) } = readPem(good)[0] ?? {}
  const flipped = Buffer.from(der)
  flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
  const body = sequence(unsignedInteger(Buffer.of(0)), sequence(), readDer(key.publicKeyDer), tagged(0))
  const badSignature = sequence(body, signatureIdentifier(key.privateKey), bitString(Buffer.from('x')))
  const oldAlgorithm = sequence(body, sequence(objectIdentifier('1.2.840.10045.4.1')), bitString(Buffer.from('x'))) // ECDSA, SHA-1
  const oddKey = otherKeys.secp256k1()
  const oddBody = sequence(unsignedInteger(Buffer.of(0)), sequence(), readDer(oddKey.publicKeyDer), tagged(0))
  const oddSignature = bitString(sign('sha256', toDer(oddBody), oddKey.privateKey))
  const oddCurve = sequence(oddBody, signatureIdentifier(key.privateKey), oddSignature)
  const refused: Record<string, string> = {
    empty: '',
    'no PEM': der.toString('base64'),
    'two requests': good + good,
    'a certificate': authority('root').pem,
    'another label': writePem('NEW CERTIFICATE REQUEST', der),
    'cut short': writePem('CERTIFICATE REQUEST', der.subarray(0, -1)),
    'bytes behind': writePem('CERTIFICATE REQUEST', Buffer.concat([der, Buffer.of(0)])),
    'a flipped bit in the signature': writePem('CERTIFICATE REQUEST', flipped),
    'no signature': writePem('CERTIFICATE REQUEST', toDer(badSignature)),
    'SHA-1': writePem('CERTIFICATE REQUEST', toDer(oldAlgorithm)),
    'the signature of another key': oddRequest(key, { signedWith: generateKeyPair() }),
    'the signature of a key of another kind': oddRequest(key, { signedWith: otherKeys.ed25519() }),
    'a small RSA key': oddRequest(otherKeys.rsa(1024)),
    'a curve that TLS has not': writePem('CERTIFICATE REQUEST', toDer(oddCurve)),
    'a common name that is too long': oddRequest(key, { subject: distinguishedName({ commonName: 'c'.repeat(65) }) }),
    'a common name with NUL': oddRequest(key, { subject: distinguishedName({ commonName: 'a\0b' }) }),
    'names that are no DER': oddRequest(key, {
      attributes: [
        sequence(
          objectIdentifier(OID.extensionRequest),
          set(sequence(sequence(objectIdentifier(OID.subjectAltName), octetString(Buffer.from('x'))))),
        ),
      ],
    }),
    'too long': `${' '.repeat(16 * 1024)}${good}`,
  }
  for (const [name, pem] of Object.entries(refused))
    t.throws(() => readCsr(pem), { name: 'CertificateError', code: 'bad-request' }, name)
})

void t.test('whatever bytes arrive as a request or a certificate, they are refused in our words', async () => {
  const request = readPem(createCsr(generateKeyPair(), CLIENT))[0]?.der ?? Buffer.alloc(0)
  const leaf = parseX509(workload(authority('root'), CLIENT).chainPem[0] ?? '').raw
  const change = fc.record({ at: fc.nat(2000), to: fc.nat(255) })
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.constantFrom(request, leaf), (changes, good) => {
      const bytes = Buffer.from(good)
      for (const { at, to } of changes) bytes[at % bytes.length] = to
      return (
        isHandled(() => readCsr(writePem('CERTIFICATE REQUEST', bytes))) &&
        isHandled(() => parseCertificate(parseX509(bytes)))
      )
    }),
    { numRuns: 500 },
  )
})
