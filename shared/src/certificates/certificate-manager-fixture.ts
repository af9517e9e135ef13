// What the manager's tests share: a CA answered by hand and a manager on a fake clock.
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import { silentLog } from '../log/index.ts'
import type { CertificateFetcher } from './certificate-fetcher.ts'
import { CertificateManager, type CertificateManagerOptions } from './certificate-manager.ts'
import type { WorkloadCertificate } from './workload-certificate.ts'

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

export function idOf(name: string): SpiffeId {
  return SpiffeId.of('cluster.local', 'ns', name)
}

interface Call {
  readonly name: string
  readonly identity: SpiffeId
  readonly signal: AbortSignal
  succeed(over?: Partial<WorkloadCertificate>): WorkloadCertificate
  fail(error: Error): void
}

/** A CA whose answers the test gives by hand, or by itself after `latencyMs` when `automatic`. */
export class TestCa implements CertificateFetcher {
  readonly calls: Call[] = []
  readonly #clock: FakeClock
  readonly automatic: { latencyMs: number } | undefined
  active = 0
  mostActive = 0
  #serial = 0

  constructor(clock: FakeClock, automatic?: { latencyMs: number }) {
    this.#clock = clock
    this.automatic = automatic
  }

  fetch(identity: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate> {
    this.active++
    this.mostActive = Math.max(this.mostActive, this.active)
    return new Promise<WorkloadCertificate>((resolve, reject) => {
      const call: Call = {
        name: identity.serviceAccount,
        identity,
        signal,
        succeed: (over) => {
          const certificate = this.#certificate(identity, over)
          resolve(certificate)
          return certificate
        },
        fail: reject,
      }
      this.calls.push(call)
      if (this.automatic) this.#clock.after(this.automatic.latencyMs, () => void call.succeed())
    }).finally(() => {
      this.active--
    })
  }

  get names(): string[] {
    return this.calls.map(({ name }) => name)
  }

  last(): Call {
    const call = this.calls.at(-1)
    if (!call) throw new Error('the CA was not called')
    return call
  }

  #certificate(identity: SpiffeId, over: Partial<WorkloadCertificate> = {}): WorkloadCertificate {
    const now = this.#clock.now()
    const serialNumber = String(++this.#serial)
    const common = { identity, privateKeyPem: 'key', chainPem: ['leaf'], rootsPem: ['root'], serialNumber }
    return { ...common, notBeforeMs: now, notAfterMs: now + DAY_MS, ...over }
  }
}

export function setUp(over: Partial<CertificateManagerOptions> & { automatic?: { latencyMs: number } } = {}): {
  clock: FakeClock
  ca: TestCa
  manager: CertificateManager
} {
  const { automatic, ...options } = over
  const clock = new FakeClock()
  const ca = new TestCa(clock, automatic)
  const manager = new CertificateManager({ fetcher: ca, clock, random: () => 0.5, log: silentLog, ...options })
  return { clock, ca, manager }
}

/** Lets everything already resolved run on. */
export async function settled(clock: FakeClock): Promise<void> {
  await clock.advance(0)
}

/** The outcome of a promise without waiting for it. */
export function watch<T>(promise: Promise<T>): { value?: T; error?: unknown; readonly isPending: boolean } {
  const seen: { value?: T; error?: unknown; isPending: boolean } = { isPending: true }
  promise.then(
    (value) => Object.assign(seen, { value, isPending: false }),
    (error: unknown) => Object.assign(seen, { error, isPending: false }),
  )
  return seen
}
