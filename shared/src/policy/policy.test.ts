import t from 'tap'
import { SpiffeId } from '../identity/index.ts'
import type { Authorization, Match, StringMatch } from '../mesh/index.ts'
import type { Log, LogFields } from '../log/index.ts'
import { logVerdict, MAX_DRY_RUN_EVENTS, PolicySet, type Verdict } from './index.ts'
import {
  allowed,
  allowing,
  cidr,
  compilePolicies,
  EMPTY,
  exact,
  FACTS,
  match,
  messages,
  OTHER,
  PLAINTEXT,
  policy,
  prefix,
  presence,
  suffix,
} from './policy-fixture.ts'

void t.test('a match, clause, rule or policy without content counts as Istio has it', async (t) => {
  t.equal(allowed(FACTS, policy({ rules: [] })), false, 'no rules: never matches, so ALLOW refuses all')
  t.equal(allowed(FACTS, policy({ rules: [], action: 'Deny' })), true, 'no rules: DENY refuses nobody')
  t.equal(allowed(FACTS, policy({ rules: [[]] })), true, 'a rule without clauses matches')
  t.equal(allowed(FACTS, policy({ rules: [[[]]] })), true, 'a clause without matches is true')
  t.equal(allowed(FACTS, allowing({})), false, 'a clause of only an empty match is false')
  t.equal(allowed(FACTS, policy({ rules: [[[EMPTY, EMPTY]]] })), false, 'a clause of only empty matches is false')
  t.equal(allowed(FACTS, policy({ rules: [[[EMPTY, match({ destinationPorts: [8080] })]]] })), true, 'it is skipped')
  t.equal(allowed(FACTS, policy({ rules: [[[], [match({ destinationPorts: [1] })]]] })), false, 'the others count')
})

void t.test('rules are alternatives, clauses must all hold, matches are alternatives', async (t) => {
  const yes = match({ destinationPorts: [8080] })
  const no = match({ destinationPorts: [1] })
  t.equal(allowed(FACTS, policy({ rules: [[[no]], [[yes]]] })), true)
  t.equal(allowed(FACTS, policy({ rules: [[[no]], [[no]]] })), false)
  t.equal(allowed(FACTS, policy({ rules: [[[yes], [yes]]] })), true)
  t.equal(allowed(FACTS, policy({ rules: [[[yes], [no]]] })), false)
  t.equal(allowed(FACTS, policy({ rules: [[[no], [yes]]] })), false)
  t.equal(allowed(FACTS, policy({ rules: [[[no, yes]]] })), true)
  t.equal(allowed(FACTS, policy({ rules: [[[no, no]]] })), false)
  t.equal(
    allowed(
      FACTS,
      policy({
        rules: [
          [
            [no, yes],
            [yes, no],
          ],
        ],
      }),
    ),
    true,
  )
  const other = { ...FACTS, network: 'remote' }
  t.equal(allowed(other, policy({ rules: [[[yes]]] })), true, 'the network does not count')
})

void t.test('every attribute, positive and negative, for plaintext, the peer meant and another', async (t) => {
  const table: readonly (readonly [keyof Match, Partial<Match>, readonly [boolean, boolean, boolean]])[] = [
    ['namespaces', { namespaces: [exact('x'), exact('namespace')] }, [false, true, false]],
    ['notNamespaces', { notNamespaces: [exact('x'), exact('namespace')] }, [true, false, true]],
    ['principals', { principals: [exact('x'), exact('td/ns/namespace/sa/account')] }, [false, true, false]],
    ['notPrincipals', { notPrincipals: [exact('x'), exact('td/ns/namespace/sa/account')] }, [true, false, true]],
    [
      'serviceAccounts',
      { serviceAccounts: [{ namespace: 'namespace', serviceAccount: 'account' }] },
      [false, true, false],
    ],
    [
      'notServiceAccounts',
      { notServiceAccounts: [{ namespace: 'namespace', serviceAccount: 'account' }] },
      [true, false, true],
    ],
    ['sourceIps', { sourceIps: [cidr('9.9.9.9'), cidr('127.0.0.1/32')] }, [true, true, false]],
    ['notSourceIps', { notSourceIps: [cidr('9.9.9.9'), cidr('127.0.0.1/32')] }, [false, false, true]],
    ['destinationIps', { destinationIps: [cidr('9.9.9.9'), cidr('127.0.0.2/32')] }, [true, true, false]],
    ['notDestinationIps', { notDestinationIps: [cidr('9.9.9.9'), cidr('127.0.0.2/32')] }, [false, false, true]],
    ['destinationPorts', { destinationPorts: [1, 8080] }, [true, true, false]],
    ['notDestinationPorts', { notDestinationPorts: [1, 8080] }, [false, false, true]],
  ]
  t.same(table.map(([name]) => name).sort(), Object.keys(EMPTY).sort(), 'all attributes are in the table')
  for (const [name, some, expected] of table) {
    t.same(
      [PLAINTEXT, FACTS, OTHER].map((facts) => allowed(facts, allowing(some))),
      expected,
      name,
    )
  }
})

