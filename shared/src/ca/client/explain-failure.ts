import { doubtAboutImpersonation, doubtAboutToken, readTokenClaims } from './token-claims.ts'

/** What people look at next, by the words of gRPC and OpenSSL. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /unable to (get local issuer|verify the first) certificate|self-signed certificate/u,
    'CA_ROOT_CA does not hold its root',
  ],
  [/ERR_TLS_CERT_ALTNAME_INVALID/u, "see ALT_CA_HOSTNAME, or the CA's --serving-names"],
  [/wrong version number|packet length too long/u, 'what listens there does not speak TLS, see CA_ADDRESS'],
  [/ECONNREFUSED|Name resolution failed/u, 'see CA_ADDRESS'],
]
/** How Istio's CA and ours refuse a caller: in words that give nothing away. */
const REFUSED = /^request (impersonation )?authenticat(?:e|ion) failure/u

/**
 * The words of a call that failed, without a note that says nothing, and with a hint where one is known. `token` is what the
 * call was made with: a refusal is opaque, and what is wrong with a token can often be read in it.
 */
export function explainFailure(details: string, token: string | undefined, nowMs: number): string {
  const said = details.replace(/\.? Resolution note: *$/u, '').trimEnd()
  const hint = hintAboutRefusal(said, token, nowMs) ?? HINTS.find(([pattern]) => pattern.test(said))?.[1]
  return hint === undefined ? said : `${said} (${hint})`
}

function hintAboutRefusal(said: string, token: string | undefined, nowMs: number): string | undefined {
  const refused = REFUSED.exec(said)
  if (refused === null) return undefined
  const log = "the reason is in the CA's log"
  const claims = token === undefined ? undefined : readTokenClaims(token)
  if (claims === undefined) return log
  const doubt = refused[1] === undefined ? doubtAboutToken(claims, nowMs) : doubtAboutImpersonation(claims)
  return doubt === undefined ? log : `${log}; ${doubt}`
}
