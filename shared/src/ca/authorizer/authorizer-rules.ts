import { createHash } from 'node:crypto'
import { SpiffeId } from '../../identity/index.ts'
import { AuthorizationError, type Caller } from './authorizer.ts'

/** A node proxy, which may impersonate the service accounts of the pods on its node. */
export interface NodeRule {
  readonly kind: 'node'
  readonly name: string
  /** As `namespace/name`. */
  readonly serviceAccounts: ReadonlySet<string>
}

/** A workload with a proxy of its own. */
export interface WorkloadRule {
  readonly kind: 'workload'
  readonly namespace: string
  readonly serviceAccount: string
}

/**
 * Rules by SHA-256 of the caller's token, in hex. Looking up a hash takes time that tells nothing of the tokens: whoever wants
 * to learn a stored hash bit by bit would have to choose tokens by their hash.
 */
export type AuthorizerRules = ReadonlyMap<string, NodeRule | WorkloadRule>

export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

/** Throws AuthorizationError 'unauthenticated' for a token that no rule has. */
export function ruleOf(rules: AuthorizerRules, token: string): NodeRule | WorkloadRule {
  const rule = rules.get(hashToken(token))
  if (rule === undefined) throw new AuthorizationError('unauthenticated', 'the token is not known')
  return rule
}

/** The identity that `caller` gets a certificate for. Throws AuthorizationError. */
export function decide(rules: AuthorizerRules, trustDomain: string, caller: Caller): SpiffeId {
  const { token, impersonated } = caller
  const rule = ruleOf(rules, token)
  if (impersonated === undefined) {
    if (rule.kind === 'workload') return SpiffeId.of(trustDomain, rule.namespace, rule.serviceAccount)
    throw new AuthorizationError(
      'unauthenticated',
      `node ${rule.name} named nobody to impersonate, and has no identity of its own`,
    )
  }
  if (rule.kind === 'workload') {
    throw new AuthorizationError(
      'impersonation-refused',
      `${rule.namespace}/${rule.serviceAccount} is a workload and may not impersonate ${impersonated.toString()}`,
    )
  }
  const account = `${impersonated.namespace}/${impersonated.serviceAccount}`
  if (impersonated.trustDomain === trustDomain && rule.serviceAccounts.has(account)) return impersonated
  throw new AuthorizationError(
    'impersonation-refused',
    `node ${rule.name} may not impersonate ${impersonated.toString()}`,
  )
}
