// What the tests of the CA share: authorities, directories that go away, a server with a client.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  generateKeyPair,
  issueAuthority,
  readKeyPair,
  readSigner,
  type KeyPair,
  type Signer,
} from '../certificates/index.ts'
import { systemClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import { silentLog, type Log } from '../log/index.ts'
import {
  AuthorizationError,
  createCaClient,
  createCaServer,
  readSigningMaterial,
  type CaAuthorizer,
  type CaClient,
  type CaClientOptions,
  type Caller,
  type CaServer,
  type CaServerOptions,
  type ShownToken,
  type SigningMaterial,
  type SigningSource,
} from './index.ts'

export const TRUST_DOMAIN = 'cluster.local'
export const YEAR_MS = 365 * 86_400_000
export const NODE_TOKEN = 'the-token-of-node-a'

/** What a test needs to clean up after itself; tap's `t.teardown`. */
export interface Teardown {
  teardown(run: () => Promise<void> | void): void
}

export interface TestAuthority {
  readonly pem: string
  readonly key: KeyPair
  readonly signer: Signer
}

export function newAuthority(
  name: string,
  over: { signer?: Signer; isRsa?: boolean; ttlMs?: number; nowMs?: number; key?: KeyPair } = {},
): TestAuthority {
  const key = over.key ?? (over.isRsa ? newRsaKey() : generateKeyPair())
  const { signer, ttlMs = YEAR_MS, nowMs = Date.now() } = over
  const pem = issueAuthority({ key, organization: TRUST_DOMAIN, commonName: name, ttlMs, nowMs, signer })
  return { pem, key, signer: readSigner(pem, key.privateKeyPem) }
}

function newRsaKey(): KeyPair {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return readKeyPair(privateKey.export({ type: 'pkcs8', format: 'pem' }))
}

export function materialOf(root: TestAuthority, over: { rootsPem?: string } = {}): SigningMaterial {
  return readSigningMaterial(
    {
      certificatePem: root.pem,
      privateKeyPem: root.key.privateKeyPem,
      chainPem: '',
      crlPem: '',
      rootsPem: over.rootsPem ?? root.pem,
    },
    Date.now(),
  )
}

/** A source whose material the test changes by hand. */
export class TestSource implements SigningSource {
  #material: SigningMaterial
  readonly #listeners = new Set<() => void>()

  constructor(material: SigningMaterial) {
    this.#material = material
  }

  current(): SigningMaterial {
    return this.#material
  }

  change(material: SigningMaterial): void {
    this.#material = material
    for (const listener of this.#listeners) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  close(): void {
    this.#listeners.clear()
  }
}

/** Lets one token impersonate everybody in namespace `ns`. */
export class TestAuthorizer implements CaAuthorizer {
  readonly seen: Caller[] = []

  async authenticate({ token }: ShownToken): Promise<void> {
    if (token !== NODE_TOKEN) throw new AuthorizationError('unauthenticated', 'unknown token')
  }

  async authorize(caller: Caller): Promise<SpiffeId> {
    this.seen.push(caller)
    const { token, impersonated } = caller
    if (token !== NODE_TOKEN) throw new AuthorizationError('unauthenticated', 'unknown token')
    if (impersonated === undefined) return SpiffeId.of(TRUST_DOMAIN, 'own', 'identity')
    if (impersonated.namespace === 'ns') return impersonated
    throw new AuthorizationError('impersonation-refused', 'not on this node')
  }
}

export interface Running {
  readonly server: CaServer
  readonly client: CaClient
  readonly clientFor: (over: Partial<CaClientOptions>) => CaClient
}

/** A server on a free loopback port, and a client that trusts its root; both go when the test ends. */
export async function startCa(
  t: Teardown,
  source: SigningSource,
  server: Partial<CaServerOptions> = {},
): Promise<Running> {
  const running = await createCaServer({
    listen: { address: '127.0.0.1', port: 0 },
    source,
    servingNames: ['localhost', '127.0.0.1'],
    trustDomain: TRUST_DOMAIN,
    authorizer: new TestAuthorizer(),
    defaultTtlMs: 86_400_000,
    maxTtlMs: 90 * 86_400_000,
    clock: systemClock,
    log: silentLog,
    ...server,
  })
  t.teardown(() => running.close())
  const clientFor = (over: Partial<CaClientOptions>): CaClient => {
    const client = createCaClient({
      address: `https://127.0.0.1:${running.address.port}`,
      roots: source.current().rootsPem,
      token: { value: NODE_TOKEN },
      clusterId: 'Kubernetes',
      secretTtlMs: 3_600_000,
      impersonate: true,
      clock: systemClock,
      log: silentLog,
      ...over,
    })
    t.teardown(() => client.close())
    return client
  }
  return { server: running, client: clientFor({}), clientFor }
}

export async function temporaryDirectory(t: Teardown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ambit-ca-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Writes the files of a `cacerts` directory. */
export async function writeAuthority(
  directory: string,
  authority: TestAuthority,
  over: { rootsPem: string; chainPem?: string },
): Promise<void> {
  await writeFile(join(directory, 'ca-cert.pem'), authority.pem)
  await writeFile(join(directory, 'ca-key.pem'), authority.key.privateKeyPem, { mode: 0o600 })
  await writeFile(join(directory, 'root-cert.pem'), over.rootsPem)
  await writeFile(join(directory, 'cert-chain.pem'), over.chainPem ?? '')
}

/** Waits until `condition` holds; for what happens on disk or on the network, where no fake clock reaches. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    if (await condition()) return
    await sleep(5)
  }
  throw new Error(`still not true: ${condition.toString()}`)
}

/** A log that keeps its lines. */
export function keepingLog(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const keep =
    (level: string): Log['info'] =>
    (message, fields) =>
      lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
  return { lines, log: { error: keep('error'), warn: keep('warn'), info: keep('info'), debug: keep('debug') } }
}
