import type { Cidr } from '../ip/index.ts'

/** A value of a policy's string list. Never a pattern beyond these four; never a regular expression. */
export type StringMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'prefix'; readonly value: string }
  | { readonly kind: 'suffix'; readonly value: string }
  | { readonly kind: 'presence' }

/** A service account of any trust domain; both compared exactly. */
export interface ServiceAccountMatch {
  readonly namespace: string
  readonly serviceAccount: string
}

/**
 * The attributes of one match (istio.security Match): per attribute, any positive value must hit where there are some, and
 * no negative one may. A match without any value is skipped.
 */
export interface Match {
  readonly namespaces: readonly StringMatch[]
  readonly notNamespaces: readonly StringMatch[]
  /** Compared with `td/ns/x/sa/y`, without the `spiffe://`. */
  readonly principals: readonly StringMatch[]
  readonly notPrincipals: readonly StringMatch[]
  readonly serviceAccounts: readonly ServiceAccountMatch[]
  readonly notServiceAccounts: readonly ServiceAccountMatch[]
  readonly sourceIps: readonly Cidr[]
  readonly notSourceIps: readonly Cidr[]
  readonly destinationIps: readonly Cidr[]
  readonly notDestinationIps: readonly Cidr[]
  readonly destinationPorts: readonly number[]
  readonly notDestinationPorts: readonly number[]
}

/** OR over its matches; without any match it is true. */
export type Clause = readonly Match[]

/** AND over its clauses; without any clause it is true. */
export type Rule = readonly Clause[]

/** Whom a policy is for: everybody, its own namespace, or workloads that name it in `authorizationPolicies`. */
export type Scope = 'Global' | 'Namespace' | 'WorkloadSelector'
/** What a policy that matches says. */
export type Action = 'Allow' | 'Deny'

/** An L4 authorization policy (istio.security Authorization), as plain data. OR over its rules; without any it never matches. */
export interface Authorization {
  readonly name: string
  readonly namespace: string
  readonly scope: Scope
  readonly action: Action
  readonly dryRun: boolean
  readonly rules: readonly Rule[]
}

/** `namespace/name`: how policies are stored, named in workloads and told in logs. */
export function policyKey({ namespace, name }: Pick<Authorization, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`
}
