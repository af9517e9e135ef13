// Whose a network namespace is: no two pods share one, in real namespaces, with a clock that the test moves.
import t from 'tap'
import { selectIo } from '@ambit/shared/io'
import { silentLog } from '@ambit/shared/log'
import { reservedNamespaces } from '../../ztunnel/src/control/reserved-namespaces.ts'
import { NetworkNamespace, primeThreadPool } from '../../ztunnel/src/linux/index.ts'
import { eventually, TestMesh } from '../kit/index.ts'
import { NETNS_DIRECTORY } from '../kit/topology.ts'
import { capturing, LISTENERS, placeOf, RETRY_MS } from './capturing-fixture.ts'
import { listening, networkOf } from './network-of.ts'

t.setTimeout(60_000)

void t.test('whose a namespace is', async (t) => {
  await primeThreadPool()
  const io = await selectIo({ log: silentLog })
  const mesh = await TestMesh.create()
  const node = await mesh.node('a')
  try {
    await t.test('a namespace belongs to one pod', async (t) => {
      const pod = await node.pod('shared')
      const before = await networkOf(pod.place.namespace)
      const { pods, clock, errors } = capturing(io, t)
      await pods.change([placeOf(pod)], [])
      const redirected = await networkOf(pod.place.namespace)
      t.not(redirected, before)
      // By another path, which a file cannot tell from another namespace.
      await pods.change(
        [{ ...placeOf(pod), uid: 'second', name: 'second', netns: `/run/../run/netns/${pod.place.namespace}` }],
        [],
      )
      t.match(errors, [/"pod":"default\/second","error":"the network namespace \S+ is that of pod default\/shared"/])
      t.same([...pods.pending.keys()], ['second'])
      t.same(await listening(pod), LISTENERS, 'the connections are those of the first one')

      await pods.change([], ['second'])
      t.equal(await networkOf(pod.place.namespace), redirected, 'who leaves does not take the redirection along')

      await pods.change([{ ...placeOf(pod), uid: 'second' }], [])
      await pods.change([], [pod.uid])
      t.equal(await networkOf(pod.place.namespace), before)
      await clock.advance(RETRY_MS)
      await pods.change([], [])
      t.same([...pods.captured.keys()], ['second'], 'tried again when the namespace is free')
      t.equal(await networkOf(pod.place.namespace), redirected)
      await pods.change([], ['second'])
    })

    await t.test('nor does one take it along while connections of the other end', async (t) => {
      const crowd = await Promise.all(['c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7'].map((name) => node.pod(name)))
      const pod = await node.pod('first')
      const before = await networkOf(pod.place.namespace)
      const ended = Promise.withResolvers<void>()
      const { pods } = capturing(io, t, new Map(), {
        onRemoved: ({ pod: { uid } }) => (uid === pod.uid ? ended.promise : Promise.resolve()),
      })
      const first = [pod, ...crowd].map((one) => placeOf(one))
      await pods.change(first, [])
      await pods.change([{ ...placeOf(pod), uid: 'second' }], [])
      // So many at a time: the second one has its turn when the crowd is gone, and the connections of the first are still there.
      const changed = pods.change([], [...first.map(({ uid }) => uid), 'second'])
      await eventually('the others are gone', () => pods.captured.size === 1 && pods.pending.size === 0)
      t.not(await networkOf(pod.place.namespace), before)
      ended.resolve()
      await changed
      t.equal(await networkOf(pod.place.namespace), before)
    })

    await t.test('the namespaces of the node and of ztunnel are no pods', async (t) => {
      const other = NetworkNamespace.open(`${NETNS_DIRECTORY}/${node.place.namespace}`)
      const reserved = reservedNamespaces(other)
      other.close()
      const before = await networkOf(node.place.namespace)
      const { pods, errors } = capturing(io, t, reserved)
      const place = { name: 'x', namespace: 'default', serviceAccount: 'x' }
      const places = [
        { ...place, uid: 'node', netns: `${NETNS_DIRECTORY}/${node.place.namespace}` },
        { ...place, uid: 'self', netns: '/proc/self/ns/net' },
      ]
      await pods.change(places, [])
      t.match(errors, [/is that of the node"/, /is that of ztunnel"/])
      t.equal(pods.pending.size, 2)
      await pods.change([], ['node', 'self'])
      t.equal(pods.pending.size, 0)
      t.equal(await networkOf(node.place.namespace), before)
      t.same([...reservedNamespaces(undefined).values()], ['ztunnel'], 'where the node is not known')
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})
