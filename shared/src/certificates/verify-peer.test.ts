import { Buffer } from 'node:buffer'
import { sign, type X509Certificate } from 'node:crypto'
import t from 'tap'
import { SpiffeId } from '../identity/index.ts'
import {
  authority,
  CA_EXTENSIONS,
  CLIENT,
  DAY,
  leafExtensions,
  NOW,
  oddAuthority,
  oddLeaf,
  SERVER,
  workload,
  type Authority,
} from './certificate-fixture.ts'
import {
  bitString,
  objectIdentifier,
  octetString,
  readDer,
  sequence,
  sequenceOf,
  tagged,
  taggedBytes,
  toDer,
  utf8String,
  type DerNode,
} from './der.ts'
import { basicConstraints, extendedKeyUsage, extension, keyUsage, subjectAltName } from './extensions.ts'
import {
  CertificateError,
  generateKeyPair,
  parseX509,
  verifyClient,
  verifyServer,
  type WorkloadCertificate,
} from './index.ts'
import { KEY_USAGE, OID } from './object-identifiers.ts'
import { MAX_INTERMEDIATES } from './verify-chain.ts'
import { distinguishedName } from './write-certificate.ts'

const root = authority('root')
const own = workload(root, SERVER)

function presented(...pems: readonly string[]): X509Certificate[] {
  return pems.map((pem) => parseX509(pem))
}

/** What `work` threw: the code of a CertificateError, 'accepted', or anything else as it is. */
function verdict(work: () => unknown): unknown {
  try {
    work()
    return 'accepted'
  } catch (error) {
    return error instanceof CertificateError ? error.code : error
  }
}

/** What both roles say of a peer that presents this, to a holder of `mine`; one word where they agree. */
function verdictOf(pems: readonly string[], mine: WorkloadCertificate = own, nowMs = NOW): unknown {
  const chain = presented(...pems)
  const atServer = verdict(() => verifyClient(chain, mine, nowMs))
  const atClient = verdict(() => verifyServer(chain, mine, [CLIENT], nowMs))
  return atServer === atClient ? atServer : { atServer, atClient }
}

function clientVerdict(id: SpiffeId): unknown {
  return verdict(() => verifyClient(presented(...workload(root, id).chainPem), own, NOW))
}

function serverVerdict(id: SpiffeId, expected: readonly SpiffeId[]): unknown {
  return verdict(() => verifyServer(presented(...workload(root, id).chainPem), own, expected, NOW))
}

/** A name constraint on URIs. */
function subtree(name: string): DerNode {
  return sequence(taggedBytes(6, Buffer.from(name)))
}

/** What is said of a peer below a CA with these name constraints. */
function constrainedVerdict(
  permitted: readonly string[],
  excluded: readonly string[],
  others: readonly DerNode[] = [],
): unknown {
  const value = sequence(
    tagged(0, ...permitted.map((name) => subtree(name)), ...others),
    tagged(1, ...excluded.map((name) => subtree(name))),
  )
  const middle = oddAuthority('middle', [...CA_EXTENSIONS, extension(OID.nameConstraints, true, value)], root)
  return verdictOf([leafWith(middle, {}), middle.pem])
}

/** A leaf of `ca` whose extensions are changed: undefined leaves one out. */
function leafWith(
  ca: Authority,
  changes: Partial<Record<keyof ReturnType<typeof leafExtensions>, DerNode | undefined>>,
): string {
  const extensions = Object.values({ ...leafExtensions(), ...changes })
  return oddLeaf(
    ca,
    extensions.filter((one) => one !== undefined),
  )
}

void t.test('a peer of our root is who its certificate says', async (t) => {
  const peer = presented(...workload(root, CLIENT).chainPem)
  t.ok(verifyClient(peer, own, NOW).equals(CLIENT))
  t.ok(verifyServer(peer, own, [CLIENT], NOW).equals(CLIENT))
  t.ok(verifyServer(peer, own, [SERVER, CLIENT], NOW).equals(CLIENT))
})

void t.test('a server accepts any identity of its own trust domain and none of another', async (t) => {
  t.equal(clientVerdict(SpiffeId.of('cluster.local', 'elsewhere', 'other')), 'accepted')
  t.equal(clientVerdict(SpiffeId.of('cluster.local2', 'shop', 'client')), 'wrong-trust-domain')
  t.equal(clientVerdict(SpiffeId.of('cluster', 'shop', 'client')), 'wrong-trust-domain')
  t.equal(clientVerdict(SpiffeId.of('CLUSTER.LOCAL', 'shop', 'client')), 'wrong-trust-domain')
  t.equal(clientVerdict(SpiffeId.of('', 'shop', 'client')), 'wrong-trust-domain')
})

