import { Mesh, type Authorization, type MeshResource } from '@ambit/shared/mesh'
import { FakeClock } from '@ambit/shared/clock'
import { NOWHERE } from '@ambit/shared/collections'
import { PolicySet, type ConnectionFacts, type PolicyTarget, type Verdict } from '@ambit/shared/policy'
import t from 'tap'
import { ofWorkload, policy, workload } from '../../../shared/src/mesh/mesh-fixture.ts'
import { OpenConnections, type TrackedConnection } from './open-connections.ts'
import { PodPolicy } from './pod-policy.ts'
import { Recheck } from './recheck.ts'

const POD = { name: 'server', namespace: 'default', serviceAccount: 'server' }
const RECORD = workload('server', { authorizationPolicies: [] })
const DENY_ALL = policy('deny-all', { scope: 'Global', action: 'Deny', rules: [[]] })

/** Counts the questions. */
class CountingPolicies extends PolicySet {
  questions = 0

  override evaluate(target: PolicyTarget, facts: ConnectionFacts): Verdict {
    this.questions++
    return super.evaluate(target, facts)
  }
}

/** A mesh with one pod, of which the names of the closed connections are told. */
function onePod() {
  const mesh = new Mesh({ nodeName: 'a' })
  const policies = new CountingPolicies()
  const connections = new OpenConnections()
  const later: (() => void)[] = []
  const recheck = new Recheck({ clock: new FakeClock(), soon: (run) => void later.push(run) })
  const podPolicy = new PodPolicy({ mesh, policies, pod: POD, connections, recheck })
  const closed: string[] = []
  mesh.onChange(() => podPolicy.meshChanged())
  return {
    closed,
    connections,
    later,
    /** Questions asked since this was asked last. */
    questions(): number {
      for (let run = later.shift(); run; run = later.shift()) run()
      const { questions } = policies
      policies.questions = 0
      return questions
    },
    /** Changes the mesh and lets everything happen that follows from it. */
    settle(upserts: readonly MeshResource[], removals: readonly string[] = []): void {
      this.apply(upserts, removals)
      for (let run = later.shift(); run; run = later.shift()) run()
    },
    /** As a worker does: the policies first, then the mesh, which tells of the change. */
    apply(upserts: readonly MeshResource[], removals: readonly string[] = []): void {
      for (const { kind, value } of upserts) if (kind === 'policy') policies.set(value)
      for (const key of removals) if (key.startsWith('policy/')) policies.delete(key.slice('policy/'.length))
      mesh.apply({ upserts, removals })
    },
    open(name: string, address = '10.0.0.9'): TrackedConnection {
      const facts: ConnectionFacts = {
        source: { address, port: 4_000 },
        destination: { address: '10.0.0.1', port: 80 },
        identity: undefined,
        network: '',
      }
      const connection: TrackedConnection = {
        direction: 'inbound',
        place: NOWHERE,
        summarise: () => ({ src: '', originalDst: null, actualDst: '', protocol: 'TCP' }),
        facts,
        close: () => {
          closed.push(name)
          connections.remove(connection)
        },
      }
      connections.add(connection)
      const record = mesh.localWorkload(POD.namespace, POD.name, POD.serviceAccount)
      if (!record || !podPolicy.judge(record, facts).allowed) throw new Error('not allowed from the start')
      return connection
    },
  }
}

function ofPolicy(value: Authorization): MeshResource {
  return { kind: 'policy', value }
}

void t.test('a DENY reaches open connections although the record of their pod has gone', async (t) => {
  const pod = onePod()
  pod.settle([ofWorkload(RECORD)])
  pod.open('one')
  pod.settle([], ['workload/server'])
  t.same(pod.closed, [], 'that it has gone closes nothing')
  pod.settle([ofPolicy(DENY_ALL)])
  t.same(pod.closed, ['one'])
})

