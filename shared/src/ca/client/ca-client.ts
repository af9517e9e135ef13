import {
  createCsr,
  generateKeyPair,
  workloadCertificateFrom,
  type CertificateFetcher,
  type CompliancePolicy,
  type WorkloadCertificate,
} from '../../certificates/index.ts'
import type { Clock } from '../../clock/index.ts'
import { messageOf } from '../../errors/index.ts'
import type { SpiffeId } from '../../identity/index.ts'
import type { Log } from '../../log/index.ts'
import { CaError } from '../ca-error.ts'
import { readBearerToken, type TokenSource } from './bearer-token.ts'
import { CaChannel, metadataOf } from './ca-channel.ts'
import { readRootCertificates } from './root-certificates.ts'

/** How a proxy reaches its CA, and as whom. */
export interface CaClientOptions {
  /** `https://host:port`; without a scheme https is meant, without a port 443. CA_ADDRESS. */
  readonly address: string
  /** Path of a PEM file, `SYSTEM`, or PEM text: what the CA's server is verified with. CA_ROOT_CA. */
  readonly roots: string
  /** Another name that the CA's server may have. ALT_CA_HOSTNAME. */
  readonly alternativeHostname?: string | undefined
  /** AUTH_TOKEN; undefined sends neither token nor cluster id. */
  readonly token: TokenSource | undefined
  readonly clusterId: string
  /** Further metadata of every call. CA_HEADER_*. */
  readonly headers?: Readonly<Record<string, string>>
  /** Lifetime asked for. SECRET_TTL. */
  readonly secretTtlMs: number
  /**
   * True in shared mode: the node's token asks for the identities of its pods, and the answer must be for the one asked for.
   * False in dedicated mode: the token is the workload's own, and the CA decides who that is.
   */
  readonly impersonate: boolean
  /** Default none. */
  readonly compliance?: CompliancePolicy
  readonly clock: Clock
  readonly log: Log
}

/** A fetcher of certificates with a connection of its own, made by `createCaClient`. */
export interface CaClient extends CertificateFetcher {
  /** Closes the connection; later fetches are refused. */
  close(): void
}

/**
 * A client of Istio's certificate service over TLS 1.3: a new P-256 key for every request; token and roots are read anew for
 * every call. Throws CaError 'bad-address' and 'bad-header'; does not connect before the first fetch. A fetch rejects
 * with CaError, SigningError or CertificateError within 15 seconds.
 */
export function createCaClient(options: CaClientOptions): CaClient {
  return new Istio(options)
}

class Istio implements CaClient {
  readonly #options: CaClientOptions
  readonly #host: string
  readonly #port: number
  #channel: CaChannel | undefined
  #isClosed = false

  constructor(options: CaClientOptions) {
    const url = parseAddress(options.address)
    this.#options = options
    this.#host = url.hostname.replace(/^\[|\]$/gu, '')
    this.#port = url.port === '' ? 443 : Number(url.port)
    metadataOf(options.headers ?? {})
  }

  async fetch(identity: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate> {
    const { impersonate, secretTtlMs, log } = this.#options
    this.#refuseIfClosed()
    const token = await readBearerToken(this.#options.token)
    const channel = await this.#currentChannel()
    const key = generateKeyPair()
    const request = {
      csr: createCsr(key, identity),
      validityDurationS: Math.max(1, Math.floor(secretTtlMs / 1_000)),
      ...(impersonate && { impersonatedIdentity: identity.toString() }),
    }
    const chain = await channel.createCertificate(request, { headers: this.#metadata(token), token }, signal)
    return workloadCertificateFrom(impersonate ? identity : undefined, key.privateKeyPem, chain, log)
  }

  close(): void {
    this.#isClosed = true
    this.#channel?.close()
    this.#channel = undefined
  }

  /** The channel for the roots as they are now; the old one where new roots cannot be used, tried again at the next call. */
  async #currentChannel(): Promise<CaChannel> {
    const { alternativeHostname, compliance = 'none', clock, roots, log } = this.#options
    try {
      const rootsPem = await readRootCertificates(roots)
      // Fetches run side by side: from here on nothing is awaited, so that only one of them makes a channel.
      this.#refuseIfClosed()
      if (this.#channel?.rootsPem === rootsPem) return this.#channel
      const channel = new CaChannel(rootsPem, {
        host: this.#host,
        port: this.#port,
        alternativeHostname,
        compliance,
        clock,
      })
      this.#channel?.close()
      this.#channel = channel
      return channel
    } catch (error) {
      if (this.#channel === undefined) throw error
      log.warn('the CA server is still verified with the old roots', { error: messageOf(error) })
      return this.#channel
    }
  }

  #refuseIfClosed(): void {
    if (this.#isClosed) throw new CaError('signing', 'The CA client is closed.', { source: 'internal' })
  }

  #metadata(token: string | undefined): ReturnType<typeof metadataOf> {
    const { headers = {}, clusterId } = this.#options
    return metadataOf(
      token === undefined ? headers : { ...headers, authorization: `Bearer ${token}`, clusterid: clusterId },
    )
  }
}

function parseAddress(address: string): URL {
  const url = URL.parse(address.includes('://') ? address : `https://${address}`)
  const isPlain = url?.pathname === '/' && url.search === '' && url.username === ''
  if (url?.protocol === 'https:' && url.hostname !== '' && isPlain) return url
  throw new CaError('bad-address', `The CA address ${JSON.stringify(address)} must be https://host:port.`)
}
