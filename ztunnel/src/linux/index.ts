export { isAssigned } from './assigned-address.ts'
export { checkCapabilities } from './capabilities.ts'
export { FOREIGN_SOURCE } from './in-pod-rules.ts'
export { duplicate } from './duplicate.ts'
export { isForwarding, isLocalAddress } from './forwarding.ts'
export { SystemCallError, trimHeap } from './libc.ts'
export { NetworkNamespace, primeThreadPool } from './network-namespace.ts'
export { ProbeBypass } from './probe-bypass.ts'
export { Redirection } from './redirection.ts'
export { sendNow } from './send-now.ts'
export { isReset, originalDestination, zoneOf } from './socket-facts.ts'
export { socketNames } from './socket-names.ts'
export {
  listenTcp,
  hasPortWindows,
  PORT_WINDOWS,
  prepareTcp,
  type KeepAlive,
  type ListenOptions,
  type PrepareOptions,
} from './tcp-socket.ts'
