import { Buffer } from 'node:buffer'

/** The audience that istiod asks for unless its TOKEN_AUDIENCES says otherwise. */
const ISTIOD_AUDIENCE = 'istio-ca'
/** Longest text of a claim that is shown. */
const MAX_SHOWN_LENGTH = 200

/** What a service account's token of Kubernetes says of itself. Not verified: good for explaining a refusal, for nothing else. */
export interface TokenClaims {
  readonly notBeforeMs: number | undefined
  readonly expiresAtMs: number | undefined
  readonly audiences: readonly string[]
  /** `namespace/name` of the pod that it is bound to. */
  readonly pod: string | undefined
}

/** Undefined for what is no such token, as those of our own CA's authorizer file are. */
export function readTokenClaims(token: string): TokenClaims | undefined {
  const parts = token.split('.')
  if (parts.length !== 3) return undefined
  let claims: unknown
  try {
    claims = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
  const binding = fieldOf(claims, 'kubernetes.io')
  if (binding === undefined) return undefined
  const pod = fieldOf(fieldOf(binding, 'pod'), 'name')
  const audience = fieldOf(claims, 'aud')
  return {
    notBeforeMs: timeOf(fieldOf(claims, 'nbf')),
    expiresAtMs: timeOf(fieldOf(claims, 'exp')),
    audiences: (Array.isArray(audience) ? audience : [audience]).filter((one) => typeof one === 'string'),
    pod: typeof pod === 'string' ? `${String(fieldOf(binding, 'namespace'))}/${pod}` : undefined,
  }
}

/** Why istiod may have refused a caller with this token; undefined where nothing about it looks wrong. */
export function doubtAboutToken(claims: TokenClaims, nowMs: number): string | undefined {
  const { audiences, expiresAtMs, notBeforeMs } = claims
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) return `the token expired at ${dateOf(expiresAtMs)}`
  if (notBeforeMs !== undefined && notBeforeMs > nowMs) return `the token is valid only from ${dateOf(notBeforeMs)} on`
  if (!audiences.includes(ISTIOD_AUDIENCE))
    return `the token is for ${shown(audiences.join(', ') || 'no audience')}, and istiod wants one for ${ISTIOD_AUDIENCE}`
  return undefined
}

/** Why istiod may have refused to let this token's holder have the certificate of another. */
export function doubtAboutImpersonation({ pod }: TokenClaims): string {
  if (pod === undefined) return 'the token is bound to no pod, and istiod wants that of the node proxy'
  return `istiod wants a pod of this service account on the node of ${shown(pod)}, and the account of that one in CA_TRUSTED_NODE_ACCOUNTS`
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined
}

function timeOf(seconds: unknown): number | undefined {
  return typeof seconds === 'number' ? seconds * 1_000 : undefined
}

function dateOf(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'a time out of range' : date.toISOString()
}

function shown(text: string): string {
  return text.slice(0, MAX_SHOWN_LENGTH).replaceAll(/[^\x20-\x7e]/gu, '?')
}
