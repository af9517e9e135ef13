import { CertificateError, issueCertificate, readCsr, type CertificateRequest } from '../../certificates/index.ts'
import type { Clock } from '../../clock/index.ts'
import { MeshError, messageOf } from '../../errors/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import type { Log } from '../../log/index.ts'
import type { SigningMaterial } from '../authority/signing-material.ts'
import { AuthorizationError, type CaAuthorizer } from '../authorizer/authorizer.ts'
import { bearerTokenOf } from './call-credentials.ts'
import type { RefusalLog } from './refusal-log.ts'

/** Wider than any lifetime, so that a number from the wire stays exact. */
const MAX_LIFETIME_S = 2 ** 40

/** What a call asks for, taken from message and metadata; nothing of it is believed yet. */
export interface CertificateCall {
  /** PEM. */
  readonly csr: string
  /** Wanted lifetime; zero or less means the default. */
  readonly validityDurationS: number
  /** metadata.ImpersonatedIdentity; undefined or empty when not sent. */
  readonly impersonatedIdentity: string | undefined
  /** The value of the header `authorization`. */
  readonly authorization: string | undefined
  readonly clusterId: string
  /** The caller's address, for the log. */
  readonly peer: string
}

export interface CertificateServiceOptions {
  readonly authorizer: CaAuthorizer
  readonly signing: () => SigningMaterial
  /** The only trust domain that certificates are given out for. */
  readonly trustDomain: string
  readonly defaultTtlMs: number
  readonly maxTtlMs: number
  readonly clock: Clock
  readonly log: Log
  readonly refusals: RefusalLog
}

/** What the caller is told: a gRPC status and a text that gives nothing away. The reason is in the log. */
export class CallRefused extends MeshError<'unauthenticated' | 'invalid-argument' | 'internal'> {
  constructor(code: 'unauthenticated' | 'invalid-argument' | 'internal', message: string, cause?: unknown) {
    super(code, message, { source: code === 'internal' ? 'internal' : 'downstream', cause })
  }
}

/** Answers one CreateCertificate. Resolves with cert_chain; rejects with CallRefused and nothing else. */
export async function createCertificate(call: CertificateCall, options: CertificateServiceOptions): Promise<string[]> {
  const { log, refusals } = options
  try {
    // Who is it? Before anything of the request is looked at: strangers cost one hash.
    const identity = await identify(call, options)

    // What is asked for? The key and the lifetime; the names in the request are the caller's wish, and count for nothing.
    const ttlMs = lifetimeOf(call.validityDurationS, options)
    const request = readRequest(call.csr)

    const chain = sign(identity, request, ttlMs, options)
    log.info('certificate issued', { identity: identity.toString(), peer: call.peer, ttlS: Math.floor(ttlMs / 1_000) })
    return chain
  } catch (error) {
    const refused = error instanceof CallRefused ? error : new CallRefused('internal', 'CSR signing error', error)
    refusals.add({
      reason: messageOf(refused.cause ?? refused),
      wanted: call.impersonatedIdentity,
      peer: call.peer,
    })
    throw refused
  }
}

async function identify(call: CertificateCall, options: CertificateServiceOptions): Promise<SpiffeId> {
  const { authorizer, trustDomain } = options
  const token = bearerTokenOf(call.authorization)
  if (token === undefined) throw unauthenticated('no bearer token was sent')
  const impersonated = impersonatedIdentity(call.impersonatedIdentity, trustDomain)
  let identity: SpiffeId
  try {
    identity = await authorizer.authorize({ token, clusterId: call.clusterId, ...(impersonated && { impersonated }) })
  } catch (error) {
    const isImpersonation = error instanceof AuthorizationError && error.code === 'impersonation-refused'
    throw isImpersonation ? impersonationRefused(error) : unauthenticated(error)
  }
  // Whatever an authorizer does, nobody gets an identity of another trust domain, or another than the one asked for.
  const isAsAsked = impersonated === undefined || identity.equals(impersonated)
  if (identity.trustDomain === trustDomain && isAsAsked) return identity
  throw new CallRefused('internal', 'CSR signing error', `the authorizer answered with ${identity.toString()}`)
}

function impersonatedIdentity(text: string | undefined, trustDomain: string): SpiffeId | undefined {
  if (!text) return undefined
  let identity: SpiffeId
  try {
    identity = SpiffeId.parse(text)
  } catch (error) {
    throw impersonationRefused(error)
  }
  if (identity.trustDomain === trustDomain) return identity
  throw impersonationRefused(`the trust domain is not ${trustDomain}`)
}

function lifetimeOf(validityDurationS: number, { defaultTtlMs, maxTtlMs }: CertificateServiceOptions): number {
  if (validityDurationS <= 0) return defaultTtlMs
  const ttlMs = Math.min(validityDurationS, MAX_LIFETIME_S) * 1_000
  if (ttlMs <= maxTtlMs) return ttlMs
  throw new CallRefused(
    'invalid-argument',
    `CSR signing error (the requested lifetime of ${validityDurationS} s is above the maximum of ${Math.floor(maxTtlMs / 1_000)} s)`,
  )
}

function readRequest(csr: string): CertificateRequest {
  try {
    return readCsr(csr)
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    throw new CallRefused('invalid-argument', `CSR signing error (${error.message})`, error)
  }
}

function sign(
  identity: SpiffeId,
  { publicKeyDer, commonName }: CertificateRequest,
  wantedTtlMs: number,
  { clock, signing }: CertificateServiceOptions,
): string[] {
  const { signer, intermediatesPem, rootsPem, notAfterMs } = signing()
  const nowMs = clock.now()
  try {
    // Valid for no longer than any certificate above it, the root included.
    const ttlMs = Math.min(wantedTtlMs, notAfterMs - nowMs)
    const names = commonName === undefined ? {} : { commonName }
    return [issueCertificate({ signer, publicKeyDer, identity, nowMs, ttlMs, ...names }), ...intermediatesPem, rootsPem]
  } catch (error) {
    throw new CallRefused('internal', 'CSR signing error (the CA cannot sign now)', error)
  }
}

function unauthenticated(cause: unknown): CallRefused {
  return new CallRefused('unauthenticated', 'request authenticate failure', cause)
}

function impersonationRefused(cause: unknown): CallRefused {
  return new CallRefused('unauthenticated', 'request impersonation authentication failure', cause)
}
