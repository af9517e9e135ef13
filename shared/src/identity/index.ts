export { IdentityError, type IdentityErrorCode } from './identity-error.ts'
export { parseIdentityPart } from './part.ts'
export { parseTrustDomain, type TrustDomain } from './trust-domain.ts'
export { SpiffeId } from './spiffe-id.ts'
