import { messageOf } from '@ambit/shared/errors'
import { SystemCallError } from '../linux/index.ts'

/** Why a pod's traffic cannot be redirected, from what trying it threw; where its lo is down, as in a new namespace, what to do. */
export function whyNotRedirected(thrown: unknown, netns: string): string {
  // Of all interfaces the routes name lo only.
  if (thrown instanceof SystemCallError && thrown.code === 'ENETDOWN')
    return `lo is down in ${netns}; do: nsenter --net=${netns} ip link set lo up`
  return messageOf(thrown)
}
