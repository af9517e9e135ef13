import { Buffer } from 'node:buffer'
import { spawnSync } from 'node:child_process'
import { createPublicKey, sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t from 'tap'
import { authority, CLIENT, DAY, NOW, otherKeys, SERVER, workload } from './certificate-fixture.ts'
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
  issueAuthority,
  issueCertificate,
  parseCertificate,
  parseX509,
  readCsr,
  readKeyPair,
  readSigner,
  type KeyPair,
} from './index.ts'
import { KEY_USAGE, OID } from './object-identifiers.ts'
import { readPem, writePem } from './pem.ts'
import { signatureIdentifier, signed } from './signature-algorithm.ts'
import { distinguishedName } from './write-certificate.ts'

const TWO_MINUTES = 120_000

function endOf(pem: string): number {
  return parseCertificate(parseX509(pem)).notAfterMs
}

/** True when `work` succeeds or throws an error of this room. */
function isHandled(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (error) {
    return error instanceof CertificateError
  }
}

/** Runs OpenSSL's command line beside files of these texts; undefined where it is not installed. */
function openssl(files: Record<string, string>, ...args: string[]): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-openssl-'))
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    const { error, stdout, stderr } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' })
    return error ? undefined : stdout + stderr
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const hasOpenssl = openssl({}, 'version') !== undefined

void t.test('a leaf certificate is what Istio asks for', async (t) => {
  const root = authority('root')
  const key = generateKeyPair()
  const pem = issueCertificate({
    signer: root.signer,
    publicKeyDer: key.publicKeyDer,
    identity: CLIENT,
    nowMs: NOW,
    ttlMs: DAY,
  })
  const leaf = parseCertificate(parseX509(pem))
  t.same(leaf.uris, [CLIENT.toString()])
  t.equal(leaf.keyUsage, KEY_USAGE.digitalSignature | KEY_USAGE.keyEncipherment)
  t.same(leaf.extendedKeyUsages, [OID.serverAuth, OID.clientAuth])
  t.equal(leaf.isCa, false)
  t.equal(leaf.pathLength, undefined)
  t.equal(leaf.notBeforeMs, NOW - TWO_MINUTES)
  t.equal(leaf.notAfterMs, NOW + DAY)
  t.equal(leaf.issuer, root.signer.certificate.subject)
  t.ok(leaf.x509.checkIssued(root.signer.certificate.x509))
  t.ok(leaf.x509.verify(root.signer.certificate.x509.publicKey))
  t.ok(leaf.x509.checkPrivateKey(key.privateKey))
  t.equal(leaf.x509.subject, undefined)
  t.equal(leaf.subjectKeyId?.length, 20)
})

void t.test('serial numbers are random, positive and of 128 bits', async (t) => {
  const root = authority('root')
  const { publicKeyDer } = generateKeyPair()
  const serials = Array.from(
    { length: 64 },
    () =>
      parseX509(issueCertificate({ signer: root.signer, publicKeyDer, identity: CLIENT, nowMs: NOW, ttlMs: DAY }))
        .serialNumber,
  )
  t.equal(new Set(serials).size, 64)
  t.notOk(serials.some((serial) => serial.startsWith('-')))
  const longest = Math.max(...serials.map((serial) => BigInt(`0x${serial}`).toString(2).length))
  t.ok(longest > 120 && longest <= 128, `${longest} bits`)
})

void t.test('a leaf never outlives its signer, and nothing is signed after it', async (t) => {
  const root = authority('root', { ttlMs: DAY })
  const { publicKeyDer } = generateKeyPair()
  const issue = (nowMs: number, ttlMs: number): string =>
    issueCertificate({ signer: root.signer, publicKeyDer, identity: CLIENT, nowMs, ttlMs })
  t.equal(endOf(issue(NOW, DAY - 1000)), NOW + DAY - 1000)
  t.equal(endOf(issue(NOW, DAY + 1000)), NOW + DAY)
  t.equal(endOf(issue(NOW + DAY - 1000, DAY)), NOW + DAY)
  t.throws(() => issue(NOW + DAY, DAY), { code: 'signer-expired' })
  t.throws(() => issue(NOW, 0), { code: 'bad-lifetime' })
  t.throws(() => issue(NOW, -1), { code: 'bad-lifetime' })
  t.throws(() => issue(NOW, Number.NaN), { code: 'bad-lifetime' })
})

