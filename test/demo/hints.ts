import type { TestMesh } from '../kit/index.ts'
import { WEB_PORT } from './programs.ts'

/** What one can do while the demo stays up. */
export function hints(mesh: TestMesh): string {
  const [shop] = mesh.pods
  const orders = mesh.pods.find(({ name }) => name === 'orders')
  const node = [...mesh.nodes.values()][0]
  if (!shop || !orders || !node) return ''
  // As root: the same user may enter, but would have none of the capabilities there that `ip netns exec` takes.
  const first = process.env['AMBIT_IN_USER_NAMESPACE'] ? ` (first: sudo nsenter -t ${process.pid} -n -m)` : ''
  return `
The mesh stays up until Ctrl-C. In another terminal${first}:
  a shell in a pod     ip netns exec ${shop.place.namespace} bash
  a request            ip netns exec ${shop.place.namespace} curl http://${orders.v4}:${WEB_PORT}/
  metrics              ip netns exec ${node.place.namespace} curl http://127.0.0.1:15020/metrics
  the wire             ip netns exec ${node.place.namespace} tcpdump -ni eth0 tcp
  state                ip netns exec ${node.place.namespace} curl http://127.0.0.1:15000/config_dump
  more in the log      ip netns exec ${node.place.namespace} curl -X POST 'http://127.0.0.1:15000/logging?level=debug'
  the mesh's file      ${mesh.files.path('mesh.yaml')} (edit it: policies count at once)
`
}
