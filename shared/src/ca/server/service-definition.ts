import { fileURLToPath } from 'node:url'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTO_PATH = fileURLToPath(new URL('../certificate-service.proto', import.meta.url))

/** istio.v1.auth.IstioCertificateRequest as the loader hands it over. */
export interface IstioCertificateRequest {
  readonly csr: string
  /** int64 as a number; beyond 2^53 it loses digits, which is far beyond any lifetime. */
  readonly validity_duration: number
  readonly metadata: { readonly fields?: Readonly<Record<string, { readonly stringValue?: string }>> } | null
}

/** istio.v1.auth.IstioCertificateResponse. */
export interface IstioCertificateResponse {
  readonly cert_chain: readonly string[]
}

/** The service as gRPC wants it, from the .proto file beside us. */
export function loadServiceDefinition(): ServiceDefinition {
  const definition = loadSync(PROTO_PATH, { keepCase: true, longs: Number, defaults: true })
  const service = definition['istio.v1.auth.IstioCertificateService']
  // The loader types a definition as any kind of thing; that this one is a service is written in the .proto file.
  return service as ServiceDefinition
}
