export { askServers, type Answer, type AskOptions, type Query } from './ask-servers.ts'
export { DnsError, type DnsErrorCode } from './dns-error.ts'
export { NameResolver, type NameResolverLimits, type NameResolverOptions } from './name-resolver.ts'
export { pickAddress, type Addresses } from './pick-address.ts'
