import type { Clause, Match, Rule } from '../mesh/index.ts'

/** Rules that one rule becomes at most. */
const MAX_PARTS = 8

/**
 * Rules of which any holds exactly where the rule does. One whose clauses have alternatives with negative values becomes a
 * rule for each choice, where those are few: what excludes one alternative need not exclude the other, and only a rule
 * without alternatives is left out by each of its negative values.
 */
export function splitRule(rule: Rule): readonly Rule[] {
  let parts: readonly Rule[] = [[]]
  for (const clause of rule) {
    const choices = isWorthSplitting(clause) ? clause.map((match): Clause => [match]) : [clause]
    if (parts.length * choices.length > MAX_PARTS) return [rule]
    parts = parts.flatMap((part) => choices.map((choice) => [...part, choice]))
  }
  return parts
}

function isWorthSplitting(clause: Clause): boolean {
  return clause.length > 1 && clause.some(hasNegatives)
}

function hasNegatives(match: Match): boolean {
  return (
    match.notPrincipals.length > 0 ||
    match.notServiceAccounts.length > 0 ||
    match.notNamespaces.length > 0 ||
    match.notSourceIps.length > 0 ||
    match.notDestinationIps.length > 0 ||
    match.notDestinationPorts.length > 0
  )
}
