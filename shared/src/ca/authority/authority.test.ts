import { chmod, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import {
  generateKeyPair,
  issueCertificate,
  parseCertificate,
  parsePemChain,
  parseX509,
  splitPem,
  verifyServer,
  workloadCertificateFrom,
} from '../../certificates/index.ts'
import { newFifo } from '../../config-file/fifo-fixture.ts'
import { FakeClock, systemClock } from '../../clock/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import { silentLog } from '../../log/index.ts'
import {
  eventually,
  keepingLog,
  newAuthority,
  startCa,
  temporaryDirectory,
  TRUST_DOMAIN,
  writeAuthority,
  YEAR_MS,
  type TestAuthority,
} from '../ca-fixture.ts'
import { openSelfMadeRoot } from './self-made-root.ts'
import { SigningDirectory } from './signing-directory.ts'
import { readSigningMaterial, type SigningFiles } from './signing-material.ts'

const root = newAuthority('root')
const forever = new AbortController().signal
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

function filesOf(authority: TestAuthority, over: Partial<SigningFiles> = {}): SigningFiles {
  const { pem, key } = authority
  return {
    certificatePem: pem,
    privateKeyPem: key.privateKeyPem,
    chainPem: '',
    crlPem: '',
    rootsPem: root.pem,
    ...over,
  }
}

void t.test('signing material is refused unless its parts fit', async (t) => {
  const now = Date.now()
  const intermediate = newAuthority('intermediate', { signer: root.signer })
  const below = newAuthority('below', { signer: intermediate.signer })
  const leafKey = generateKeyPair()
  const leaf = { publicKeyDer: leafKey.publicKeyDer, signer: root.signer, nowMs: now, ttlMs: YEAR_MS }
  const old = newAuthority('old', { nowMs: now - 2 * YEAR_MS })
  const refused: [string, SigningFiles, RegExp][] = [
    ['another key', filesOf(root, { privateKeyPem: leafKey.privateKeyPem }), /does not belong/],
    ['no key', filesOf(root, { privateKeyPem: root.pem }), /not a private key/],
    ['no roots', filesOf(root, { rootsPem: '' }), /no root certificate/],
    ['other roots', filesOf(root, { rootsPem: newAuthority('other').pem }), /does not lead to/],
    ['same name, other key', filesOf(root, { rootsPem: newAuthority('root').pem }), /does not lead to/],
    ['a gap in the chain', filesOf(below), /does not lead to/],
    [
      'a leaf',
      filesOf(root, { certificatePem: issueCertificate(leaf), privateKeyPem: leafKey.privateKeyPem }),
      /not one of a CA/,
    ],
    ['expired', filesOf(old, { rootsPem: old.pem }), /CN=old expired at/],
    ['not yet valid', filesOf(newAuthority('new', { signer: root.signer, nowMs: now + 600_000 })), /valid from/],
    [
      'a CRL that is none',
      filesOf(root, { crlPem: '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n' }),
      /revocation list cannot be used/,
    ],
    ['text', filesOf(root, { certificatePem: 'text' }), /cannot be used/],
  ]
  for (const [what, files, why] of refused) {
    t.throws(() => readSigningMaterial(files, now), { code: 'bad-authority', message: why }, what)
  }
  const chainPem = [root.pem, intermediate.pem, newAuthority('stray').pem, below.pem].join('')
  const material = readSigningMaterial(filesOf(below, { chainPem }), now)
  t.same(material.intermediatesPem, [below.pem, intermediate.pem], 'in order, without root and strays, its own first')
  const short = newAuthority('short', { ttlMs: 60_000 })
  const long = newAuthority('long', { signer: short.signer })
  t.equal(
    readSigningMaterial(filesOf(long, { rootsPem: short.pem }), now).notAfterMs,
    short.signer.certificate.notAfterMs,
  )
})

void t.test('imported RSA and ECDSA intermediates issue certificates whose chain is verified', async (t) => {
  for (const [rootIsRsa, isRsa] of [
    [false, true],
    [true, false],
    [true, true],
  ] as const) {
    const top = newAuthority('top', { isRsa: rootIsRsa })
    const signing = newAuthority('signing', { isRsa, signer: top.signer })
    const directory = await temporaryDirectory(t)
    await writeAuthority(directory, signing, { rootsPem: top.pem, chainPem: signing.pem + top.pem })
    const source = await SigningDirectory.open({ directory, refusesOpenKey: false, clock: systemClock, log: silentLog })
    t.teardown(() => source.close())
    const { client } = await startCa(t, source)
    const id = SpiffeId.of(TRUST_DOMAIN, 'ns', 'a')
    const certificate = await client.fetch(id, forever)
    t.equal(certificate.chainPem.length, 2, 'leaf and intermediate, no root')
    t.same(certificate.rootsPem, splitPem(top.pem))
    const chain = certificate.chainPem.map((pem) => parseX509(pem))
    t.ok(verifyServer(chain, certificate, [id], Date.now()).equals(id))
  }
})

void t.test('a Secret of the type kubernetes.io/tls will do, and an open key there is a warning', async (t) => {
  const directory = await temporaryDirectory(t)
  const signing = newAuthority('signing', { signer: root.signer })
  await writeFile(join(directory, 'tls.crt'), signing.pem + root.pem)
  await writeFile(join(directory, 'tls.key'), signing.key.privateKeyPem)
  await chmod(join(directory, 'tls.key'), 0o644)
  await writeFile(join(directory, 'ca.crt'), root.pem)
  const { log, lines } = keepingLog()
  const options = { directory, refusesOpenKey: false, clock: systemClock, log }
  const source = await SigningDirectory.open(options)
  t.same(source.current().intermediatesPem, [signing.pem])
  t.match(lines, [/everybody on this machine may read the CA key.*0644/])
  source.close()
  await t.rejects(SigningDirectory.open({ ...options, refusesOpenKey: true }), {
    code: 'permissions',
    message: /chmod 600/,
  })
  await t.rejects(SigningDirectory.open({ ...options, directory: join(directory, 'none') }), {
    code: 'bad-authority',
    message: /There is no directory .*none/,
  })
  await rm(join(directory, 'ca.crt'))
  newFifo(t, join(directory, 'ca.crt'))
  await t.rejects(SigningDirectory.open(options), {
    code: 'bad-authority',
    message: /ca\.crt cannot be read: it is no regular file$/,
  })
})

void t.test('a changed directory is reloaded; a bad change is reported and the last good material stays', async (t) => {
  const top = await temporaryDirectory(t)
  const fresh = newAuthority('fresh')
  for (const name of ['1', '2', '3']) await mkdir(join(top, name))
  await writeAuthority(join(top, '1'), root, { rootsPem: root.pem })
  await writeAuthority(join(top, '2'), root, { rootsPem: fresh.pem })
  await writeAuthority(join(top, '3'), fresh, { rootsPem: root.pem + fresh.pem })
  // As a mounted Secret: files that lead through a link, which is swapped.
  const directory = join(top, 'current')
  const swap = async (to: string): Promise<void> => {
    await symlink(join(top, to), join(top, 'next'))
    await rename(join(top, 'next'), directory)
  }
  await swap('1')
  const clock = new FakeClock(Date.now())
  const { log, lines } = keepingLog()
  const source = await SigningDirectory.open({ directory, refusesOpenKey: true, clock, log })
  let changes = 0
  source.onChange(() => changes++)
  const logged = async (count: number): Promise<void> => {
    await eventually(async () => {
      await clock.advance(1_000)
      return lines.length >= count
    })
  }
  await swap('2')
  await logged(1)
  t.match(lines[0], /^error the changed CA certificate is not used, the old one stays.*does not lead to/)
  t.same(splitPem(source.current().rootsPem), splitPem(root.pem))
  await swap('3')
  await logged(2)
  t.match(lines[1], /^info the CA certificate was reloaded/)
  t.equal(source.current().rootsPem, root.pem + fresh.pem)
  t.equal(source.current().signer.certificate.serial, fresh.signer.certificate.serial)
  t.equal(changes, 1)
  source.close()
  t.equal(lines.length, 2)
  await eventually(() => clock.pendingTimers === 0)
})

void t.test('a root of our own is made once, kept with mode 0600, and refused when it lies open', async (t) => {
  const stateDirectory = join(await temporaryDirectory(t), 'state')
  const clock = new FakeClock(Date.now())
  const options = { stateDirectory, trustDomain: TRUST_DOMAIN, ttlMs: 10 * YEAR_MS, clock, log: silentLog }
  // Two at once: one makes it, both use it.
  const [source, other] = await Promise.all([openSelfMadeRoot(options), openSelfMadeRoot(options)])
  const { rootsPem, intermediatesPem } = source.current()
  t.equal(other.current().rootsPem, rootsPem)
  t.same(intermediatesPem, [])
  source.close()
  other.close()
  t.equal(clock.pendingTimers, 0)
  t.same(await readdir(stateDirectory), ['root'], 'nothing lies about')
  const key = join(stateDirectory, 'root', 'ca-key.pem')
  t.same(
    [await modeOf(stateDirectory), await modeOf(join(stateDirectory, 'root')), await modeOf(key)],
    [0o700, 0o700, 0o600],
  )
  const [certificate] = parsePemChain(rootsPem)
  t.equal(certificate?.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  t.match(certificate?.subject, /O=cluster.local/)

  const { log, lines } = keepingLog()
  const elsewhere = await openSelfMadeRoot({ ...options, trustDomain: 'other.domain', log })
  elsewhere.close()
  t.match(lines, [/made for the trust domain cluster\.local, and signs for other\.domain/])

  const again = await openSelfMadeRoot(options)
  t.equal(again.current().rootsPem, rootsPem, 'the same after a restart')
  again.close()
  for (const [path, mode, closed] of [
    [key, 0o640, 0o600],
    [join(stateDirectory, 'root'), 0o755, 0o700],
    [stateDirectory, 0o770, 0o700],
  ] as const) {
    await chmod(path, mode)
    await t.rejects(openSelfMadeRoot(options), { code: 'permissions', message: /chmod/ }, path)
    await chmod(path, closed)
  }
  await writeFile(key, generateKeyPair().privateKeyPem)
  await t.rejects(openSelfMadeRoot(options), { code: 'bad-authority', message: /does not belong/ })
  await rm(key)
  await symlink('/dev/zero', key)
  await t.rejects(openSelfMadeRoot(options), { code: 'bad-authority', message: /it is no regular file$/ })
  t.equal(clock.pendingTimers, 0)
})

void t.test('a directory that cannot be made is told, one below others is made', async (t) => {
  const options = { trustDomain: TRUST_DOMAIN, ttlMs: YEAR_MS, clock: systemClock, log: silentLog }
  await t.rejects(openSelfMadeRoot({ ...options, stateDirectory: '/proc/ambit/ca' }), { code: 'ENOENT' })
  await t.rejects(openSelfMadeRoot({ ...options, stateDirectory: '/sys/ambit' }), {
    code: 'permissions',
    message: /^This process may not write to --state-dir \/sys\/ambit: E/,
  })
  const stateDirectory = join(await temporaryDirectory(t), 'a', 'b')
  const source = await openSelfMadeRoot({ ...options, stateDirectory })
  t.equal(await modeOf(stateDirectory), 0o700)
  source.close()
})

void t.test('a root of our own is renewed with the same key before it ends, and both are handed out', async (t) => {
  const stateDirectory = await temporaryDirectory(t)
  const clock = new FakeClock(Date.now())
  const { log, lines } = keepingLog()
  const options = { stateDirectory, trustDomain: TRUST_DOMAIN, ttlMs: 100 * 3_600_000, clock, log }
  const source = await openSelfMadeRoot(options)
  const before = source.current()
  const id = SpiffeId.of(TRUST_DOMAIN, 'ns', 'a')
  const key = generateKeyPair()
  const held = {
    publicKeyDer: key.publicKeyDer,
    identity: id,
    ttlMs: 99 * 3_600_000,
    signer: before.signer,
    nowMs: clock.now(),
  }
  const leaf = issueCertificate(held)
  await clock.advance(79 * 3_600_000)
  t.equal(source.current(), before, 'not yet')
  await clock.advance(3_600_000)
  await eventually(async () => {
    await clock.advance(60_000)
    return source.current().signer.certificate.serial !== before.signer.certificate.serial
  })
  const after = source.current()
  t.equal(splitPem(after.rootsPem).length, 2)
  t.ok(after.rootsPem.endsWith(before.rootsPem))
  t.ok(parseCertificate(after.signer.certificate.x509).publicKeyDer.equals(before.signer.certificate.publicKeyDer))
  t.same(after.intermediatesPem, [], 'the new one is a root as well')
  t.ok(lines.some((line) => line.includes('renewed the root certificate')))
  const withNewRootOnly = workloadCertificateFrom(
    id,
    key.privateKeyPem,
    [leaf, after.signer.certificate.x509.toString()],
    silentLog,
  )
  t.ok(
    verifyServer([parseX509(leaf)], withNewRootOnly, [id], clock.now()).equals(id),
    'the new root verifies old leaves',
  )
  t.equal(await readFile(join(stateDirectory, 'root', 'ca-cert.pem'), 'utf8'), after.signer.certificate.x509.toString())
  source.close()
  await eventually(() => clock.pendingTimers === 0)
})
