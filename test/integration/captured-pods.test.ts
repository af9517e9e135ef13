// Which namespaces become pods and when: the room that captures them, in real namespaces, with a clock that the test moves.
import { symlinkSync } from 'node:fs'
import t from 'tap'
import { selectIo } from '@ambit/shared/io'
import { silentLog } from '@ambit/shared/log'
import { Mesh } from '@ambit/shared/mesh'
import { PodProbes } from '../../ztunnel/src/control/pod-probes.ts'
import { libcGetsockopt, SOL_SOCKET, SOL_TCP } from '../../ztunnel/src/linux/libc.ts'
import { NetworkNamespace, primeThreadPool } from '../../ztunnel/src/linux/index.ts'
import { eventually, TestMesh, type Pod } from '../kit/index.ts'
import { NETNS_DIRECTORY } from '../kit/topology.ts'
import { capturing, LISTENERS, placeOf, RETRY_MS } from './capturing-fixture.ts'
import { listening, networkOf } from './network-of.ts'
import { unwillingNft } from './unwilling-nft.ts'

const SO_KEEPALIVE = 9
const TCP_USER_TIMEOUT = 18

t.setTimeout(60_000)

void t.test('capturing pods', async (t) => {
  await primeThreadPool()
  const io = await selectIo({ log: silentLog })
  const mesh = await TestMesh.create()
  const node = await mesh.node('a')
  const nft = await unwillingNft(mesh.files)
  process.env['PATH'] = nft.path

  try {
    await t.test('who accepts applications asks whether they live; tunnels do that themselves', async (t) => {
      const pod = await node.pod('kept')
      const { pods } = capturing(io, t)
      nft.obey()
      await pods.change([placeOf(pod)], [])
      const found = pods.captured.get(pod.uid)?.listeners.map(({ role, handle: { fd } }) => ({
        role,
        keepAlive: optionOf(fd, SOL_SOCKET, SO_KEEPALIVE),
        userTimeoutMs: optionOf(fd, SOL_TCP, TCP_USER_TIMEOUT),
      }))
      t.strictSame(found, [
        { role: 'inbound', keepAlive: 0, userTimeoutMs: 0 },
        { role: 'inboundPassthrough', keepAlive: 1, userTimeoutMs: 92_000 },
        { role: 'outbound', keepAlive: 1, userTimeoutMs: 92_000 },
      ])
      await pods.change([], [pod.uid])
    })

    await t.test('listeners that cannot be handed over are closed, and the pod is tried again', async (t) => {
      const pod = await node.pod('unheard')
      let isBroken = true
      const { pods, clock } = capturing(io, t, new Map(), {
        onListening: () => {
          if (isBroken) throw new Error('no worker takes it')
        },
      })
      await pods.change([placeOf(pod)], [])
      t.same(await listening(pod), [])
      t.same([pods.serving.size, pods.pending.size], [0, 1])
      isBroken = false
      await clock.advance(RETRY_MS)
      await pods.change([], [])
      t.same([...pods.captured.keys()], [pod.uid])
      t.same(await listening(pod), LISTENERS)
      await pods.change([], [pod.uid])
    })

    await t.test('while its connections end a pod is as it was before the try, or still redirected', async (t) => {
      const pod = await node.pod('ending')
      const seen: string[] = []
      let isBroken = true
      const see = (when: string): void => {
        const { captured, serving, pending } = pods
        seen.push(`${when}: ${captured.size} captured, ${serving.size} serving, ${pending.size} pending`)
      }
      const { pods, clock } = capturing(io, t, new Map(), {
        onListening: () => {
          see('listening')
          if (isBroken) throw new Error('no worker takes it')
        },
        onRemoved: () => {
          see('ending')
          return Promise.resolve()
        },
      })
      nft.obey()
      await pods.change([placeOf(pod)], [])
      await clock.advance(RETRY_MS)
      await pods.change([], [])
      isBroken = false
      await clock.advance(RETRY_MS)
      await pods.change([], [])
      see('captured')
      await pods.change([], [pod.uid])
      see('released')
      t.strictSame(seen, [
        'listening: 0 captured, 1 serving, 0 pending',
        'ending: 0 captured, 0 serving, 0 pending',
        'listening: 0 captured, 1 serving, 1 pending',
        'ending: 0 captured, 0 serving, 1 pending',
        'listening: 0 captured, 1 serving, 1 pending',
        'captured: 1 captured, 1 serving, 0 pending',
        'ending: 1 captured, 0 serving, 0 pending',
        'released: 0 captured, 0 serving, 0 pending',
      ])
    })

    await t.test(
      'a redirection that cannot be taken away is tried again, and put in place anew for a pod that is back',
      async (t) => {
        const pod = await node.pod('stuck')
        const before = await networkOf(pod.place.namespace)
        const { pods, clock, news } = capturing(io, t)
        nft.obey()
        await pods.change([placeOf(pod)], [])
        for (let round = 1; round <= 2; round++) {
          nft.refuse()
          await pods.change([], [pod.uid])
          nft.obey()
          t.not(await networkOf(pod.place.namespace), before)
          t.strictSame([pods.captured.size, pods.serving.size, pods.pending.size], [1, 0, 0])
          if (round === 2) break
          await pods.change([placeOf(pod)], [])
          t.strictSame([pods.captured.size, pods.serving.size, pods.pending.size], [1, 1, 0])
          t.same(await listening(pod), LISTENERS)
        }
        nft.refuse()
        await clock.advance(RETRY_MS)
        await pods.change([], [])
        nft.obey()
        t.not(await networkOf(pod.place.namespace), before, 'refused again')
        await clock.advance(RETRY_MS)
        await pods.change([], [])
        t.equal(await networkOf(pod.place.namespace), before)
        t.strictSame([pods.captured.size, clock.pendingTimers], [0, 0])
        t.strictSame(news, ['pod captured', 'pod released', 'pod captured', 'pod released'])
      },
    )

    await t.test('where lo is down in a pod the log says so, and what to do', async (t) => {
      const pod = await node.pod('down')
      await pod.must(['ip', 'link', 'set', 'lo', 'down'])
      const { pods, clock, errors } = capturing(io, t)
      nft.obey()
      await pods.change([placeOf(pod)], [])
      const [, advice = ''] = /"error":"lo is down in \S+; do: ([^"]*)"/.exec(errors.join()) ?? []
      await node.must(advice.split(' '))
      await clock.advance(RETRY_MS)
      await pods.change([], [])
      t.same([...pods.captured.keys()], [pod.uid])
      await pods.change([], [pod.uid])
    })

    await t.test('a try that falls due during a change does not undo it', async (t) => {
      const leaving = await node.pod('leaving')
      const moving = await node.pod('moving')
      const elsewhere = await node.pod('elsewhere')
      const before = await networkOf(leaving.place.namespace)
      const { pods, clock } = capturing(io, t)
      nft.refuse()
      await pods.change([placeOf(leaving), placeOf(moving)], [])
      t.equal(pods.pending.size, 2)

      nft.hesitate()
      const moved = { ...placeOf(moving), netns: elsewhere.netns }
      const changed = pods.change([moved], [leaving.uid, moving.uid])
      await clock.advance(RETRY_MS)
      nft.obey()
      await changed
      await pods.change([], [])
      t.same([...pods.captured.keys()], [moving.uid])
      t.equal(pods.pending.size, 0)
      t.equal(clock.pendingTimers, 0)
      t.equal(await networkOf(leaving.place.namespace), before, 'who has left stays out')
      t.same(await listening(leaving), [])
      t.same(await listening(moving), [], 'nothing is captured where it was')
      t.same(await listening(elsewhere), LISTENERS, 'once where it is')
      await pods.change([], [moving.uid])
      t.same(await listening(elsewhere), [], 'no listener is forgotten')
    })

    await t.test('a pod stays captured where it was until its new namespace can be opened', async (t) => {
      const pod = await node.pod('staying')
      const next = await node.pod('next')
      const before = await networkOf(pod.place.namespace)
      const { pods, clock, errors } = capturing(io, t)
      nft.obey()
      await pods.change([placeOf(pod)], [])
      const redirected = await networkOf(pod.place.namespace)
      const nowhere = { ...placeOf(pod), netns: mesh.files.path('moved') }

      await pods.change([nowhere], [pod.uid])
      t.match(errors, [/stays captured where it was, .*"\S+moved cannot be opened: there is no such file"/])
      t.same([[...pods.captured.keys()], [...pods.pending.keys()]], [[pod.uid], [pod.uid]])
      t.equal(await networkOf(pod.place.namespace), redirected)
      await clock.advance(RETRY_MS)
      await pods.change([placeOf(pod)], [pod.uid])
      t.equal(errors.length, 2)
      t.equal(pods.pending.size, 0, 'the mistake was taken back')

      await pods.change([nowhere], [pod.uid])
      symlinkSync(next.netns, nowhere.netns)
      await clock.advance(RETRY_MS)
      await pods.change([], [])
      t.equal(pods.pending.size, 0)
      t.equal(await networkOf(pod.place.namespace), before, 'let go where it was')
      t.same(await listening(next), LISTENERS)

      await pods.change([{ ...placeOf(pod), netns: `${nowhere.netns}-not` }], [pod.uid])
      await pods.change([], [pod.uid])
      t.same([pods.captured.size, pods.pending.size, clock.pendingTimers], [0, 0, 0])
      t.same(await listening(next), [], 'leaving ends both')

      await pods.change([{ ...nowhere, netns: mesh.files.directory }], [])
      t.match(errors.at(-1), `"error":"${mesh.files.directory} is no network namespace"`)
      await pods.change([], [pod.uid])
    })

    await t.test('of many pods a few are captured at a time', async (t) => {
      const many: Pod[] = []
      for (let count = 0; count < 10; count++) many.push(await node.pod(`many${count}`))
      let begun = 0
      const { pods, errors } = capturing(io, t, new Map(), { onListening: () => begun++ })
      nft.hesitate()
      const changed = pods.change(many.map(placeOf), [])
      await eventually('the first are being captured', () => begun > 0)
      t.equal(begun, 8)
      nft.obey()
      await changed
      t.same([begun, pods.captured.size, errors], [10, 10, []])
      await pods.change(
        [],
        many.map(({ uid }) => uid),
      )
      t.equal(pods.captured.size, 0)
      for (const pod of many) t.same(await listening(pod), [])
    })

    await t.test('who has ended captures nobody, also where it had begun', async (t) => {
      const [begun, waiting] = [await node.pod('begun'), await node.pod('waiting')]
      const before = await networkOf(begun.place.namespace)
      const probes = new PodProbes({
        node: NetworkNamespace.open(`${NETNS_DIRECTORY}/${node.place.namespace}`),
        mesh: new Mesh({ nodeName: node.name }),
        log: silentLog,
      })
      t.teardown(() => probes.close())
      const { pods, clock, errors, news, changes } = capturing(io, t, new Map(), { probes })
      nft.hesitate()
      const changed = Promise.all([pods.change([placeOf(begun)], []), pods.change([placeOf(waiting)], [])])
      await eventually('it is being captured', async () => (await listening(begun)).length > 0)
      pods.stop()
      nft.obey()
      await changed
      t.equal(await networkOf(begun.place.namespace), before, 'nothing is redirected to listeners that are closed')
      t.same([await listening(begun), await listening(waiting)], [[], []])
      t.same([pods.captured.size, changes(), clock.pendingTimers], [0, 0, 0])
      t.same([errors, news], [[], []])
      await probes.remove(begun.uid)
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})

function optionOf(fd: number, level: number, name: number): number {
  const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])]
  libcGetsockopt(fd, level, name, value, length)
  return value.readInt32LE()
}