void t.test('within a match all attributes must agree, and no negative value may hit', async (t) => {
  t.equal(allowed(FACTS, allowing({ namespaces: [exact('namespace')], destinationPorts: [8080] })), true)
  t.equal(allowed(FACTS, allowing({ namespaces: [exact('namespace')], destinationPorts: [1] })), false)
  t.equal(allowed(FACTS, allowing({ namespaces: [exact('x')], destinationPorts: [8080] })), false)
  t.equal(allowed(FACTS, allowing({ destinationPorts: [8080], notDestinationPorts: [8080] })), false)
  t.equal(allowed(FACTS, allowing({ destinationPorts: [8080], notDestinationPorts: [1, 2] })), true)
  t.equal(allowed(FACTS, allowing({ sourceIps: [cidr('127.0.0.0/8')], notSourceIps: [cidr('127.0.0.1')] })), false)
})

void t.test('strings are compared as they are, in four ways', async (t) => {
  const table: readonly (readonly [StringMatch, string, boolean])[] = [
    [exact('a'), 'a', true],
    [exact('a'), 'ab', false],
    [exact('a'), 'A', false],
    [prefix('a'), 'a', true],
    [prefix('a'), 'ab', true],
    [prefix('ab'), 'a', false],
    [prefix('a'), 'ba', false],
    [suffix('a'), 'a', true],
    [suffix('a'), 'ba', true],
    [suffix('ba'), 'a', false],
    [suffix('a'), 'ab', false],
    [presence, 'a', true],
    [exact('a.b'), 'axb', false],
    [exact('*'), 'a', false],
    [prefix('.'), 'a', false],
    [suffix('b*'), 'ab', false],
    [exact('a+'), 'aa', false],
    [prefix(''), 'a', true],
    [suffix(''), 'a', true],
  ]
  for (const [value, namespace, expected] of table) {
    const facts = { ...FACTS, identity: SpiffeId.of('td', namespace, 'sa') }
    const name = `${value.kind} ${'value' in value ? value.value : ''} of ${namespace}`
    t.equal(allowed(facts, allowing({ namespaces: [value] })), expected, name)
    t.equal(allowed(facts, allowing({ notNamespaces: [value] })), !expected, `not ${name}`)
  }
})

void t.test('plaintext has an empty namespace and no principal at all', async (t) => {
  t.equal(allowed(PLAINTEXT, allowing({ namespaces: [exact('')] })), true)
  t.equal(allowed(PLAINTEXT, allowing({ namespaces: [prefix('')] })), true)
  t.equal(allowed(PLAINTEXT, allowing({ namespaces: [suffix('')] })), true)
  t.equal(allowed(PLAINTEXT, allowing({ namespaces: [presence] })), false, 'presence of "" is false')
  t.equal(allowed(PLAINTEXT, allowing({ notNamespaces: [presence] })), true)
  for (const value of [exact(''), prefix(''), suffix(''), presence]) {
    t.equal(allowed(PLAINTEXT, allowing({ principals: [value] })), false, `principal ${value.kind}`)
    t.equal(allowed(PLAINTEXT, allowing({ notPrincipals: [value] })), true, `not principal ${value.kind}`)
  }
  t.equal(allowed(PLAINTEXT, allowing({ serviceAccounts: [{ namespace: '', serviceAccount: '' }] })), false)
  t.equal(allowed(PLAINTEXT, allowing({ notServiceAccounts: [{ namespace: '', serviceAccount: '' }] })), true)
  t.equal(allowed(FACTS, allowing({ principals: [presence] })), true)
  t.equal(allowed(FACTS, allowing({ notPrincipals: [presence] })), false)
})

