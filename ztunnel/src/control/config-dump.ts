import { setImmediate } from 'node:timers/promises'
import type { CertificateManager } from '@ambit/shared/certificates'
import { dumpMesh, dumpResources, type Mesh } from '@ambit/shared/mesh'
import type { LocalFileSource } from '@ambit/shared/mesh/local'
import { assembleConfigDump } from '@ambit/shared/telemetry'
import type { ZtunnelConfig } from '../config/index.ts'
import { version } from '../version.ts'
import type { CapturedPods } from './captured-pods.ts'
import type { WorkerReports } from './worker-reports.ts'

export interface ConfigDumpSources {
  readonly config: ZtunnelConfig
  readonly mesh: Mesh
  readonly meshFile: LocalFileSource
  readonly certificates: CertificateManager
  readonly pods: CapturedPods
  readonly reports: WorkerReports
}

/** What /config_dump shows, in the shape that `istioctl ztunnel-config` reads. Holds no private key and no token. For jsonInParts. */
export async function configDump({
  config,
  mesh,
  meshFile,
  certificates,
  pods,
  reports,
}: ConfigDumpSources): Promise<unknown> {
  const isShared = config.worker.mode === 'shared'
  return assembleConfigDump({
    ...(await dumpMesh(mesh, pause)),
    certificates: certificates.list(),
    config: shownConfig(config),
    staticConfig: await dumpResources(meshFile.current, pause),
    version: shownVersion(config),
    ...(isShared ? { workloadState: await workloadState(pods, reports) } : {}),
  })
}

async function workloadState(pods: CapturedPods, reports: WorkerReports): Promise<Readonly<Record<string, unknown>>> {
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
