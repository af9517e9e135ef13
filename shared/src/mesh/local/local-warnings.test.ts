import t from 'tap'
import { FakeClock } from '../../clock/index.ts'
import { silentLog } from '../../log/index.ts'
import { LocalFileSource, parseLocalFile } from './index.ts'
import { FILE, workloads } from './local-file-fixture.ts'

/** What a source warns of when it reads the text. */
async function warnings(text: string): Promise<readonly string[]> {
  const sentences: string[] = []
  const source = new LocalFileSource({
    from: { inline: text },
    clock: new FakeClock(),
    log: { ...silentLog, warn: (sentence) => sentences.push(sentence) },
    maxReadingBytes: 2 ** 31,
    onUpdate: () => {},
  })
  await source.start()
  source.stop()
  return sentences
}

/** A policy whose rules are in line 2 and have this list of principals. */
function denying(principals: string, attribute = 'principals'): string {
  return `policies:
  - { name: p, namespace: n, scope: Global, action: Deny, dryRun: false, rules: [[[{ ${attribute}: [${principals}] }]]] }
`
}

void t.test('a principal that is written as a URI matches nobody, and a warning says so', async (t) => {
  const sentence =
    /^local mesh: 2:\d+ policies\[0\]\.rules.*rincipals\[1\]: matches nobody in policy n\/p, .* write a\/ns\/b\/sa\/c$/
  const mistaken = '!Exact a/ns/b/sa/d, { Exact: spiffe://a/ns/b/sa/c }'
  t.match(await warnings(denying(mistaken)), [sentence])
  t.match(await warnings(denying(mistaken, 'notPrincipals')), [sentence])
  const padding = `# ${' '.repeat(2 ** 20)}\n`
  t.match(await warnings(`${denying(mistaken)}${padding}`), [sentence], 'of a large file too')
  t.match(parseLocalFile(denying(mistaken)), [{ kind: 'policy' }], 'which is read, as by Istio’s ztunnel')
  t.same(await warnings(denying('!Exact a/ns/b/sa/c, !Presence []')), [])
  const many = Array.from({ length: 15 }, () => '!Prefix "spiffe://a"').join()
  const told = await warnings(denying(many))
  t.equal(told.length, 11)
  t.match(told.at(-1), /: and 5 more$/)
})

void t.test('services and policies that a workload names in vain are warned about', async (t) => {
  t.same(await warnings(FILE), [])
  t.match(await warnings(FILE.replace('"default/example.com":', 'default/exmple.com:')), [
    /^local mesh: 18:\d+ workloads\[0\]\.services\.default\/exmple\.com: the file has no such service/,
  ])
  t.match(await warnings(FILE.replace('[default/p]', '[default/p, default/nope]')), [
    /^local mesh: 13:\d+ workloads\[0\]\.authorizationPolicies\[1\]: the file has no policy default\/nope, .* refused$/,
  ])
  t.match((await warnings(workloads(6_000))).slice(9), [/w/, /: and 5990 more$/], 'of a large file too')
})

/** The warnings of a file whose second workload has these addresses, and this as well. */
async function besideAnother(rest: string, ips = '10.0.0.1, fd00::1'): Promise<readonly string[]> {
  return warnings(`workloads:
  - { uid: a, namespace: n, services: {}, workloadIps: [10.0.0.1, fd00::1], protocol: HBONE }
  - { uid: b, namespace: n, services: {}, workloadIps: [${ips}], ${rest} }
`)
}

void t.test('two workloads of one address are warned about', async (t) => {
  t.match(await besideAnother('protocol: HBONE'), [
    /^local mesh: 3:5 workloads\[1\]: has the address 10\.0\.0\.1 of a too: only one of them is reached/,
    /fd00::1 of a too/,
  ])
  t.same(await besideAnother('protocol: HBONE', '10.0.0.2, 10.0.0.2'), [])
  t.same(await besideAnother('protocol: HBONE, network: other'), [])
  t.same(await besideAnother('protocol: HBONE, networkMode: HostNetwork'), [])
  t.same(await besideAnother('protocol: TCP'), [])
})

void t.test('what is left out and Istio’s ztunnel demands is read with its default, and told', async (t) => {
  for (const [given, left, sentence] of [
    [
      'region: r, zone: z, subzone: s',
      'zone: z',
      /^local mesh: 12:\d+ workloads\[0\]\.locality: has no region, subzone: read/,
    ],
    [
      '{ protocol: PROXY, port: 15088 }',
      '{ port: 15088 }',
      /14:\d+ workloads\[0\]\.applicationTunnel: has no protocol: read/,
    ],
    [', healthPolicy: OnlyHealthy', '', /services\[0\]\.loadBalancer: has no healthPolicy: .* Istio's ztunnel refuses/],
    ['routingPreferences: [Region, Zone], mode: Failover, ', '', /loadBalancer: has no routingPreferences, mode: /],
    ['    vips:', '    endpoints: { a: { port: {} } }\n    vips:', /endpoints\.a: has no workloadUid, status: /],
  ] as const) {
    if (!FILE.includes(given)) throw new Error(`not there: ${given}`)
    t.match(await warnings(FILE.replace(given, left)), [sentence])
  }
  const complete = '    endpoints: { a: { workloadUid: a, port: {}, status: Healthy } }\n    vips:'
  t.same(await warnings(FILE.replace('    vips:', complete)), [])
  t.same(await warnings(FILE.replace(/\n.*locality:.*/, '')), [], 'nothing of it is no warning')
})