void t.test(
  'a client accepts the identities that it expects, whatever their trust domain, and nobody else',
  async (t) => {
    const foreign = SpiffeId.of('other.domain', 'shop', 'server')
    t.equal(serverVerdict(foreign, [foreign]), 'accepted')
    t.equal(serverVerdict(SERVER, []), 'wrong-identity')
    const message =
      /^The server is spiffe:\/\/cluster.local\/ns\/shop\/sa\/client; expected spiffe:\/\/cluster.local\/ns\/shop\/sa\/server\.$/u
    t.throws(() => verifyServer(presented(...workload(root, CLIENT).chainPem), own, [SERVER], NOW), { message })
    t.equal(serverVerdict(SERVER, [CLIENT, foreign]), 'wrong-identity')
    t.equal(serverVerdict(SERVER, [SpiffeId.of('cluster.local', 'shop', 'serve')]), 'wrong-identity')
    t.equal(serverVerdict(SERVER, [SpiffeId.of('cluster.local', 'sho', 'server')]), 'wrong-identity')
  },
)

void t.test('an error says on which side the peer is', async (t) => {
  t.throws(() => verifyClient([], own, NOW), { code: 'no-certificate', source: 'downstream' })
  t.throws(() => verifyServer([], own, [CLIENT], NOW), { code: 'no-certificate', source: 'upstream' })
})

void t.test('exactly one URI name that is a SPIFFE id is an identity', async (t) => {
  const id = CLIENT.toString()
  const other = 'spiffe://cluster.local/ns/shop/sa/admin'
  const withUris = (...uris: string[]): unknown =>
    verdictOf([leafWith(root, { names: subjectAltName({ uris }, true) })])
  t.equal(withUris(id), 'accepted')
  t.equal(withUris(id, other), 'no-identity')
  t.equal(withUris(id, id), 'no-identity')
  t.equal(withUris(id, 'https://example.com/'), 'no-identity')
  t.equal(withUris('https://example.com/'), 'no-identity')
  t.equal(withUris(`${id}, URI:${other}`), 'no-identity')
  t.equal(withUris(`${id}\0.evil`), 'no-identity')
  t.equal(withUris(`${id}"`), 'no-identity')
  t.equal(withUris(`${id}/`), 'no-identity')
  t.equal(withUris(`${id}\u00e9`), 'no-identity')
  t.equal(withUris(''), 'no-identity')
  t.equal(verdictOf([leafWith(root, { names: undefined })]), 'no-identity')
  t.equal(verdictOf([leafWith(root, { names: subjectAltName({ dnsNames: [id] }, true) })]), 'no-identity')
  t.equal(verdictOf([leafWith(root, { names: subjectAltName({ uris: [id], dnsNames: ['x'] }, true) })]), 'accepted')
  const structured = extension(OID.subjectAltName, true, sequence(tagged(6, utf8String(id))))
  t.equal(verdictOf([leafWith(root, { names: structured })]), 'malformed')
  const universal = extension(OID.subjectAltName, true, sequence(octetString(Buffer.from(id))))
  t.equal(verdictOf([leafWith(root, { names: universal })]), 'no-identity')
})

void t.test('a leaf must be for signatures and for the role that it plays', async (t) => {
  const bothWays = { atServer: 'wrong-usage', atClient: 'accepted' }
  t.equal(verdictOf([leafWith(root, {})]), 'accepted')
  t.equal(verdictOf([leafWith(root, { usage: undefined })]), 'accepted', 'no key usage: any')
  t.equal(verdictOf([leafWith(root, { usage: keyUsage(KEY_USAGE.keyEncipherment) })]), 'wrong-usage')
  t.equal(verdictOf([leafWith(root, { usage: keyUsage(0xff) })]), 'accepted')
  t.same(verdictOf([leafWith(root, { extendedUsage: extendedKeyUsage(['serverAuth']) })]), bothWays)
  t.same(verdictOf([leafWith(root, { extendedUsage: extendedKeyUsage(['clientAuth']) })]), {
    atServer: 'accepted',
    atClient: 'wrong-usage',
  })
  t.equal(verdictOf([leafWith(root, { extendedUsage: undefined })]), 'wrong-usage', 'no extended key usage: none')
  const any = extension(OID.extendedKeyUsage, false, sequence(objectIdentifier('2.5.29.37.0')))
  t.equal(verdictOf([leafWith(root, { extendedUsage: any })]), 'wrong-usage')
  t.equal(verdictOf([leafWith(root, { constraints: undefined })]), 'accepted')
  t.equal(verdictOf([leafWith(root, { constraints: basicConstraints({}) })]), 'wrong-usage', 'a CA as a leaf')
})