void t.test('also where both come together, or the record is renamed', async (t) => {
  const removed = onePod()
  removed.settle([ofWorkload(RECORD)])
  removed.open('one')
  removed.settle([ofPolicy(DENY_ALL)], ['workload/server'])
  t.same(removed.closed, ['one'])
  const renamed = onePod()
  renamed.settle([ofWorkload(RECORD)])
  renamed.open('one')
  renamed.settle([ofWorkload({ ...RECORD, name: 'another' }), ofPolicy(DENY_ALL)])
  t.same(renamed.closed, ['one'])
})

void t.test('what the last record named counts on, and what it did not name does not', async (t) => {
  const pod = onePod()
  const chosen = policy('chosen', { scope: 'WorkloadSelector', action: 'Deny' })
  pod.settle([ofPolicy(chosen), ofWorkload({ ...RECORD, authorizationPolicies: ['default/chosen'] })])
  pod.open('one')
  pod.settle([], ['workload/server'])
  pod.settle([ofPolicy(policy('unchosen', { scope: 'WorkloadSelector', action: 'Deny', rules: [[]] }))])
  t.same(pod.closed, [])
  pod.settle([ofPolicy({ ...chosen, rules: [[]] })])
  t.same(pod.closed, ['one'])
})

void t.test('a record that comes back is what counts again', async (t) => {
  const pod = onePod()
  pod.settle([ofPolicy(policy('chosen', { scope: 'WorkloadSelector', action: 'Deny', rules: [[]] }))])
  pod.settle([ofWorkload(RECORD)])
  pod.open('one')
  pod.settle([], ['workload/server'])
  pod.settle([ofWorkload({ ...RECORD, uid: 'server-2', authorizationPolicies: ['default/chosen'] })])
  t.same(pod.closed, ['one'])
})

void t.test('only changes that may concern the pod ask about its connections', async (t) => {
  const pod = onePod()
  pod.settle([ofWorkload(RECORD), ofPolicy(policy('first', { scope: 'Global', action: 'Deny' }))])
  for (let i = 0; i < 1_000; i++) pod.open(`${i}`)
  t.equal(pod.questions(), 1_000, 'each when it came')
  const asked = (upserts: readonly MeshResource[], removals: readonly string[] = []): number => {
    pod.apply(upserts, removals)
    return pod.questions()
  }
  t.equal(asked([ofWorkload(workload('another'))]), 0, 'another workload')
  t.equal(asked([], ['workload/another']), 0)
  t.equal(asked([ofPolicy(policy('p', { namespace: 'shop', action: 'Deny' }))]), 0, 'a policy of another namespace')
  t.equal(asked([ofPolicy(policy('p', { scope: 'WorkloadSelector' }))]), 0, 'one that selects others')
  t.equal(asked([ofPolicy(policy('n'))]), 1_000, 'one of its namespace')
  t.equal(asked([], ['policy/default/n']), 0, 'nobody is left to ask: an ALLOW without rules refused all')
  for (let i = 0; i < 10; i++) pod.open(`${i}`)
  pod.questions()
  t.equal(asked([ofWorkload({ ...RECORD, canonicalName: 'label' })]), 10, 'its own record')
  t.equal(asked([ofWorkload({ ...RECORD, authorizationPolicies: ['default/p'] })]), 10, 'the policies that it names')
  t.equal(pod.connections.size, 0)
})

void t.test('many connections are asked about in slices; who waits keeps its place', async (t) => {
  const pod = onePod()
  pod.settle([ofWorkload(RECORD)])
  const opened = Array.from({ length: 1_000 }, (_, i) => pod.open(`${i}`))
  pod.questions()
  pod.apply([ofPolicy(policy('one', { action: 'Deny' }))])
  t.equal(pod.later.length, 1)
  pod.later.shift()?.()
  t.equal(pod.later.length, 1, 'not all at once')
  const gone = opened[999]
  if (gone) pod.connections.remove(gone)
  pod.apply([ofPolicy(policy('two', { action: 'Deny', rules: [[]] }))])
  t.equal(pod.later.length, 1)
  pod.later.shift()?.()
  t.equal(pod.closed[0], '256', 'a change that comes meanwhile begins with those that still wait')
  pod.questions()
  t.equal(new Set(pod.closed).size, 999, 'all but the one that had ended')
  t.equal(pod.connections.size, 0)
})
