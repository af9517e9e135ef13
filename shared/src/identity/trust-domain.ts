import { IdentityError } from './identity-error.ts'
import { isPart, shown } from './part.ts'

/** Longest trust domain in characters (SPIFFE-ID section 2.1). */
const MAX_TRUST_DOMAIN_LENGTH = 255

/** The name of a root of trust, such as "cluster.local": not empty, only characters that an identity may have. */
export type TrustDomain = string & { readonly __brand: 'TrustDomain' }

/** Parses a configured trust domain. Stricter than SpiffeId.parse: never empty. Throws IdentityError. */
export function parseTrustDomain(text: string): TrustDomain {
  if (text.length === 0)
    throw new IdentityError('bad-trust-domain', 'The trust domain is empty; name one, such as cluster.local.')
  if (text.length > MAX_TRUST_DOMAIN_LENGTH || !isPart(text)) {
    throw new IdentityError(
      'bad-trust-domain',
      `${shown(text)} is no trust domain: use at most ${MAX_TRUST_DOMAIN_LENGTH} letters, digits and . - _ ~ :`,
    )
  }
  return text as TrustDomain // Checked just above.
}
