import { CertificateError } from './certificate-error.ts'
import { CrlSet } from './crl-set.ts'
import { nameText } from './name-text.ts'
import type { ParsedCertificate } from './parsed-certificate.ts'

/** What follows a set of revocation lists. */
export interface Succession {
  readonly crl: CrlSet
  /** What of the next file did not count, and why: a sentence each. */
  readonly faults: readonly string[]
}

/**
 * The lists that are in force when those of a file, `next`, follow `current`: those of the file, but for what would revoke less
 * by mistake. A list that bears the name of one of `authorities`, the CAs whose keys are known, and that none of these has
 * signed is left out, unless it is in force already; and where one of them has a list in `current` and none in `next`, that
 * one stays. So whoever means to revoke nobody any more says so with a list without entries. Lists of other CAs cannot be
 * checked and are let through. Throws CertificateError 'bad-crl' where nothing is left of a file that has lists, and where it has
 * none while `current` has.
 */
export function succeed(next: CrlSet, current: CrlSet, authorities: readonly ParsedCertificate[]): Succession {
  const forged = next.forged(authorities).filter((list) => !current.has(list))
  const good = CrlSet.of(next.lists.filter((list) => !forged.includes(list)))
  const lost = authorities.filter(
    (authority) => current.listsOf(authority).length > 0 && good.listsOf(authority).length === 0,
  )
  const left = forged.map(({ issuer }) => issuer)
  const faults = [
    ...new Set(left.map((issuer) => `the list of ${nameText(issuer)} is not signed by it: damaged, or another CA's`)),
    ...lost
      .filter(({ subject }) => !left.includes(subject))
      .map(({ subject }) => `there is no list of ${nameText(subject)} any more, which is trusted; ${WAY_OUT}`),
  ]
  if (good.lists.length === 0 && forged.length > 0) throw refusal(faults.join('; '))
  if (good.lists.length === 0 && current.lists.length > 0) throw refusal(`there is no list in it; ${WAY_OUT}`)
  const kept = new Set(lost.flatMap((authority) => current.listsOf(authority)))
  return { crl: CrlSet.of([...good.lists, ...kept]), faults }
}

/** How the lists of a set stand to the CAs whose keys are known; CAs by their names for people. */
export interface Standing {
  /** Those of whom there is a list that they have not signed, and none that they have: their certificates are refused. */
  readonly undecided: readonly string[]
  /** Those of whom there is a list that they have not signed beside one that they have. */
  readonly forged: readonly string[]
  /** Those whose keys are not known: what their lists are worth shows when a peer comes with a certificate of theirs. */
  readonly unknown: readonly string[]
  readonly isAnySigned: boolean
}

/** How the lists of `crl` stand to those CAs. */
export function standingOf(crl: CrlSet, authorities: readonly ParsedCertificate[]): Standing {
  const undecided = authorities.filter((authority) => crl.isUndecided(authority, authorities)).map(subjectOf)
  const bad = crl.forged(authorities).map(({ issuer }) => issuer)
  return {
    undecided: namesOf(undecided),
    forged: namesOf(bad.filter((issuer) => !undecided.includes(issuer))),
    unknown: namesOf(crl.unverified(authorities).filter((issuer) => !bad.includes(issuer))),
    isAnySigned: authorities.some((authority) => crl.listsOf(authority).length > 0),
  }
}

const WAY_OUT = 'to revoke nobody, have the CA sign a list without entries'

function subjectOf({ subject }: ParsedCertificate): string {
  return subject
}

function namesOf(subjects: readonly string[]): readonly string[] {
  return [...new Set(subjects)].map((subject) => nameText(subject))
}

function refusal(reason: string): CertificateError {
  return new CertificateError('bad-crl', `The revocation lists cannot be taken over: ${reason}.`)
}
