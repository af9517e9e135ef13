import { setImmediate } from 'node:timers/promises'
import { dumpMesh, dumpResources } from '@ambit/shared/mesh'
import { assembleConfigDump } from '@ambit/shared/telemetry'
import type { ZtunnelConfig } from '../config/index.ts'
import { version } from '../version.ts'
import type { NodeMesh } from './node-mesh.ts'
import type { NodePods } from './node-pods.ts'
import type { NodeTrust } from './node-trust.ts'
import type { WorkerReports } from './worker-reports.ts'

export interface ConfigDumpSources {
  readonly config: ZtunnelConfig
  readonly mesh: Pick<NodeMesh, 'state' | 'written'>
  readonly trust: Pick<NodeTrust, 'list'>
  readonly pods: Pick<NodePods, 'captured' | 'pending'>
  readonly reports: WorkerReports
}

/** What /config_dump shows, in the shape that `istioctl ztunnel-config` reads. Holds no private key and no token. For jsonInParts. */
export async function configDump(sources: ConfigDumpSources): Promise<unknown> {
  const { config, mesh, trust } = sources
  const isShared = config.worker.mode === 'shared'
  return assembleConfigDump({
    ...(await dumpMesh(mesh.state, pause)),
    certificates: trust.list(),
    config: shownConfig(config),
    staticConfig: await dumpResources(mesh.written, pause),
    version: shownVersion(config),
    ...(isShared ? { workloadState: await workloadState(sources) } : {}),
  })
}

async function workloadState({ pods, reports }: ConfigDumpSources): Promise<Readonly<Record<string, unknown>>> {
  const connections = await reports.connections()
  const state: Record<string, unknown> = {}
  for (const [uid, { pod }] of pods.captured) {
    const { name, namespace, serviceAccount } = pod
    state[uid] = {
      state: 'Up',
      connections: connections.get(uid) ?? { inbound: [], outbound: [] },
      info: { name, namespace, serviceAccount },
    }
  }
  for (const [uid, { name, namespace, serviceAccount }] of pods.pending)
    state[uid] = { state: 'Pending', info: { name, namespace, serviceAccount } }
  return state
}

/** Without the bearer token, which may stand in the configuration itself. */
function shownConfig({ ca, localMesh, ...rest }: ZtunnelConfig): Readonly<Record<string, unknown>> {
  const { token, headers, ...shownCa } = ca
  return {
    ...rest,
    localMesh: 'path' in localMesh ? localMesh : { inline: '…' },
    ca: { ...shownCa, token: token && ('path' in token ? token : { value: '…' }), headers: Object.keys(headers) },
  }
}

function shownVersion({ istioVersion }: ZtunnelConfig): Readonly<Record<string, unknown>> {
  return {
    version: version(),
    gitRevision: 'unknown',
    rustVersion: `node ${process.versions.node}`,
    buildProfile: 'release',
    buildStatus: 'unknown',
    istioVersion,
    cryptoProvider: `openssl ${process.versions.openssl ?? 'unknown'}`,
  }
}

/** Whatever else there is to do comes first. */
async function pause(): Promise<void> {
  await setImmediate()
}
