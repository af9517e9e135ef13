export { canonicalAddress, formatSocketAddress, type SocketAddress } from './socket-address.ts'
