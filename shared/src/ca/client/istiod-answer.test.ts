import t from 'tap'
import { parsePemChain, verifyClient, verifyServer, workloadCertificateFrom } from '../../certificates/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import { keepingLog } from '../ca-fixture.ts'
import { decodeResponse } from './certificate-messages.ts'
import { RECORDED_ANSWER, RECORDED_AT_MS, RECORDED_KEY_PEM } from './istiod-answer-fixture.ts'

void t.test("istiod's answer with an intermediate CA is one that peers accept", async (t) => {
  const chain = decodeResponse(RECORDED_ANSWER)
  t.same(
    chain.map((element) => element.match(/BEGIN CERTIFICATE/gu)?.length),
    [1, 1, 1, 1],
    'leaf, intermediate, root, and the root once more as the roots',
  )
  const { log, lines } = keepingLog()
  const wanted = SpiffeId.of('cluster.local', 'default', 'client')
  const certificate = workloadCertificateFrom(wanted, RECORDED_KEY_PEM, chain, log)
  t.same(lines, [])
  t.equal(certificate.rootsPem.length, 1)
  t.equal(certificate.chainPem.length, 2, 'the root is not presented')
  const presented = certificate.chainPem.flatMap((pem) => parsePemChain(pem))
  t.ok(verifyClient(presented, certificate, RECORDED_AT_MS).equals(wanted))
  t.ok(verifyServer(presented, certificate, [wanted], RECORDED_AT_MS).equals(wanted))
  t.throws(() => verifyClient(presented.slice(0, 1), certificate, RECORDED_AT_MS), { code: 'untrusted' })
})
