import type { Match, Rule, ServiceAccountMatch, StringMatch } from '../mesh/index.ts'
import { isEmptyMatch } from './compiled-rule.ts'
import { familyOfBits, ipRange, prefixOf, type AddressBits } from './ip-range.ts'
import type { PreparedFacts } from './prepared-facts.ts'

export type SlotValue = string | number | bigint

/** A condition that a connection meets where what `slot` reads of it equals `value`: exactly where that value of a match hits. */
export interface IndexKey {
  /** Conditions with the same slot read the same. */
  readonly slot: string
  readonly read: (facts: PreparedFacts) => SlotValue | undefined
  readonly value: SlotValue
  /** How many of all connections may be expected to meet it, roughly; 1 is the most selective. */
  readonly weight: number
}

/** Everybody's connections: such a key is the last to be chosen. */
const WIDE = 10_000

/** How dear it is to find rules by these keys; depends on what else is found by them. */
export type Cost = (keys: readonly IndexKey[]) => number

/**
 * The ways to find a rule without looking at it, the cheapest first: of each way at least one key is met by every connection
 * for which the rule holds. None: the rule has to be looked at each time. `never`: it holds for no connection.
 */
export function waysOf(rule: Rule, cost: Cost): readonly (readonly IndexKey[])[] | 'never' {
  const ways: (readonly IndexKey[])[] = []
  for (const clause of rule) {
    if (clause.length === 0) continue
    const [first, ...others] = clause.filter((match) => !isEmptyMatch(match)).map(attributeKeys)
    if (!first) return 'never'
    if (others.length === 0) ways.push(...first)
    else {
      // One of the matches must hold, and for that one of the values of each of its positive attributes.
      const chosen = [first, ...others].map((some) => byCost(some, cost)[0])
      if (chosen.every((keys) => keys !== undefined)) ways.push(chosen.flat())
    }
  }
  return byCost(ways, cost)
}

/**
 * Conditions of which a connection meets none where the rule holds: the negative values of each clause, of a clause with
 * alternatives those that all of them have.
 */
export function exclusionsOf(rule: Rule): readonly IndexKey[] {
  return rule.flatMap((clause) => {
    const [first, ...others] = clause.filter((match) => !isEmptyMatch(match)).map(negativeKeys)
    const rest = others.map((keys) => new Set(keys.map(textOf)))
    return first?.filter((key) => rest.every((texts) => texts.has(textOf(key)))) ?? []
  })
}

function negativeKeys(match: Match): readonly IndexKey[] {
  return [
    ...match.notPrincipals.map((value) => textKey('principal', value)),
    ...match.notServiceAccounts.map(serviceAccountKey),
    ...match.notNamespaces.map((value) => textKey('namespace', value)),
    ...match.notSourceIps.flatMap((cidr) => ipKey('source', ipRange(cidr))),
    ...match.notDestinationIps.flatMap((cidr) => ipKey('destination', ipRange(cidr))),
    ...match.notDestinationPorts.map(portKey),
  ]
}

/** Equal for equal conditions only. */
function textOf({ slot, value }: IndexKey): string {
  return `${slot} is ${value}`
}

function byCost(ways: readonly (readonly IndexKey[])[], cost: Cost): readonly (readonly IndexKey[])[] {
  if (ways.length < 2) return ways
  const costs = new Map(ways.map((keys) => [keys, cost(keys)]))
  return [...ways].sort((one, other) => (costs.get(one) ?? 0) - (costs.get(other) ?? 0))
}

/** Per attribute with positive values, one key for each. */
function attributeKeys(match: Match): readonly (readonly IndexKey[])[] {
  const ways = [
    match.principals.map((value) => textKey('principal', value)),
    match.serviceAccounts.map(serviceAccountKey),
    match.namespaces.map((value) => textKey('namespace', value)),
    match.sourceIps.flatMap((cidr) => ipKey('source', ipRange(cidr))),
    match.destinationIps.flatMap((cidr) => ipKey('destination', ipRange(cidr))),
    match.destinationPorts.map(portKey),
    // "No identity at all" is what Istio makes of STRICT: the most frequent negative condition, and a selective one.
    match.notPrincipals.some(({ kind }) => kind === 'presence') ? [PLAINTEXT] : [],
  ]
  return ways.filter((keys) => keys.length > 0)
}

const PLAINTEXT: IndexKey = {
  slot: 'plaintext',
  read: ({ principal }) => (principal ? 0 : 1),
  value: 1,
  weight: 32,
}

function textKey(attribute: 'principal' | 'namespace', match: StringMatch): IndexKey {
  switch (match.kind) {
    case 'exact':
      return {
        slot: `${attribute}=`,
        read: (facts) => facts[attribute],
        value: match.value,
        weight: attribute === 'principal' ? 1 : 4,
      }
    case 'prefix': {
      const { length } = match.value
      const read = (facts: PreparedFacts): string | undefined => facts[attribute]?.slice(0, length)
      return { slot: `${attribute}^${length}`, read, value: match.value, weight: length === 0 ? WIDE : 16 }
    }
    case 'suffix': {
      const { length } = match.value
      const read = (facts: PreparedFacts): string | undefined => lastCharacters(facts[attribute], length)
      return { slot: `${attribute}$${length}`, read, value: match.value, weight: length === 0 ? WIDE : 16 }
    }
    case 'presence':
      return { slot: `${attribute}?`, read: (facts) => (facts[attribute] ? 1 : 0), value: 1, weight: WIDE }
  }
}

function lastCharacters(text: string | undefined, length: number): string | undefined {
  return text?.slice(Math.max(0, text.length - length))
}

function serviceAccountKey({ namespace, serviceAccount }: ServiceAccountMatch): IndexKey {
  return {
    slot: 'service account',
    read: ({ namespace, serviceAccount }) =>
      serviceAccount === undefined ? undefined : `${namespace}/${serviceAccount}`,
    value: `${namespace}/${serviceAccount}`,
    weight: 1,
  }
}

function ipKey(attribute: 'source' | 'destination', range: ReturnType<typeof ipRange>): readonly IndexKey[] {
  if (!range) return []
  const { family, length, prefix } = range
  const read = ({ [attribute]: bits }: PreparedFacts): AddressBits | undefined =>
    familyOfBits(bits) === family ? prefixOf(bits, length) : undefined
  const missingBits = (family === 4 ? 32 : 128) - length
  // A single address is as good as a service account, a /24 as a namespace, a /8 little use.
  // A pod's own address says nothing about who connects, so destinations come last.
  const weight = (attribute === 'source' ? 1 : 64) * Math.min(WIDE, 2 ** Math.min(missingBits / 4, 16))
  return [{ slot: `${attribute} ${family}/${length}`, read, value: prefix, weight }]
}

function portKey(port: number): IndexKey {
  return { slot: 'port', read: (facts) => facts.port, value: port, weight: 16 }
}
