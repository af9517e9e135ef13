import type { YamlValue } from '../../config-file/index.ts'
import { parseCidr, parseIp, type Cidr } from '../../ip/index.ts'
import type { NetworkAddress } from '../service.ts'
import type { GatewayAddress, GatewayDestination } from '../gateway.ts'
import type { PortMap } from '../workload.ts'

/** The small values of a local file. Each notes a problem and answers something harmless where the text is wrong. */

export function readIp(value: YamlValue): string {
  const address = parseIp(value.text())
  if (address === undefined) value.problem('must be an IP address')
  return address ?? ''
}

export function readCidr(value: YamlValue): Cidr {
  const cidr = parseCidr(value.text())
  if (cidr === undefined) value.problem('must be an address range like 10.0.0.0/8')
  return cidr ?? { address: '0.0.0.0', length: 32 }
}

/** `network/address`; the default network has no name: `/10.0.0.1`. */
export function readNetworkAddress(value: YamlValue): NetworkAddress {
  const found = parseNetworkAddress(value.text())
  if (!found) value.problem('must be network/address, or /address for the default network')
  return found ?? { network: '', address: '' }
}

/**
 * Warns of fields that Istio's ztunnel demands, where what they are part of is there; their defaults here are those that it has for
 * what comes by xDS. One warning names them all.
 */
export function warnOfMissing(part: YamlValue, fields: Readonly<Record<string, YamlValue>>): void {
  const missing = Object.keys(fields).filter((name) => fields[name]?.isAbsent)
  if (part.isAbsent || missing.length === 0) return
  part.warning(`has no ${missing.join(', ')}: read with the default here, while Istio's ztunnel refuses the file`)
}

/** `{service port: target port}`. */
export function readPortMap(value: YamlValue): PortMap {
  const ports: Record<string, number> = {}
  for (const [port, target] of value.entries()) {
    if (!/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65_535)
      target.problem('the key must be a port from 0 to 65535')
    else ports[port] = target.integer({ min: 0, max: 65_535 })
  }
  return ports
}

/** A waypoint or gateway; its destination is tried as network/address first, then as namespace/hostname (as Istio). */
export function readGatewayAddress(value: YamlValue): GatewayAddress | undefined {
  if (value.isAbsent) return undefined
  const { destination, hboneMtlsPort } = value.fields('destination', 'hboneMtlsPort')
  return { destination: readDestination(destination), hboneMtlsPort: hboneMtlsPort.integer({ min: 1, max: 65_535 }) }
}

function readDestination(value: YamlValue): GatewayDestination {
  const text = value.text()
  const address = parseNetworkAddress(text)
  if (address) return { kind: 'address', ...address }
  const slash = text.indexOf('/')
  if (slash < 1 || slash === text.length - 1) value.problem('must be network/address or namespace/hostname')
  return { kind: 'hostname', namespace: text.slice(0, slash), hostname: text.slice(slash + 1) }
}

function parseNetworkAddress(text: string): NetworkAddress | undefined {
  const slash = text.indexOf('/')
  const address = slash < 0 ? undefined : parseIp(text.slice(slash + 1))
  return address === undefined ? undefined : { network: text.slice(0, slash), address }
}
