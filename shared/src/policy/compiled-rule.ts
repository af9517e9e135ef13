import type { Match, Rule, ServiceAccountMatch, StringMatch } from '../mesh/index.ts'
import type { Cidr } from '../ip/index.ts'
import { ipRange, isInRange, type AddressBits, type IpRange } from './ip-range.ts'
import type { PreparedFacts } from './prepared-facts.ts'

/** One attribute of a match: any positive value hits, where there are some, and no negative one does. */
type Check = (facts: PreparedFacts) => boolean

/** A rule ready to be asked: AND over clauses, OR over the matches of each, AND over the attributes of each. */
export type CompiledRule = readonly (readonly (readonly Check[])[])[]

/**
 * Istio's empty cases, kept: a rule without clauses is true; so is a clause without matches; a match without any value is
 * left out, so that a clause of nothing but such is false.
 */
export function compileRule(rule: Rule): CompiledRule {
  return rule
    .filter((clause) => clause.length > 0)
    .map((clause) => clause.filter((match) => !isEmptyMatch(match)).map(compileMatch))
}

/** True for a match in which no attribute is asked about. */
export function isEmptyMatch(match: Match): boolean {
  for (const name in match) if (match[name as keyof Match].length > 0) return false
  return true
}

export function ruleHolds(rule: CompiledRule, facts: PreparedFacts): boolean {
  for (const clause of rule) if (!clauseHolds(clause, facts)) return false
  return true
}

function clauseHolds(clause: CompiledRule[number], facts: PreparedFacts): boolean {
  for (const match of clause) if (matchHolds(match, facts)) return true
  return false
}

function matchHolds(match: readonly Check[], facts: PreparedFacts): boolean {
  for (const check of match) if (!check(facts)) return false
  return true
}

/** A check for each attribute that the match asks about, the cheapest first. */
function compileMatch(match: Match): readonly Check[] {
  const checks: Check[] = []
  const { destinationPorts, notDestinationPorts, namespaces, notNamespaces, principals, notPrincipals } = match
  if (isAsked(destinationPorts, notDestinationPorts)) {
    checks.push(({ port }) => hold(destinationPorts, notDestinationPorts, port, anyPort))
  }
  if (isAsked(match.sourceIps, match.notSourceIps)) {
    const [positive, negative] = [ranges(match.sourceIps), ranges(match.notSourceIps)]
    checks.push(({ source }) => hold(positive, negative, source, anyRange))
  }
  if (isAsked(match.destinationIps, match.notDestinationIps)) {
    const [positive, negative] = [ranges(match.destinationIps), ranges(match.notDestinationIps)]
    checks.push(({ destination }) => hold(positive, negative, destination, anyRange))
  }
  if (isAsked(namespaces, notNamespaces)) {
    checks.push(({ namespace }) => hold(namespaces, notNamespaces, namespace, anyText))
  }
  if (isAsked(principals, notPrincipals)) {
    checks.push(({ principal }) => hold(principals, notPrincipals, principal, anyText))
  }
  if (isAsked(match.serviceAccounts, match.notServiceAccounts)) {
    const { serviceAccounts, notServiceAccounts } = match
    checks.push((facts) => hold(serviceAccounts, notServiceAccounts, facts, anyServiceAccount))
  }
  return checks
}

function isAsked(positive: readonly unknown[], negative: readonly unknown[]): boolean {
  return positive.length > 0 || negative.length > 0
}

/** Every CIDR was found readable when the policy came. */
function ranges(cidrs: readonly Cidr[]): readonly IpRange[] {
  return cidrs.map(ipRange).filter((range) => range !== undefined)
}

function hold<Value, Fact>(
  positive: readonly Value[],
  negative: readonly Value[],
  fact: Fact,
  any: (values: readonly Value[], fact: Fact) => boolean,
): boolean {
  return (positive.length === 0 || any(positive, fact)) && !any(negative, fact)
}

function anyPort(ports: readonly number[], fact: number): boolean {
  return ports.includes(fact)
}

function anyRange(list: readonly IpRange[], fact: AddressBits): boolean {
  for (const range of list) if (isInRange(range, fact)) return true
  return false
}

/** Without the fact (no identity) nothing hits, not even presence. */
function anyText(matches: readonly StringMatch[], fact: string | undefined): boolean {
  if (fact === undefined) return false
  for (const match of matches) if (textHits(match, fact)) return true
  return false
}

/** Plain text comparison: `.` and `*` mean themselves. */
function textHits(match: StringMatch, fact: string): boolean {
  switch (match.kind) {
    case 'exact':
      return fact === match.value
    case 'prefix':
      return fact.startsWith(match.value)
    case 'suffix':
      return fact.endsWith(match.value)
    case 'presence':
      return fact !== ''
  }
}

/** The trust domain does not count. */
function anyServiceAccount(accounts: readonly ServiceAccountMatch[], facts: PreparedFacts): boolean {
  for (const { namespace, serviceAccount } of accounts) {
    if (facts.serviceAccount === serviceAccount && facts.namespace === namespace) return true
  }
  return false
}
