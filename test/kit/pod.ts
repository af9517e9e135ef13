import { command, must, type CommandOptions, type CommandResult } from './command.ts'
import { patienceMs } from './eventually.ts'
import { Program } from './program.ts'
import { inside, NETNS_DIRECTORY, podAddress, type PodPlace } from './topology.ts'

/** What a pod is to the mesh, beside its name. */
export interface PodOptions {
  readonly namespace?: string
  readonly serviceAccount?: string
  /** Programs of pods outside the mesh are spoken to in plaintext. Default HBONE. */
  readonly protocol?: 'HBONE' | 'TCP'
  readonly canonicalName?: string
  readonly policies?: readonly string[]
  /** Services that the pod stands behind: `namespace/hostname` → {service port: target port}. */
  readonly services?: Readonly<Record<string, Readonly<Record<number, number>>>>
  readonly trustDomain?: string
}

/** A pod of the test's mesh: a network namespace with real programs in it. */
export class Pod {
  readonly name: string
  readonly place: PodPlace
  readonly options: PodOptions
  readonly #programs: Program[]
  /** Fields of the pod's workload record as they are written in the file, over the usual ones; `mesh.save()` tells of changes. */
  readonly record: Record<string, unknown> = {}
  /** In the pods file of its node. Change it through the mesh. */
  isEnrolled = false

  constructor(name: string, place: PodPlace, options: PodOptions, programs: Program[]) {
    this.name = name
    this.place = place
    this.options = options
    this.#programs = programs
  }

  get namespace(): string {
    return this.options.namespace ?? 'default'
  }

  get serviceAccount(): string {
    return this.options.serviceAccount ?? this.name
  }

  get identity(): string {
    return `spiffe://${this.options.trustDomain ?? 'cluster.local'}/ns/${this.namespace}/sa/${this.serviceAccount}`
  }

  get v4(): string {
    return podAddress(this.place).v4
  }

  get v6(): string {
    return podAddress(this.place).v6
  }

  get uid(): string {
    return `cluster1//Pod/${this.namespace}/${this.name}`
  }

  get netns(): string {
    return `${NETNS_DIRECTORY}/${this.place.namespace}`
  }

  /** Runs a program in the pod to its end. */
  run(words: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return command([...inside(this.place.namespace), ...words], options)
  }

  must(words: readonly string[], options?: CommandOptions): Promise<string> {
    return must([...inside(this.place.namespace), ...words], options)
  }

  /** Starts a program in the pod; the mesh's teardown stops it. */
  start(name: string, words: readonly string[], env?: Readonly<Record<string, string>>): Program {
    const program = new Program(`${this.name}/${name}`, [...inside(this.place.namespace), ...words], { env: env ?? {} })
    this.#programs.push(program)
    return program
  }

  /** Body of an HTTP answer, or the error of curl. `host` may be an IPv6 address. */
  async curl(
    host: string,
    port: number,
    path = '/',
    flags: readonly string[] = [],
  ): Promise<CommandResult & { readonly ok: boolean }> {
    const address = host.includes(':') ? `[${host}]` : host
    const result = await this.run([
      'curl',
      '-sS',
      '-g',
      '--noproxy',
      '*',
      '-m',
      String(patienceMs / 1_000),
      ...flags,
      `http://${address}:${port}${path}`,
    ])
    return { ...result, ok: result.code === 0 }
  }

  /** The workload record of this pod for a LOCAL_XDS_PATH file. */
  workload(node: string): Readonly<Record<string, unknown>> {
    const {
      protocol = 'HBONE',
      canonicalName = this.name,
      policies = [],
      services = {},
      trustDomain = 'cluster.local',
    } = this.options
    return {
      uid: this.uid,
      name: this.name,
      namespace: this.namespace,
      serviceAccount: this.serviceAccount,
      trustDomain,
      workloadIps: [this.v4, this.v6],
      protocol: this.isEnrolled ? protocol : 'TCP',
      node,
      clusterId: 'Kubernetes',
      workloadName: this.name,
      workloadType: 'deployment',
      canonicalName,
      canonicalRevision: 'v1',
      authorizationPolicies: policies,
      services,
      ...this.record,
    }
  }
}
