import { formatSocketAddress } from '../io/index.ts'
import type { ConnectionInfo, EarlyDenial, Outcome } from './connection-info.ts'
import type { ScopedLog } from './create-log.ts'
import type { LogFields } from './log.ts'
import { destinationIdentity } from './traffic-labels.ts'

/** What is known of a connection once it has ended. Bytes as Splice counts them: A downstream, B upstream. */
export interface Completion {
  readonly bytesAtoB: number
  readonly bytesBtoA: number
  readonly durationMs: number
  readonly outcome: Outcome
}

/** Istio's access log: one line per connection with the same keys in the same order whether it went well or not. */
export class AccessLog {
  readonly #log: ScopedLog

  /** Writes to the target `access` of `log`, so that it has a level of its own. */
  constructor(log: ScopedLog) {
    this.#log = log.target('access')
  }

  opened(info: ConnectionInfo): void {
    if (!this.#log.enabled('debug')) return
    this.#log.debug('connection opened', fields(info))
  }

  completed(info: ConnectionInfo, completion: Completion): void {
    const { outcome } = completion
    if (outcome === 'success') {
      if (this.#log.enabled('info')) this.#log.info('connection complete', fields(info, completion))
    } else {
      this.#log.error('connection complete', fields(info, completion))
    }
  }

  denied({ direction, src, dst, error }: EarlyDenial): void {
    const denial = { 'src.addr': formatSocketAddress(src), 'dst.addr': formatSocketAddress(dst), direction, error }
    this.#log.warn('connection failed', denial)
  }
}

/** The order of the keys is that of the line; undefined ones are left out. */
function fields(info: ConnectionInfo, end?: Completion): LogFields {
  const { direction, src, dst, mutualTls } = info
  const isOutbound = direction === 'outbound'
  return {
    'src.addr': formatSocketAddress(src.addr),
    'src.workload': present(
      src.workload?.name,
      src.workload?.canonicalName,
      src.baggage?.serviceName,
      src.baggage?.workloadName,
    ),
    'src.namespace': present(src.workload?.namespace, src.baggage?.namespace),
    'src.identity': mutualTls ? src.identity?.toString() : undefined,
    'src.cluster': present(src.workload?.clusterId, src.baggage?.clusterId),
    'dst.addr': formatSocketAddress(dst.addr),
    'dst.hbone_addr': dst.hboneAddr,
    'dst.service': present(dst.service?.hostname),
    'dst.workload': present(
      dst.workload?.name,
      dst.workload?.canonicalName,
      dst.baggage?.serviceName,
      dst.baggage?.workloadName,
    ),
    'dst.namespace': present(dst.workload?.namespace, dst.baggage?.namespace),
    'dst.identity': mutualTls ? destinationIdentity(info) : undefined,
    'dst.cluster': present(dst.workload?.clusterId, dst.baggage?.clusterId),
    direction,
    // From the local workload's side: what it sent went upstream when it opened the connection, downstream otherwise.
    bytes_sent: isOutbound ? end?.bytesAtoB : end?.bytesBtoA,
    bytes_recv: isOutbound ? end?.bytesBtoA : end?.bytesAtoB,
    duration: end && `${end.durationMs}ms`,
    error: end && end.outcome !== 'success' ? end.outcome.error : undefined,
  }
}

function present(...values: readonly (string | undefined)[]): string | undefined {
  return values.find((value) => value !== undefined && value !== '')
}
