import type { X509Certificate } from 'node:crypto'
import { CertificateError } from './certificate-error.ts'
import type { CrlSet } from './crl-set.ts'
import { isPermitted } from './name-constraints.ts'
import { nameText } from './name-text.ts'
import { KEY_USAGE, OID, type TlsUsage } from './object-identifiers.ts'
import { parseCertificate, type ParsedCertificate } from './parsed-certificate.ts'
import { isAcceptedSignature } from './signature-algorithm.ts'

/** Presented certificates that are looked at beside the leaf, and so the intermediates in a chain; real ones have 0 to 2. */
export const MAX_INTERMEDIATES = 8
/** Signatures checked for one peer, whatever it presents; 80 µs each. A chain needs one more than it has intermediates. */
const MAX_SIGNATURE_CHECKS = 24

export interface ChainOptions {
  readonly usage: TlsUsage
  readonly nowMs: number
  readonly crl?: CrlSet | undefined
}

/**
 * Finds a chain from the first presented certificate to one of `anchors` (RFC 5280 section 6, as far as Istio's ztunnel goes)
 * and returns that first certificate. The others may come in any order and have nothing to do with it: what does not help is
 * ignored. Every certificate of the chain, its root included, must be within its time; every issuer must be a CA that may
 * sign, with room in its path length and its names, for the usage if it limits usages, and must not have revoked what it
 * issued. The leaf must be no CA and must name the usage. Throws CertificateError.
 */
export function verifyChain(
  presented: readonly X509Certificate[],
  anchors: readonly ParsedCertificate[],
  options: ChainOptions,
): ParsedCertificate {
  const [first, ...others] = presented
  if (first === undefined) throw new CertificateError('no-certificate', 'The peer presented no certificate.')
  const leaf = parseCertificate(first)
  const fault = faultOfLeaf(leaf, options)
  if (fault) throw fault
  const intermediates = others.slice(0, MAX_INTERMEDIATES).flatMap((certificate) => parsedIfPossible(certificate))
  new ChainSearch(leaf, intermediates, anchors, options).run()
  return leaf
}

/** A depth-first search, bounded by the number of signatures that it may check. */
class ChainSearch {
  readonly #leaf: ParsedCertificate
  readonly #intermediates: readonly ParsedCertificate[]
  readonly #anchors: readonly ParsedCertificate[]
  readonly #options: ChainOptions
  #signatureChecks = 0
  /** Why the first issuer whose signature was right would not do: tells more than that there is no chain. */
  #fault: CertificateError | undefined
  /** Why the first chain that is good but for revocation lists will not do: tells more than any other. */
  #revocation: CertificateError | undefined

  constructor(
    leaf: ParsedCertificate,
    intermediates: readonly ParsedCertificate[],
    anchors: readonly ParsedCertificate[],
    options: ChainOptions,
  ) {
    this.#leaf = leaf
    this.#intermediates = intermediates
    this.#anchors = anchors
    this.#options = options
  }

  run(): void {
    if (this.#reachesAnchor(this.#leaf, [])) return
    throw (
      this.#revocation ??
      this.#fault ??
      new CertificateError('untrusted', "The peer's certificate does not chain to a root of ours.")
    )
  }

  /** `below`: the intermediates from the leaf's issuer up to `certificate` itself; none when that is the leaf. */
  #reachesAnchor(certificate: ParsedCertificate, below: readonly ParsedCertificate[]): boolean {
    const isGoodUnder = (anchor: ParsedCertificate): boolean =>
      this.#isIssuedBy(certificate, anchor, below, 'anchor') && this.#isInForce([this.#leaf, ...below, anchor])
    if (this.#anchors.some(isGoodUnder)) return true
    return this.#intermediates.some(
      (issuer) =>
        !below.includes(issuer) &&
        this.#isIssuedBy(certificate, issuer, below, 'intermediate') &&
        this.#reachesAnchor(issuer, [...below, issuer]),
    )
  }

