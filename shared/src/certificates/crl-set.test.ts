import { Buffer } from 'node:buffer'
import t from 'tap'
import {
  authority,
  CLIENT,
  crlPem,
  DAY,
  leafExtensions,
  NOW,
  oddLeaf,
  otherKeys,
  revocationList,
  SERVER,
  workload,
  type Authority,
} from './certificate-fixture.ts'
import { boolean, sequence, taggedBytes, unsignedInteger, type DerNode } from './der.ts'
import { authorityKeyIdentifier, extension } from './extensions.ts'
import { CertificateError, CrlSet, generateKeyPair, parseX509, verifyClient, verifyServer } from './index.ts'
import { MAX_CRL_BYTES } from './crl-set.ts'
import { OID } from './object-identifiers.ts'
import { hasOpenssl, openssl } from './openssl-fixture.ts'
import { writePem } from './pem.ts'

const root = authority('root')
const own = workload(root, SERVER)

function leafOf(ca: Authority): string {
  return oddLeaf(ca, Object.values(leafExtensions()))
}

/** What both roles say of a peer that presents this while this set is in force. */
function verdictOf(pems: readonly string[], crl: CrlSet | undefined, mine = own): string {
  const chain = pems.map((pem) => parseX509(pem))
  const verdicts = [() => verifyClient(chain, mine, NOW, crl), () => verifyServer(chain, mine, [CLIENT], NOW, crl)].map(
    (verify) => {
      try {
        verify()
        return 'accepted'
      } catch (error) {
        return error instanceof CertificateError ? error.code : String(error)
      }
    },
  )
  return [...new Set(verdicts)].join(' / ')
}

void t.test('a certificate that its issuer has listed is refused, by server and client', async (t) => {
  const [bad, good] = [leafOf(root), leafOf(root)]
  const crl = CrlSet.load(revocationList(root, [bad]))
  t.equal(verdictOf([bad], crl), 'revoked')
  t.equal(verdictOf([good], crl), 'accepted', 'what no list speaks of is not revoked')
  t.equal(verdictOf([bad], undefined), 'accepted')
  t.equal(crl.size, 1)
})

void t.test('the lists of these tests are ones for OpenSSL too', { skip: !hasOpenssl && 'no openssl' }, async (t) => {
  const files = {
    'crl.pem': crlPem(revocationList(root, [leafOf(root)], { nextUpdateMs: NOW + DAY })),
    'root.pem': root.pem,
  }
  t.match(openssl(files, 'crl', '-in', 'crl.pem', '-CAfile', 'root.pem', '-noout'), /verify OK/u)
})

void t.test('an intermediate that is listed takes all below it along', async (t) => {
  const middle = authority('middle', { under: root })
  const lower = authority('lower', { under: middle })
  const [leaf, other] = [leafOf(lower), leafOf(authority('other', { under: root }))]
  const chain = [leaf, lower.pem, middle.pem]
  t.equal(verdictOf(chain, CrlSet.load(revocationList(root, [middle.pem]))), 'revoked')
  t.equal(verdictOf(chain, CrlSet.load(revocationList(middle, [lower.pem]))), 'revoked')
  t.equal(verdictOf(chain, CrlSet.load(revocationList(lower, [leaf]))), 'revoked')
  t.equal(
    verdictOf(chain, CrlSet.load(revocationList(root, [lower.pem, leaf, other]))),
    'accepted',
    'only their issuer may',
  )
  t.equal(
    verdictOf(chain, CrlSet.load(revocationList(root, [root.pem]))),
    'accepted',
    'a root is trusted until it is dropped',
  )
})

void t.test('a revoked certificate that is presented beside the chain does no harm', async (t) => {
  const middle = authority('middle', { under: root })
  const junk = authority('junk', { under: root })
  const crl = CrlSet.load(revocationList(root, [junk.pem]))
  t.equal(verdictOf([leafOf(middle), junk.pem, middle.pem], crl), 'accepted')
})

void t.test('where one way to a root is revoked, another that is good will do', async (t) => {
  const key = generateKeyPair()
  const [first, second] = [authority('middle', { under: root, key }), authority('middle', { under: root, key })]
  const crl = CrlSet.load(revocationList(root, [first.pem]))
  t.equal(verdictOf([leafOf(first), first.pem], crl), 'revoked')
  t.equal(verdictOf([leafOf(first), first.pem, second.pem], crl), 'accepted')
})

