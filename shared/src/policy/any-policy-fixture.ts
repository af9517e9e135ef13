// Random policies and connections, of few and related values, so that they do meet.
import * as fc from 'fast-check'
import { SpiffeId } from '../identity/index.ts'
import type { Authorization, Match, StringMatch } from '../mesh/index.ts'
import type { Cidr } from '../ip/index.ts'
import type { ConnectionFacts } from './index.ts'
import { EMPTY, exact, prefix, presence, suffix } from './policy-fixture.ts'

const word = fc.constantFrom('', 'a', 'b', 'ab', 'ba')
const anyIdentity = fc.tuple(fc.constantFrom('td', 'a'), word, word).map((parts) => SpiffeId.of(...parts))
const address4 = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.1.1', '138.0.0.1', '0.0.0.0', '255.255.255.255')
const address6 = fc.constantFrom('fd00:0:0:0:0:0:0:1', 'fd00:0:0:1:0:0:0:1', 'ffff:0:0:0:0:0:0:2', '0:0:0:0:0:0:0:1')
const anyAddress = fc.oneof(address4, address6)
const anyPort = fc.constantFrom(80, 8080, 0)
export const anyFacts: fc.Arbitrary<ConnectionFacts> = fc.record({
  source: fc.record({ address: anyAddress, port: anyPort }),
  destination: fc.record({ address: anyAddress, port: anyPort }),
  identity: fc.option(anyIdentity, { nil: undefined }),
  network: fc.constant(''),
})
const anyText = (values: fc.Arbitrary<string>): fc.Arbitrary<StringMatch> =>
  fc.oneof(
    fc.constantFrom(exact, prefix, suffix).chain((make) => values.map(make)),
    fc.constant(presence),
  )
const anyPrincipal = fc.oneof(
  anyIdentity.map((id) => id.toString().slice('spiffe://'.length)),
  fc.constantFrom('td', 'td/ns/a', '/sa/b', '/ns/ab/sa/a', '', 'spiffe://td'),
)
const anyCidr: fc.Arbitrary<Cidr> = fc.oneof(
  fc.record({ address: address4, length: fc.constantFrom(0, 1, 8, 23, 24, 31, 32) }),
  fc.record({ address: address6, length: fc.constantFrom(0, 1, 16, 63, 64, 127, 128) }),
)
const several = <V>(values: fc.Arbitrary<V>): fc.Arbitrary<readonly V[]> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(values, { maxLength: 3 }) })
const anyAccount = fc.record({ namespace: word, serviceAccount: word })
const anyFullMatch: fc.Arbitrary<Match> = fc.record({
  namespaces: several(anyText(word)),
  notNamespaces: several(anyText(word)),
  principals: several(anyText(anyPrincipal)),
  notPrincipals: several(anyText(anyPrincipal)),
  serviceAccounts: several(anyAccount),
  notServiceAccounts: several(anyAccount),
  sourceIps: several(anyCidr),
  notSourceIps: several(anyCidr),
  destinationIps: several(anyCidr),
  notDestinationIps: several(anyCidr),
  destinationPorts: several(anyPort),
  notDestinationPorts: several(anyPort),
})
/** Most policies ask about one attribute or two: these meet connections, and each other, more often. */
const anyMatch = fc.oneof(
  anyFullMatch,
  fc.tuple(anyFullMatch, fc.subarray(Object.keys(EMPTY), { maxLength: 2 })).map(([full, names]): Match => ({
    ...EMPTY,
    ...Object.fromEntries(Object.entries(full).filter(([name]) => names.includes(name))),
  })),
)
const anyRules = fc.array(fc.array(fc.array(anyMatch, { maxLength: 3 }), { maxLength: 2 }), { maxLength: 3 })
export const anyPolicy: fc.Arbitrary<Authorization> = fc.record({
  name: fc.constantFrom('p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7', 'p8'),
  namespace: fc.constantFrom('', 'a', 'b'),
  scope: fc.constantFrom('Global', 'Namespace', 'WorkloadSelector'),
  action: fc.constantFrom('Allow', 'Deny'),
  dryRun: fc.boolean(),
  rules: anyRules,
})
