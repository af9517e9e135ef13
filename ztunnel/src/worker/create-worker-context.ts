import type { CrlSet } from '@ambit/shared/certificates'
import type { Clock } from '@ambit/shared/clock'
import { askServers, NameResolver } from '@ambit/shared/dns'
import { HeldMemory, Leftovers } from '@ambit/shared/hbone'
import { selectIo } from '@ambit/shared/io'
import { Mesh } from '@ambit/shared/mesh'
import { PolicySet } from '@ambit/shared/policy'
import { createConnectionRecorder, type MetricRegistry, type ScopedLog } from '@ambit/shared/telemetry'
import type { WorkerConfig } from '../config/index.ts'
import { socketNames } from '../linux/index.ts'
import { DescriptorReserve, maxDescriptors } from './descriptor-reserve.ts'
import { Handshakes } from './handshakes.ts'
import { hboneLimits } from './hbone-limits.ts'
import { Identities } from './identities.ts'
import { Recheck } from './recheck.ts'
import { WaitingClients } from './waiting-clients.ts'
import type { WorkerContext } from './worker-context.ts'

export interface WorkerSurroundings {
  readonly clock: Clock
  readonly log: ScopedLog
  readonly metrics: MetricRegistry
  /** Asks the control process for the certificate of an identity; the answer goes to `identities`. */
  readonly requestCertificate: (identity: string) => void
  /** The revocation lists as of now. */
  readonly crl: () => CrlSet | undefined
}

/** What the pods of a worker share, with nothing in it yet: the control process fills it. */
export async function createWorkerContext(
  config: WorkerConfig,
  { clock, log, metrics, requestCertificate, crl }: WorkerSurroundings,
): Promise<WorkerContext> {
  return {
    config,
    mesh: new Mesh({ nodeName: config.nodeName }),
    policies: new PolicySet(),
    log,
    clock,
    random: Math.random,
    io: await selectIo({ log, prefer: config.io, names: socketNames }),
    recorder: createConnectionRecorder({ registry: metrics, log, clock, trustDomain: config.trustDomain }),
    identities: new Identities({ request: requestCertificate, compliance: config.compliance }),
    names: new NameResolver({
      clock,
      ask: (name) => askServers(name, { clock, ipv6Enabled: config.ipv6Enabled }),
    }),
    hboneLimits: hboneLimits(config),
    leftovers: new Leftovers({ clock }),
    heldMemory: new HeldMemory(config.maxHeldMemoryBytes),
    handshakes: new Handshakes(),
    descriptors: new DescriptorReserve({ max: maxDescriptors(), clock, log }),
    crl,
    recheck: new Recheck({ clock, soon: setImmediate }),
    waitingClients: new WaitingClients(clock),
  }
}
