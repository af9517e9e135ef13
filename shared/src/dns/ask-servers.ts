import { NODATA, NOTFOUND, promises, CANCELLED, TIMEOUT, type RecordWithTtl } from 'node:dns'
import type { Clock, Timer } from '../clock/index.ts'
import { messageOf } from '../errors/index.ts'
import { canonicalAddress } from '../ip/index.ts'
import { DnsError } from './dns-error.ts'
import type { Addresses } from './pick-address.ts'

/** The addresses of a name. */
export interface Answer extends Addresses {
  /** How long all of it holds. */
  readonly ttlMs: number
  /** The other family could not be had: it may have addresses as well. */
  readonly isIncomplete: boolean
}

/** Questions under way. */
export interface Query {
  /** Rejects with DnsError only. */
  readonly answer: Promise<Answer>
  /** Ends it soon, with what was answered until now. */
  cancel(): void
}

/** Which servers are asked, and for what. */
export interface AskOptions {
  readonly clock: Clock
  /** Without it no IPv6 address is asked for. */
  readonly ipv6Enabled: boolean
  /** `address` or `address:port`. Those of /etc/resolv.conf by default. */
  readonly servers?: readonly string[]
}

/** Before the next server, or the same one once more, is asked; grows from try to try up to the second value. */
const PATIENCE_MS = { timeout: 1_000, maxTimeout: 2_000 }
const TRIES = 3
/**
 * How long an answer with addresses waits for that of the other family: one question or answer may be lost. Some name servers
 * drop what they do not know, AAAA that is. (RFC 8305, 3 would wait 50 ms, but then go on asking.)
 */
const OTHER_FAMILY_MS = 1_500
/** Of each family, of one name. */
const MAX_ADDRESSES = 256

/**
 * Asks the name servers for A and AAAA records in parallel. The name is absolute, as a ServiceEntry's is: search domains are
 * not tried, which Istio's ztunnel does before the name itself where it has fewer dots than `ndots` of the pod that it runs in,
 * nor is /etc/hosts looked into. Its sockets are made by the calling thread, in the network namespace that the thread is in
 * when it comes back to its event loop.
 *
 * Each call has a resolver of its own (30 µs): it reads /etc/resolv.conf as it is now, and cancelling it ends nothing else.
 */
export function askServers(name: string, { clock, ipv6Enabled, servers }: AskOptions): Query {
  const resolver = new promises.Resolver({ ...PATIENCE_MS, tries: TRIES })
  if (servers) resolver.setServers(servers)
  const v4 = resolver.resolve4(name, { ttl: true })
  const v6 = ipv6Enabled ? resolver.resolve6(name, { ttl: true }) : Promise.resolve([])
  return {
    answer: joined(v4, v6, () => clock.after(OTHER_FAMILY_MS, () => resolver.cancel())),
    cancel: () => resolver.cancel(),
  }
}

async function joined(
  v4: Promise<RecordWithTtl[]>,
  v6: Promise<RecordWithTtl[]>,
  limitWait: () => Timer,
): Promise<Answer> {
  let limit: Timer | undefined
  const first = (records: readonly RecordWithTtl[]): void => {
    if (records.length > 0) limit ??= limitWait()
  }
  v4.then(first, () => {})
  v6.then(first, () => {})
  const outcomes = await Promise.allSettled([v4, v6])
  limit?.cancel()
  const records = outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
  const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [errorOf(outcome.reason)] : []))
  const failure = errors.find(({ code }) => !MEANS_NOTHING_THERE.has(code))
  const all = records.flat()
  if (all.length === 0) {
    throw failure ?? errors.find(({ code }) => code === 'not-found') ?? errors[0] ?? noAddresses()
  }
  const [found4 = [], found6 = []] = records.map((family) =>
    // An AAAA record may hold an IPv4-mapped address, which policy and the other end know as IPv4 only.
    family.slice(0, MAX_ADDRESSES).map(({ address }) => canonicalAddress(address)),
  )
  return {
    v4: found4,
    v6: found6,
    ttlMs: Math.min(...all.slice(0, 2 * MAX_ADDRESSES).map(({ ttl }) => ttl)) * 1_000,
    isIncomplete: failure !== undefined,
  }
}

const MEANS_NOTHING_THERE: ReadonlySet<DnsError['code']> = new Set(['not-found', 'no-addresses'])

/** Node's codes are those of c-ares. All but these mean that the servers, or the name itself, are not in order. */
function errorOf(thrown: unknown): DnsError {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  switch (code) {
    case NOTFOUND:
      return new DnsError('not-found', 'there is no such name', thrown)
    case NODATA:
      return noAddresses(thrown)
    case TIMEOUT:
    case CANCELLED:
      return new DnsError('timeout', 'no name server answered in time', thrown)
    default:
      return new DnsError('failed', `the name servers failed: ${messageOf(thrown)}`, thrown)
  }
}

function noAddresses(cause?: unknown): DnsError {
  return new DnsError('no-addresses', 'the name has no addresses', cause)
}
