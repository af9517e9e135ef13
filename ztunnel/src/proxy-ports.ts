import type { ListenerRole } from './messages.ts'

/** Istio's ports in a pod's namespace: those of HBONE, of plaintext to the pod, and of the pod's own connections. */
export const PROXY_PORTS: Readonly<Record<ListenerRole, number>> = {
  inbound: 15_008,
  inboundPassthrough: 15_006,
  outbound: 15_001,
}

/** A connection to one of the proxy's own ports would come back to the proxy for ever. */
export function isProxyPort(port: number): boolean {
  const { inbound, inboundPassthrough, outbound } = PROXY_PORTS
  return port === inbound || port === inboundPassthrough || port === outbound
}
