export {
  policyKey,
  type Action,
  type Authorization,
  type Clause,
  type Match,
  type Rule,
  type Scope,
  type ServiceAccountMatch,
  type StringMatch,
} from './authorization.ts'
export { formatGateway, type GatewayAddress, type GatewayDestination } from './gateway.ts'
export { trustDomainOf, type Health, type PortMap, type Workload } from './workload.ts'
export {
  type Endpoint,
  type LoadBalancer,
  type NetworkAddress,
  type NetworkCidr,
  type RoutingScope,
  type Service,
} from './service.ts'
export { keyOf, type MeshResource, type MeshUpdate } from './mesh-update.ts'
export { Mesh, type MeshChange, type MeshOptions, type ServiceEndpoint } from './mesh.ts'
export { chooseEndpoint, targetPort, type Choice, type ChoiceRequest } from './choose-endpoint.ts'
export { chooseAddress } from './choose-address.ts'
export { dumpMesh, dumpResources, type MeshDump } from './dump.ts'
