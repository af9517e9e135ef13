import { CertificateError } from './certificate-error.ts'
import type { CrlSet } from './crl-set.ts'
import { nameText } from './name-text.ts'
import type { ParsedCertificate } from './parsed-certificate.ts'

/**
 * Whether `next` may take the place of `current`. Throws CertificateError 'bad-crl' where it would revoke less by mistake: where
 * one of its lists bears the name of one of `authorities`, the CAs whose keys are known, and none of these has signed it;
 * where one of them has a list in `current` and none in `next`; and where `next` has no list at all and `current` has. So whoever
 * means to revoke nobody any more says so with a list without entries. Lists of other CAs cannot be checked and are let through.
 */
export function checkSuccession(next: CrlSet, current: CrlSet, authorities: readonly ParsedCertificate[]): void {
  const [forged] = next.forged(authorities)
  if (forged !== undefined)
    throw refusal(`the list of ${nameText(forged)} is not signed by it: damaged, or another CA's.`)
  if (current.lists > 0 && next.lists === 0) throw refusal(`there is no list in it; ${WAY_OUT}`)
  const lost = authorities.find((authority) => current.hasListOf(authority) && !next.hasListOf(authority))
  if (lost) throw refusal(`it has no list of ${nameText(lost.subject)} any more, which is trusted; ${WAY_OUT}`)
}

/** How the lists of a set stand to the CAs whose keys are known; CAs by their names for people. */
export interface Standing {
  /** Those of whom there is a list that they have not signed. */
  readonly forged: readonly string[]
  /** Those whose keys are not known: what their lists are worth shows when a peer comes with a certificate of theirs. */
  readonly unknown: readonly string[]
  readonly isAnySigned: boolean
}

/** How the lists of `crl` stand to those CAs. */
export function standingOf(crl: CrlSet, authorities: readonly ParsedCertificate[]): Standing {
  const forged = crl.forged(authorities)
  const unknown = crl.unverified(authorities).filter((name) => !forged.includes(name))
  return {
    forged: forged.map((name) => nameText(name)),
    unknown: unknown.map((name) => nameText(name)),
    isAnySigned: authorities.some((authority) => crl.hasListOf(authority)),
  }
}

const WAY_OUT = 'to revoke nobody, have the CA sign a list without entries.'

function refusal(reason: string): CertificateError {
  return new CertificateError('bad-crl', `The revocation lists cannot be taken over: ${reason}`)
}
