/** An OpenSSL error as Node words it: thread, code, library, function, reason, then a path of OpenSSL's sources and a line end. */
const OPENSSL = /^[0-9A-F]*:error:[0-9A-F]+:[^:]*:[^:]*:(?<reason>[^:]+):/

/** Why a handshake or a TLS connection failed, in words for people: of an OpenSSL error the reason alone, such as `http request`. */
export function tlsReason(error: Error): string {
  if ('reason' in error && typeof error.reason === 'string') return error.reason
  return (OPENSSL.exec(error.message)?.groups?.['reason'] ?? error.message).trim()
}
