import { messageOf } from '@ambit/shared/errors'
import { SystemCallError } from '../linux/index.ts'

/**
 * Why a pod's traffic cannot be taken, from what trying it threw; where its lo is down, as in a new namespace, or a port is not free,
 * what to do.
 */
export function whyNotRedirected(thrown: unknown, netns: string): string {
  // Of all interfaces the routes name lo only.
  if (thrown instanceof SystemCallError && thrown.code === 'ENETDOWN')
    return `lo is down in ${netns}; do: nsenter --net=${netns} ip link set lo up`
  if (thrown instanceof SystemCallError && thrown.code === 'EADDRINUSE')
    return `${thrown.message} (another program of the pod listens there; the proxy needs 15001, 15006 and 15008; see: nsenter --net=${netns} ss -ltnp)`
  return messageOf(thrown)
}