void t.test('a principal is written without spiffe://, a service account without its trust domain', async (t) => {
  t.equal(allowed(FACTS, allowing({ principals: [exact('spiffe://td/ns/namespace/sa/account')] })), false)
  t.equal(allowed(FACTS, allowing({ principals: [prefix('spiffe://')] })), false)
  t.equal(allowed(FACTS, allowing({ principals: [prefix('td/')] })), true)
  t.equal(allowed(FACTS, allowing({ principals: [suffix('/sa/account')] })), true)
  const account = { namespace: 'namespace', serviceAccount: 'account' }
  const elsewhere = { ...FACTS, identity: SpiffeId.of('another.domain', 'namespace', 'account') }
  t.equal(allowed(elsewhere, allowing({ serviceAccounts: [account] })), true)
  t.equal(allowed(FACTS, allowing({ serviceAccounts: [{ ...account, namespace: 'x' }] })), false)
  t.equal(allowed(FACTS, allowing({ serviceAccounts: [{ ...account, serviceAccount: 'x' }] })), false)
  const nameless = { ...FACTS, identity: SpiffeId.of('td', 'namespace', '') }
  const nobody = { namespace: 'namespace', serviceAccount: '' }
  t.equal(allowed(nameless, policy({ action: 'Deny', rules: [[[match({ serviceAccounts: [nobody] })]]] })), false)
})

void t.test('CIDRs contain by prefix, host bits do not count, families do not mix', async (t) => {
  const table: readonly (readonly [string, string, boolean])[] = [
    ['127.0.0.1/24', '127.0.0.4', true],
    ['127.0.0.1/24', '127.0.1.1', false],
    ['127.0.0.0/31', '127.0.0.1', true],
    ['127.0.0.0/31', '127.0.0.2', false],
    ['128.0.0.0/1', '255.255.255.255', true],
    ['128.0.0.0/1', '127.255.255.255', false],
    ['0.0.0.0/0', '255.0.0.1', true],
    ['0.0.0.0/0', '::1', false],
    ['::/0', '1.2.3.4', false],
    ['::/0', '::1', true],
    ['0.0.0.0/32', '0.0.0.0', true],
    ['::1/128', '::1', true],
    ['::1/128', '0.0.0.1', false],
    ['fd00::1/64', 'fd00::ffff', true],
    ['fd00::1/64', 'fd00:0:0:1::1', false],
    ['255.255.255.255/32', '255.255.255.255', true],
  ]
  for (const [range, address, expected] of table) {
    t.equal(
      allowed({ ...FACTS, source: { address, port: 1 } }, allowing({ sourceIps: [cidr(range)] })),
      expected,
      `${address} in ${range}`,
    )
    t.equal(
      allowed({ ...FACTS, source: { address, port: 1 } }, allowing({ notSourceIps: [cidr(range)] })),
      !expected,
      `${address} not in ${range}`,
    )
    const to = { ...FACTS, destination: { address, port: 1 } }
    t.equal(allowed(to, allowing({ destinationIps: [cidr(range)] })), expected, `to ${address} in ${range}`)
  }
})

function verdict(...list: readonly Authorization[]): Verdict {
  return compilePolicies(list).evaluate(FACTS)
}

function steps(...list: readonly Authorization[]): readonly string[] {
  return messages(verdict(...list))
}

void t.test('DENY goes before ALLOW; without any ALLOW everybody may', async (t) => {
  const deny = policy({ name: 'deny', action: 'Deny', rules: [[[match({ destinationPorts: [8080] })]]] })
  const denyOther = policy({ name: 'deny-other', action: 'Deny', rules: [[[match({ destinationPorts: [1] })]]] })
  const allow = policy({ name: 'allow', rules: [[[match({ destinationPorts: [8080] })]]] })
  const allowOther = policy({ name: 'allow-other', rules: [[[match({ destinationPorts: [1] })]]] })

  t.same(verdict(), { allowed: true, events: [{ message: 'no allow policies, allow' }] })
  t.same(verdict(denyOther).allowed, true)
  t.same(verdict(allow, allowOther, denyOther), {
    allowed: true,
    policy: 'ns/allow',
    events: [{ message: 'allow policy match', policy: 'ns/allow' }],
  })
  t.same(verdict(allowOther, denyOther), {
    allowed: false,
    reason: 'allow policies exist, but none allowed',
    events: [{ message: 'no allow policies matched' }],
  })
  t.same(verdict(allow, deny), {
    allowed: false,
    reason: 'explicitly denied by: ns/deny',
    policy: 'ns/deny',
    events: [{ message: 'deny policy match', policy: 'ns/deny' }],
  })
  t.equal(verdict(policy({ name: 'empty', rules: [] }), deny).policy, 'ns/deny')
  const first = policy({ name: 'a', action: 'Deny', rules: [[]] })
  t.equal(verdict(deny, first).policy, 'ns/a', 'of several that match the first in the alphabet is told')
  t.equal(verdict(first, deny).policy, 'ns/a')
})

