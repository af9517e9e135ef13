import { createServer, type Server as TcpServer } from 'node:net'
import {
  logVerbosity,
  Server,
  setLogVerbosity,
  status,
  type sendUnaryData,
  type ServerInterceptor,
  type ServerUnaryCall,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import { messageOf, whyNotListening } from '../../errors/index.ts'
import type { SocketAddress } from '../../ip/index.ts'
import { CaError } from '../ca-error.ts'
import type { SigningSource } from '../authority/signing-material.ts'
import { headerOf } from './call-credentials.ts'
import { callGate } from './call-gate.ts'
import { CallSlots } from './call-slots.ts'
import { CallerConnections } from './caller-connections.ts'
import { CallRefused, createCertificate, type CertificateServiceOptions } from './create-certificate.ts'
import { RefusalLog } from './refusal-log.ts'
import { RenewableCredentials } from './renewable-credentials.ts'
import {
  loadServiceDefinition,
  type IstioCertificateRequest,
  type IstioCertificateResponse,
} from './service-definition.ts'
import { ServingCertificate } from './serving-certificate.ts'

/** Each limit answers callers that are many, slow or hostile. */
export interface CaServerLimits {
  /**
   * TCP connections at the same time. For one more one goes of the address that has most: the oldest on which no token was shown
   * that is known, or else the oldest. Default 1024.
   */
  readonly maxConnections: number
  /** Calls at the same time; one more is answered ResourceExhausted. Default 256. */
  readonly maxConcurrentCalls: number
  /** The same for those from one address. Default 64. */
  readonly maxCallsPerSource: number
  /** Calls at the same time on one connection; a further one waits with its client. Default 16: a ztunnel makes 8. */
  readonly maxCallsPerConnection: number
  /** A connection takes no more calls after as many that were refused, unless one showed a token that is known. Default 100. */
  readonly maxRefusalsPerConnection: number
  /** A call whose message is not whole after this is answered DeadlineExceeded. Default 5 s. */
  readonly requestTimeoutMs: number
  /** A connection on which an answer is not given and taken within this is closed. Default 30 s. */
  readonly answerTimeoutMs: number
  /** A longer request is answered ResourceExhausted. Default 64 KiB; the CSR alone may have 16 KiB. */
  readonly maxRequestBytes: number
  /** A connection without calls is closed after this. Default 5 minutes. */
  readonly maxConnectionIdleMs: number
  /** Any connection is closed after this and 30 s more, with whatever call it never finished. Default 10 minutes. */
  readonly maxConnectionAgeMs: number
}

const DEFAULT_LIMITS: CaServerLimits = {
  maxConnections: 1_024,
  maxConcurrentCalls: 256,
  maxCallsPerSource: 64,
  maxCallsPerConnection: 16,
  maxRefusalsPerConnection: 100,
  requestTimeoutMs: 5_000,
  answerTimeoutMs: 30_000,
  maxRequestBytes: 64 * 1024,
  maxConnectionIdleMs: 300_000,
  maxConnectionAgeMs: 600_000,
}
const MAX_CONNECTION_AGE_GRACE_MS = 30_000
/**
 * A call's headers, as HTTP/2 counts them (32 octets for each, RFC 9113 section 6.5.2): room for the longest token and for what a
 * ztunnel sends beside it. Those of a call that has ended stay in memory, outside of V8's heap, until V8 collects, which it does late.
 */
const MAX_HEADER_BYTES = 20 * 1024
/** Of HTTP/2 state per connection, in MB, as Node counts it. */
const MAX_SESSION_MEMORY_MB = 10
/** Calls under way get this long to end when the server closes. */
const CLOSE_GRACE_MS = 5_000

/** Who may have which certificate, what signs it, and where the CA listens. */
export interface CaServerOptions extends Omit<CertificateServiceOptions, 'signing' | 'refusals'> {
  readonly listen: SocketAddress
  /** Stays the caller's: the server does not close it. */
  readonly source: SigningSource
  /** DNS names and IP addresses in the serving certificate. */
  readonly servingNames: readonly string[]
  readonly limits?: Partial<CaServerLimits>
}

/** A CA that listens. */
export interface CaServer {
  /** Where it listens; the port is the real one when 0 was asked for. */
  readonly address: SocketAddress
  /** Takes no more connections or calls; calls under way have five seconds to end. Resolves when nothing is left. */
  close(): Promise<void>
}

/**
 * Listens with Istio's certificate service, gRPC over TLS 1.3. The certificate of the server itself is issued by its own CA and
 * renewed while it runs. Rejects with CaError 'listen', or CertificateError when the signing material cannot sign.
 */
export function createCaServer(options: CaServerOptions): Promise<CaServer> {
  return GrpcCaServer.open(options)
}

interface CaServerParts {
  readonly listener: TcpServer
  readonly connections: CallerConnections
  readonly grpc: Server
  readonly serving: ServingCertificate
  readonly refusals: RefusalLog
}

class GrpcCaServer implements CaServer {
  readonly address: SocketAddress
  readonly #parts: CaServerParts

  private constructor(parts: CaServerParts) {
    this.#parts = parts
    this.address = addressOf(parts.listener)
  }

  static async open(options: CaServerOptions): Promise<GrpcCaServer> {
    const limits = { ...DEFAULT_LIMITS, ...options.limits }
    const { source, servingNames, defaultTtlMs, clock, log } = options
    const serving = new ServingCertificate({
      names: servingNames,
      ttlMs: defaultTtlMs,
      source,
      clock,
      log,
      onRenewed: (context) => credentials.replace(context),
    })
    const credentials = new RenewableCredentials(serving.context(), {
      maxConcurrentStreams: limits.maxCallsPerConnection,
      maxHeaderListSize: MAX_HEADER_BYTES,
    })
    const connections = new CallerConnections({
      max: limits.maxConnections,
      maxRefusals: limits.maxRefusalsPerConnection,
    })
    const refusals = new RefusalLog(options)
    const slots = new CallSlots({ max: limits.maxConcurrentCalls, maxPerSource: limits.maxCallsPerSource })
    const grpc = newGrpcServer(limits, callGate({ ...options, ...limits, slots, connections, refusals }))
    grpc.addService(loadServiceDefinition(), { CreateCertificate: handler(options, refusals) })
    const injector = grpc.createConnectionInjector(credentials)
    // Our own listener in front of gRPC's: it can limit connections, and says what is wrong with an address.
    const listener = createServer((socket) => {
      connections.add(socket)
      injector.injectConnection(socket)
    })
    try {
      await listening(listener, options.listen)
      return new GrpcCaServer({ listener, connections, grpc, serving, refusals })
    } catch (error) {
      serving.close()
      grpc.forceShutdown()
      throw error
    }
  }

  async close(): Promise<void> {
    const { listener, connections, grpc, serving, refusals } = this.#parts
    serving.close()
    const closed = new Promise<void>((resolve) => {
      listener.close(() => resolve())
    })
    const force = setTimeout(() => {
      grpc.forceShutdown()
      connections.destroyAll()
    }, CLOSE_GRACE_MS)
    await new Promise<void>((resolve) => {
      grpc.tryShutdown(() => resolve())
    })
    // Those that never got as far as HTTP/2.
    connections.destroyAll()
    await closed
    clearTimeout(force)
    refusals.close()
  }
}

function newGrpcServer(limits: CaServerLimits, gate: ServerInterceptor): Server {
  // What it says goes to stderr as a stranger has sent it, a line for each header that it cannot take, and waits for its reader.
  setLogVerbosity(logVerbosity.NONE)
  return new Server({
    interceptors: [gate],
    'grpc.max_receive_message_length': limits.maxRequestBytes,
    'grpc.max_connection_idle_ms': limits.maxConnectionIdleMs,
    'grpc.max_connection_age_ms': limits.maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': MAX_CONNECTION_AGE_GRACE_MS,
    'grpc-node.max_session_memory': MAX_SESSION_MEMORY_MB,
    'grpc.enable_channelz': 0,
  })
}

function handler(options: CaServerOptions, refusals: RefusalLog): UntypedHandleCall {
  const service: CertificateServiceOptions = { ...options, refusals, signing: () => options.source.current() }
  return (
    call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
    answer: sendUnaryData<IstioCertificateResponse>,
  ): void => {
    const { request } = call
    createCertificate(
      {
        csr: request.csr,
        validityDurationS: request.validity_duration,
        impersonatedIdentity: request.metadata?.fields?.['ImpersonatedIdentity']?.stringValue,
        authorization: headerOf(call.metadata, 'authorization'),
        clusterId: headerOf(call.metadata, 'clusterid') ?? '',
        peer: call.getPeer(),
      },
      service,
    )
      .then(
        (chain) => answer(null, { cert_chain: chain }),
        (error: unknown) => answer(statusOf(error)),
      )
      .catch((error: unknown) => options.log.error('an answer could not be sent', { error: messageOf(error) }))
  }
}

function statusOf(error: unknown): { code: status; details: string } {
  if (!(error instanceof CallRefused)) return { code: status.INTERNAL, details: 'CSR signing error' }
  switch (error.code) {
    case 'unauthenticated':
      return { code: status.UNAUTHENTICATED, details: error.message }
    case 'invalid-argument':
      return { code: status.INVALID_ARGUMENT, details: error.message }
    case 'internal':
      return { code: status.INTERNAL, details: error.message }
  }
}

function listening(listener: TcpServer, { address, port }: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', (cause) => {
      reject(new CaError('listen', `The CA cannot listen (--listen): ${whyNotListening(cause, port)}`, { cause }))
    })
    listener.listen({ host: address, port }, resolve)
  })
}

function addressOf(listener: TcpServer): SocketAddress {
  const bound = listener.address()
  // A string is the path of a Unix socket, which we never listen on.
  if (bound === null || typeof bound === 'string') throw new CaError('listen', 'The CA does not listen.')
  return { address: bound.address, port: bound.port }
}