void t.test('a root itself is no peer', async (t) => {
  const { names, extendedUsage } = leafExtensions()
  const named = oddAuthority('named', [...CA_EXTENSIONS, names, extendedUsage])
  t.equal(verdictOf([named.pem], workload(named, SERVER)), 'wrong-usage')
  const selfSigned = oddAuthority('self', Object.values(leafExtensions()))
  t.equal(verdictOf([selfSigned.pem]), 'untrusted')
})

void t.test('every certificate of the chain must be within its time, to the millisecond', async (t) => {
  const HOURS_2 = DAY / 12
  const late = { nowMs: NOW + HOURS_2, ttlMs: DAY / 2 }
  const [from, to] = [NOW + HOURS_2 - 120_000, NOW + HOURS_2 + DAY / 2]
  const lateRoot = authority('late root', late)
  const lateMiddle = authority('late middle', { under: root, ...late })
  const chains: Record<string, [readonly string[], WorkloadCertificate]> = {
    leaf: [workload(root, CLIENT, late).chainPem, own],
    intermediate: [[oddLeaf(lateMiddle, Object.values(leafExtensions())), lateMiddle.pem], own],
    root: [[oddLeaf(lateRoot, Object.values(leafExtensions()))], workload(lateRoot, SERVER)],
  }
  for (const [name, [pems, mine]] of Object.entries(chains)) {
    t.equal(verdictOf(pems, mine, from - 1), 'not-yet-valid', `${name}: one millisecond early`)
    t.equal(verdictOf(pems, mine, from), 'accepted', `${name}: at its start`)
    t.equal(verdictOf(pems, mine, to), 'accepted', `${name}: at its end`)
    t.equal(verdictOf(pems, mine, to + 1), 'expired', `${name}: one millisecond late`)
    t.equal(verdictOf(pems, mine, Number.NaN), 'not-yet-valid', `${name}: no time at all`)
  }
})

void t.test('a chain must reach a root of our own certificate', async (t) => {
  const other = authority('root') // the same name, another key
  const stranger = authority('stranger')
  t.equal(verdictOf(workload(other, CLIENT).chainPem), 'untrusted')
  t.equal(verdictOf([...workload(other, CLIENT).chainPem, other.pem]), 'untrusted')
  t.equal(verdictOf([...workload(stranger, CLIENT).chainPem, stranger.pem]), 'untrusted')
  const misnamed = oddLeaf(root, Object.values(leafExtensions()), { issuer: distinguishedName({ commonName: 'x' }) })
  t.equal(verdictOf([misnamed]), 'untrusted', 'our signature under the name of another issuer')
  const both = { ...own, rootsPem: [other.pem, root.pem] }
  t.equal(verdictOf(workload(root, CLIENT).chainPem, both), 'accepted', 'while roots rotate, the second one counts too')
  t.equal(verdictOf(workload(other, CLIENT).chainPem, both), 'accepted')
  t.equal(verdictOf(workload(root, CLIENT).chainPem, { ...own, rootsPem: [] }), 'untrusted')
})

void t.test('intermediates are found in any order, among others, and not needed twice', async (t) => {
  const a = authority('a', { under: root })
  const b = authority('b', { under: a })
  const junk = authority('junk')
  const [leaf = ''] = workload(b, CLIENT).chainPem
  t.equal(verdictOf([leaf, b.pem, a.pem]), 'accepted')
  t.equal(verdictOf([leaf, a.pem, b.pem]), 'accepted')
  t.equal(verdictOf([leaf, junk.pem, b.pem, junk.pem, a.pem, root.pem]), 'accepted')
  t.equal(verdictOf([leaf, b.pem]), 'untrusted')
  t.equal(verdictOf([leaf, a.pem]), 'untrusted')
  t.equal(verdictOf([leaf]), 'untrusted')
  t.equal(verdictOf([leaf], { ...own, rootsPem: [b.pem] }), 'accepted', 'what our CA calls a root is one')
  const unreadable = oddAuthority('odd', [...CA_EXTENSIONS, extension('1.2.3', true, sequence())], root)
  t.equal(verdictOf([leaf, unreadable.pem, b.pem, a.pem]), 'accepted')
})

