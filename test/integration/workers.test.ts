// Data workers that die and proxies that are replaced, under load: programs should not notice more than they must.
import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { killWorkers, SECRET, underLoad, WEB_PORT, type LoadResult } from '../demo/programs.ts'
import { recovery } from '../demo/recovery.ts'
import { eventually, must, Talker, TestMesh, type TestNode } from '../kit/index.ts'
import { ECHO_PORT, LOAD, twoNodes } from './two-nodes.ts'
import { unwillingNft } from './unwilling-nft.ts'

t.setTimeout(120_000)

void t.test('workers and successors', async (t) => {
  const mesh = await TestMesh.create()
  try {
    mesh.environment['TERMINATION_GRACE_PERIOD_SECONDS'] = '4'
    const { a, b, client, server } = await twoNodes(mesh)
    await mesh.up()

    await t.test('counts are the sum over the workers, those that died included', async (t) => {
      const counted = (): Promise<number> =>
        b.proxy.metric('istio_tcp_connections_opened_total', {
          reporter: 'destination',
          destination_workload: 'server',
        })
      const before = await counted()
      for (let index = 0; index < 12; index++) t.ok((await client.curl(server.v4, WEB_PORT)).ok)
      t.equal((await counted()) - before, 12)
      const [worker] = await b.proxy.workers()
      if (worker === undefined) throw new Error('no data worker')
      process.kill(worker, 'SIGKILL')
      await eventually('the worker is replaced', async () => {
        const workers = await b.proxy.workers()
        return workers.length > 0 && !workers.includes(worker)
      })
      await eventually('served', async () => (await client.curl(server.v4, WEB_PORT)).ok)
      t.ok((await counted()) - before >= 13, 'what the dead one counted is still there')
    })

    await t.test('connections that a killed worker had open count as closed', async (t) => {
      const here = await Talker.start(client)
      const cuts = { response_flags: 'CONNECT' }
      const open = async (): Promise<number> => (await inbound(b, 'opened')) - (await inbound(b, 'closed'))
      const names = ['held1', 'held2', 'held3']
      for (const name of names) here.open(name, server.v4, ECHO_PORT)
      await Promise.all(names.map((name) => here.echoes(name, 'here')))
      await eventually('only these are open', async () => (await open()) === names.length)
      const before = await inbound(b, 'failed', cuts)
      for (const worker of await b.proxy.workers()) process.kill(worker, 'SIGKILL')
      await Promise.all(names.map((name) => here.heard(name, /^(ended|error)/)))
      await eventually('as many are closed as were opened', async () => (await open()) === 0)
      t.equal((await inbound(b, 'failed', cuts)) - before, names.length)
    })

    /** Its workers are killed twice under load: what they had accepted dies with them, and nothing else. */
    const survives = async (t: Test, node: TestNode): Promise<void> => {
      let kills: readonly number[] = []
      const result = await underLoad(client, server.v4, LOAD, async () => {
        kills = await killWorkers(node, [700, 1_200])
      })
      const { ok, observed } = recovery(result, kills)
      t.ok(ok, `node ${node.name}: ${observed}; ${told(result)}`)
      t.equal(kills.length, 2)
    }

    await t.test('a worker is killed twice in a row under load', async (t) => {
      for (const node of [b, a]) {
        await survives(t, node)
      }
    })

    await t.test('the same while the CA is away', async (t) => {
      const ca = mesh.ca
      if (!ca) throw new Error('no CA runs')
      ca.signal('SIGKILL')
      await ca.exited
      await survives(t, b)
      await mesh.startCa()
    })

    await t.test('a pod that comes while a worker has no descriptor left is served when it has', async (t) => {
      const late = await a.pod('late')
      const talker = await Talker.start(client)
      talker.open('held', server.v4, ECHO_PORT)
      await talker.echoes('held', 'before')
      const workers = await a.proxy.workers()
      // With one free the socket arrives, and nothing more can be opened for it.
      for (const [free, again] of [
        [0, /has not taken the listeners/],
        [1, /a listener cannot be taken.*EMFILE/],
      ] as const) {
        const before = a.proxy.program.output.length
        for (const pid of workers) await limit(pid, free)
        await mesh.enrol([late])
        await eventually('it is tried again', () => again.test(a.proxy.program.output.slice(before)))
        for (const pid of workers) await must(['prlimit', '--pid', String(pid), '--nofile=20000:'])
        t.match((await late.curl(server.v4, WEB_PORT)).stdout, SECRET, `with ${free} free`)
        await mesh.enrol([late], false)
      }
      await talker.echoes('held', 'after')
      t.same(await a.proxy.workers(), workers)
    })

    await t.test('a second ztunnel takes over under load: no connection fails', async (t) => {
      for (const node of [b, a]) {
        const old = node.proxy
        const result = await underLoad(client, server.v4, LOAD, async () => {
          await mesh.replaceZtunnel(node)
        })
        t.match(result, { ok: result.started, refused: 0, cut: 0, timedOut: 0 }, `node ${node.name}: ${told(result)}`)
        t.equal(await old.program.exited, 0)
      }
    })

    await t.test('nor does one that the second takes before its redirection is in place', async (t) => {
      const nft = await unwillingNft(mesh.files)
      const result = await underLoad(client, server.v4, LOAD, async () => {
        nft.hesitate()
        // Its workers serve by then: they start while the redirection is being set up.
        setTimeout(() => nft.obey(), 1_000)
        await mesh.replaceZtunnel(a, { PATH: nft.path })
      })
      t.match(result, { ok: result.started, refused: 0, cut: 0, timedOut: 0 }, told(result))
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})

/** Connections that a node's proxy counted as the receiving side. */
function inbound(node: TestNode, what: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  return node.proxy.metric(`istio_tcp_connections_${what}_total`, { reporter: 'destination', ...labels })
}

/** Leaves the process so many descriptors to open. */
async function limit(pid: number, free: number): Promise<void> {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let most = 0
  for (let left = free; left > 0 || taken.has(most); most++) if (!taken.has(most)) left--
  await must(['prlimit', '--pid', String(pid), `--nofile=${most}:`])
}

function told({ started, ok, refused, timedOut, cut, slowestMs, errors, broken }: LoadResult): string {
  const ends = `${ok} answered, ${refused} refused, ${timedOut} timed out, ${cut} cut`
  const lived = broken.map(([began, ended]) => ended - began)
  const how = cut > 0 ? ` (${JSON.stringify(errors)}, cut after ${Math.min(...lived)} to ${Math.max(...lived)} ms)` : ''
  return `${started} connections: ${ends}${how}, slowest ${slowestMs} ms`
}
