// Certificates on a revocation list (CRL_PATH): nobody new gets in with one, and whoever is in with one is put out.
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import {
  generateKeyPair,
  parseCertificate,
  parseX509,
  readSigner,
  readKeyPair,
} from '../../shared/src/certificates/index.ts'
import { crlPem, revocationList, type Authority } from '../../shared/src/certificates/certificate-fixture.ts'
import { readDer } from '../../shared/src/certificates/der.ts'
import { eventually, Talker, TestMesh, type Pod, type TestNode } from '../kit/index.ts'

const PORT = 9_000

t.setTimeout(90_000)

void t.test('revocation', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const bad = await a.pod('bad')
    const good = await a.pod('good')
    const server = await b.pod('server')
    const [badTalker, goodTalker, serverTalker] = await Promise.all([bad, good, server].map((pod) => Talker.start(pod)))
    if (!badTalker || !goodTalker || !serverTalker) throw new Error('a talker is missing')
    await serverTalker.listen(PORT, { echo: true })
    mesh.environment['CRL_PATH'] = mesh.files.path('crl.pem')
    await mesh.up()

    const revoke = (...pems: readonly string[]): void =>
      writeFileSync(mesh.files.path('crl.pem'), crlPem(revocationList(signingAuthority(mesh), pems)))

    await t.test('a list that is not there yet revokes nobody', async (t) => {
      for (const talker of [badTalker, goodTalker]) {
        talker.open('first', server.v4, PORT)
        await talker.echoes('first', 'hello')
      }
      t.equal(await b.proxy.metric('istio_crl_policy_rejections_total'), 0)
    })

    await t.test('an open tunnel of a client that is revoked ends, that of another goes on', async (t) => {
      revoke(await certificateOf(a, bad))
      await badTalker.heard('first', /^(ended|error|closed)/)
      await goodTalker.echoes('first', 'still here')
      t.match(await b.proxy.access({ 'src.workload': 'bad', level: 'error' }), { error: /revoked/ })
      t.ok((await b.proxy.metric('istio_crl_policy_rejections_total', { reporter: 'destination' })) >= 1)
      t.equal(await flagged(b, 'CERT_REVOKED'), 1)
    })

    await t.test('it gets no new one', async (t) => {
      badTalker.open('second', server.v4, PORT)
      await badTalker.heard('second', /^(ended|error|closed)/)
      t.notOk(badTalker.events('second').some((event) => event.startsWith('got')))
      t.ok((await b.proxy.metric('istio_crl_policy_rejections_total', { reporter: 'destination' })) >= 2)
    })

    await t.test('a broken list is reported and the last good one stays', async (t) => {
      writeFileSync(mesh.files.path('crl.pem'), '-----BEGIN X509 CRL-----\nbm8=\n-----END X509 CRL-----\n')
      await eventually('the broken list is reported', () => /not taken over.*crl\.pem/.test(b.proxy.program.output))
      badTalker.open('third', server.v4, PORT)
      await badTalker.heard('third', /^(ended|error|closed)/)
      await goodTalker.echoes('first', 'as before')
      t.pass()
    })

    await t.test('nor does a list that the CA has not signed take its place, once its CA is known', async (t) => {
      const authority = signingAuthority(mesh)
      const forged = revocationList(authority, [], { signingKey: generateKeyPair().privateKey })
      writeFileSync(mesh.files.path('crl.pem'), crlPem(forged))
      await eventually('the forged list is reported', () => /not signed by it/.test(b.proxy.program.output))
      badTalker.open('forged', server.v4, PORT)
      await badTalker.heard('forged', /^(ended|error|closed)/)
      await goodTalker.echoes('first', 'as ever')
      t.pass()
    })

    await t.test('a worker that takes over knows who is revoked', async (t) => {
      revoke(await certificateOf(a, bad))
      const [worker = 0] = await b.proxy.workers()
      process.kill(worker, 'SIGKILL')
      await eventually('a new worker serves', async () => {
        const [now = worker] = await b.proxy.workers()
        return now !== worker
      })
      badTalker.open('fourth', server.v4, PORT)
      await badTalker.heard('fourth', /^(ended|error|closed)/)
      goodTalker.open('second', server.v4, PORT)
      await goodTalker.echoes('second', 'hello again')
      t.pass()
    })

    await t.test('a server that is revoked loses the tunnels of its clients', async (t) => {
      revoke(await certificateOf(b, server))
      await goodTalker.heard('second', /^(ended|error|closed)/)
      goodTalker.open('third', server.v4, PORT)
      await goodTalker.heard('third', /^(ended|error|closed)/)
      t.ok((await a.proxy.metric('istio_crl_policy_rejections_total', { reporter: 'source' })) >= 2)
    })

    await t.test(
      'with a list that is damaged when it starts it lets nobody in, until there is a good one',
      async (t) => {
        const forged = revocationList(signingAuthority(mesh), [], { signingKey: generateKeyPair().privateKey })
        writeFileSync(mesh.files.path('crl.pem'), crlPem(forged))
        // Which it finds out by the CA, with its first certificate.
        await mesh.stopCa()
        await mesh.replaceZtunnel(b)
        await mesh.startCa()
        await eventually('it is not ready', async () => !(await b.proxy.isReady()))
        goodTalker.open('fourth', server.v4, PORT)
        await goodTalker.heard('fourth', /^(ended|error|closed)/)
        t.match(b.proxy.program.output, /not ready, and all certificates of these CAs are refused/)
        revoke()
        await b.proxy.ready()
        goodTalker.open('fifth', server.v4, PORT)
        await goodTalker.echoes('fifth', 'hello')
      },
    )
  } finally {
    t.same(await mesh.close(), [])
  }
})

/** The leaf that a pod shows. */
async function certificateOf(node: TestNode, pod: Pod): Promise<string> {
  interface Dump {
    readonly certificates: readonly {
      readonly identity: string
      readonly certChain: readonly { readonly pem: string }[]
    }[]
  }
  // The admin page is our own.
  const { certificates } = JSON.parse(await node.proxy.get(15_000, '/config_dump')) as Dump
  const leaf = certificates.find(({ identity }) => identity === pod.identity)?.certChain[0]
  if (!leaf) throw new Error(`no certificate of ${pod.identity}`)
  return Buffer.from(leaf.pem, 'base64').toString()
}

async function flagged(node: TestNode, flag: string): Promise<number> {
  return node.proxy.metric('istio_tcp_connections_closed_total', { response_flags: flag })
}

/** The CA's own key, to sign lists with. */
function signingAuthority(mesh: TestMesh): Authority {
  const file = (name: string): string => readFileSync(mesh.files.path(`ca/root/${name}`), 'utf8')
  const key = readKeyPair(file('ca-key.pem'))
  const pem = file('ca-cert.pem')
  const { subject } = parseCertificate(parseX509(pem))
  const signer = readSigner(pem, key.privateKeyPem)
  return { pem, key, subject: readDer(Buffer.from(subject, 'latin1')), signer, chain: [], rootPem: pem }
}
