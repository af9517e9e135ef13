// A network namespace as `ip netns add` makes it: lo is down, and nothing can listen for the administrator.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { command } from '../kit/index.ts'

const MAIN = fileURLToPath(new URL('../../ztunnel/src/main.mjs', import.meta.url))

void t.test('where lo is down ztunnel says so, and what to do', async (t) => {
  const { code, stderr } = await command(['unshare', '--net', process.execPath, MAIN], {
    env: {
      XDS_ADDRESS: '',
      LOCAL_XDS: '{}',
      PROXY_MODE: 'dedicated',
      PROXY_WORKLOAD_INFO: 'default/alone/alone',
    },
  })
  t.equal(code, 1)
  t.match(stderr, /cannot listen on \S+: .*EADDRNOTAVAIL.* \(is lo up in .*ip link set lo up\)/)
})
