import { CertificateError } from './certificate-error.ts'
import { bytesOf, childrenOf, isTagged, sequenceOf, type DerNode } from './der.ts'
import { GENERAL_NAME } from './extensions.ts'

/**
 * The part of a CA's name constraints that speaks of URIs (RFC 5280 section 4.2.1.10); since nothing but a URI is ever an
 * identity here, limits on other kinds of names have nothing to limit. Each entry is a host, or with a leading dot any host
 * below that domain.
 */
export interface NameConstraints {
  /** Undefined when any URI is permitted that is not excluded. */
  readonly permitted: readonly string[] | undefined
  readonly excluded: readonly string[]
}

export function readNameConstraints(node: DerNode): NameConstraints {
  const parts = sequenceOf(node, 'name constraints')
  const permitted = urisOf(parts.find((part) => isTagged(part, 0)))
  return {
    permitted: permitted.length === 0 ? undefined : permitted,
    excluded: urisOf(parts.find((part) => isTagged(part, 1))),
  }
}

/** True when `uri` stays within the constraints. */
export function isPermitted(uri: string, { permitted, excluded }: NameConstraints): boolean {
  const host = hostOf(uri)
  const isIn = (domain: string): boolean => (domain.startsWith('.') ? host.endsWith(domain) : host === domain)
  return !excluded.some(isIn) && (permitted === undefined || permitted.some(isIn))
}

function urisOf(subtrees: DerNode | undefined): string[] {
  if (subtrees === undefined) return []
  return childrenOf(subtrees, 'name constraint subtrees').flatMap((subtree) => {
    const [base, ...limits] = sequenceOf(subtree, 'name constraint')
    if (!isTagged(base, GENERAL_NAME.uri)) return []
    if (limits.length > 0)
      throw new CertificateError('malformed', 'A name constraint has limits that no profile allows.')
    return [bytesOf(base, 'name constraint').toString('latin1').toLowerCase()]
  })
}

/** The trust domain of a SPIFFE id; the host of any URL. */
function hostOf(uri: string): string {
  const [, authority = ''] = uri.split('//', 2)
  const [host = ''] = authority.split('/', 1)
  return host.toLowerCase()
}