void t.test('a dry run is told and changes nothing', async (t) => {
  const yes = [[[match({ destinationPorts: [8080] })]]]
  const no = [[[match({ destinationPorts: [1] })]]]
  const deny = policy({ name: 'd', action: 'Deny', rules: yes })
  const dryDeny = policy({ name: 'dry-d', action: 'Deny', dryRun: true, rules: yes })
  const dryDenyOther = policy({ name: 'dry-d2', action: 'Deny', dryRun: true, rules: no })
  const allow = policy({ name: 'a', rules: yes })
  const dryAllow = policy({ name: 'dry-a', dryRun: true, rules: yes })
  const dryAllowOther = policy({ name: 'dry-a2', dryRun: true, rules: no })

  t.same(steps(dryDeny, dryDenyOther), ['dry-run: deny policy match: ns/dry-d', 'no allow policies, allow'])
  t.same(steps(dryDeny, deny, dryAllow), ['dry-run: deny policy match: ns/dry-d', 'deny policy match: ns/d'])
  t.same(steps(dryAllow), ['dry-run: allow policy match: ns/dry-a', 'no allow policies, allow'])
  t.same(steps(dryAllowOther), ['dry-run: no allow policies match', 'no allow policies, allow'])
  t.same(steps(dryAllowOther, dryAllow), ['dry-run: allow policy match: ns/dry-a', 'no allow policies, allow'])
  t.same(steps(dryAllowOther, allow), ['allow policy match: ns/a'], 'with an enforced ALLOW, no word of those missing')
  t.equal(allowed(OTHER, dryAllow), true, 'a dry-run ALLOW refuses nobody')

  const many = Array.from({ length: 3 * MAX_DRY_RUN_EVENTS }, (_, i) => ({ ...dryDeny, name: `dry-${i}` }))
  t.equal(steps(...many).length, MAX_DRY_RUN_EVENTS + 1, 'and no connection fills the log')
})

void t.test('verdicts are logged at debug, or at info on request', async (t) => {
  const lines: string[] = []
  const line = (level: string) => (message: string, fields?: LogFields) =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
  const log: Log = { error: line('error'), warn: line('warn'), info: line('info'), debug: line('debug') }
  const denial = verdict(policy({ name: 'd', action: 'Deny', rules: [[]] }))
  logVerdict(log, denial, { atInfo: false })
  logVerdict(log, denial, { atInfo: true })
  t.same(lines, ['debug deny policy match {"policy":"ns/d"}', 'info deny policy match {"policy":"ns/d"}'])
})

/** As it might come from another process or release. */
function broken(some: object): Authorization {
  return { ...policy({ rules: [[]] }), ...some }
}

function value(values: object): object {
  return { rules: [[[match(values)]]] }
}

