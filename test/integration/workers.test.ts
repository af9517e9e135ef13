// Data workers that die and proxies that are replaced, under load: programs should not notice more than they must.
import t from 'tap'
import { killWorkers, underLoad, WEB_PORT, type LoadResult } from '../demo/programs.ts'
import { eventually, Talker, TestMesh, type TestNode } from '../kit/index.ts'
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

    await t.test('a worker is killed twice in a row under load', async (t) => {
      for (const node of [b, a]) {
        const result = await underLoad(client, server.v4, LOAD, () => killTwice(node))
        t.comment(`node ${node.name}: ${told(result)}`)
        t.match(result, { refused: 0, timedOut: 0 })
        t.ok(result.ok > 0, 'it goes on')
      }
    })

    await t.test('the same while the CA is away', async (t) => {
      const ca = mesh.ca
      if (!ca) throw new Error('no CA runs')
      ca.signal('SIGKILL')
      await ca.exited
      const result = await underLoad(client, server.v4, LOAD, () => killTwice(b))
      t.comment(told(result))
      t.match(result, { refused: 0, timedOut: 0 })
      t.ok(result.ok > 0, 'it goes on')
      await mesh.startCa()
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

async function killTwice(node: TestNode): Promise<void> {
  await killWorkers(node, [700, 1_200])
}

function told({ started, ok, refused, timedOut, cut, slowestMs, errors, broken }: LoadResult): string {
  const ends = `${ok} answered, ${refused} refused, ${timedOut} timed out, ${cut} cut`
  const lived = broken.map(([began, ended]) => ended - began)
  const how = cut > 0 ? ` (${JSON.stringify(errors)}, cut after ${Math.min(...lived)} to ${Math.max(...lived)} ms)` : ''
  return `${started} connections: ${ends}${how}, slowest ${slowestMs} ms`
}
