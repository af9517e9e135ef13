// CVE-2023-44487 (Rapid Reset): streams opened and reset at once, each of which costs the server more than the peer.
import { DEFAULT_LIMITS } from '@ambit/shared/hbone'
import { attack } from './kit.ts'
import { Code, CONNECT, connectBlock, headers, reset } from './raw-frames.ts'

const BURST = DEFAULT_LIMITS.earlyResets.burst

attack('requests that nobody answers', { ends: Code.calm, tunnels: BURST + 1 }, async (peer) => {
  const block = connectBlock('pending:1')
  await peer.flood(20_000, (i) => Buffer.concat([headers(1 + 2 * i, block), reset(1 + 2 * i)]))
})

attack('requests that dial an application', { ends: Code.calm, tunnels: BURST + 1, dials: BURST + 1 }, async (peer) => {
  await peer.flood(20_000, (i) => Buffer.concat([headers(1 + 2 * i, CONNECT), reset(1 + 2 * i)]))
})
