/** How a waypoint or gateway is named: by address or by namespaced hostname. */
export type GatewayDestination =
  | { readonly kind: 'address'; readonly network: string; readonly address: string }
  | { readonly kind: 'hostname'; readonly namespace: string; readonly hostname: string }

/** A waypoint or gateway, and the port that it takes HBONE on (istio.workload GatewayAddress). */
export interface GatewayAddress {
  readonly destination: GatewayDestination
  readonly hboneMtlsPort: number
}

/** As a local file names it: `network/address` or `namespace/hostname`. */
export function formatGateway({ destination }: GatewayAddress): string {
  return destination.kind === 'address'
    ? `${destination.network}/${destination.address}`
    : `${destination.namespace}/${destination.hostname}`
}
