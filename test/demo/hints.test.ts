// What the demo has its reader type works as it is printed.
import t from 'tap'
import { command, eventually, must, TestMesh } from '../kit/index.ts'
import { followLogs, worthTelling } from './follow-logs.ts'
import { hints } from './hints.ts'
import { startNginx } from './programs.ts'

void t.test('the hints', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    await a.pod('shop')
    startNginx(mesh, await b.pod('orders'))
    await mesh.up()
    const typed = (what: string): string[] => {
      return ['sh', '-c', new RegExp(`^  ${what} +(ip netns exec .*)`, 'm').exec(hints(mesh))?.[1] ?? 'false']
    }
    const told: string[] = []
    const unfollow = followLogs(mesh, (line) => told.push(line))
    t.teardown(unfollow)
    await eventually('orders answers', async () => (await command(typed('a request'))).stdout.startsWith('orders says'))
    t.match(await must(typed('a shell in a pod'), { input: 'ip address show dev eth0' }), '10.1.1.10/')
    t.match(await must(typed('metrics')), 'istio_tcp_connections_opened_total')
    t.match(await must(typed('state')), 'certificates')
    t.same(told, [])
    t.match(await must(typed('more in the log')), 'debug')
    await must(typed('a request'))
    await eventually('the connection is told', () =>
      told.some((line) => line.startsWith('node a: debug access connection opened src.addr=10.')),
    )
  } finally {
    t.same(await mesh.close(), [])
  }
})

void t.test('warnings and errors are told, everything once somebody asked for more', async (t) => {
  const isWorthTelling = worthTelling()
  const levels = ['info', 'warn', 'info', 'error', 'debug', 'info']
  t.same(
    levels.map((level) => isWorthTelling({ level })),
    [false, true, false, true, true, true],
  )
})
