import { addressKey } from './address-key.ts'
import { familyOf, networkBits, type Family } from '../ip/index.ts'
import { serviceKey, type NetworkCidr, type Service } from './service.ts'

/**
 * The services that claim one hostname or address, by namespace. Of one namespace the last to come counts (Istio keeps no
 * other); an earlier one counts again when that has gone.
 */
type ByNamespace = Map<string, Service[]>

/** Services by hostname, by exact address and by range. Lookups cost a few map reads, whatever the number of services. */
export class ServiceIndex {
  readonly #byKey = new Map<string, Service>()
  readonly #byHostname = new Map<string, ByNamespace>()
  readonly #byVip = new Map<string, ByNamespace>()
  readonly #byRange = new Map<string, RangeIndex>()

  get size(): number {
    return this.#byKey.size
  }

  all(): IterableIterator<Service> {
    return this.#byKey.values()
  }

  get(key: string): Service | undefined {
    return this.#byKey.get(key)
  }

  /** Replaces the service of the same key. */
  insert(service: Service): void {
    const key = serviceKey(service)
    this.remove(key)
    this.#byKey.set(key, service)
    claim(this.#byHostname, service.hostname, service)
    for (const { network, address } of service.vips) claim(this.#byVip, addressKey(network, address), service)
    for (const range of service.cidrVips) this.#ranges(range).insert(range, service)
  }

  remove(key: string): void {
    const service = this.#byKey.get(key)
    if (!service) return
    this.#byKey.delete(key)
    release(this.#byHostname, service.hostname, service)
    for (const { network, address } of service.vips) release(this.#byVip, addressKey(network, address), service)
    for (const range of service.cidrVips) this.#ranges(range).remove(range, service)
  }

  /**
   * The service that an address belongs to, as `clientNamespace` sees it: an exact address wins over ranges, and where the
   * exact one is not visible a range still may be. Without a client namespace nothing is hidden.
   */
  byVip(network: string, address: string, clientNamespace: string | undefined): Service | undefined {
    const exact = best(this.#byVip.get(addressKey(network, address)), clientNamespace)
    if (exact || this.#byRange.size === 0) return exact
    const family = familyOf(address)
    return family && this.#byRange.get(`${network}/${family}`)?.find(address, family, clientNamespace)
  }

  byHostname(hostname: string, clientNamespace: string | undefined): Service | undefined {
    return best(this.#byHostname.get(hostname), clientNamespace)
  }

  #ranges({ network, cidr }: NetworkCidr): RangeIndex {
    const key = `${network}/${familyOf(cidr.address) ?? ''}`
    const found = this.#byRange.get(key) ?? new RangeIndex()
    this.#byRange.set(key, found)
    return found
  }
}

/** Ranges of one network and family: one map for each prefix length in use, so a lookup reads at most 33 or 129 of them. */
class RangeIndex {
  readonly #byLength = new Map<number, Map<bigint, Service[]>>()
  #lengths: number[] = []

  insert({ cidr }: NetworkCidr, service: Service): void {
    const ranges = this.#byLength.get(cidr.length) ?? new Map<bigint, Service[]>()
    this.#byLength.set(cidr.length, ranges)
    append(ranges, networkBits(cidr.address, cidr.length), service)
    this.#sortLengths()
  }

  remove({ cidr }: NetworkCidr, service: Service): void {
    const ranges = this.#byLength.get(cidr.length)
    if (!ranges) return
    drop(ranges, networkBits(cidr.address, cidr.length), service)
    if (ranges.size === 0) this.#byLength.delete(cidr.length)
    this.#sortLengths()
  }

  /** Own namespace first, then the longest prefix, then canonical; the first inserted wins a tie (Istio's order). */
  find(address: string, family: Family, clientNamespace: string | undefined): Service | undefined {
    let found: Service | undefined
    let foundRank = -1
    const bits = family === 4 ? 32 : 128
    const whole = networkBits(address, bits)
    for (const length of this.#lengths) {
      const host = BigInt(bits - length)
      for (const service of this.#byLength.get(length)?.get((whole >> host) << host) ?? []) {
        if (!visible(service, clientNamespace)) continue
        const rank = (service.namespace === clientNamespace ? 1_000 : 0) + length * 2 + (service.canonical ? 1 : 0)
        if (rank > foundRank) {
          found = service
          foundRank = rank
        }
      }
    }
    return found
  }

  #sortLengths(): void {
    this.#lengths = [...this.#byLength.keys()].sort((a, b) => b - a)
  }
}

/** Among services of one name or address: the client's own namespace, else canonical (the last), else the first. */
function best(claims: ByNamespace | undefined, clientNamespace: string | undefined): Service | undefined {
  if (!claims) return undefined
  const own = clientNamespace === undefined ? undefined : claims.get(clientNamespace)?.at(-1)
  if (own) return own
  let first: Service | undefined
  let canonical: Service | undefined
  for (const services of claims.values()) {
    const service = services.at(-1)
    if (!service || !visible(service, clientNamespace)) continue
    first ??= service
    if (service.canonical) canonical = service
  }
  return canonical ?? first
}

function visible(service: Service, clientNamespace: string | undefined): boolean {
  return service.visibility === 'Public' || clientNamespace === undefined || service.namespace === clientNamespace
}

function claim(index: Map<string, ByNamespace>, key: string, service: Service): void {
  const claims = index.get(key) ?? new Map<string, Service[]>()
  index.set(key, claims)
  append(claims, service.namespace, service)
}

function release(index: Map<string, ByNamespace>, key: string, service: Service): void {
  const claims = index.get(key)
  if (!claims) return
  drop(claims, service.namespace, service)
  if (claims.size === 0) index.delete(key)
}

function append<Key>(index: Map<Key, Service[]>, key: Key, service: Service): void {
  const found = index.get(key)
  if (!found) index.set(key, [service])
  else if (!found.includes(service)) found.push(service)
}

function drop<Key>(index: Map<Key, Service[]>, key: Key, service: Service): void {
  const rest = index.get(key)?.filter((other) => other !== service) ?? []
  if (rest.length > 0) index.set(key, rest)
  else index.delete(key)
}
