import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Capture } from './capture.ts'
import { eventually } from './eventually.ts'
import { Janitor } from './janitor.ts'
import { MeshFiles, type Resource } from './mesh-files.ts'
import { TestNode } from './node.ts'
import type { Pod } from './pod.ts'
import { familyOf, inNetworks } from './processes.ts'
import { Program } from './program.ts'
import { namespacesOf, outlasting } from './remains.ts'
import { namespacePrefix } from './run-id.ts'
import { createFabric, createNode, createPod, FABRIC_V4, inside, NETNS_DIRECTORY } from './topology.ts'
import { ZtunnelProcess } from './ztunnel-process.ts'

const CA_MAIN = fileURLToPath(new URL('../../shared/src/ca/main.ts', import.meta.url))
const CA_PORT = 15_012
/** ztunnels that replace another one. */
const FIRST_SUCCESSOR = 200

interface ZtunnelStart {
  readonly name: string
  /** Where it runs. */
  readonly namespace: string
  /** The program that runs its main file; Node by default. */
  readonly under?: readonly string[]
}

/** A mesh for one test: nodes and pods in network namespaces of its own, a CA, and a ztunnel on each node. */
export class TestMesh {
  readonly files = new MeshFiles()
  readonly nodes = new Map<string, TestNode>()
  readonly policies: Resource[] = []
  readonly services: Resource[] = []
  /** Pods with a ztunnel of their own (see startDedicated); named before the CA starts. */
  readonly dedicated: Pod[] = []
  /** Environment of every ztunnel that is started from now on. */
  readonly environment: Record<string, string> = {}
  /** Output of ztunnels goes to files of the mesh instead of being collected. */
  logsToFiles = false
  readonly #prefix = `${namespacePrefix()}${process.pid.toString(36)}${randomBytes(2).toString('hex')}`
  readonly #programs: Program[] = []
  readonly #ztunnels: ZtunnelProcess[] = []
  readonly #captures: Capture[] = []
  readonly #janitor = new Janitor(this.#prefix, this.files.directory)
  readonly #extraNamespaces: string[] = []
  /** After `close` without faults: what was looked at. */
  lookedAt = ''
  /** What is being built just now. */
  readonly #building = new Set<Promise<unknown>>()
  #closed: Promise<readonly string[]> | undefined
  #successors = 0
  #ca: Program | undefined

  private constructor() {}

  /** An empty fabric. Whoever creates a mesh closes it. */
  static async create(): Promise<TestMesh> {
    const mesh = new TestMesh()
    await mesh.#build(() => createFabric(mesh.fabric))
    return mesh
  }

  get fabric(): string {
    return `${this.#prefix}-fabric`
  }

  get pods(): readonly Pod[] {
    return [...this.nodes.values()].flatMap(({ pods }) => pods)
  }

  /** Every namespace of this mesh. */
  get namespaces(): readonly string[] {
    return [
      this.fabric,
      ...[...this.nodes.values()].map(({ place }) => place.namespace),
      ...this.pods.map(({ place }) => place.namespace),
      ...this.#extraNamespaces,
    ]
  }

  /** A new node. */
  async node(name: string): Promise<TestNode> {
    const place = { namespace: `${this.#prefix}-${name}`, index: this.nodes.size + 1 }
    const node = new TestNode(name, place, {
      programs: this.#programs,
      build: (work) => this.#build(work),
    })
    const others = [...this.nodes.values()].map((other) => other.place)
    this.nodes.set(name, node)
    await this.#build(() => createNode(this.fabric, place, others))
    return node
  }

  /** A program of the fabric: neither on a node nor in a pod. */
  start(name: string, words: readonly string[]): Program {
    const program = new Program(name, [...inside(this.fabric), ...words])
    this.#programs.push(program)
    return program
  }

  /** The CA, where one was started and not stopped. */
  get ca(): Program | undefined {
    return this.#ca
  }

