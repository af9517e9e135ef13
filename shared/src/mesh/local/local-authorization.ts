import type { YamlValue } from '../../config-file/index.ts'
import type { Authorization, Match, ServiceAccountMatch, StringMatch } from '../authorization.ts'
import { readCidr } from './local-values.ts'

/** A policy of a local file. Rules are lists of clauses, clauses lists of matches. */
export function readAuthorization(value: YamlValue): Authorization {
  const field = value.fields('name', 'namespace', 'scope', 'action', 'rules', 'dryRun')
  return {
    name: field.name.text(),
    namespace: field.namespace.text(),
    scope: field.scope.oneOf(['Global', 'Namespace', 'WorkloadSelector']),
    action: field.action.oneOf(['Allow', 'Deny']),
    dryRun: field.dryRun.boolean(),
    rules: field.rules.list().map((rule) => rule.list().map((clause) => clause.list().map(readMatch))),
  }
}

function readMatch(value: YamlValue): Match {
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
    namespaces: field.namespaces.list().map(readStringMatch),
    notNamespaces: field.notNamespaces.list().map(readStringMatch),
    principals: field.principals.list().map(readStringMatch),
    notPrincipals: field.notPrincipals.list().map(readStringMatch),
    serviceAccounts: field.serviceAccounts.list().map(readServiceAccount),
    notServiceAccounts: field.notServiceAccounts.list().map(readServiceAccount),
    sourceIps: field.sourceIps.list().map(readCidr),
    notSourceIps: field.notSourceIps.list().map(readCidr),
    destinationIps: field.destinationIps.list().map(readCidr),
    notDestinationIps: field.notDestinationIps.list().map(readCidr),
    destinationPorts: field.destinationPorts.list().map(readPort),
    notDestinationPorts: field.notDestinationPorts.list().map(readPort),
  }
}

/** `!Exact x` as serde writes it, or `{Exact: x}` as config_dump does. */
function readStringMatch(value: YamlValue): StringMatch {
  const [kind, content] = value.tag === undefined ? singleEntry(value) : [value.tag, value]
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
      value.problem('must be !Exact text, !Prefix text, !Suffix text or !Presence []')
      return { kind: 'exact', value: '' }
  }
}

function singleEntry(value: YamlValue): readonly [string, YamlValue] {
  const [first, ...rest] = value.entries()
  return first && rest.length === 0 ? first : ['', value]
}

function readServiceAccount(value: YamlValue): ServiceAccountMatch {
  const { namespace, serviceAccount } = value.fields('namespace', 'serviceAccount')
  return { namespace: namespace.text(), serviceAccount: serviceAccount.text() }
}

function readPort(value: YamlValue): number {
  return value.integer({ min: 0, max: 65_535 })
}
