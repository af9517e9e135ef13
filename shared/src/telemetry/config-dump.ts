import { X509Certificate } from 'node:crypto'
import type { Lazy } from './json-in-parts.ts'

/** What the dump tells of an identity; a state of the certificate manager is one. */
export interface DumpedCertificate {
  readonly identity: { toString(): string }
  /** `Initializing`, `Available`, or `Unavailable: <why>`. */
  readonly state: string
  readonly certificate?: { readonly chainPem: readonly string[]; readonly rootsPem: readonly string[] } | undefined
}

type Json = Readonly<Record<string, unknown>>

/** Parts of /config_dump. The mesh's are as `dumpMesh` makes them. The caller leaves secrets out of `config`. */
export interface ConfigDumpParts {
  readonly certificates: readonly DumpedCertificate[]
  readonly config: Json
  readonly policies: readonly (Json | Lazy)[]
  readonly services: readonly (Json | Lazy)[]
  readonly stagedServices: Json
  /** The content of the local file. */
  readonly staticConfig: {
    readonly workloads: readonly (Json | Lazy)[]
    readonly policies: readonly (Json | Lazy)[]
    readonly services: readonly (Json | Lazy)[]
  }
  readonly version: Json
  readonly workloads: readonly (Json | Lazy)[]
  /** By pod; left out where the proxy serves a single workload. */
  readonly workloadState?: Json
}

/** The whole dump, in the shape and order that istioctl reads. Certificates sorted by identity; never a private key. */
export function assembleConfigDump(parts: ConfigDumpParts): Json {
  const { certificates, config, policies, services, stagedServices, staticConfig, version, workloads, workloadState } =
    parts
  return {
    certificates: certificates.map(dumpCertificate).sort((a, b) => (a.identity < b.identity ? -1 : 1)),
    config,
    policies,
    services,
    stagedServices,
    staticConfig: {
      workloads: staticConfig.workloads,
      policies: staticConfig.policies,
      services: staticConfig.services,
    },
    version,
    workloads,
    ...(workloadState && { workloadState }),
  }
}

function dumpCertificate({ identity, state, certificate }: DumpedCertificate) {
  return {
    identity: identity.toString(),
    state,
    certChain: (certificate?.chainPem ?? []).map(dumpPem),
    rootCerts: (certificate?.rootsPem ?? []).map(dumpPem),
  }
}

function dumpPem(pem: string): Json {
  const { serialNumber, validFromDate, validToDate } = new X509Certificate(pem)
  return {
    pem: Buffer.from(pem).toString('base64'),
    serialNumber: BigInt(`0x${serialNumber}`).toString(),
    validFrom: seconds(validFromDate),
    expirationTime: seconds(validToDate),
  }
}

/** RFC 3339 without a fraction: certificates have none. */
function seconds(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`
}
