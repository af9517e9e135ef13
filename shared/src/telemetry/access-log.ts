import { formatSocketAddress } from '../ip/index.ts'
import type { ConnectionInfo, EarlyDenial, Outcome, SourceInfo } from './connection-info.ts'
import type { ScopedLog } from './create-log.ts'
import { destinationIdentity } from './traffic-labels.ts'

/** What is known of a connection once it has ended. Bytes as Splice counts them: A downstream, B upstream. */
export interface Completion {
  readonly bytesAtoB: number
  readonly bytesBtoA: number
  readonly durationMs: number
  readonly outcome: Outcome
}

/** What lines about connections between the same two ends have in common, as written, with a separator before it. */
export interface EndsText {
  readonly source: string
  readonly destination: string
}

/** Longest values; all at their longest together make a line of 3.9 KB, below the 4096 that a line may have. */
const NAME_CHARACTERS = 256
const IDENTITY_CHARACTERS = 384
const ERROR_CHARACTERS = 512

/**
 * Istio's access log: one line per connection with the same keys in the same order whether it went well or not; absent
 * values are left out. What repeats between two ends is written once (`ends`) and kept by the caller: 1 µs a line less.
 */
export class AccessLog {
  readonly #log: ScopedLog
  readonly #trustDomain: string

  /** Writes to the target `access` of `log`, so that it has a level of its own. */
  constructor(log: ScopedLog, trustDomain: string) {
    this.#trustDomain = trustDomain
    this.#log = log.target('access')
  }

  ends(info: ConnectionInfo): EndsText {
    const { src, dst, mutualTls, direction } = info
    return {
      source:
        this.#optional('src.workload', workloadName(src), NAME_CHARACTERS) +
        this.#optional('src.namespace', src.workload?.namespace || src.baggage?.namespace, NAME_CHARACTERS) +
        this.#optional('src.identity', mutualTls ? src.identity?.toString() : undefined, IDENTITY_CHARACTERS) +
        this.#optional('src.cluster', src.workload?.clusterId || src.baggage?.clusterId, NAME_CHARACTERS),
      destination:
        this.#optional('dst.service', dst.service?.hostname, NAME_CHARACTERS) +
        this.#optional('dst.workload', workloadName(dst), NAME_CHARACTERS) +
        this.#optional('dst.namespace', dst.workload?.namespace, NAME_CHARACTERS) +
        this.#optional(
          'dst.identity',
          mutualTls ? destinationIdentity(info, this.#trustDomain) : undefined,
          IDENTITY_CHARACTERS,
        ) +
        this.#optional('dst.cluster', dst.workload?.clusterId, NAME_CHARACTERS) +
        this.#optional('direction', direction, NAME_CHARACTERS),
    }
  }

  opened(info: ConnectionInfo, ends: EndsText): void {
    if (this.#log.enabled('debug')) this.#log.written('debug', 'connection opened', this.#who(info, ends))
  }

  completed(info: ConnectionInfo, ends: EndsText, completion: Completion): void {
    const { outcome, durationMs, bytesAtoB, bytesBtoA } = completion
    const level = outcome === 'success' ? 'info' : 'error'
    if (!this.#log.enabled(level)) return
    const { format } = this.#log
    const { separator } = format
    // From the local workload's side: what it sent went upstream when it opened the connection, downstream otherwise.
    const isOutbound = info.direction === 'outbound'
    const sent = format.field('bytes_sent', isOutbound ? bytesAtoB : bytesBtoA, NAME_CHARACTERS)
    const received = format.field('bytes_recv', isOutbound ? bytesBtoA : bytesAtoB, NAME_CHARACTERS)
    const duration = format.field('duration', `${durationMs}ms`, NAME_CHARACTERS)
    const error = outcome === 'success' ? '' : this.#optional('error', outcome.error, ERROR_CHARACTERS)
    const fields = `${this.#who(info, ends)}${separator}${sent}${separator}${received}${separator}${duration}${error}`
    this.#log.written(level, 'connection complete', fields)
  }

  denied({ direction, src, dst, error }: EarlyDenial): void {
    const denial = { 'src.addr': formatSocketAddress(src), 'dst.addr': formatSocketAddress(dst), direction, error }
    this.#log.warn('connection failed', denial)
  }

  #who({ src, dst }: ConnectionInfo, ends: EndsText): string {
    const { format } = this.#log
    const source = format.field('src.addr', formatSocketAddress(src.addr), NAME_CHARACTERS)
    const destination = format.field('dst.addr', formatSocketAddress(dst.addr), NAME_CHARACTERS)
    const authority = this.#optional('dst.hbone_addr', dst.hboneAddr, NAME_CHARACTERS)
    return `${source}${ends.source}${format.separator}${destination}${authority}${ends.destination}`
  }

  /** The field with a separator before it, or nothing where there is no value. */
  #optional(key: string, value: string | undefined, limit: number): string {
    if (value === undefined || value === '') return ''
    return this.#log.format.separator + this.#log.format.field(key, value, limit)
  }
}

/** The pod; where the mesh does not know it, what its baggage says. */
function workloadName({ workload, baggage }: Pick<SourceInfo, 'workload' | 'baggage'>): string | undefined {
  return workload?.name || workload?.canonicalName || baggage?.serviceName || baggage?.workloadName
}