void t.test('a list counts only with the signature of the issuer, whatever name it bears', async (t) => {
  const twin = authority('root') // the same name, another key: another CA
  const leaf = leafOf(root)
  const ofTwin = revocationList(twin, [leaf])
  const known = { ...own, rootsPem: [root.pem, twin.pem] }
  t.equal(verdictOf([leaf], CrlSet.load(ofTwin), known), 'accepted')
  const both = crlPem(revocationList(twin, [])) + crlPem(revocationList(root, [leaf]))
  t.equal(verdictOf([leaf], CrlSet.load(both)), 'revoked', 'its own list is found behind the one of its twin')
  const other = authority('another name', { key: root.key })
  t.equal(verdictOf([leaf], CrlSet.load(revocationList(other, [leaf]))), 'accepted')
})

function keyId({ signer }: Authority): DerNode {
  return authorityKeyIdentifier(signer.certificate.subjectKeyId ?? Buffer.alloc(0))
}

void t.test('where the only list of a CA is not signed by it, nobody with its certificate gets in', async (t) => {
  const [leaf, middle] = [leafOf(root), authority('middle', { under: root })]
  const twin = authority('root')
  const signingKey = twin.key.privateKey
  const forgeries = [
    revocationList(root, [leaf], { signingKey }),
    revocationList(root, [], { signingKey }),
    revocationList(root, [], { signingKey, extensions: [keyId(root)] }),
    revocationList(twin, []),
  ]
  for (const forgery of forgeries) {
    const crl = CrlSet.load(forgery)
    t.equal(verdictOf([leaf], crl), 'bad-crl')
    t.equal(verdictOf([leaf], CrlSet.fromDer(crl.lists.map(({ der }) => der))), 'bad-crl')
    t.equal(verdictOf([leafOf(middle), middle.pem], crl), 'bad-crl', 'in all of the chain')
    t.equal(verdictOf([leaf], CrlSet.load(crlPem(forgery) + crlPem(revocationList(root, [])))), 'accepted')
  }
  const ofMiddle = crlPem(revocationList(middle, [], { signingKey }))
  t.equal(verdictOf([leaf], CrlSet.load(ofMiddle)), 'accepted', 'others do')
  t.equal(verdictOf([leafOf(middle), middle.pem], CrlSet.load(ofMiddle)), 'bad-crl')
  t.equal(
    verdictOf([leafOf(middle), middle.pem], CrlSet.load(ofMiddle + crlPem(revocationList(root, [middle.pem])))),
    'revoked',
    'which is told first',
  )
  const ofAnother = revocationList(twin, [], { extensions: [keyId(twin)] })
  t.equal(verdictOf([leaf], CrlSet.load(ofAnother)), 'accepted', 'a list that says that it is of another CA')
})

void t.test('no list is read for issuers that nobody vouches for', async (t) => {
  const impostor = authority('root')
  const crl = CrlSet.load(revocationList(root, [], { signingKey: generateKeyPair().privateKey }))
  t.equal(verdictOf([leafOf(impostor), impostor.pem], crl), 'untrusted')
})

void t.test('a list counts after its next update is due, and without one', async (t) => {
  const leaf = leafOf(root)
  t.equal(verdictOf([leaf], CrlSet.load(revocationList(root, [leaf], { nextUpdateMs: NOW - DAY }))), 'revoked')
  t.equal(
    verdictOf([leaf], CrlSet.load(revocationList(root, [leaf], { nextUpdateMs: Date.UTC(2060, 0, 1) }))),
    'revoked',
  )
  t.equal(verdictOf([leaf], CrlSet.load(revocationList(root, [leaf], { isVersion1: true }))), 'revoked')
})

void t.test('a list of an RSA, P-384 or Ed25519 authority is read', async (t) => {
  for (const key of [otherKeys.rsa(2048), otherKeys.p384(), otherKeys.ed25519()]) {
    const ca = authority('other kind', { key })
    const leaf = leafOf(ca)
    t.equal(verdictOf([leaf], CrlSet.load(revocationList(ca, [leaf])), workload(ca, SERVER)), 'revoked')
  }
})

