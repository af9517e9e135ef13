import type { Buffer } from 'node:buffer'
import { isIP } from 'node:net'
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls'
import {
  ChannelCredentials,
  Client,
  connectivityState,
  Metadata,
  status as Status,
  type ChannelOptions,
  type ServiceError,
} from '@grpc/grpc-js'
import { groupsUnder, type CompliancePolicy } from '../../certificates/index.ts'
import type { Clock } from '../../clock/index.ts'
import { messageOf } from '../../errors/index.ts'
import { CaError, SigningError } from '../ca-error.ts'
import { CONTROL_PLANE_TLS } from '../tls-parameters.ts'
import { explainFailure } from './explain-failure.ts'
import { decodeResponse, encodeRequest, type CertificateRequestMessage } from './certificate-messages.ts'

const METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate'
/** Time to connect, TLS included (Istio's ztunnel). */
const CONNECT_TIMEOUT_MS = 5_000
/** The whole call. A CA in Kubernetes may wait 2 s for its informer and asks the API server once. */
const CALL_TIMEOUT_MS = 15_000
/** An answer is some 5 KB; several hundred roots fit. */
const MAX_ANSWER_BYTES = 1024 * 1024
/** Sent as server name to an address, where TLS has no name to send (RFC 6066 section 3) and Node refuses one. */
const PLACEHOLDER_SERVER_NAME = 'istiod.istio-system.svc'

const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // Certificates are hours apart: rather connect anew than find the connection dead.
  'grpc.client_idle_timeout_ms': 60_000,
  // The caller backs off by itself; a channel that backed off longer would refuse its tries without trying.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
  'grpc.dns_min_time_between_resolutions_ms': 500,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
}

export interface CaChannelOptions {
  readonly host: string
  readonly port: number
  /** A second name that the server's certificate may have. */
  readonly alternativeHostname: string | undefined
  readonly compliance: CompliancePolicy
  readonly clock: Clock
}

/** Who calls. */
export interface CallerProof {
  /** All metadata of the call, the token included. */
  readonly headers: Metadata
  /** The token by itself, to explain a refusal with; undefined where none is sent. */
  readonly token: string | undefined
}

/** A gRPC channel to the CA, whose server is verified with one set of roots. Owns its connection until `close`. */
export class CaChannel {
  readonly rootsPem: string
  readonly #client: Client
  readonly #clock: Clock

  /** Throws CaError 'bad-roots' when OpenSSL does not take them. */
  constructor(rootsPem: string, options: CaChannelOptions) {
    this.rootsPem = rootsPem
    this.#clock = options.clock
    this.#client = new Client(targetOf(options), credentialsOf(rootsPem, options), {
      ...CHANNEL_OPTIONS,
      'grpc.ssl_target_name_override': serverNameOf(options),
    })
  }

  /** The cert_chain of the answer. Rejects with SigningError or CaError 'bad-answer'; `signal` cancels the call. */
  createCertificate(request: CertificateRequestMessage, caller: CallerProof, signal: AbortSignal): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<CertificateRequestMessage, Buffer>(
        METHOD,
        encodeRequest,
        (answer) => answer,
        request,
        caller.headers,
        { deadline: Date.now() + CALL_TIMEOUT_MS },
        (error, answer) => {
          connectTimer.cancel()
          signal.removeEventListener('abort', cancel)
          if (error) reject(hasTimedOut ? connectTimeout(error) : this.#signingError(error, caller))
          else if (answer) settle(resolve, reject, answer)
        },
      )
      let hasTimedOut = false
      const cancel = (): void => call.cancel()
      const connectTimer = this.#clock.after(CONNECT_TIMEOUT_MS, () => {
        hasTimedOut = this.#client.getChannel().getConnectivityState(false) !== connectivityState.READY
        if (hasTimedOut) cancel()
      })
      signal.addEventListener('abort', cancel, { once: true })
      if (signal.aborted) cancel()
    })
  }

  /** Takes no further calls; those under way end by themselves. */
  close(): void {
    this.#client.close()
  }

  #signingError(error: ServiceError, { token }: CallerProof): SigningError {
    return new SigningError(nameOf(error.code), explainFailure(error.details, token, this.#clock.now()), error)
  }
}

/** Metadata of every call. Throws CaError 'bad-header' for a name or value that gRPC cannot send. */
export function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) {
    try {
      metadata.set(name, value)
    } catch (cause) {
      throw new CaError('bad-header', `The CA metadata ${JSON.stringify(name)} cannot be sent: ${messageOf(cause)}`, {
        cause,
      })
    }
  }
  return metadata
}

/** True for further metadata that gRPC can send; `createCaClient` refuses any other. */
export function isCaHeader(name: string, value: string): boolean {
  try {
    metadataOf({ [name]: value })
    return true
  } catch {
    return false
  }
}

function settle(resolve: (chain: string[]) => void, reject: (error: unknown) => void, answer: Buffer): void {
  try {
    resolve(decodeResponse(answer))
  } catch (error) {
    reject(error)
  }
}

function targetOf({ host, port }: CaChannelOptions): string {
  switch (isIP(host)) {
    case 4:
      return `ipv4:${host}:${port}`
    case 6:
      return `ipv6:[${host}]:${port}`
    default:
      return `dns:///${host}:${port}`
  }
}

function serverNameOf({ host, alternativeHostname }: CaChannelOptions): string {
  return isIP(host) === 0 ? host : (alternativeHostname ?? PLACEHOLDER_SERVER_NAME)
}

function credentialsOf(rootsPem: string, options: CaChannelOptions): ChannelCredentials {
  const { host, alternativeHostname, compliance } = options
  const ecdhCurve = groupsUnder(compliance)
  try {
    const context = createSecureContext({
      ...CONTROL_PLANE_TLS,
      ...(ecdhCurve === undefined ? {} : { ecdhCurve }),
      ca: rootsPem,
      allowPartialTrustChain: true,
    })
    return ChannelCredentials.createFromSecureContext(context, {
      // gRPC hands the server name here, which for an address is only a placeholder: never compare with that.
      checkServerIdentity(_serverName: string, certificate: PeerCertificate) {
        const problem = checkServerIdentity(host, certificate)
        if (problem === undefined || alternativeHostname === undefined) return problem
        return checkServerIdentity(alternativeHostname, certificate)
      },
    })
  } catch (cause) {
    throw new CaError('bad-roots', `The roots of the CA server cannot be used: ${messageOf(cause)}`, { cause })
  }
}

function connectTimeout(error: ServiceError): SigningError {
  return new SigningError('Unavailable', `no connection within ${CONNECT_TIMEOUT_MS / 1_000} s`, error)
}

/** UNAUTHENTICATED as Unauthenticated, DEADLINE_EXCEEDED as DeadlineExceeded. */
function nameOf(code: Status): string {
  const words = (Status[code] ?? `CODE_${String(code)}`).split('_')
  return words.map((word) => word.charAt(0) + word.slice(1).toLowerCase()).join('')
}
