import type { SecureContextOptions } from 'node:tls'

/**
 * TLS 1.3 only, with the suites that Istio's ztunnel uses and in its order. Key exchange is the library's default, which
 * prefers X25519MLKEM768 where the library has it.
 */
export const CONTROL_PLANE_TLS: SecureContextOptions = {
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
}
