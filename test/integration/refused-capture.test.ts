// A pod whose redirection the kernel refuses, or is slow to take: it is tried again, and nothing piles up or is forgotten.
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { SECRET, startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, must, TestMesh } from '../kit/index.ts'
import { listening, networkOf } from './network-of.ts'

const LISTENERS = [':15001', ':15006', ':15008']

t.setTimeout(120_000)

void t.test('a capture that fails', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const nft = await unwillingNft(mesh)
    const a = await mesh.addNode('a')
    const client = await mesh.addPod(a, 'client')
    await mesh.up()
    const server = await mesh.addPod(a, 'server')
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

interface UnwillingNft {
  obey(): void
  refuse(): void
  /** Until it is told otherwise. */
  hesitate(): void
}

/** Puts a program before the real nft which does as it is told, for the ztunnels of the mesh. */
async function unwillingNft(mesh: TestMesh): Promise<UnwillingNft> {
  const real = (await must(['sh', '-c', 'command -v nft'])).trim()
  const mood = mesh.files.path('mood')
  const script = `#!/bin/sh
[ -e ${mood}.refuse ] && { echo 'not today' >&2; exit 1; }
while [ -e ${mood}.hesitate ]; do sleep 0.05; done
exec ${real} "$@"
`
  chmodSync(mesh.files.write('nft', script), 0o755)
  mesh.environment['PATH'] = `${mesh.files.directory}:${process.env['PATH'] ?? ''}`
  const obey = (): void => {
    for (const name of ['refuse', 'hesitate']) rmSync(`${mood}.${name}`, { force: true })
  }
  return {
    obey,
    refuse: () => {
      obey()
      writeFileSync(`${mood}.refuse`, '')
    },
    hesitate: () => {
      obey()
      writeFileSync(`${mood}.hesitate`, '')
    },
  }
}
