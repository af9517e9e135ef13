import { startNginx, WEB_PORT } from '../demo/programs.ts'
import type { Pod, TestMesh, TestNode } from '../kit/index.ts'

const ZONE = 'corp.test'
/** Where a name server is asked for in vain: an address of the fabric that nobody has. */
const NOBODY = '192.168.50.77'
/** Longer than a story needs. */
const TTL_SECONDS = 60

interface Endpoint {
  /** HBONE: in the mesh. Default TCP. */
  readonly protocol?: 'TCP' | 'HBONE'
  /** What its name stands for: by default the pod's own; none where there is no such name, `silence` where nobody answers. */
  readonly addresses?: ((pod: Pod) => readonly string[]) | 'silence'
}

/** A service and the only pod behind it. */
export interface NamedService {
  readonly vip: string
  readonly pod: Pod
}

/** The name server of a zone. */
export interface NameServer {
  /** How often a name of the zone was asked for. */
  asked(name: string): number
  readonly output: string
}

/** Services whose endpoints the mesh knows by their names in a zone only: real pods, all on one node, and a real name server. */
export class NamedServices {
  readonly #mesh: TestMesh
  readonly #node: TestNode
  /** What dnsmasq is told of each name. */
  readonly #zone: string[] = [`--local=/${ZONE}/`]
  #lastVip = 0

  constructor(mesh: TestMesh, node: TestNode) {
    this.#mesh = mesh
    this.#node = node
  }

  /** A service `name.example` at a virtual address of its own, which is answered. */
  service(name: string): string {
    const vip = `10.96.7.${++this.#lastVip}`
    const hostname = `${name}.example`
    this.#mesh.services.push({ name, namespace: 'default', hostname, vips: [`/${vip}`], ports: { 80: WEB_PORT } })
    return vip
  }

  /** A pod with a web server behind a service, known as `name` in the zone. */
  async endpoint(
    service: string,
    name: string,
    { protocol = 'TCP', addresses = ownAddresses }: Endpoint = {},
  ): Promise<Pod> {
    const services = { [`default/${service}.example`]: { 80: WEB_PORT } }
    const pod = await this.#node.pod(name, { services, protocol })
    Object.assign(pod.record, { workloadIps: [], hostname: nameIn(name) })
    startNginx(this.#mesh, pod)
    if (addresses === 'silence') this.#zone.push(`--server=/${nameIn(name)}/${NOBODY}`)
    else this.#record(name, addresses(pod))
    return pod
  }

  /** A service with one endpoint, of the same name. */
  async single(name: string, endpoint?: Endpoint): Promise<NamedService> {
    return { vip: this.service(name), pod: await this.endpoint(name, name, endpoint) }
  }

  /** Starts the name server of the zone on a node's own loopback, where nobody comes to from a pod. */
  async serve(node: TestNode): Promise<NameServer> {
    const dns = node.start('dnsmasq', [
      'dnsmasq',
      '--no-daemon',
      '--no-resolv',
      '--no-hosts',
      '--conf-file=/dev/null',
      '--bind-interfaces',
      '--listen-address=127.0.0.1',
      '--log-queries',
      ...this.#zone,
    ])
    await dns.says(/started/)
    return {
      asked: (name) => dns.output.split(`] ${nameIn(name)} from`).length - 1,
      get output() {
        return dns.output
      },
    }
  }

  #record(name: string, addresses: readonly string[]): void {
    if (addresses.length > 0) this.#zone.push(`--host-record=${[nameIn(name), ...addresses, TTL_SECONDS].join(',')}`)
  }
}

function ownAddresses({ v4, v6 }: Pod): readonly string[] {
  return [v4, v6]
}

/** The whole name of one of the zone. */
export function nameIn(name: string): string {
  return `${name}.${ZONE}`
}
