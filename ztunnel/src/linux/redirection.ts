import { readFileSync, writeFileSync } from 'node:fs'
import { OneAtATime } from '../one-at-a-time.ts'
import { CAPTURING_CHAINS, IN_POD_TABLE, inPodRules } from './in-pod-rules.ts'
import { loopbackRouting } from './loopback-routing.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { NftTable } from './nft-table.ts'

/** Where an accepted socket takes over the mark of what it accepts: good with the rules for it only (see inPodRules). */
const INHERIT_MARK = 'tcp_fwmark_accept'
/**
 * Where the kernel moves connections that wait at a listener which closes to another listener of the port: so a ztunnel hands
 * them to its successor (Linux 5.14). Without it the listener is emptied before it closes, which leaves microseconds.
 */
const MIGRATE = 'tcp_migrate_req'

/** The redirection of one pod's TCP traffic to the proxy: netfilter rules and a route, in the pod's namespace. */
export class Redirection {
  readonly #namespace: NetworkNamespace
  readonly #packetMark: number
  readonly #table: NftTable
  /** Whoever mends must not put back what another is taking away. */
  readonly #turns = new OneAtATime()
  #isInstalled = false

  constructor(namespace: NetworkNamespace, { packetMark }: { readonly packetMark: number }) {
    this.#namespace = namespace
    this.#packetMark = packetMark
    this.#table = new NftTable(namespace, IN_POD_TABLE)
  }

  /** Puts it in place, or in place again; established connections live on. Throws NftError or SystemCallError. */
  install(): Promise<void> {
    return this.#turns.run(() => this.#install())
  }

  /** Compares with what was installed and mends what someone changed; 0.2 ms where nobody did. Names what was wrong. */
  mend(): Promise<readonly ('routing' | 'rules')[]> {
    return this.#turns.run(async () => {
      if (!this.#isInstalled) return []
      const routing = loopbackRouting.ensure(this.#namespace)
      const areRulesIntact = await this.#table.isIntact()
      if (!areRulesIntact) await this.#install()
      return [...(routing === 'mended' ? (['routing'] as const) : []), ...(areRulesIntact ? [] : (['rules'] as const))]
    })
  }

  /** The pod's new connections are direct from now on; those that are open stay on their way until it is taken away. */
  passNew(): Promise<void> {
    return this.#turns.run(async () => {
      this.#isInstalled = false
      await this.#table.empty(CAPTURING_CHAINS)
    })
  }

  /** Takes it away, and every connection from its way. Idempotent. */
  remove(): Promise<void> {
    return this.#turns.run(async () => {
      this.#isInstalled = false
      setSysctl(this.#namespace, INHERIT_MARK, '0')
      await this.#table.remove()
      loopbackRouting.remove(this.#namespace)
    })
  }

  async #install(): Promise<void> {
    loopbackRouting.add(this.#namespace)
    setSysctl(this.#namespace, MIGRATE, '1')
    await this.#table.replace(inPodRules(this.#packetMark))
    setSysctl(this.#namespace, INHERIT_MARK, '1')
    this.#isInstalled = true
  }
}

/** For IPv4 and IPv6. Where /proc/sys is read-only, or the kernel older, all works without. */
function setSysctl(namespace: NetworkNamespace, name: string, value: '0' | '1'): void {
  const path = `/proc/sys/net/ipv4/${name}`
  namespace.run(() => {
    try {
      if (readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, value)
    } catch {
      // Not there or not ours to write.
    }
  })
}
