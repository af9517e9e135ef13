import type { YamlValue } from '../../config-file/index.ts'
import {
  policyKey,
  type Authorization,
  type Match,
  type ServiceAccountMatch,
  type StringMatch,
} from '../authorization.ts'
import { readCidr } from './local-values.ts'

const SCHEME = 'spiffe://'

/** A policy of a local file. Rules are lists of clauses, clauses lists of matches. */
export function readAuthorization(value: YamlValue): Authorization {
  const field = value.fields('name', 'namespace', 'scope', 'action', 'rules', 'dryRun')
  // Without them a policy that denies would deny nobody.
  if (field.rules.isAbsent) field.rules.problem('is required (a list, may be [])')
  const named = { name: field.name.text(), namespace: field.namespace.text() }
  const key = policyKey(named)
  return {
    ...named,
    scope: field.scope.oneOf(['Global', 'Namespace', 'WorkloadSelector']),
    action: field.action.oneOf(['Allow', 'Deny']),
    dryRun: field.dryRun.boolean(),
    rules: field.rules
      .list()
      .map((rule) => rule.list().map((clause) => clause.list().map((match) => readMatch(match, key)))),
  }
}

function readMatch(value: YamlValue, policy: string): Match {
  const field = value.fields(
    'namespaces',
    'notNamespaces',
    'principals',
    'notPrincipals',
    'serviceAccounts',
    'notServiceAccounts',
    'sourceIps',
    'notSourceIps',
    'destinationIps',
    'notDestinationIps',
    'destinationPorts',
    'notDestinationPorts',
  )
  return {
    namespaces: attributes(field.namespaces).map(readStringMatch),
    notNamespaces: attributes(field.notNamespaces).map(readStringMatch),
    principals: attributes(field.principals).map((principal) => readPrincipal(principal, policy)),
    notPrincipals: attributes(field.notPrincipals).map((principal) => readPrincipal(principal, policy)),
    serviceAccounts: attributes(field.serviceAccounts).map(readServiceAccount),
    notServiceAccounts: attributes(field.notServiceAccounts).map(readServiceAccount),
    sourceIps: attributes(field.sourceIps).map(readCidr),
    notSourceIps: attributes(field.notSourceIps).map(readCidr),
    destinationIps: attributes(field.destinationIps).map(readCidr),
    notDestinationIps: attributes(field.notDestinationIps).map(readCidr),
    destinationPorts: attributes(field.destinationPorts).map(readPort),
    notDestinationPorts: attributes(field.notDestinationPorts).map(readPort),
  }
}

/** The list of an attribute; it may be left out, but one that is null would silently ask less than was meant. */
function attributes(value: YamlValue): readonly YamlValue[] {
  if (value.isNull) value.problem('must be a list')
  return value.list()
}

/** One with `spiffe://` matches nobody, so that a policy that denies denies nobody; Istio's ztunnel takes it as silently. */
function readPrincipal(value: YamlValue, policy: string): StringMatch {
  const match = readStringMatch(value)
  if (match.kind !== 'presence' && match.value.startsWith(SCHEME))
    value.warning(
      `matches nobody in policy ${policy}, for principals have no ${SCHEME}; write ${match.value.slice(SCHEME.length)}`,
    )
  return match
}

/** `!Exact x` as serde writes it, or `{Exact: x}` as config_dump does. */
function readStringMatch(value: YamlValue): StringMatch {
  const forms = value.tag === undefined ? value.entries() : [[value.tag, value] as const]
  const [kind, content] = forms.length === 1 && forms[0] ? forms[0] : ['', value]
  switch (kind) {
    case 'Exact':
      return { kind: 'exact', value: content.text() }
    case 'Prefix':
      return { kind: 'prefix', value: content.text() }
    case 'Suffix':
      return { kind: 'suffix', value: content.text() }
    case 'Presence':
      return { kind: 'presence' }
    default:
      value.problem(notAForm(forms.map(([key]) => key)))
      return { kind: 'exact', value: '' }
  }
}

function notAForm(keys: readonly string[]): string {
  const found = keys.length === 0 ? '' : `, not ${keys.join(' and ').slice(0, 100)}`
  return `must be one of Exact, Prefix, Suffix, Presence${found}: write !Exact text or { Exact: text }, !Presence [] or { Presence: [] }`
}

function readServiceAccount(value: YamlValue): ServiceAccountMatch {
  const { namespace, serviceAccount } = value.fields('namespace', 'serviceAccount')
  return { namespace: namespace.text(), serviceAccount: serviceAccount.text() }
}

function readPort(value: YamlValue): number {
  return value.integer({ min: 0, max: 65_535 })
}
