import { NetworkNamespace } from '../linux/index.ts'

/**
 * The namespaces that are no pod's, by id, and whose they are: the node's, where it is known, and ztunnel's own. Both live as
 * long as this process, so that no later namespace has their ids.
 */
export function reservedNamespaces(node: NetworkNamespace | undefined): ReadonlyMap<string, string> {
  const own = NetworkNamespace.own()
  own.close()
  return new Map([[own.id, 'ztunnel'], ...(node ? [[node.id, 'the node'] as const] : [])])
}