void t.test('an issuer whose key nobody can read has signed nothing', async (t) => {
  const publicKeyDer = toDer(sequence(sequence(objectIdentifier('1.2.3.4')), bitString(Buffer.from('key'))))
  const subject = distinguishedName({ commonName: 'odd key' })
  const middle = oddLeaf(root, CA_EXTENSIONS, { subject, publicKeyDer })
  const leaf = oddLeaf(root, Object.values(leafExtensions()), { issuer: subject })
  t.equal(verdictOf([leaf, middle]), 'untrusted')
})

void t.test('where there are two ways to a root, one that is good will do', async (t) => {
  const key = generateKeyPair()
  const expired = authority('middle', { under: root, key, nowMs: NOW - 2 * DAY, ttlMs: DAY })
  const current = authority('middle', { under: root, key })
  const [leaf = ''] = workload(current, CLIENT).chainPem
  t.equal(verdictOf([leaf, expired.pem]), 'expired')
  t.equal(verdictOf([leaf, expired.pem, current.pem]), 'accepted')
  t.equal(verdictOf([leaf, current.pem, expired.pem]), 'accepted')
  const early = authority('middle', { under: root, key, nowMs: NOW + DAY })
  t.equal(verdictOf([leaf, expired.pem, early.pem]), 'expired', 'the first reason is told')
})

void t.test('only a CA that may sign is an issuer', async (t) => {
  const say = (extensions: readonly DerNode[]): unknown => {
    const middle = oddAuthority('middle', extensions, root)
    return verdictOf([leafWith(middle, {}), middle.pem])
  }
  const sign = keyUsage(KEY_USAGE.keyCertSign)
  t.equal(say([sign, basicConstraints({})]), 'accepted')
  t.equal(say([basicConstraints({})]), 'accepted', 'no key usage: any')
  t.equal(say([sign]), 'wrong-usage', 'no basic constraints')
  t.equal(say([sign, basicConstraints(undefined)]), 'wrong-usage')
  t.equal(say(Object.values(leafExtensions())), 'wrong-usage', 'a workload signs for another')
  t.equal(say([keyUsage(KEY_USAGE.crlSign), basicConstraints({})]), 'wrong-usage')
  t.equal(say([keyUsage(KEY_USAGE.digitalSignature), basicConstraints({})]), 'wrong-usage')
  t.equal(say([...CA_EXTENSIONS, extendedKeyUsage(['clientAuth', 'serverAuth'])]), 'accepted')
  t.same(say([...CA_EXTENSIONS, extendedKeyUsage(['clientAuth'])]), { atServer: 'accepted', atClient: 'wrong-usage' })
  t.same(say([...CA_EXTENSIONS, extendedKeyUsage(['serverAuth'])]), { atServer: 'wrong-usage', atClient: 'accepted' })

  const limitedRoot = oddAuthority('limited', [...CA_EXTENSIONS, extendedKeyUsage(['serverAuth'])])
  t.equal(
    verdictOf([leafWith(limitedRoot, {})], workload(limitedRoot, SERVER)),
    'accepted',
    'a root is trusted as configured',
  )
  const noRoot = oddAuthority('no CA', [basicConstraints(undefined)])
  t.equal(verdictOf([leafWith(noRoot, {})], { ...own, rootsPem: [noRoot.pem] }), 'wrong-usage')
})

void t.test('a path length counts the CAs below, of a root and of an intermediate', async (t) => {
  const say = (rootLength: number | undefined, ...lengths: (number | undefined)[]): unknown => {
    const top = authority('top', { pathLength: rootLength })
    let last = top
    for (const [at, length] of lengths.entries()) last = authority(`ca ${at}`, { under: last, pathLength: length })
    return verdictOf([leafWith(last, {}), ...last.chain], workload(top, SERVER))
  }
  t.equal(say(0), 'accepted')
  t.equal(say(0, undefined), 'wrong-usage')
  t.equal(say(1, undefined), 'accepted')
  t.equal(say(1, undefined, undefined), 'wrong-usage')
  t.equal(say(2, undefined, undefined), 'accepted')
  t.equal(say(undefined, 0), 'accepted')
  t.equal(say(undefined, 0, undefined), 'wrong-usage')
  t.equal(say(undefined, 1, 0), 'accepted')
  t.equal(say(undefined, 1, 1, undefined), 'wrong-usage')

  const top = authority('top', { pathLength: 1 })
  const first = authority('middle', { under: top })
  const again = authority('middle', { under: first }) // issued by itself to a new key: does not count
  t.equal(verdictOf([leafWith(again, {}), ...again.chain], workload(top, SERVER)), 'accepted')
})