  #isIssuedBy(
    certificate: ParsedCertificate,
    issuer: ParsedCertificate,
    below: readonly ParsedCertificate[],
    kind: 'anchor' | 'intermediate',
  ): boolean {
    if (certificate.issuer !== issuer.subject || this.#signatureChecks >= MAX_SIGNATURE_CHECKS) return false
    this.#signatureChecks++
    if (!isSigned(certificate, issuer)) return false
    const { nowMs, usage } = this.#options
    const fault =
      faultOfIssuer(issuer, below) ??
      faultOfTime(issuer, nowMs) ??
      faultOfNames(this.#leaf, issuer) ??
      // A root is trusted as configured; an intermediate only for what it says.
      (kind === 'anchor' ? undefined : faultOfUsage(issuer, usage))
    this.#fault ??= fault
    return fault === undefined
  }

  /**
   * Revocation lists are asked last, about a whole chain from the leaf to its anchor: to find who has signed a list takes tens of
   * milliseconds for a large one, and keys of issuers that no anchor vouches for are made by anybody.
   */
  #isInForce(chain: readonly ParsedCertificate[]): boolean {
    const { crl } = this.#options
    const fault = crl && faultOfRevocation(chain, crl, this.#anchors)
    this.#revocation ??= fault
    return fault === undefined
  }
}

function faultOfLeaf(leaf: ParsedCertificate, { usage, nowMs }: ChainOptions): CertificateError | undefined {
  if (leaf.isCa) return wrongUsage('The peer presented the certificate of a CA as its own.')
  if (!mayUseKeyFor(leaf, KEY_USAGE.digitalSignature))
    return wrongUsage("The peer's certificate is not for signatures.")
  // Istio and OpenSSL take a leaf without this extension as one for any usage; we want it said.
  if (leaf.extendedKeyUsages === undefined)
    return wrongUsage(`The peer's certificate does not say that it is for ${usage}.`)
  return faultOfUsage(leaf, usage) ?? faultOfTime(leaf, nowMs)
}

function faultOfIssuer(issuer: ParsedCertificate, below: readonly ParsedCertificate[]): CertificateError | undefined {
  if (!issuer.isCa) return wrongUsage('A certificate of the chain is issued by one that is not of a CA.')
  if (!mayUseKeyFor(issuer, KEY_USAGE.keyCertSign)) return wrongUsage('A CA of the chain may not sign certificates.')
  // Certificates that a CA issues to itself, as when it changes its key, do not count (RFC 5280 section 6.1.4).
  const length = below.filter(({ subject, issuer: by }) => subject !== by).length
  if (issuer.pathLength === undefined || length <= issuer.pathLength) return undefined
  return wrongUsage(`A CA of the chain allows ${issuer.pathLength} CAs below it and has ${length}.`)
}

/** Both ends count in. Written so that a time which could not be read is never within. */
function faultOfTime({ notBeforeMs, notAfterMs }: ParsedCertificate, nowMs: number): CertificateError | undefined {
  if (!(notBeforeMs <= nowMs)) {
    return new CertificateError(
      'not-yet-valid',
      `A certificate of the chain is valid only from ${dateOf(notBeforeMs)} on.`,
    )
  }
  if (!(nowMs <= notAfterMs)) {
    return new CertificateError('expired', `A certificate of the chain expired at ${dateOf(notAfterMs)}.`)
  }
  return undefined
}

function faultOfUsage(certificate: ParsedCertificate, usage: TlsUsage): CertificateError | undefined {
  if (certificate.extendedKeyUsages?.includes(OID[usage]) !== false) return undefined
  return wrongUsage(`A certificate of the chain is not for ${usage}.`)
}

function faultOfNames(leaf: ParsedCertificate, { nameConstraints }: ParsedCertificate): CertificateError | undefined {
  if (nameConstraints === undefined || leaf.uris.every((uri) => isPermitted(uri, nameConstraints))) return undefined
  return wrongUsage('A CA of the chain is not allowed to issue certificates for this trust domain.')
}

/** That one is revoked goes before that it cannot be told of another. */
function faultOfRevocation(
  chain: readonly ParsedCertificate[],
  crl: CrlSet,
  anchors: readonly ParsedCertificate[],
): CertificateError | undefined {
  const issuers = chain.slice(1)
  const revoked = chain.find((certificate, index) => {
    const issuer = issuers[index]
    return issuer !== undefined && crl.isRevoked(certificate, issuer)
  })
  if (revoked)
    return new CertificateError(
      'revoked',
      `A certificate of the chain is revoked: serial number ${revoked.serial} (hex).`,
    )
  const undecided = issuers.find((issuer) => crl.isUndecided(issuer, anchors))
  if (!undecided) return undefined
  return new CertificateError(
    'bad-crl',
    `The revocation list of ${nameText(undecided.subject)}, a CA of the chain, is not signed by it: damaged, or another CA's.`,
  )
}

/** A certificate without the extension may do anything (RFC 5280 section 4.2.1.3). */
function mayUseKeyFor({ keyUsage }: ParsedCertificate, flag: number): boolean {
  return keyUsage === undefined || (keyUsage & flag) !== 0
}

function isSigned(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
  if (!isAcceptedSignature(certificate.signatureAlgorithm)) return false
  try {
    return certificate.x509.verify(issuer.x509.publicKey)
  } catch {
    return false // the issuer's key is of a kind that OpenSSL cannot read
  }
}

function parsedIfPossible(certificate: X509Certificate): ParsedCertificate[] {
  try {
    return [parseCertificate(certificate)]
  } catch {
    return [] // the chain must do without it
  }
}

function dateOf(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'a time that cannot be read'
}

function wrongUsage(message: string): CertificateError {
  return new CertificateError('wrong-usage', message)
}
