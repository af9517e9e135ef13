// The node's rules by which probes reach captured pods, in a real namespace.
import t from 'tap'
import { NetworkNamespace, primeThreadPool, ProbeBypass } from '../../ztunnel/src/linux/index.ts'
import { eventually, TestMesh } from '../kit/index.ts'
import { NETNS_DIRECTORY } from '../kit/topology.ts'
import { unwillingNft } from './unwilling-nft.ts'

t.setTimeout(60_000)

void t.test("looking whether the node's rules are in place does not take a change for a stranger's", async (t) => {
  await primeThreadPool()
  const mesh = await TestMesh.create()
  try {
    const node = await mesh.node('a')
    const nft = await unwillingNft(mesh.files)
    process.env['PATH'] = nft.path
    const probes = new ProbeBypass(NetworkNamespace.open(`${NETNS_DIRECTORY}/${node.place.namespace}`))
    t.teardown(() => probes.close())
    const rules = (): Promise<string> => node.must(['nft', 'list', 'ruleset'])
    nft.obey()
    await probes.add('one', ['10.1.1.1'])
    t.equal(await probes.mend(), 'intact')
    nft.linger()
    const added = probes.add('two', ['10.1.1.2'])
    await eventually('its address is there', async () => (await rules()).includes('10.1.1.2'))
    const looked = probes.mend()
    await node.must(['true']) // what would be done meanwhile has the time to be done
    nft.obey()
    t.equal(await looked, 'intact')
    await Promise.all([added, probes.add('three', ['10.1.1.3'])])
    t.match(await rules(), /10\.1\.1\.1, 10\.1\.1\.2,\s+10\.1\.1\.3/)
    await node.must(['nft', 'delete', 'table', 'inet', 'ambit-node'])
    t.equal(await probes.mend(), 'mended')
    t.match(await rules(), '10.1.1.3')
    for (const uid of ['one', 'two', 'three']) await probes.remove(uid)
    t.notMatch(await rules(), 'ambit-node')
  } finally {
    t.same(await mesh.close(), [])
  }
})
