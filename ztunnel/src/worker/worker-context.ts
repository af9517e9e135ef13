import type { CrlSet } from '@ambit/shared/certificates'
import type { Clock } from '@ambit/shared/clock'
import type { NameResolver } from '@ambit/shared/dns'
import type { HboneLimits, HeldMemory, Leftovers } from '@ambit/shared/hbone'
import type { ByteIo } from '@ambit/shared/io'
import type { Mesh } from '@ambit/shared/mesh'
import type { PolicySet } from '@ambit/shared/policy'
import type { ConnectionRecorder, ScopedLog } from '@ambit/shared/telemetry'
import type { WorkerConfig } from '../config/index.ts'
import type { DescriptorReserve } from './descriptor-reserve.ts'
import type { Handshakes } from './handshakes.ts'
import type { Identities } from './identities.ts'
import type { Recheck } from './recheck.ts'
import type { WaitingClients } from './waiting-clients.ts'

/** What all pods of a worker share. */
export interface WorkerContext {
  readonly config: WorkerConfig
  readonly mesh: Mesh
  readonly policies: PolicySet
  readonly identities: Identities
  readonly names: NameResolver
  readonly io: ByteIo
  readonly recorder: ConnectionRecorder
  readonly log: ScopedLog
  readonly clock: Clock
  /** From 0 up to 1, as Math.random. */
  readonly random: () => number
  readonly hboneLimits: HboneLimits
  readonly leftovers: Leftovers
  readonly heldMemory: HeldMemory
  readonly handshakes: Handshakes
  readonly descriptors: DescriptorReserve
  readonly crl: () => CrlSet | undefined
  readonly recheck: Recheck
  readonly waitingClients: WaitingClients
}
