// The words are those that a real istiod, grpc-js and OpenSSL answer with.
import { Buffer } from 'node:buffer'
import t from 'tap'
import { explainFailure } from './explain-failure.ts'

const NOW = Date.UTC(2026, 0, 1)
const NOW_S = NOW / 1_000
const REFUSED = 'request authenticate failure'
const NO_IMPERSONATION = 'request impersonation authentication failure'

/** A token as the API server issues it for a projected volume, with other claims where a test wants them. */
function serviceAccountToken(over: Readonly<Record<string, unknown>> = {}, pod: unknown = POD): string {
  const claims = {
    aud: ['istio-ca'],
    exp: NOW_S + 3_600,
    iat: NOW_S,
    iss: 'https://kubernetes.default.svc.cluster.local',
    'kubernetes.io': { namespace: 'istio-system', ...(pod ? { pod } : {}), serviceaccount: { name: 'ztunnel' } },
    nbf: NOW_S,
    sub: 'system:serviceaccount:istio-system:ztunnel',
    ...over,
  }
  const parts = [{ alg: 'RS256', kid: 'k' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  )
  return `${parts.join('.')}.c2lnbmF0dXJl`
}
const POD = { name: 'ztunnel-a', uid: 'u' }

function unsigned(claims: unknown): string {
  return `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`
}

void t.test('a refusal says what is wrong with the token, as far as the token tells', async (t) => {
  const cases: readonly (readonly [string, string, string])[] = [
    [serviceAccountToken({ exp: NOW_S }), REFUSED, '; the token expired at 2026-01-01T00:00:00.000Z'],
    [serviceAccountToken({ nbf: NOW_S + 60 }), REFUSED, '; the token is valid only from 2026-01-01T00:01:00.000Z on'],
    [
      serviceAccountToken({ aud: ['https://kubernetes.default.svc'] }),
      REFUSED,
      '; the token is for https://kubernetes.default.svc, and istiod wants one for istio-ca',
    ],
    [serviceAccountToken({ aud: 'vault' }), REFUSED, '; the token is for vault, and istiod wants one for istio-ca'],
    [serviceAccountToken({ aud: [] }), REFUSED, '; the token is for no audience, and istiod wants one for istio-ca'],
    [serviceAccountToken(), REFUSED, ''],
    [
      serviceAccountToken(),
      NO_IMPERSONATION,
      '; istiod wants a pod of this service account on the node of istio-system/ztunnel-a, and the account of that one in CA_TRUSTED_NODE_ACCOUNTS',
    ],
    [
      serviceAccountToken({}, null),
      NO_IMPERSONATION,
      '; the token is bound to no pod, and istiod wants that of the node proxy',
    ],
  ]
  for (const [token, said, doubt] of cases)
    t.equal(explainFailure(said, token, NOW), `${said} (the reason is in the CA's log${doubt})`)
})

void t.test('what is no token of Kubernetes explains nothing, and no text of it is taken over', async (t) => {
  const tokens = [undefined, 'a-token-of-a-file', 'a.b.c', '..', unsigned(null), unsigned('text'), unsigned({ exp: 1 })]
  for (const token of tokens)
    for (const said of [REFUSED, NO_IMPERSONATION])
      t.equal(explainFailure(said, token, NOW), `${said} (the reason is in the CA's log)`, token ?? 'none')
  const odd = serviceAccountToken({ exp: 1e300, aud: [7, 'istio-ca'], nbf: null })
  t.equal(explainFailure(REFUSED, odd, NOW), `${REFUSED} (the reason is in the CA's log)`)
  t.match(
    explainFailure(REFUSED, serviceAccountToken({ exp: -1e300 }), NOW),
    /the token expired at a time out of range\)$/,
  )
  const loud = explainFailure(REFUSED, serviceAccountToken({ aud: [`\n\u001b[31m${'x'.repeat(5_000)}`] }), NOW)
  t.match(loud, /^[\x20-\x7e]{1,400}$/)
})

void t.test('what goes wrong below the call has a hint of its own', async (t) => {
  const noTls =
    'No connection established. Last error: Error: 407385322B7F0000:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:../deps/openssl/openssl/ssl/record/methods/tlsany_meth.c:78:. Resolution note: '
  t.match(explainFailure(noTls, undefined, NOW), /:78: \(what listens there does not speak TLS, see CA_ADDRESS\)$/)
  t.equal(explainFailure('CSR signing error', serviceAccountToken({ exp: 0 }), NOW), 'CSR signing error')
})
