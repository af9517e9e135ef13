import { mkdirSync } from 'node:fs'
import { must } from './command.ts'

/** Where a namespace's name can be found by every program of iproute2. */
export const NETNS_DIRECTORY = '/run/netns'

/** The wire between the nodes: one namespace with a bridge. */
export const FABRIC_V4 = '192.168.50.254'
export const FABRIC_V6 = 'fd50::fe'

/**
 * Of every bridge. Without one of its own a bridge has the lowest of its ports: a port more may change it, and then nobody is
 * heard for the seconds that their neighbours take to notice.
 */
const BRIDGE_MAC = '02:00:00:00:00:01'

export interface NodePlace {
  readonly namespace: string
  /** 1, 2, …: part of its addresses. */
  readonly index: number
}

export interface PodPlace {
  readonly namespace: string
  readonly node: NodePlace
  /** 10, 11, …: the last part of its addresses. */
  readonly index: number
}

export function nodeAddress({ index }: NodePlace): { readonly v4: string; readonly v6: string } {
  return { v4: `192.168.50.${index}`, v6: `fd50::${index}` }
}

export function podAddress({ node, index }: PodPlace): { readonly v4: string; readonly v6: string } {
  return { v4: `10.1.${node.index}.${index}`, v6: `fd01:${node.index}::${index}` }
}

/** Makes the fabric namespace, empty. */
export async function createFabric(fabric: string): Promise<void> {
  mkdirSync(NETNS_DIRECTORY, { recursive: true })
  await batch(undefined, [`netns add ${fabric}`])
  await batch(fabric, [
    'link set lo up',
    `link add br0 address ${BRIDGE_MAC} type bridge`,
    `addr add ${FABRIC_V4}/24 dev br0`,
    `addr add ${FABRIC_V6}/64 dev br0 nodad`,
    'link set br0 up',
  ])
}

/** A node: a namespace on the fabric, with a bridge for its pods and routes to the pods of every other node. */
export async function createNode(fabric: string, node: NodePlace, others: readonly NodePlace[]): Promise<void> {
  const { namespace, index } = node
  const wire = `node${index}`
  await batch(undefined, [
    `netns add ${namespace}`,
    `link add ${wire} netns ${fabric} type veth peer name eth0 netns ${namespace}`,
  ])
  const { v4, v6 } = nodeAddress(node)
  await batch(namespace, [
    'link set lo up',
    `addr add ${v4}/24 dev eth0`,
    `addr add ${v6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `link add pods address ${BRIDGE_MAC} type bridge`,
    `addr add 10.1.${index}.1/24 dev pods`,
    `addr add fd01:${index}::1/64 dev pods nodad`,
    'link set pods up',
    ...others.flatMap((other) => routesTo(other)),
  ])
  await batch(fabric, [`link set ${wire} master br0`, `link set ${wire} up`, ...routesTo(node)])
  for (const other of others) await batch(other.namespace, routesTo(node))
  await must([
    ...inside(namespace),
    'sh',
    '-c',
    'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
  ])
}

/** A pod: a namespace of its own on the bridge of its node. */
export async function createPod(pod: PodPlace): Promise<void> {
  const { namespace, node, index } = pod
  const { v4, v6 } = podAddress(pod)
  const wire = `pod${index}`
  await batch(undefined, [
    `netns add ${namespace}`,
    `link add ${wire} netns ${node.namespace} type veth peer name eth0 netns ${namespace}`,
  ])
  await batch(namespace, [
    'link set lo up',
    `addr add ${v4}/24 dev eth0`,
    `addr add ${v6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route add default via 10.1.${node.index}.1`,
    `-6 route add default via fd01:${node.index}::1`,
  ])
  await batch(node.namespace, [`link set ${wire} master pods`, `link set ${wire} up`])
}

/** The words that run a program inside a namespace. */
export function inside(namespace: string): readonly string[] {
  return ['ip', 'netns', 'exec', namespace]
}

function routesTo(node: NodePlace): string[] {
  const { v4, v6 } = nodeAddress(node)
  return [`route replace 10.1.${node.index}.0/24 via ${v4}`, `-6 route replace fd01:${node.index}::/64 via ${v6}`]
}

/** Many commands of ip(8) in one process. A command that wants IPv6 says so with a leading -6. */
async function batch(namespace: string | undefined, commands: readonly string[]): Promise<void> {
  const where = namespace === undefined ? [] : ['-n', namespace]
  const v6 = commands.filter((line) => line.startsWith('-6 ')).map((line) => line.slice(3))
  const plain = commands.filter((line) => !line.startsWith('-6 '))
  await must(['ip', ...where, '-batch', '-'], { input: `${plain.join('\n')}\n` })
  if (v6.length > 0) await must(['ip', '-6', ...where, '-batch', '-'], { input: `${v6.join('\n')}\n` })
}
