// L4 policy: who may connect, and what happens to open connections when the answer changes.
import t from 'tap'
import { eventually, Talker, TestMesh, type Pod } from '../kit/index.ts'

const PORT = 9_000
const OTHER_PORT = 9_001

t.setTimeout(90_000)

/** A policy of one rule with one clause of one match, as it is written in the file. */
function policy(name: string, fields: Readonly<Record<string, unknown>>, match?: Readonly<Record<string, unknown>>) {
  return {
    name,
    namespace: 'default',
    scope: 'WorkloadSelector',
    action: 'Deny',
    dryRun: false,
    rules: match ? [[[match]]] : [],
    ...fields,
  }
}

void t.test('policy', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const shop = await a.pod('shop')
    const batch = await a.pod('batch', { namespace: 'jobs' })
    const outsider = await a.pod('outsider', { protocol: 'TCP' })
    const orders = await b.pod('orders')
    const stock = await b.pod('stock', { namespace: 'back' })
    const clients = new Map<Pod, Talker>()
    for (const pod of [shop, batch, outsider]) clients.set(pod, await Talker.start(pod))
    for (const pod of [orders, stock]) {
      const server = await Talker.start(pod)
      for (const port of [PORT, OTHER_PORT]) await server.listen(port, { echo: true })
    }
    await mesh.up()
    let count = 0

    function talkerOf(pod: Pod): Talker {
      const talker = clients.get(pod)
      if (!talker) throw new Error(`${pod.name} has no talker`)
      return talker
    }

    /** A new connection on which one echo was heard; answers its name. */
    async function open(from: Pod, to: Pod, port = PORT): Promise<string> {
      const name = `c${++count}`
      talkerOf(from).open(name, to.v4, port)
      await talkerOf(from).echoes(name, 'hello')
      return name
    }

    /** True when a new connection carries an echo, false when it is closed without one. */
    async function mayConnect(from: Pod, to: Pod, port = PORT): Promise<boolean> {
      const talker = talkerOf(from)
      const name = `c${++count}`
      talker.open(name, to.v4, port)
      talker.say(name, 'hello')
      const event = await talker.heard(name, /^(got|ended|error|closed)/)
      talker.end(name)
      return event.startsWith('got')
    }

    /** Waits until exactly these may connect; then the new policies are in force. */
    async function inForce(expected: readonly (readonly [Pod, Pod, boolean, number?])[]): Promise<void> {
      for (const [from, to, allowed, port = PORT] of expected) {
        await eventually(`${from.name} ${allowed ? 'may' : 'may not'} connect to ${to.name}:${port}`, async () => {
          return (await mayConnect(from, to, port)) === allowed
        })
      }
    }

    /** What the server's proxy says when it refuses a new connection. */
    async function refusal(from: Pod, to: Pod): Promise<unknown> {
      await mayConnect(from, to)
      const line = await b.proxy.access({
        'src.workload': from.name,
        'dst.workload': to.name,
        error: /policy rejection/,
      })
      return line['error']
    }

    /** Puts these policies in the place of all others. */
    function set(...policies: readonly ReturnType<typeof policy>[]): void {
      mesh.policies.splice(0, Infinity, ...policies)
      mesh.save()
    }

    await t.test('without policies everybody may connect, in plaintext too', async () => {
      await inForce([shop, batch, outsider].flatMap((from) => [orders, stock].map((to) => [from, to, true] as const)))
    })

    await t.test('DENY of one principal, for the workload that lists the policy', async (t) => {
      attach(orders, 'default/no-batch')
      set(policy('no-batch', {}, { principals: [{ Exact: batch.identity.replace('spiffe://', '') }] }))
      await inForce([
        [batch, orders, false],
        [shop, orders, true],
        [outsider, orders, true],
        [batch, stock, true],
      ])
      t.match(await refusal(batch, orders), /explicitly denied by: default\/no-batch/)
      const line = await a.proxy.access({
        direction: 'outbound',
        'src.workload': 'batch',
        error: /http status: 401 Unauthorized/,
      })
      t.equal(line.level, 'error', 'the client is told by status')
      const labels = { reporter: 'destination', response_flags: 'DENY', source_workload: 'batch' }
      t.ok((await b.proxy.metric('istio_tcp_connections_closed_total', labels)) > 0)
    })

    await t.test('ALLOW: nobody else gets in', async (t) => {
      set(policy('no-batch', { action: 'Allow' }, { namespaces: [{ Exact: 'default' }] }))
      await inForce([
        [batch, orders, false],
        [outsider, orders, false],
        [shop, orders, true],
        [outsider, stock, true],
      ])
      t.match(await refusal(outsider, orders), /allow policies exist, but none allowed/)
      set(policy('no-batch', { action: 'Allow' }))
      await inForce([[shop, orders, false]])
      t.pass('an ALLOW without rules allows nobody')
    })

    await t.test('a dry run refuses nobody and logs what it would do', async (t) => {
      set(
        policy('no-batch', { dryRun: true }, { namespaces: [{ Exact: 'jobs' }] }),
        policy(
          'everywhere',
          { scope: 'Global', action: 'Allow', dryRun: true },
          { namespaces: [{ Exact: 'nowhere' }] },
        ),
      )
      await inForce([
        [shop, orders, true],
        [batch, orders, true],
        [outsider, orders, true],
      ])
      t.pass('all may')
    })

    await t.test('scopes: a namespace, everything', async () => {
      attach(orders)
      set(policy('back', { namespace: 'back', scope: 'Namespace' }, { namespaces: [{ Prefix: 'jo' }] }))
      await inForce([
        [batch, stock, false],
        [batch, orders, true],
        [shop, stock, true],
      ])
      set(policy('all', { namespace: 'istio-system', scope: 'Global' }, { principals: [{ Suffix: '/sa/batch' }] }))
      await inForce([
        [batch, stock, false],
        [batch, orders, false],
        [shop, stock, true],
      ])
    })

    await t.test('STRICT: plaintext is refused, tunnels are not', async (t) => {
      attach(stock, 'istio-system/istio_converted_static_strict')
      const strict = { namespace: 'istio-system' }
      set(policy('istio_converted_static_strict', strict, { notPrincipals: [{ Presence: [] }] }))
      await inForce([
        [outsider, stock, false],
        [outsider, orders, true],
        [shop, stock, true],
        [batch, stock, true],
      ])
      t.match(await refusal(outsider, stock), /istio_converted_static_strict/)
    })

    await t.test('ports, addresses and service accounts', async () => {
      attach(stock)
      const global = { scope: 'Global', namespace: 'istio-system' }
      set(policy('port', global, { destinationPorts: [OTHER_PORT] }))
      await inForce([
        [shop, orders, false, OTHER_PORT],
        [outsider, orders, false, OTHER_PORT],
        [shop, orders, true],
      ])
      set(policy('block', global, { sourceIps: [`${outsider.v4}/32`], notDestinationIps: [`${stock.v4}/32`] }))
      await inForce([
        [outsider, orders, false],
        [outsider, stock, true],
        [shop, orders, true],
      ])
      set(policy('accounts', global, { notServiceAccounts: [{ namespace: 'default', serviceAccount: 'shop' }] }))
      await inForce([
        [outsider, orders, false],
        [batch, orders, false],
        [shop, orders, true],
      ])
      set()
      await inForce([[batch, orders, true]])
    })

    /** A connection of each stays open while the policies change. */
    const everyone = [
      [shop, orders],
      [batch, orders],
      [outsider, orders],
      [shop, stock],
      [batch, stock],
      [outsider, stock],
    ] as const

    await t.test('open connections that a policy now refuses are closed, the others stay', async (t) => {
      const changes: readonly (readonly [string, readonly (readonly [Pod, Pod])[], () => void])[] = [
        [
          'a policy of the namespace',
          [[batch, stock]],
          () => set(policy('back', { namespace: 'back', scope: 'Namespace' }, { namespaces: [{ Exact: 'jobs' }] })),
        ],
        [
          'a policy that the workload lists already',
          [
            [outsider, orders],
            [batch, orders],
          ],
          () => set(policy('only-shop', { action: 'Allow' }, { principals: [{ Suffix: '/sa/shop' }] })),
        ],
        [
          'a policy for everything',
          [
            [outsider, orders],
            [outsider, stock],
          ],
          () => set(policy('strict', { scope: 'Global' }, { notPrincipals: [{ Presence: [] }] })),
        ],
        [
          'the policy list of the workload',
          [
            [batch, stock],
            [outsider, stock],
          ],
          () => {
            attach(stock, 'default/listed-later')
            mesh.save()
          },
        ],
      ]
      const later = policy('listed-later', { action: 'Allow' }, { namespaces: [{ Exact: 'default' }] })
      for (const [what, refused, change] of changes) {
        attach(orders, ...(what.includes('lists already') ? ['default/only-shop'] : []))
        attach(stock)
        set(
          ...(what.startsWith('the policy list') ? [later] : []),
          ...(what.includes('lists already') ? [allowAll()] : []),
        )
        await inForce(everyone.map(([from, to]) => [from, to, true] as const))
        const opened = await Promise.all(everyone.map(async ([from, to]) => ({ from, to, name: await open(from, to) })))
        const isRefused = ({ from, to }: { from: Pod; to: Pod }): boolean =>
          refused.some(([one, other]) => one === from && other === to)
        const since = Date.now()
        change()
        const times = await Promise.all(
          opened.filter(isRefused).map(async ({ from, name }) => {
            await talkerOf(from).heard(name, /^(ended|error)/)
            talkerOf(from).end(name)
            return Date.now() - since
          }),
        )
        t.comment(`${what}: ${times.length} connections closed, the last after ${Math.max(...times)} ms`)
        for (const { from, name } of opened.filter((one) => !isRefused(one))) {
          await talkerOf(from).echoes(name, 'still-open')
          talkerOf(from).end(name)
          await talkerOf(from).heard(name, /^closed/)
        }
        t.pass(`${what}: the ${opened.length - times.length} others stayed`)
      }
    })

    await t.test('a policy reaches open connections of a pod whose record has gone', async (t) => {
      const name = await open(shop, orders)
      orders.record['name'] = 'renamed'
      set(policy('nobody', { scope: 'Global', namespace: 'istio-system' }, { notPrincipals: [{ Exact: 'nobody' }] }))
      await talkerOf(shop).heard(name, /^(ended|error)/)
      talkerOf(shop).end(name)
      delete orders.record['name']
      set()
      await inForce([[shop, orders, true]])
      t.pass('it was closed')
    })

    await t.test('a policy counts although much is written beside its file', async (t) => {
      const writer = setInterval(() => mesh.files.write('neighbour', String(Math.random())), 30)
      try {
        set(policy('strict', { scope: 'Global' }, { notPrincipals: [{ Presence: [] }] }))
        await inForce([[outsider, orders, false]])
        t.pass('it is in force')
      } finally {
        clearInterval(writer)
        set()
        await inForce([[outsider, orders, true]])
      }
    })

    await t.test('a policy that nobody knows refuses: what it would say cannot be known', async (t) => {
      attach(orders)
      attach(stock)
      mesh.save()
      await inForce([
        [shop, orders, true],
        [shop, stock, true],
      ])
      const name = await open(shop, orders)
      attach(orders, 'default/never-heard-of')
      mesh.save()
      await talkerOf(shop).heard(name, /^(ended|error)/)
      talkerOf(shop).end(name)
      await inForce([
        [shop, orders, false],
        [shop, stock, true],
      ])
      t.ok(
        await b.proxy.access({
          'src.workload': 'shop',
          'dst.workload': 'orders',
          error: /never-heard-of is not known/,
        }),
      )
      attach(orders)
      mesh.save()
      await inForce([[shop, orders, true]])
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})

/** Lets everybody in by the name that is attached. */
function allowAll() {
  return policy('only-shop', { action: 'Allow' }, { destinationPorts: [PORT, OTHER_PORT] })
}

/** The names of policies that the workload's record lists. */
function attach(pod: Pod, ...names: readonly string[]): void {
  pod.record['authorizationPolicies'] = names
}
