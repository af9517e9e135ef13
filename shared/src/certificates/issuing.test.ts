import { Buffer } from 'node:buffer'
import { createPublicKey } from 'node:crypto'
import t from 'tap'
import {
  authority,
  CA_EXTENSIONS,
  CLIENT,
  oddAuthority,
  type Authority,
  DAY,
  NOW,
  otherKeys,
  workload,
} from './certificate-fixture.ts'
import { toDer } from './der.ts'
import { authorityKeyIdentifier, basicConstraints, keyIdOf, keyUsage, subjectKeyIdentifier } from './extensions.ts'
import {
  createCsr,
  generateKeyPair,
  issueAuthority,
  issueCertificate,
  parseCertificate,
  parseX509,
  readCsr,
  readKeyPair,
  readSigner,
} from './index.ts'
import { openssl, hasOpenssl } from './openssl-fixture.ts'
import { KEY_USAGE, OID } from './object-identifiers.ts'
import { signatureIdentifier } from './signature-algorithm.ts'

const TWO_MINUTES = 120_000

function endOf(pem: string): number {
  return parseCertificate(parseX509(pem)).notAfterMs
}

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
  const signers = {
    p256: generateKeyPair(),
    p384: otherKeys.p384(),
    p521: otherKeys.p521(),
    ed25519: otherKeys.ed25519(),
    rsa: otherKeys.rsa(2048),
  }
  const ecdsa = '1.2.840.10045.4.3'
  const algorithms: Record<string, string> = {
    p256: `${ecdsa}.2`,
    p384: `${ecdsa}.3`,
    p521: `${ecdsa}.4`,
    ed25519: '1.3.101.112',
    rsa: '1.2.840.113549.1.1.11',
  }
  t.equal(toDer(signatureIdentifier(signers.p256.privateKey)).toString('hex'), '300a06082a8648ce3d040302')
  t.equal(
    toDer(signatureIdentifier(signers.rsa.privateKey)).toString('hex'),
    '300d06092a864886f70d01010b0500',
    'with NULL',
  )
  for (const [name, key] of Object.entries(signers)) {
    const root = authority(name, { key })
    t.equal(root.signer.certificate.signatureAlgorithm, algorithms[name], 'with the digest that suits its strength')
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

void t.test('a CA certificate and a key that do not make a signer are refused', async (t) => {
  const root = authority('root')
  const leafKey = generateKeyPair()
  const leaf = issueCertificate({ signer: root.signer, publicKeyDer: leafKey.publicKeyDer, nowMs: NOW, ttlMs: DAY })
  t.throws(() => readSigner(root.pem, leafKey.privateKeyPem), { code: 'bad-signer' }, 'the key of another')
  t.throws(() => readSigner(leaf, leafKey.privateKeyPem), { code: 'bad-signer' }, 'no CA')
  const mute = oddAuthority('may not sign', [keyUsage(KEY_USAGE.crlSign), basicConstraints({})])
  t.throws(() => readSigner(mute.pem, mute.key.privateKeyPem), { code: 'bad-signer' }, 'a CA that may not sign')
  const plain = oddAuthority('says nothing of usage', [basicConstraints({})])
  t.ok(readSigner(plain.pem, plain.key.privateKeyPem))
  t.throws(() => readSigner('x', leafKey.privateKeyPem), { code: 'malformed' }, 'no certificate')
  t.throws(() => readSigner(root.pem, 'x'), { code: 'malformed' }, 'no key')
  t.throws(() => readKeyPair(root.pem), { code: 'malformed' }, 'a certificate is no key')
  t.throws(() => createCsr(otherKeys.x25519(), CLIENT), { code: 'bad-signer' }, 'a key that cannot sign')
})

void t.test("a leaf names its signer's key as the signer does, and by the key where it does not", async (t) => {
  const { publicKeyDer } = generateKeyPair()
  const keyId = Buffer.from('0123456789abcdef', 'hex')
  const named = oddAuthority('named', [...CA_EXTENSIONS, subjectKeyIdentifier(keyId)])
  const unnamed = oddAuthority('unnamed', CA_EXTENSIONS)
  const issuedBy = ({ signer }: Authority): Buffer =>
    parseX509(issueCertificate({ signer, publicKeyDer, identity: CLIENT, nowMs: NOW, ttlMs: DAY })).raw
  t.ok(issuedBy(named).includes(toDer(authorityKeyIdentifier(keyId))))
  t.ok(issuedBy(unnamed).includes(toDer(authorityKeyIdentifier(keyIdOf(unnamed.key.publicKeyDer)))))
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