void t.test('a CA whose names are constrained speaks only for the trust domains within', async (t) => {
  t.equal(constrainedVerdict(['cluster.local'], []), 'accepted')
  t.equal(constrainedVerdict(['CLUSTER.local'], []), 'accepted')
  t.equal(constrainedVerdict(['other', 'cluster.local'], []), 'accepted')
  t.equal(constrainedVerdict(['.local'], []), 'accepted', 'any host below a domain')
  t.equal(constrainedVerdict(['.cluster.local'], []), 'wrong-usage', 'below, not the domain itself')
  t.equal(constrainedVerdict(['local'], []), 'wrong-usage')
  t.equal(constrainedVerdict(['other'], []), 'wrong-usage')
  t.equal(constrainedVerdict([], []), 'accepted')
  t.equal(constrainedVerdict([], ['other']), 'accepted')
  t.equal(constrainedVerdict([], ['cluster.local']), 'wrong-usage')
  t.equal(constrainedVerdict(['cluster.local'], ['.local']), 'wrong-usage')
  t.equal(
    constrainedVerdict([], [], [sequence(taggedBytes(2, Buffer.from('corp.example')))]),
    'accepted',
    'DNS names are not ours',
  )
  const limited = sequence(taggedBytes(6, Buffer.from('cluster.local')), taggedBytes(0, Buffer.of(1)))
  t.equal(constrainedVerdict([], [], [limited]), 'untrusted', 'with limits that no profile allows')
})

void t.test('a peer cannot buy work with what it presents', async (t) => {
  // Certificates of one name and one key, each issued by all of them: the ways through them grow as a factorial.
  const key = generateKeyPair()
  const knot = authority('knot', { key })
  const copies = Array.from({ length: 20 }, () => authority('knot', { key }).pem)
  const chain = presented(leafWith(knot, {}), ...copies)
  let signatureChecks = 0
  for (const certificate of chain) {
    const verify = certificate.verify.bind(certificate)
    certificate.verify = (publicKey) => {
      signatureChecks++
      return verify(publicKey)
    }
  }
  t.equal(
    verdict(() => verifyClient(chain, own, NOW)),
    'untrusted',
  )
  t.equal(signatureChecks, 24)
})

void t.test(`of the certificates beside the leaf the first ${MAX_INTERMEDIATES} count`, async (t) => {
  const middle = authority('middle', { under: root })
  const junk = authority('junk').pem
  const at = (place: number): readonly string[] => [
    leafWith(middle, {}),
    ...Array.from({ length: place - 1 }, () => junk),
    middle.pem,
  ]
  t.equal(verdictOf(at(MAX_INTERMEDIATES)), 'accepted')
  t.equal(verdictOf(at(MAX_INTERMEDIATES + 1)), 'untrusted')

  let last = root
  for (let depth = 0; depth < MAX_INTERMEDIATES; depth++) last = authority(`ca ${depth}`, { under: last })
  t.equal(verdictOf([leafWith(last, {}), ...last.chain]), 'accepted', 'the longest chain')
})

void t.test('a signature with SHA-1 is none, even a right one', async (t) => {
  const [body] = sequenceOf(readDer(parseX509(leafWith(root, {})).raw), 'certificate')
  const sha1 = sequence(objectIdentifier('1.2.840.10045.4.1'))
  const fields = sequenceOf(body, 'body').map((field, at) => (at === 2 ? sha1 : field))
  const signature = bitString(sign('sha1', toDer(sequence(...fields)), root.key.privateKey))
  const certificate = parseX509(toDer(sequence(sequence(...fields), sha1, signature)))
  t.ok(certificate.verify(root.signer.certificate.x509.publicKey))
  t.equal(
    verdict(() => verifyClient([certificate], own, NOW)),
    'untrusted',
  )
})
