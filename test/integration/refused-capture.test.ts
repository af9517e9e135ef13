// A pod whose redirection the kernel refuses, or is slow to take: it is tried again, and nothing piles up or is forgotten.
import t from 'tap'
import { SECRET, startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, TestMesh } from '../kit/index.ts'
import { listening, networkOf } from './network-of.ts'
import { unwillingNft } from './unwilling-nft.ts'

const LISTENERS = [':15001', ':15006', ':15008']

t.setTimeout(120_000)

void t.test('a capture that fails', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const nft = await unwillingNft(mesh.files)
    mesh.environment['PATH'] = nft.path
    const a = await mesh.node('a')
    const client = await a.pod('client')
    await mesh.up()
    const server = await a.pod('server')
    startNginx(mesh, server)
    const before = await networkOf(server.place.namespace)
    const failures = (): number => a.proxy.program.output.split('"pod not captured, trying again in 5 s"').length - 1

    await t.test('it is tried again and again, with a clear error and without traces', async (t) => {
      nft.refuse()
      server.isEnrolled = true
      mesh.save()
      await eventually('tried a second time', () => failures() >= 2)
      t.match(a.proxy.program.output, /"pod":"default\/server","error":"nft -f - failed: not today"/)
      await eventually('no listener is left', async () => (await listening(server)).length === 0)
      t.equal(await a.proxy.isReady(), false)
      const issued = mesh.ca?.output.split('\n').filter((line) => /certificate issued/.test(line)) ?? []
      t.equal(issued.filter((line) => line.includes(server.identity)).length, 1, 'one certificate for all attempts')
    })

    await t.test('taken out again it is as it was', async (t) => {
      nft.obey()
      server.isEnrolled = false
      mesh.save()
      await eventually('ready without it', () => a.proxy.isReady())
      t.equal(await networkOf(server.place.namespace), before)
    })

    await t.test('workers that start while it is captured serve it', async (t) => {
      const workers = await a.proxy.workers()
      nft.hesitate()
      server.isEnrolled = true
      mesh.save()
      await eventually('it is being captured', async () => (await listening(server)).length > 0)
      for (const worker of workers) process.kill(worker, 'SIGKILL')
      await eventually('new workers', async () => {
        const now = await a.proxy.workers()
        return now.length === workers.length && !now.some((worker) => workers.includes(worker))
      })
      nft.obey()
      await mesh.captured()
      t.strictSame(await listening(server), LISTENERS)
      t.match((await client.curl(server.v4, WEB_PORT)).stdout, SECRET)
      t.ok(await a.proxy.access({ direction: 'inbound', 'src.identity': client.identity }))
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})