  /** Writes the files and starts the CA. */
  async startCa(): Promise<Program> {
    this.save()
    const words = [
      CA_MAIN,
      '--listen',
      `${FABRIC_V4}:${CA_PORT}`,
      '--state-dir',
      this.files.path('ca'),
      '--authorizer',
      this.files.path('authorizer.yaml'),
      '--serving-names',
      FABRIC_V4,
      '--write-root',
      this.files.path('root.pem'),
    ]
    return this.#build(async () => {
      this.#ca = new Program('ca', [...inside(this.fabric), process.execPath, ...words])
      await this.#ca.says(/ready: the CA listens/)
      return this.#ca
    })
  }

  async stopCa(): Promise<void> {
    await this.#ca?.stop()
    this.#ca = undefined
  }

  /** Starts a ztunnel on the node and waits until it is ready; one that runs there already stays. */
  async startZtunnel(
    node: TestNode,
    environment: Readonly<Record<string, string>> = {},
    start: Partial<ZtunnelStart> = {},
  ): Promise<ZtunnelProcess> {
    const place = { name: `ztunnel ${node.name}`, namespace: node.place.namespace, ...start }
    node.ztunnel = await this.#launch(node, environment, place)
    return node.ztunnel
  }

  async #launch(
    node: TestNode,
    environment: Readonly<Record<string, string>>,
    { name, namespace, under = [process.execPath] }: ZtunnelStart,
  ): Promise<ZtunnelProcess> {
    this.save()
    const env = {
      NODE_NAME: node.name,
      XDS_ADDRESS: '',
      LOCAL_XDS_PATH: this.files.path('mesh.yaml'),
      LOCAL_PODS_PATH: this.files.path(`pods-${node.name}.yaml`),
      CA_ADDRESS: `https://${FABRIC_V4}:${CA_PORT}`,
      CA_ROOT_CA: this.files.path('root.pem'),
      AUTH_TOKEN: this.files.path(`token-${node.name}`),
      LOG_FORMAT: 'json',
      ...variant(),
      ...this.environment,
      ...environment,
    }
    const outputFile = this.logsToFiles ? this.files.logPath(`ztunnel-${node.name}.log`) : undefined
    return this.#build(async () => {
      const ztunnel = new ZtunnelProcess(name, namespace, { env, outputFile, under })
      this.#ztunnels.push(ztunnel)
      await ztunnel.ready()
      return ztunnel
    })
  }

  /** Does what `close` must wait for; throws when that has begun. */
  async #build<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error('the mesh is being closed')
    const built = work()
    this.#building.add(built)
    try {
      return await built
    } finally {
      this.#building.delete(built)
    }
  }

  /** A ztunnel for one pod, in that pod's namespace (PROXY_MODE=dedicated). Redirection to it is the caller's business. */
  startDedicated(
    node: TestNode,
    pod: Pod,
    environment: Readonly<Record<string, string>> = {},
    start: Pick<Partial<ZtunnelStart>, 'under'> = {},
  ): Promise<ZtunnelProcess> {
    const env = {
      PROXY_MODE: 'dedicated',
      PROXY_WORKLOAD_INFO: `${pod.namespace}/${pod.name}/${pod.serviceAccount}`,
      AUTH_TOKEN: this.files.path(`token-${pod.name}`),
      ...environment,
    }
    return this.#launch(node, env, { name: `ztunnel of ${pod.name}`, namespace: pod.place.namespace, ...start })
  }

  /**
   * A second ztunnel takes over the pods of a node, in a namespace of its own as the pod of a DaemonSet has; when it is ready
   * the first one is told to end. Resolves with the successor; the first may still be draining.
   */
  async replaceZtunnel(node: TestNode, environment: Readonly<Record<string, string>> = {}): Promise<ZtunnelProcess> {
    const old = node.proxy
    this.#successors++
    const place = {
      namespace: `${this.#prefix}-${node.name}-ztunnel${this.#successors}`,
      node: node.place,
      index: FIRST_SUCCESSOR + this.#successors,
    }
    this.#extraNamespaces.push(place.namespace)
    await this.#build(() => createPod(place))
    const successor = await this.startZtunnel(
      node,
      { AMBIT_HOST_NETNS: `${NETNS_DIRECTORY}/${node.place.namespace}`, ...environment },
      { namespace: place.namespace },
    )
    old.program.signal('SIGTERM')
    return successor
  }

  /** The CA and a ztunnel on every node, all pods enrolled. */
  async up(): Promise<void> {
    for (const pod of this.pods) pod.isEnrolled = (pod.options.protocol ?? 'HBONE') === 'HBONE'
    await this.startCa()
    await Promise.all([...this.nodes.values()].map((node) => this.startZtunnel(node)))
    await this.captured()
  }

  /** Takes pods into the mesh, or out of it, while everything runs; resolves when their nodes have done so. */
  async enrol(pods: readonly Pod[], isEnrolled = true): Promise<void> {
    for (const pod of pods) pod.isEnrolled = isEnrolled
    this.save()
    await this.captured()
  }

  /** Writes all files anew, after a change of policies, services or pods. */
  save(): void {
    const nodes = [...this.nodes.values()]
    this.files.write('mesh.yaml', {
      workloads: nodes.flatMap((node) => node.pods.map((pod) => pod.workload(node.name))),
      policies: this.policies,
      services: this.services,
    })
    this.files.write('authorizer.yaml', {
      nodes: nodes.map(({ name, pods }) => ({
        name,
        token: this.#token(name),
        serviceAccounts: [...new Set(pods.map((pod) => `${pod.namespace}/${pod.serviceAccount}`))],
      })),
      workloads: this.dedicated.map(({ name, namespace, serviceAccount }) => ({
        serviceAccount: `${namespace}/${serviceAccount}`,
        token: this.#token(name),
      })),
    })
    for (const { name } of this.dedicated) this.files.write(`token-${name}`, this.#token(name))
    for (const { name, pods } of nodes) {
      this.files.write(`token-${name}`, this.#token(name))
      const enrolled = pods.filter((pod) => pod.isEnrolled)
      this.files.write(`pods-${name}.yaml`, {
        pods: enrolled.map(({ name, namespace, serviceAccount, netns, uid }) => ({
          name,
          namespace,
          serviceAccount,
          netns,
          uid,
        })),
      })
    }
  }

  /** Records what goes over a node's wire. */
  async capture(node: TestNode): Promise<Capture> {
    const file = this.files.path(`${node.name}-${randomBytes(2).toString('hex')}.pcap`)
    return this.#build(async () => {
      const capture = await Capture.start(this.fabric, `node${node.place.index}`, file)
      this.#captures.push(capture)
      return capture
    })
  }

  /**
   * Stops everything and removes it. Answers what was not right: a proxy or CA that did not end well and in time, a process, a
   * namespace or a file that was left. Asked again, it answers the same.
   */
  close(): Promise<readonly string[]> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  /** The same where nobody wants the ztunnels to end well: they are killed, with what they run under, also while they start. */
  abandon(): Promise<readonly string[]> {
    for (const { program } of this.#ztunnels.splice(0)) program.kill()
    return this.close()
  }

  async #end(): Promise<readonly string[]> {
    // What is half made can neither be ended well nor removed.
    await Promise.allSettled(this.#building)
    const { namespaces } = this
    const networks = namespaces.map((name) => `${NETNS_DIRECTORY}/${name}`)
    const programs = [
      ...this.#programs,
      ...this.#ztunnels.map(({ program }) => program),
      ...(this.#ca ? [this.#ca] : []),
    ]
    // Before anything is told to end: orphans cannot be told from strangers.
    const family = familyOf(programs.flatMap(({ isRunning, pid }) => (isRunning ? [pid] : [])))
    await Promise.all(this.#captures.map((capture) => capture.stop()))
    await Promise.all(this.#programs.map((program) => program.stop()))
    const faults = (await Promise.all(this.#ztunnels.map(({ program }) => endOf(program)))).flat()
    if (this.#ca) faults.push(...(await endOf(this.#ca)))
    this.#keepLogs()
    faults.push(
      ...(await outlasting(() => [
        ...new Map([...family, ...inNetworks(networks)].map((one) => [one.pid, one])).values(),
      ])),
    )
    // Not by a program that is started now: while it starts, a second Ctrl-C would reach it.
    await this.#janitor.finish()
    faults.push(...namespacesOf(this.#prefix).map((name) => `namespace ${name} was left`))
    if (existsSync(this.files.directory)) faults.push(`directory ${this.files.directory} was left`)
    this.lookedAt = `${family.length} processes, ${namespaces.length} namespaces and the files are gone; ${this.#ztunnels.length} ztunnels ended with 0`
    return faults
  }

  /** Resolves when each ztunnel serves exactly the pods of its node that are enrolled. */
  async captured(): Promise<void> {
    for (const node of this.nodes.values()) {
      if (!node.ztunnel?.program.isRunning) continue
      const wanted = node.pods.filter((pod) => pod.isEnrolled).length
      await eventually(`node ${node.name} serves ${wanted} pods`, async () => {
        return (await node.proxy.metric('workload_manager_active_proxy_count')) === wanted
      })
    }
  }

  /** For whoever looks into a failure: AMBIT_TEST_LOGS names a directory that gets what every ztunnel said. */
  #keepLogs(): void {
    const directory = process.env['AMBIT_TEST_LOGS']
    if (!directory) return
    mkdirSync(directory, { recursive: true })
    for (const [index, { program }] of this.#ztunnels.entries())
      writeFileSync(join(directory, `${program.name.replaceAll(' ', '-')}-${index}.log`), program.output)
  }

  #token(node: string): string {
    return `token-of-${node}-${this.#prefix}`
  }
}

/** A ztunnel or CA ends with code 0 and in time, whoever told it to; answers what was not so. */
async function endOf(program: Program): Promise<readonly string[]> {
  const code = await program.stop('SIGTERM', 15_000)
  return code === 0 ? [] : [`${program.name} ended with ${code ?? 'a signal'}: ${program.output.slice(-1_000)}`]
}

/** Every story must also hold with other data workers: AMBIT_TEST_WORKERS says how many, AMBIT_TEST_IO which byte path. */
function variant(): Record<string, string> {
  const { AMBIT_TEST_WORKERS: workers, AMBIT_TEST_IO: io } = process.env
  return { ...(workers ? { ZTUNNEL_WORKER_THREADS: workers } : {}), ...(io ? { AMBIT_IO: io } : {}) }
}