void t.test('times from 2050 on are written as GeneralizedTime', async (t) => {
  const before = Date.UTC(2049, 11, 31, 23, 59, 59)
  for (const notAfterMs of [before, before + 1000, Date.UTC(2120, 5, 1)]) {
    const root = authority('root', { ttlMs: notAfterMs - NOW })
    t.equal(root.signer.certificate.notAfterMs, notAfterMs)
    const digits = `${new Date(notAfterMs).toISOString().replaceAll(/[-:T]|\.000Z/gu, '')}Z`
    const written = notAfterMs > before ? `\u0018\u000f${digits}` : `\u0017\u000d${digits.slice(2)}`
    t.ok(root.signer.certificate.x509.raw.includes(written, 0, 'latin1'), digits)
  }
})

void t.test('a server may be named by DNS names and addresses, and have a common name', async (t) => {
  const root = authority('root')
  const { publicKeyDer } = generateKeyPair()
  const common = { signer: root.signer, publicKeyDer, nowMs: NOW, ttlMs: DAY }
  const server = parseX509(
    issueCertificate({
      ...common,
      dnsNames: ['ca.mesh.svc'],
      ipAddresses: ['10.0.0.1', 'fd00::1'],
      usages: ['serverAuth'],
    }),
  )
  t.equal(server.subjectAltName, 'DNS:ca.mesh.svc, IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1')
  t.ok(server.checkHost('ca.mesh.svc'))
  t.ok(server.checkIP('fd00::1'))
  t.same(parseCertificate(server).extendedKeyUsages, [OID.serverAuth])
  t.equal(parseX509(issueCertificate({ ...common, commonName: 'somebody' })).subject, 'CN=somebody')
  t.equal(parseX509(issueCertificate({ ...common, commonName: 'somebody' })).subjectAltName, undefined)
  t.throws(() => issueCertificate({ ...common, ipAddresses: ['10.0.0'] }), { code: 'malformed' })
})

void t.test('the name is critical where the subject is empty, and only there', async (t) => {
  const root = authority('root')
  const { publicKeyDer } = generateKeyPair()
  const common = { signer: root.signer, publicKeyDer, nowMs: NOW, ttlMs: DAY, identity: CLIENT }
  const critical = Buffer.from('0603551d110101ff', 'hex') // subjectAltName, TRUE
  t.ok(parseX509(issueCertificate(common)).raw.includes(critical))
  t.notOk(parseX509(issueCertificate({ ...common, commonName: 'x' })).raw.includes(critical))
})

void t.test('every kind of CA key signs every kind of workload key', async (t) => {
  const signers: Record<string, KeyPair> = {
    p256: generateKeyPair(),
    p384: otherKeys.p384(),
    p521: otherKeys.p521(),
    ed25519: otherKeys.ed25519(),
    rsa: otherKeys.rsa(2048),
  }
  for (const [name, key] of Object.entries(signers)) {
    const root = authority(name, { key })
    for (const [kind, leafKey] of Object.entries(signers)) {
      const { publicKeyDer } = readCsr(createCsr(leafKey, CLIENT))
      const leaf = parseX509(
        issueCertificate({ signer: root.signer, publicKeyDer, identity: CLIENT, nowMs: NOW, ttlMs: DAY }),
      )
      t.ok(leaf.verify(createPublicKey(key.privateKey)), `${name} signs ${kind}`)
      t.ok(leaf.checkPrivateKey(leafKey.privateKey), `${kind} is whom ${name} signed`)
    }
  }
})

