import { formatSocketAddress, type SocketAddress } from '@ambit/shared/ip'

/** `for="10.0.0.1:1234";host=server.default.svc.cluster.local`; the host only where the destination is a known service. */
export function encodeForwarded(client: SocketAddress, host: string | undefined): string {
  const forward = `for="${formatSocketAddress(client)}"`
  return host === undefined || host === '' ? forward : `${forward};host=${host}`
}

/** The first host= of a `forwarded` header, without quotes; undefined where there is none or the text is not ASCII. */
export function parseForwardedHost(value: string | undefined): string | undefined {
  // oxlint-disable-next-line no-control-regex -- the header must be printable ASCII
  if (value === undefined || value.length > 1_024 || /[^\x20-\x7e]/.test(value)) return undefined
  if (!value.includes('host=')) return undefined
  const element = value
    .split(';')
    .map((part) => part.trim())
    .find((part) => part.startsWith('host='))
  const host = element?.slice('host='.length).replace(/^"(.*)"$/, '$1')
  return host === '' ? undefined : host
}
