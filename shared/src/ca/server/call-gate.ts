import { constants, type ServerHttp2Stream } from 'node:http2'
import { Duplex } from 'node:stream'
import {
  ServerInterceptingCall,
  status,
  type Metadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js'
import type { Clock, Timer } from '../../clock/index.ts'
import { messageOf } from '../../errors/index.ts'
import type { CaAuthorizer } from '../authorizer/authorizer.ts'
import { bearerTokenOf, headerOf } from './call-credentials.ts'
import type { CallSlots } from './call-slots.ts'
import type { CallerConnection, CallerConnections } from './caller-connections.ts'
import type { RefusalLog } from './refusal-log.ts'

export interface CallGateOptions {
  readonly authorizer: CaAuthorizer
  readonly slots: CallSlots
  readonly connections: CallerConnections
  readonly refusals: RefusalLog
  readonly clock: Clock
  /** For the token to be looked at, and the whole message to come. */
  readonly requestTimeoutMs: number
  /** From then on, for an answer to be given and taken; then the connection is closed. */
  readonly answerTimeoutMs: number
}

/**
 * Lets in whoever shows a token that the authorizer knows, before anything of the message is read: gRPC asks the handler only
 * once all of it is there, and holds what has come of it until the stream is closed.
 */
export function callGate(options: CallGateOptions): ServerInterceptor {
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        const entering = new EnteringCall(call, options)
        next({
          onReceiveMetadata: (metadata, admit) => entering.begin(metadata, () => admit(metadata)),
          onReceiveHalfClose: (pass) => {
            entering.requestIsWhole()
            pass()
          },
          onCancel: () => entering.isOver(),
        })
      },
    })
}

class EnteringCall {
  readonly #call: ServerInterceptingCallInterface
  readonly #options: CallGateOptions
  readonly #stream: ServerHttp2Stream
  readonly #connection: CallerConnection | undefined
  #timer: Timer | undefined
  #isWhole = false

  constructor(call: ServerInterceptingCallInterface, options: CallGateOptions) {
    this.#call = call
    this.#options = options
    this.#stream = streamOf(call)
    this.#connection = options.connections.find(call.getConnectionInfo())
  }

  begin(metadata: Metadata, admit: () => void): void {
    this.#stream.once('close', () => this.#timer?.cancel())
    this.#startTimer(this.#options.requestTimeoutMs, () => {
      this.#refuse(status.DEADLINE_EXCEEDED, 'the request did not come in time')
    })
    const release = this.#options.slots.take(this.#connection?.source ?? '')
    if (release === undefined) {
      this.#refuse(status.RESOURCE_EXHAUSTED, 'the CA is overloaded; try again later')
      return
    }
    this.#stream.once('close', release)
    this.#authenticate(metadata).then(
      () => {
        this.#connection?.markKnown()
        admit()
      },
      (error: unknown) => {
        release()
        this.#refuse(status.UNAUTHENTICATED, 'request authenticate failure', messageOf(error))
      },
    )
  }

  requestIsWhole(): void {
    this.#isWhole = true
    this.#timer?.cancel()
    this.#startAnswerTimer()
  }

  /**
   * Whoever ended it. As Go's gRPC does: the client need not send the rest of a message that nobody will read (RFC 9113 section
   * 8.1), and Go's does not say that it stops.
   */
  isOver(): void {
    // Later, as Node does it by itself where nothing was read: a reset overtakes a status that is not sent yet.
    if (!this.#isWhole) setImmediate(() => this.#stream.close(constants.NGHTTP2_NO_ERROR))
  }

  async #authenticate(metadata: Metadata): Promise<void> {
    const token = bearerTokenOf(headerOf(metadata, 'authorization'))
    if (token === undefined) throw new Error('no bearer token was sent')
    await this.#options.authorizer.authenticate({ token, clusterId: headerOf(metadata, 'clusterid') ?? '' })
  }

  #refuse(code: status, details: string, reason = details): void {
    if (this.#stream.closed) return
    this.#timer?.cancel()
    this.#options.refusals.add({ reason, peer: this.#call.getPeer() })
    this.#call.sendStatus({ code, details })
    this.#startAnswerTimer()
    if (this.#connection?.countRefusal()) this.#stream.session?.close()
  }

  #startAnswerTimer(): void {
    this.#startTimer(this.#options.answerTimeoutMs, () => this.#connection?.destroy())
  }

  #startTimer(ms: number, run: () => void): void {
    if (!this.#stream.destroyed) this.#timer = this.#options.clock.after(ms, run)
  }
}

/**
 * gRPC (1.14.7) keeps the stream to itself, and to end a call by its status leaves it open for as long as the client likes,
 * with all that came of the message.
 */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  const stream: unknown = Reflect.get(call, 'stream')
  if (isHttp2Stream(stream)) return stream
  throw new Error('this version of gRPC has its stream elsewhere')
}

function isHttp2Stream(value: unknown): value is ServerHttp2Stream {
  return value instanceof Duplex && 'rstCode' in value
}
