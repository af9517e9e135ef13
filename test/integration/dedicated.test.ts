// PROXY_MODE=dedicated: a proxy for one workload, in the namespace that it was started in, at either end of a tunnel.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { SECRET, seenBy, startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, Talker, TestMesh, ZTUNNEL_MAIN, type Pod } from '../kit/index.ts'

t.setTimeout(90_000)

const MARK = '1337'
/** A user namespace of ours has the one user who runs the tests. */
const ONE_USER = process.env['AMBIT_IN_USER_NAMESPACE'] ? 'needs a second user: run as root' : false
/** Who starts such a proxy directs the traffic, by the rules that the README tells: those of a mark, those of a user. */
const [RULES, RULES_BY_USER] = rulesOfReadme()
/** Without the right to mark anything; as by `no_new_privs` and `capabilities: drop: [ALL]` in Kubernetes. */
const POWERLESS = ['setpriv', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all', process.execPath]
/** More of them, for ENABLE_ORIG_SRC=true: answers of the application are for the client's address, and go to the proxy over lo. */
const ROUTE_BACK = `table inet ambit-dedicated-back {
  chain route_back {
    type route hook output priority mangle;
    oifname "lo" meta mark ${MARK} ct state new ct mark set 0x111
    meta mark != ${MARK} ct mark 0x111 meta mark set ct mark
  }
}
`
const ROUTES = [
  'rule add fwmark 0x111 lookup 100',
  'route add local default dev lo table 100',
  '-6 rule add fwmark 0x111 lookup 100',
  '-6 route add local default dev lo table 100',
]

void t.test('dedicated mode', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const alone = await a.pod('alone')
    const shared = await a.pod('shared')
    const server = await b.pod('server')
    const lonely = await b.pod('lonely')
    const seeing = await b.pod('seeing')
    const weak = await b.pod('weak')
    for (const pod of [server, lonely, seeing, weak]) startNginx(mesh, pod)
    mesh.dedicated.push(alone, lonely, seeing, weak)
    for (const pod of mesh.dedicated) pod.record['protocol'] = 'HBONE'
    await mesh.startCa()
    await Promise.all([mesh.startZtunnel(a), mesh.startZtunnel(b)])
    await mesh.enrol([shared, server])
    for (const pod of mesh.dedicated) await pod.must(['nft', '-f', '-'], { input: RULES })
    const settings = { PACKET_MARK: MARK }
    const client = await mesh.startDedicated(a, alone, settings)
    const front = await mesh.startDedicated(b, lonely, settings)

    await t.test('a client with a proxy of its own reaches a pod of a shared one, and is known there', async (t) => {
      t.match(await get(alone, server), `server says ${SECRET}`)
      t.match(await client.access({ direction: 'outbound' }), {
        'src.identity': alone.identity,
        'dst.identity': server.identity,
      })
      t.match(await b.proxy.access({ direction: 'inbound', 'src.workload': 'alone' }), {
        'src.identity': alone.identity,
      })
    })

    await t.test('a pod of a shared proxy reaches a server with a proxy of its own', async (t) => {
      t.equal((await shared.curl(lonely.v4, WEB_PORT)).stdout.trim(), `lonely says ${SECRET} to ${lonely.v4}`)
      t.match((await shared.curl(lonely.v6, WEB_PORT)).stdout, `lonely says ${SECRET}`)
      t.match(await front.access({ direction: 'inbound' }), { 'src.identity': shared.identity })
    })

    await t.test('with rules for the answers the application sees the address of its client', async (t) => {
      await seeing.must(['nft', '-f', '-'], { input: ROUTE_BACK })
      for (const route of ROUTES) await seeing.must(['ip', ...route.split(' ')])
      await mesh.startDedicated(b, seeing, { ...settings, ENABLE_ORIG_SRC: 'true' })
      t.same(await seenBy(seeing, shared), [shared.v4, shared.v6])
    })

    await t.test('it needs no capability', { skip: ONE_USER }, async (t) => {
      const instead = `delete table inet ambit-dedicated\n${RULES_BY_USER}`
      await weak.must(['nft', '--check', '-f', '-'], { input: instead })
      // Told apart by the user, for it can mark nothing: here all but root's connections.
      await weak.must(['nft', '-f', '-'], { input: instead.replace('skuid != 1337', 'skuid != 0') })
      const powerless = await mesh.startDedicated(b, weak, {}, { under: POWERLESS })
      for (const pid of [powerless.program.pid, ...(await powerless.workers())])
        t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /CapEff:\s0+\n[^]*NoNewPrivs:\s1/)
      for (const address of [weak.v4, weak.v6])
        t.match((await shared.curl(address, WEB_PORT)).stdout, `weak says ${SECRET}`)
      const asNobody = ['setpriv', '--reuid=65534', '--clear-groups', 'curl', '-sS', '-m', '10']
      t.match((await weak.run([...asNobody, `http://${server.v4}:${WEB_PORT}`])).stdout, `server says ${SECRET}`)
      t.match(await powerless.access({ direction: 'outbound' }), { 'dst.identity': server.identity })
    })

    await t.test('two of them reach each other', async (t) => {
      t.match(await get(alone, lonely), `lonely says ${SECRET}`)
      t.match(await front.access({ direction: 'inbound', 'src.workload': 'alone' }), { 'src.identity': alone.identity })
    })

    await t.test('policy holds in it', async (t) => {
      mesh.policies.push({
        name: 'not-alone',
        namespace: 'default',
        scope: 'Namespace',
        action: 'Deny',
        dryRun: false,
        rules: [[[{ principals: [{ Exact: alone.identity.replace('spiffe://', '') }] }]]],
      })
      mesh.save()
      const refusal = { direction: 'inbound', 'src.workload': 'alone', error: /not-alone/ }
      // A connection that was open when the policy came is closed by it too, with another line: ask until one is refused.
      await eventually('it is refused', async () => (await get(alone, lonely)) === '' && front.logged(refusal))
      await eventually('it is refused by the other proxy too', async () => (await get(alone, server)) === '')
      t.match((await shared.curl(lonely.v4, WEB_PORT)).stdout, SECRET)
    })

    await t.test('it tells its workload in the dump, and ends in order', async (t) => {
      const { config, certificates } = JSON.parse(await client.get(15_000, '/config_dump')) as {
        readonly config: unknown
        readonly certificates: readonly { readonly identity: string }[]
      } // our own page
      t.ok(config)
      t.same(
        certificates.map(({ identity }) => identity),
        [alone.identity],
      )
      t.match(client.logged({ message: 'workload served' }), { pod: 'default/alone' })
      t.equal(await client.stop(), 0)
      t.notMatch(
        client.program.output,
        /"dst\.addr":"[^"]*:15012"/,
        "its own connection to the CA is not the workload's",
      )
    })

    await t.test('where one of its ports is taken it ends, and says what to do', async (t) => {
      const talker = await Talker.start(alone)
      await talker.listen(15_008)
      const env = {
        PROXY_MODE: 'dedicated',
        PROXY_WORKLOAD_INFO: 'default/alone/alone',
        XDS_ADDRESS: '',
        LOCAL_XDS: '{}',
      }
      const marking = await alone.run([process.execPath, ZTUNNEL_MAIN], { env: { ...env, ...settings } })
      t.equal(marking.code, 1)
      t.match(
        marking.stderr,
        /the workload cannot be served: bind \S+ port 15008: EADDRINUSE \(another program .*ss -ltnp\)$/m,
      )
      t.notMatch(marking.stdout, 'PACKET_MARK')
      const markless = await alone.run([process.execPath, ZTUNNEL_MAIN], { env })
      t.match(markless.stdout, /warn\tztunnel\tPACKET_MARK is not set: .* it runs as root/)
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})

function rulesOfReadme(): readonly [byMark: string, byUser: string] {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const [, rules] = /```nft\n([^`]*)```/.exec(readme) ?? []
  const [, ofUser] = /`(oifname [^`\n]* skuid != 1337 [^`\n]*)`/.exec(readme) ?? []
  const ofMark = /oifname .* redirect to :15001/
  if (rules === undefined || ofUser === undefined || !ofMark.test(rules))
    throw new Error('the README has no rules for dedicated mode')
  return [rules, rules.replace(ofMark, ofUser)]
}

/** The web page of a pod, or nothing. */
async function get(from: Pod, to: Pod): Promise<string> {
  return (await from.curl(to.v4, WEB_PORT)).stdout.trim()
}
