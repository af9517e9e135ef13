import { readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { canonicalAddress } from '@ambit/shared/io'
import { IN_POD_TABLE, inPodRules, removeInPodRules } from './in-pod-rules.ts'
import { loopbackRouting } from './loopback-routing.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { NftTable } from './nft-table.ts'

/** Where the kernel moves connections that wait at a listener which closes to another listener of the port. */
const MIGRATE = '/proc/sys/net/ipv4/tcp_migrate_req'

/** The redirection of one pod's TCP traffic to the proxy: netfilter rules and a route, in the pod's namespace. */
export class Redirection {
  readonly #namespace: NetworkNamespace
  readonly #packetMark: number
  readonly #table: NftTable
  #isInstalled = false
  #last: Promise<unknown> = Promise.resolve()

  constructor(namespace: NetworkNamespace, { packetMark }: { readonly packetMark: number }) {
    this.#namespace = namespace
    this.#packetMark = packetMark
    this.#table = new NftTable(namespace, IN_POD_TABLE)
  }

  /** Puts it in place, or in place again; established connections live on. Throws NftError or SystemCallError. */
  install(): Promise<void> {
    return this.#oneAtATime(() => this.#install())
  }

  /** Compares with what was installed and mends what someone changed; 0.2 ms where nobody did. Names what was wrong. */
  mend(): Promise<readonly ('routing' | 'rules')[]> {
    return this.#oneAtATime(async () => {
      if (!this.#isInstalled) return []
      const routing = loopbackRouting.ensure(this.#namespace)
      const areRulesIntact = await this.#table.isIntact()
      if (!areRulesIntact) await this.#install()
      return [...(routing === 'mended' ? (['routing'] as const) : []), ...(areRulesIntact ? [] : (['rules'] as const))]
    })
  }

  /** Takes it away; the pod's new connections are direct from then on. Idempotent. */
  remove(): Promise<void> {
    return this.#oneAtATime(async () => {
      this.#isInstalled = false
      await this.#table.remove(removeInPodRules())
      loopbackRouting.remove(this.#namespace)
    })
  }

  async #install(): Promise<void> {
    loopbackRouting.add(this.#namespace)
    allowMigration(this.#namespace)
    await this.#table.apply(inPodRules(this.#packetMark))
    this.#isInstalled = true
  }

  /** Whoever mends must not put back what another is taking away. */
  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => {}) // whoever asked for it is told
    return result
  }
}

/**
 * Sets tcp_migrate_req, so that a ztunnel which closes its listeners hands what waits there to its successor (Linux 5.14; for
 * each namespace by itself). Where /proc/sys is read-only the listener is emptied before it closes, which leaves microseconds.
 */
function allowMigration(namespace: NetworkNamespace): void {
  namespace.run(() => {
    try {
      if (readFileSync(MIGRATE, 'utf8').trim() !== '1') writeFileSync(MIGRATE, '1')
    } catch {
      // Not there or not ours to write.
    }
  })
}

/** The addresses of a pod that others may reach: all of its interfaces but lo, link-local ones left out. */
export function addressesIn(namespace: NetworkNamespace): readonly string[] {
  const interfaces = namespace.run(() => networkInterfaces())
  return Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => canonicalAddress(address))
}
