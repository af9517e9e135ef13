/** What people look at next, by the words of gRPC and OpenSSL. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /unable to (get local issuer|verify the first) certificate|self-signed certificate/u,
    'CA_ROOT_CA does not hold its root',
  ],
  [/ERR_TLS_CERT_ALTNAME_INVALID/u, "see ALT_CA_HOSTNAME, or the CA's --serving-names"],
  [/ECONNREFUSED|Name resolution failed/u, 'see CA_ADDRESS'],
  [/^request .*authenticat(e|ion) failure/u, "the reason is in the CA's log"],
]

/** The words of a call that failed, without a note that says nothing, and with a hint where one is known. */
export function explainFailure(details: string): string {
  const said = details.replace(/\.? Resolution note: *$/u, '').trimEnd()
  const hint = HINTS.find(([pattern]) => pattern.test(said))?.[1]
  return hint === undefined ? said : `${said} (${hint})`
}
