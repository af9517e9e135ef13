import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CrlSet, type CertificateState, type ParsedCertificate } from '@ambit/shared/certificates'
import {
  authority,
  crlPem,
  revocationList,
  SERVER,
  workload,
} from '../../../shared/src/certificates/certificate-fixture.ts'
import { FakeClock } from '@ambit/shared/clock'
import type { Log, LogFields } from '@ambit/shared/log'
import { Readiness } from '@ambit/shared/telemetry'
import t, { type Test } from 'tap'
import { blamedOn } from '../config/index.ts'
import { CrlFile } from './crl-file.ts'
import { KnownAuthorities } from './known-authorities.ts'

class Fixture {
  readonly said: string[] = []
  readonly clock = new FakeClock()
  readonly file: CrlFile
  readonly readiness = new Readiness()
  authorities: readonly ParsedCertificate[] = []
  /** How many certificates the workers have been told are revoked, each time that they were told. */
  readonly sent: number[] = []
  readonly #path: string

  constructor(t: Test, content?: string) {
    const directory = mkdtempSync(join(tmpdir(), 'ambit-crl-'))
    this.#path = join(directory, 'crl.pem')
    if (content !== undefined) writeFileSync(this.#path, content)
    const told = (level: string) => (text: string, fields?: LogFields) => {
      const more = Object.entries(fields ?? {}).map(([name, value]) => ` ${name}=${String(value)}`)
      this.said.push(`${level}: ${text.replaceAll(directory, '')}${more.join('')}`)
    }
    const log: Log = { error: told('error'), warn: told('warn'), info: told('info'), debug: () => {} }
    this.file = new CrlFile({
      path: this.#path,
      authorities: () => this.authorities,
      readiness: this.readiness,
      clock: this.clock,
      log,
      broadcast: (message) => {
        if (message.type !== 'crl') return
        this.sent.push(CrlSet.fromDer(message.lists.map((list) => Buffer.from(list, 'base64'))).size)
      },
    })
    t.teardown(() => {
      this.file.stop()
      rmSync(directory, { recursive: true })
    })
  }

  async start(): Promise<void> {
    try {
      await blamedOn('CRL_PATH', () => this.file.start())
    } catch (error) {
      this.said.push(String(error))
    }
  }

  /** What is said of another file in its place. */
  async saidOf(content: string): Promise<readonly string[]> {
    this.said.length = 0
    writeFileSync(`${this.#path}.new`, content)
    renameSync(`${this.#path}.new`, this.#path)
    // Looked at at least so often, whatever the directory tells.
    await this.clock.advance(11_000)
    return this.said.slice()
  }

  /** What is said when these CAs are known. */
  async saidKnowing(...authorities: readonly { readonly signer: { certificate: ParsedCertificate } }[]) {
    this.said.length = 0
    this.authorities = authorities.map(({ signer }) => signer.certificate)
    for (let certificates = 0; certificates < 100; certificates++) this.file.authoritiesChanged()
    await this.clock.advance(2_000)
    return this.said.slice()
  }
}

const [root, next, stranger] = [authority('root'), authority('next'), authority('stranger')]
const one = crlPem(revocationList(root, [root.pem]))
const two = crlPem(revocationList(root, [root.pem, next.pem]))
const forged = crlPem(revocationList(root, [], { signingKey: next.key.privateKey }))
const ofNext = crlPem(revocationList(next, [root.pem, next.pem, stranger.pem]))
const LOADED = /^info: revocation lists loaded, (\d) certificates are revoked$/
const KEPT = /^error: of some CAs the revocation lists that were in force stay why=/
const REFUSED = /^error: file not taken over, the last good state stays file=crl\.pem error=/

void t.test('lists that revoke nobody because there are none are no success', async (t) => {
  const missing = new Fixture(t)
  await missing.start()
  t.strictSame(missing.said, ['warn: CRL_PATH=/crl.pem does not exist: nothing is revoked until it does'])
  for (const empty of ['', root.pem]) {
    const fixture = new Fixture(t, empty)
    await fixture.start()
    t.strictSame(fixture.said, ['warn: CRL_PATH=/crl.pem holds no revocation list: nothing is revoked'])
  }
})

void t.test('what is no list is a problem of the configuration, with its variable', async (t) => {
  const fixture = new Fixture(t, 'hello')
  await fixture.start()
  const [problem, ...more] = fixture.said
  t.match(problem, /^ConfigError: .*\n {2}- CRL_PATH: .*\/crl\.pem: .* it is neither PEM \(-----BEGIN…\) nor DER/)
  t.same(more, [])
})

void t.test('a file that revokes less by mistake leaves the last good one in force, and says why', async (t) => {
  const fixture = new Fixture(t, one)
  await fixture.start()
  t.same(await fixture.saidKnowing(root), [])
  const mistakes = {
    [forged]: /list of test, root is not/,
    [root.pem]: /no list in it/,
  }
  for (const [mistake, why] of Object.entries(mistakes)) {
    const [refused, ...more] = await fixture.saidOf(mistake)
    t.match(refused, REFUSED)
    t.match(refused, why)
    t.same(more, [])
  }
  t.same(fixture.sent, [1], 'the workers have heard of none')
  t.match(await fixture.saidOf(two), [LOADED])
  t.match(await fixture.saidOf(crlPem(revocationList(root, []))), [LOADED], 'one without entries is no mistake')
  t.same(fixture.sent, [1, 2, 0])
})

void t.test(
  'of a file in which the list of a CA is missing the others count, and its last good one stays',
  async (t) => {
    const fixture = new Fixture(t, one)
    await fixture.start()
    await fixture.saidKnowing(root)
    const [loaded, kept, ...more] = await fixture.saidOf(ofNext)
    t.match(loaded, LOADED)
    t.match(kept, KEPT)
    t.match(kept, /there is no list of test, root any more, which is trusted; to revoke nobody/)
    t.match(more, [/only peers may come with of=test, next/])
    t.same(fixture.sent, [1, 4])
    t.same(await fixture.saidKnowing(root, next), [], 'said once')
    t.match(await fixture.saidKnowing(next), [LOADED], 'until the old root has gone')
    t.same(fixture.sent, [1, 4, 3])
    t.same(await fixture.saidKnowing(next), [], 'what is in force is not loaded again')
    t.match(await fixture.saidOf(ofNext + forged), [LOADED, /unknown|only peers/])
  },
)

void t.test('nor does a forged list keep the others from taking effect', async (t) => {
  const fixture = new Fixture(t, one)
  await fixture.start()
  await fixture.saidKnowing(root, next)
  const [loaded, kept, ...more] = await fixture.saidOf(forged + ofNext)
  t.match(loaded, LOADED)
  t.match(kept, KEPT)
  t.match(kept, /why=the list of test, root is not signed by it: damaged, or another CA's$/)
  t.same(more, [])
  t.same(fixture.sent, [1, 4])
  t.ok(fixture.readiness.isReady)
})

void t.test('a file that was refused is not come back to when another has followed', async (t) => {
  const fixture = new Fixture(t, one)
  await fixture.start()
  await fixture.saidKnowing(root)
  t.match(await fixture.saidOf(forged), [REFUSED])
  t.match(await fixture.saidOf(one), [LOADED])
  t.same(await fixture.saidKnowing(next), [
    'warn: no revocation list is of a CA that the node knows: is it the right file? of=test, root',
  ])
  t.same(fixture.sent, [1, 1])
})

void t.test('what was loaded at the start is checked when the first certificate comes', async (t) => {
  const bad = new Fixture(t, forged)
  await bad.start()
  t.match(bad.said, [LOADED])
  t.ok(bad.readiness.isReady)
  t.match(await bad.saidKnowing(root), [
    /^error: not ready, and all certificates of these CAs are refused: .* of=test, root$/,
  ])
  t.same(await bad.saidKnowing(root), [], 'once')
  t.same(bad.readiness.pending, ['revocation lists'])
  t.match(await bad.saidOf(forged + crlPem(revocationList(root, [], { signingKey: stranger.key.privateKey }))), [
    LOADED,
    KEPT,
    /^error: not ready/,
  ])
  t.same(bad.readiness.pending, ['revocation lists'])
  t.match(await bad.saidOf(one), [LOADED])
  t.ok(bad.readiness.isReady)

  const foreign = new Fixture(t, ofNext)
  await foreign.start()
  const warning = 'warn: no revocation list is of a CA that the node knows: is it the right file? of=test, next'
  t.same(await foreign.saidKnowing(root), [warning])
  t.match(await foreign.saidOf(one + ofNext), [
    LOADED,
    'info: revocation lists of CAs that only peers may come with of=test, next',
  ])
})

void t.test(
  'known are the roots and intermediates of the certificates, and the last ones where there is none',
  async (t) => {
    const middle = authority('middle', { under: root })
    let states: CertificateState[] = []
    const known = new KnownAuthorities({ list: () => states })
    const subjects = (): readonly string[] => known.list().map(({ x509 }) => x509.subject.replaceAll('\n', ' '))
    t.same(subjects(), [])
    const [first, second] = [workload(middle, SERVER), workload(next, SERVER)]
    states = [first, first, second].map((certificate) => ({ identity: SERVER, state: 'Available', certificate }))
    t.same(subjects(), ['O=test CN=root', 'O=test CN=middle', 'O=test CN=next'])
    states = [{ identity: SERVER, state: 'Available', certificate: second }]
    t.same(subjects(), ['O=test CN=next'])
    states = [{ identity: SERVER, state: 'Initializing' }]
    t.same(subjects(), ['O=test CN=next'])
    states = [{ identity: SERVER, state: 'Available', certificate: { ...first, rootsPem: ['no PEM'] } }]
    t.same(subjects(), ['O=test CN=middle'])
  },
)
