import { YamlValue } from '@ambit/shared/config-file'
import type { PodPlace } from '../control/captured-pods.ts'

/** Pods of one node; Kubernetes itself stops at a few hundred. */
const MAX_PODS = 10_000

/**
 * Reads `pods: [{name, namespace, serviceAccount, netns, uid?}]`. Throws YamlError with every problem and its line; a text that
 * says nothing is one where it may not be empty.
 */
export function parsePodsFile(text: string, mayBeEmpty = true): readonly PodPlace[] {
  return YamlValue.read(text, readPods, mayBeEmpty)
}

function readPods(root: YamlValue): readonly PodPlace[] {
  const { pods } = root.fields('pods')
  const items = pods.list()
  if (items.length > MAX_PODS) pods.problem(`has more than ${MAX_PODS} pods`)
  const seen = new Set<string>()
  return items.map((item) => {
    const place = readPod(item)
    if (seen.has(place.uid)) item.problem(`another pod has the uid ${place.uid} already`)
    seen.add(place.uid)
    return place
  })
}

function readPod(value: YamlValue): PodPlace {
  const field = value.fields('name', 'namespace', 'serviceAccount', 'netns', 'uid')
  const name = field.name.text()
  const namespace = field.namespace.text()
  const netns = field.netns.text()
  if (netns !== '' && !netns.startsWith('/')) field.netns.problem('must be an absolute path, such as /run/netns/x')
  return {
    name,
    namespace,
    serviceAccount: field.serviceAccount.text('default'),
    netns,
    uid: field.uid.text('') || `${namespace}/${name}`,
  }
}
