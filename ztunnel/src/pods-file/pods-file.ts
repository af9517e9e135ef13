import { YamlValue } from '@ambit/shared/config-file'
import { parseIdentityPart } from '@ambit/shared/identity'
import type { PodPlace } from '../pod.ts'

/** Pods of one node; Kubernetes itself stops at a few hundred. */
const MAX_PODS = 10_000

/**
 * Reads `pods: [{name, namespace, serviceAccount, netns, uid?}]`. Throws YamlError with every problem and its line. A file
 * that says nothing is one: half a file, or a mount that is not there yet, must not take every pod out of the mesh.
 */
export function parsePodsFile(text: string): readonly PodPlace[] {
  return YamlValue.read(text, (root) => {
    const { pods } = root.fields('pods')
    if (pods.isAbsent) pods.problem('is required: a list of pods, [] for none')
    const items = pods.list()
    if (items.length > MAX_PODS) pods.problem(`has more than ${MAX_PODS} pods`)
    const uids = new Set<string>()
    const namespaces = new Set<string>()
    return items.map((item) => {
      const place = readPod(item)
      const { uid, netns } = place
      if (uids.has(uid)) item.problem(`another pod has the uid ${uid} already`)
      // Two listeners of one port would share its connections between two identities.
      if (netns !== '' && namespaces.has(netns)) item.problem(`another pod has the network namespace ${netns} already`)
      uids.add(uid)
      namespaces.add(netns)
      return place
    })
  })
}

function readPod(value: YamlValue): PodPlace {
  const field = value.fields('name', 'namespace', 'serviceAccount', 'netns', 'uid')
  const name = field.name.text()
  const namespace = field.namespace.parsed(parseIdentityPart)
  const netns = field.netns.text()
  if (netns !== '' && !netns.startsWith('/')) field.netns.problem('must be an absolute path, such as /run/netns/x')
  return {
    name,
    namespace,
    serviceAccount: field.serviceAccount.parsed(parseIdentityPart, 'default'),
    netns,
    uid: field.uid.text('') || `${namespace}/${name}`,
  }
}