void t.test('what cannot be understood refuses, whatever it was meant to do', async (t) => {
  const table: readonly (readonly [string, object, string])[] = [
    ['action', { action: 'Audit' }, 'unknown action "Audit"'],
    ['scope', { scope: 'Cluster' }, 'unknown scope "Cluster"'],
    ['dryRun', { dryRun: 'yes' }, 'dryRun is "yes"'],
    ['no dryRun', { dryRun: undefined }, 'dryRun is undefined'],
    ['no rules', { rules: undefined }, 'its rules are no list'],
    ['rule', { rules: [1] }, 'a rule is no list of clauses'],
    ['clause', { rules: [[{}]] }, 'a clause is no list of matches'],
    ['match', { rules: [[[null]]] }, 'a match is no object'],
    ['attribute', value({ hosts: ['x'] }), 'unknown attribute "hosts"'],
    ['attribute object', value({ principals: {} }), 'principals is no list'],
    ['attribute list', value({ principals: undefined }), 'principals is no list'],
    [
      'string',
      value({ principals: [{ kind: 'regex', value: '.*' }] }),
      'unknown value {"kind":"regex","value":".*"} in principals',
    ],
    ['string value', value({ notNamespaces: [{ kind: 'exact' }] }), 'unknown value {"kind":"exact"} in notNamespaces'],
    ['string null', value({ namespaces: [null] }), 'unknown value null in namespaces'],
    ['account', value({ serviceAccounts: [{ namespace: 'a' }] }), 'unknown value {"namespace":"a"} in serviceAccounts'],
    ['account namespace', value({ notServiceAccounts: [{ serviceAccount: 'a' }] }), 'in notServiceAccounts'],
    ['address', value({ sourceIps: [{ address: 'x', length: 8 }] }), 'in sourceIps'],
    ['length', value({ notSourceIps: [{ address: '1.2.3.4', length: 33 }] }), 'in notSourceIps'],
    ['length 6', value({ destinationIps: [{ address: '::1', length: 129 }] }), 'in destinationIps'],
    ['length -1', value({ notDestinationIps: [{ address: '::1', length: -1 }] }), 'in notDestinationIps'],
    ['length 1.5', value({ notDestinationIps: [{ address: '1.2.3.4', length: 1.5 }] }), 'in notDestinationIps'],
    ['port', value({ destinationPorts: [65_536] }), 'in destinationPorts'],
    ['port -1', value({ notDestinationPorts: [-1] }), 'in notDestinationPorts'],
    ['port text', value({ notDestinationPorts: ['80'] }), 'in notDestinationPorts'],
  ]
  const target = { namespace: 'ns', authorizationPolicies: [] }
  for (const [name, some, why] of table) {
    const set = new PolicySet()
    set.set(policy({ name: 'fine', rules: [[]] }))
    set.set(broken(some))
    const refusal = set.evaluate(target, FACTS)
    t.equal(refusal.allowed, false, name)
    t.match(refusal, { policy: 'ns/p' })
    if (!refusal.allowed) t.ok(refusal.reason.includes(why), `${name}: ${refusal.reason}`)
    t.same(messages(refusal), ['policy cannot be understood, refuse: ns/p'])
    set.set(policy({ rules: [[]] }))
    t.equal(set.evaluate(target, FACTS).allowed, true, `${name}: mended`)
  }
  for (const port of [0, 65_535]) t.equal(allowed(FACTS, allowing({ notDestinationPorts: [port] })), true, String(port))
  t.equal(allowed(FACTS, broken({ action: 'Audit', dryRun: true })), true, 'a broken dry run enforces nothing')

  const global = new PolicySet()
  global.set(broken({ action: 'Audit' }))
  global.set(policy({ name: 'other', rules: [[]] }))
  global.delete('ns/other')
  t.equal(global.evaluate(target, FACTS).allowed, false, 'it refuses as long as it is there')

  const set = new PolicySet()
  set.set(broken({ scope: 'WorkloadSelector', action: 'Audit' }))
  t.equal(set.evaluate(target, FACTS).allowed, true, 'it concerns only whom it may concern')
  t.equal(set.evaluate({ ...target, authorizationPolicies: ['ns/p'] }, FACTS).allowed, false)
  set.set(policy({ name: 'mine', scope: 'WorkloadSelector', rules: [[]] }))
  t.equal(set.evaluate({ ...target, authorizationPolicies: ['ns/mine'] }, FACTS).allowed, true)
  set.delete('ns/mine')
  t.equal(set.evaluate({ ...target, authorizationPolicies: ['ns/p'] }, FACTS).allowed, false, 'also when left alone')
  set.set(broken({ scope: 'WorkloadSelector', action: 'Audit', name: 'tried', dryRun: true }))
  set.delete('ns/p')
  set.set(policy({ name: 'q', scope: 'WorkloadSelector', action: 'Deny', rules: [[]] }))
  set.delete('ns/tried')
  t.equal(set.evaluate({ ...target, authorizationPolicies: ['ns/q'] }, FACTS).allowed, false)

  const nowhere = { ...FACTS, source: { address: 'somewhere', port: 1 } }
  t.match(compilePolicies([]).evaluate(nowhere), {
    allowed: false,
    reason: 'an address of the connection cannot be read',
  })
  t.equal(compilePolicies([]).evaluate({ ...FACTS, destination: { address: '', port: 1 } }).allowed, false)
})
