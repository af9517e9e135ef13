import { Mesh, type Authorization, type MeshResource } from '@ambit/shared/mesh'
import { PolicySet, type ConnectionFacts } from '@ambit/shared/policy'
import t from 'tap'
import { ofWorkload, policy, workload } from '../../../shared/src/mesh/mesh-fixture.ts'
import { OpenConnections } from './open-connections.ts'
import { PodPolicy } from './pod-policy.ts'

const POD = { name: 'server', namespace: 'default', serviceAccount: 'server' }
const RECORD = workload('server', { authorizationPolicies: [] })
const DENY_ALL = policy('deny-all', { scope: 'Global', action: 'Deny', rules: [[]] })

/** A mesh with one pod, of which the names of the closed connections are told. */
function onePod() {
  const mesh = new Mesh({ nodeName: 'a' })
  const policies = new PolicySet()
  const connections = new OpenConnections()
  const podPolicy = new PodPolicy({ mesh, policies, pod: POD, connections })
  const closed: string[] = []
  mesh.onChange(() => podPolicy.recheck())
  return {
    closed,
    /** As a worker does: the policies first, then the mesh, which tells of the change. */
    apply(upserts: readonly MeshResource[], removals: readonly string[] = []): void {
      for (const { kind, value } of upserts) if (kind === 'policy') policies.set(value)
      for (const key of removals) if (key.startsWith('policy/')) policies.delete(key.slice('policy/'.length))
      mesh.apply({ upserts, removals })
    },
    open(name: string, address = '10.0.0.9'): void {
      const facts: ConnectionFacts = {
        source: { address, port: 4_000 },
        destination: { address: '10.0.0.1', port: 80 },
        identity: undefined,
        network: '',
      }
      connections.add({
        direction: 'inbound',
        summarise: () => ({ src: '', originalDst: null, actualDst: '', protocol: 'TCP' }),
        facts,
        close: () => void closed.push(name),
      })
      const record = mesh.localWorkload(POD.namespace, POD.name, POD.serviceAccount)
      if (!record || !podPolicy.judge(record, facts).allowed) throw new Error('not allowed from the start')
    },
  }
}

function ofPolicy(value: Authorization): MeshResource {
  return { kind: 'policy', value }
}

void t.test('a DENY reaches open connections although the record of their pod has gone', async (t) => {
  const { apply, open, closed } = onePod()
  apply([ofWorkload(RECORD)])
  open('one')
  apply([], ['workload/server'])
  t.same(closed, [], 'that it has gone closes nothing')
  apply([ofPolicy(DENY_ALL)])
  t.same(closed, ['one'])
})

void t.test('also where both come together, or the record is renamed', async (t) => {
  const removed = onePod()
  removed.apply([ofWorkload(RECORD)])
  removed.open('one')
  removed.apply([ofPolicy(DENY_ALL)], ['workload/server'])
  t.same(removed.closed, ['one'])
  const renamed = onePod()
  renamed.apply([ofWorkload(RECORD)])
  renamed.open('one')
  renamed.apply([ofWorkload({ ...RECORD, name: 'another' }), ofPolicy(DENY_ALL)])
  t.same(renamed.closed, ['one'])
})

void t.test('what the last record named counts on, and what it did not name does not', async (t) => {
  const { apply, open, closed } = onePod()
  const chosen = policy('chosen', { scope: 'WorkloadSelector', action: 'Deny' })
  apply([ofPolicy(chosen), ofWorkload({ ...RECORD, authorizationPolicies: ['default/chosen'] })])
  open('one')
  apply([], ['workload/server'])
  apply([ofPolicy(policy('unchosen', { scope: 'WorkloadSelector', action: 'Deny', rules: [[]] }))])
  t.same(closed, [])
  apply([ofPolicy({ ...chosen, rules: [[]] })])
  t.same(closed, ['one'])
})

void t.test('a record that comes back is what counts again', async (t) => {
  const { apply, open, closed } = onePod()
  apply([ofPolicy(policy('chosen', { scope: 'WorkloadSelector', action: 'Deny', rules: [[]] }))])
  apply([ofWorkload(RECORD)])
  open('one')
  apply([], ['workload/server'])
  apply([ofWorkload({ ...RECORD, uid: 'server-2', authorizationPolicies: ['default/chosen'] })])
  t.same(closed, ['one'])
})