void t.test('a file may be empty, DER, or PEM with several lists and other things', async (t) => {
  const [a, b] = [authority('a'), authority('b')]
  const [leafA, leafB] = [leafOf(a), leafOf(b)]
  const mine = { ...own, rootsPem: [a.pem, b.pem] }
  const text = a.pem + crlPem(revocationList(a, [leafA])) + crlPem(revocationList(b, [leafB, leafA]))
  for (const crl of [CrlSet.load(text), CrlSet.load(Buffer.from(text))]) {
    t.equal(crl.size, 3)
    t.equal(verdictOf([leafA], crl, mine), 'revoked')
    t.equal(verdictOf([leafB], crl, mine), 'revoked')
  }
  for (const empty of ['', Buffer.alloc(0), a.pem, crlPem(revocationList(a, []))]) {
    t.equal(CrlSet.load(empty).size, 0)
    t.equal(verdictOf([leafA], CrlSet.load(empty), mine), 'accepted')
  }
})

void t.test('a list for a part of the certificates is read; what it leaves out is not revoked', async (t) => {
  const [bad, good] = [leafOf(root), leafOf(root)]
  const point = extension(OID.issuingDistributionPoint, true, sequence(taggedBytes(1, Buffer.of(255))))
  const crl = CrlSet.load(revocationList(root, [bad], { extensions: [point, extension('1.2.3', false, sequence())] }))
  t.equal(verdictOf([bad], crl), 'revoked')
  t.equal(verdictOf([good], crl), 'accepted')
})

void t.test('a file that cannot be used is refused, so that the last good one stays', async (t) => {
  const leaf = leafOf(root)
  const good = revocationList(root, [leaf])
  const indirect = extension(OID.issuingDistributionPoint, true, sequence(taggedBytes(4, Buffer.of(255))))
  const delta = extension('2.5.29.27', true, unsignedInteger(Buffer.of(1)))
  const critical = extension('2.5.29.29', true, boolean(true))
  const refused: Record<string, string | Buffer> = {
    'no list': 'hello',
    'only white space': ' \n',
    'cut short': good.subarray(0, -1),
    'one bad among good ones': crlPem(good) + writePem('X509 CRL', good.subarray(0, -1)),
    'a block without end': crlPem(good).slice(0, -10),
    'a certificate in DER': parseX509(leaf).raw,
    'a delta list': revocationList(root, [leaf], { extensions: [delta] }),
    'a list for other issuers': revocationList(root, [leaf], { extensions: [indirect] }),
    'an entry for another issuer': revocationList(root, [leaf], { entryExtensions: [critical] }),
    'too large': Buffer.alloc(MAX_CRL_BYTES + 1),
  }
  for (const [name, content] of Object.entries(refused)) {
    t.throws(() => CrlSet.load(content), { name: 'CertificateError', code: 'bad-crl' }, name)
  }
  t.throws(() => CrlSet.load('hello'), { message: /neither PEM .* nor DER/ })
})

void t.test('a list that is cut, goes on, or has one octet wrong, is refused or read, and nothing else', async (t) => {
  const reason = extension('2.5.29.21', false, unsignedInteger(Buffer.of(1)))
  const leaves = [leafOf(root), leafOf(root), leafOf(root)]
  const good = revocationList(root, leaves, {
    nextUpdateMs: NOW + DAY,
    entryExtensions: [reason],
    extensions: [reason],
  })
  t.equal(CrlSet.load(good).size, 3)
  for (let length = 1; length < good.length; length++)
    t.throws(() => CrlSet.load(good.subarray(0, length)), { code: 'bad-crl' }, `cut at ${length}`)
  t.throws(() => CrlSet.load(Buffer.concat([good, Buffer.of(0)])), { code: 'bad-crl' })
  for (let at = 1; at < good.length; at++) {
    for (const value of [0, 1, 0x1f, 0x7f, 0x80, 0x83, 0x84, 0xff]) {
      const wrong = Buffer.from(good)
      wrong[at] = value
      try {
        t.ok(CrlSet.load(wrong).size <= good.length)
      } catch (error) {
        if (!(error instanceof CertificateError) || error.code !== 'bad-crl') throw error
      }
    }
  }
})

void t.test('every entry may have extensions, of which none that is critical is passed over', async (t) => {
  const [bad, good] = [leafOf(root), leafOf(root)]
  const reason = extension('2.5.29.21', false, unsignedInteger(Buffer.of(1)))
  const crl = CrlSet.load(revocationList(root, [bad], { entryExtensions: [reason, reason] }))
  t.equal(verdictOf([bad], crl), 'revoked')
  t.equal(verdictOf([good], crl), 'accepted')
  const critical = extension('2.5.29.29', true, boolean(true))
  t.throws(() => CrlSet.load(revocationList(root, [bad], { entryExtensions: [reason, critical] })), {
    message: /critical extension that is not understood: 2\.5\.29\.29/,
  })
})