void t.test(
  'OpenSSL finds nothing to object to, in its strictest mode',
  { skip: !hasOpenssl && 'no openssl' },
  async (t) => {
    for (const key of [generateKeyPair(), otherKeys.rsa(2048)]) {
      const root = authority('root', { key })
      const middle = authority('middle', { under: root, pathLength: 0 })
      const { privateKeyPem, publicKeyDer } = generateKeyPair()
      const leaf = issueCertificate({ signer: middle.signer, publicKeyDer, identity: CLIENT, nowMs: NOW, ttlMs: DAY })
      const files = {
        'root.pem': root.pem,
        'middle.pem': middle.pem,
        'leaf.pem': leaf,
        'csr.pem': createCsr(readKeyPair(privateKeyPem), CLIENT),
      }
      const verify = [
        'verify',
        '-x509_strict',
        '-attime',
        String(NOW / 1000),
        '-CAfile',
        'root.pem',
        '-untrusted',
        'middle.pem',
      ]
      t.equal(openssl(files, ...verify, '-purpose', 'sslclient', 'leaf.pem'), 'leaf.pem: OK\n')
      t.equal(openssl(files, ...verify, '-purpose', 'sslserver', 'leaf.pem'), 'leaf.pem: OK\n')
      t.match(openssl(files, 'req', '-in', 'csr.pem', '-noout', '-verify'), /verify OK/u)
      t.match(
        openssl(files, 'req', '-in', 'csr.pem', '-noout', '-text'),
        /Subject: *\n[^]*Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/shop\/sa\/client\n/u,
      )
    }
  },
)

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
  const wishes = sequence(
    objectIdentifier(OID.extensionRequest),
    set(
      sequence(extension(OID.keyUsage, true, sequence()), subjectAltName({ uris: ['a', 'b'], dnsNames: ['c'] }, false)),
    ),
  )
  t.same(readCsr(oddRequest(key, { attributes: [other, wishes] })).uris, ['a', 'b'])
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

void t.test('a CA certificate and a key that do not make a signer are refused', async (t) => {
  const root = authority('root')
  const leafKey = generateKeyPair()
  const leaf = issueCertificate({ signer: root.signer, publicKeyDer: leafKey.publicKeyDer, nowMs: NOW, ttlMs: DAY })
  t.throws(() => readSigner(root.pem, leafKey.privateKeyPem), { code: 'bad-signer' }, 'the key of another')
  t.throws(() => readSigner(leaf, leafKey.privateKeyPem), { code: 'bad-signer' }, 'no CA')
  t.throws(() => readSigner('x', leafKey.privateKeyPem), { code: 'malformed' }, 'no certificate')
  t.throws(() => readSigner(root.pem, 'x'), { code: 'malformed' }, 'no key')
  t.throws(() => readKeyPair(root.pem), { code: 'malformed' }, 'a certificate is no key')
  t.throws(() => createCsr(otherKeys.x25519(), CLIENT), { code: 'bad-signer' }, 'a key that cannot sign')
})

void t.test('an old key of a CA in its own format is read', async (t) => {
  const key = otherKeys.rsa(2048)
  const pkcs1 = key.privateKey.export({ type: 'pkcs1', format: 'pem' })
  t.match(pkcs1, /BEGIN RSA PRIVATE KEY/u)
  const root = authority('root', { key })
  t.equal(readSigner(root.pem, pkcs1).certificate.subject, root.signer.certificate.subject)
  t.equal(readKeyPair(pkcs1).privateKeyPem, key.privateKeyPem)
})

void t.test(
  'a CA renewed with its key has the same name and key id, so that both verify the same leaves',
  async (t) => {
    const root = authority('root')
    const renewed = parseX509(
      issueAuthority({ key: root.key, organization: 'test', commonName: 'root', nowMs: NOW + DAY, ttlMs: DAY }),
    )
    const leaf = parseX509(workload(root, CLIENT).chainPem[0] ?? '')
    t.ok(leaf.checkIssued(renewed))
    t.ok(leaf.verify(renewed.publicKey))
  },
)
