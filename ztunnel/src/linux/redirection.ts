import { readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { canonicalAddress } from '@ambit/shared/io'
import { IN_POD_TABLE, inPodRules, removeInPodRules } from './in-pod-rules.ts'
import { loopbackRouting } from './loopback-routing.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { applyNft, digestOfTable } from './nftables.ts'

/** Where the kernel moves connections that wait at a listener which closes to another listener of the port. */
const MIGRATE = '/proc/sys/net/ipv4/tcp_migrate_req'

/** The redirection of one pod's TCP traffic to the proxy: netfilter rules and a route, in the pod's namespace. */
export class Redirection {
  readonly #namespace: NetworkNamespace
  readonly #packetMark: number
  #digest: string | undefined

  constructor(namespace: NetworkNamespace, { packetMark }: { readonly packetMark: number }) {
    this.#namespace = namespace
    this.#packetMark = packetMark
  }

  /** Puts it in place, or in place again; established connections live on. Throws NftError or SystemCallError. */
  async install(): Promise<void> {
    loopbackRouting.add(this.#namespace)
    allowMigration(this.#namespace)
    await applyNft(this.#namespace, inPodRules(this.#packetMark))
    this.#digest = await digestOfTable(this.#namespace, IN_POD_TABLE)
  }

  /** Compares with what was installed and mends what someone changed. 10 ms. */
  async mend(): Promise<'intact' | 'mended'> {
    const routing = loopbackRouting.ensure(this.#namespace)
    const rulesIntact = (await digestOfTable(this.#namespace, IN_POD_TABLE)) === this.#digest
    if (rulesIntact && routing === 'present') return 'intact'
    await this.install()
    return 'mended'
  }

  /** Takes it away; the pod's new connections are direct from then on. Idempotent. */
  async remove(): Promise<void> {
    await applyNft(this.#namespace, removeInPodRules())
    loopbackRouting.remove(this.#namespace)
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
