// What the tests of this room share: policies, connections, and verdicts as text.
import { SpiffeId } from '../identity/index.ts'
import type { Authorization, Match, StringMatch } from '../mesh/index.ts'
import { parseCidr, type Cidr } from '../ip/index.ts'
import { gatherPolicies } from './applicable-policies.ts'
import { evaluate } from './evaluate.ts'
import type { ConnectionFacts, Verdict } from './index.ts'
import { PolicyIndex } from './policy-index.ts'

/** A match that asks about nothing. */
export const EMPTY: Match = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  serviceAccounts: [],
  notServiceAccounts: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
}

export function match(some: Partial<Match>): Match {
  return { ...EMPTY, ...some }
}

export function policy(some: Partial<Authorization>): Authorization {
  return { name: 'p', namespace: 'ns', scope: 'Global', action: 'Allow', dryRun: false, rules: [], ...some }
}

/** An ALLOW policy with one rule of one clause with this one match. */
export function allowing(some: Partial<Match>): Authorization {
  return policy({ rules: [[[match(some)]]] })
}

export const exact = (value: string): StringMatch => ({ kind: 'exact', value })
export const prefix = (value: string): StringMatch => ({ kind: 'prefix', value })
export const suffix = (value: string): StringMatch => ({ kind: 'suffix', value })
export const presence: StringMatch = { kind: 'presence' }

/** From its text; the tests write only readable ones. */
export function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (!parsed) throw new Error(`${text} is no CIDR`)
  return parsed
}

/** A connection from 127.0.0.1 to 127.0.0.2:8080 by td/ns/namespace/sa/account. */
export const FACTS: ConnectionFacts = {
  source: { address: '127.0.0.1', port: 12345 },
  destination: { address: '127.0.0.2', port: 8080 },
  identity: SpiffeId.of('td', 'namespace', 'account'),
  network: '',
}
export const PLAINTEXT: ConnectionFacts = { ...FACTS, identity: undefined }
export const OTHER: ConnectionFacts = {
  source: { address: '1.2.3.4', port: 12345 },
  destination: { address: '5.6.7.8', port: 9090 },
  identity: SpiffeId.of('td', 'other', 'someone'),
  network: '',
}

/** Policies that all apply: the order is no matter, of several with one key the last counts. */
export function compilePolicies(list: Iterable<Authorization>): { evaluate(facts: ConnectionFacts): Verdict } {
  const index = new PolicyIndex()
  for (const one of list) index.add(one)
  const policies = gatherPolicies([[index, undefined]])
  return { evaluate: (facts) => evaluate(policies, facts) }
}

/** What the policies say, all of them being applicable. */
export function allowed(facts: ConnectionFacts, ...policies: readonly Authorization[]): boolean {
  return compilePolicies(policies).evaluate(facts).allowed
}

/** The steps of a verdict as text. */
export function messages(verdict: Verdict) {
  return verdict.events.map(({ message, policy: key }) => (key === undefined ? message : `${message}: ${key}`))
}
