import type { Clock } from '../clock/index.ts'
import { ConnectionError } from './connection-error.ts'
import { ErrorCode } from './error-code.ts'
import type { HboneLimits, Rate } from './limits.ts'

/** WINDOW_UPDATEs that one sent DATA frame earns: a peer may credit stream and connection, several times per frame. */
const UPDATES_PER_DATA_FRAME = 10

/**
 * Counts what a peer does that costs us and brings nothing. Each method throws a ConnectionError with ENHANCE_YOUR_CALM when
 * the rate is exceeded. Six buckets and a count per connection, nothing per stream.
 */
export class AbuseGuard {
  readonly #earlyResets: TokenBucket
  readonly #lateResets: TokenBucket
  readonly #causedResets: TokenBucket
  readonly #answers: TokenBucket
  readonly #idleFrames: TokenBucket
  readonly #windowUpdates: TokenBucket
  readonly #maxExpectedResets: number
  /** Resets to come that are no fault of the peer. */
  #expectedResets = 0

  constructor(limits: HboneLimits, clock: Clock) {
    this.#maxExpectedResets = limits.maxExpectedResets
    this.#earlyResets = new TokenBucket(limits.earlyResets, clock)
    this.#lateResets = new TokenBucket(limits.lateResets, clock)
    this.#causedResets = new TokenBucket(limits.causedResets, clock)
    this.#answers = new TokenBucket(limits.answers, clock)
    this.#idleFrames = new TokenBucket(limits.idleFrames, clock)
    this.#windowUpdates = new TokenBucket(limits.windowUpdates, clock)
  }

  /**
   * Client: we opened a stream, which the server may reset once, be it instead of an answer or after a complete one, when
   * the stream is long forgotten here (RFC 9113 §8.1). It cannot make us open streams, so these resets are no attack; a
   * count serves as well as their ids, for whoever resets one stream twice has spent what it had for another.
   */
  streamOpened(): void {
    if (this.#expectedResets < this.#maxExpectedResets) this.#expectedResets++
  }

  /** The peer reset a stream. */
  peerReset(hadCarriedData: boolean): void {
    if (this.#expectedResets > 0) {
      this.#expectedResets--
      return
    }
    ;(hadCarriedData ? this.#lateResets : this.#earlyResets).take('streams reset by the peer')
  }

  /** A server answered a stream that we have given up. */
  lateAnswer(): void {
    this.#lateResets.take('answers to streams that were given up')
  }

  /** The peer made us reset or refuse a stream. */
  causedReset(): void {
    this.#causedResets.take('streams that the peer made us reset')
  }

  /** The peer wants an answer. */
  answerOwed(): void {
    this.#answers.take('PING or SETTINGS frames')
  }

  idleFrame(): void {
    this.#idleFrames.take('frames without effect')
  }

  windowUpdate(): void {
    this.#windowUpdates.take('WINDOW_UPDATE frames')
  }

  /** We sent a DATA frame. */
  earnWindowUpdates(): void {
    this.#windowUpdates.earn(UPDATES_PER_DATA_FRAME)
  }
}

class TokenBucket {
  readonly #rate: Rate
  readonly #clock: Clock
  #tokens: number
  #filledAtMs: number

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate
    this.#clock = clock
    this.#tokens = rate.burst
    this.#filledAtMs = clock.monotonicMs()
  }

  take(what: string): void {
    // The clock is read only when the bucket seems empty.
    if (this.#tokens < 1) this.#refill()
    if (this.#tokens < 1) throw new ConnectionError(ErrorCode.enhanceYourCalm, `too many ${what}`)
    this.#tokens--
  }

  earn(tokens: number): void {
    this.#tokens = Math.min(this.#tokens + tokens, this.#rate.burst)
  }

  #refill(): void {
    const now = this.#clock.monotonicMs()
    const earned = ((now - this.#filledAtMs) / 1000) * this.#rate.perSecond
    this.#tokens = Math.min(this.#tokens + earned, this.#rate.burst)
    this.#filledAtMs = now
  }
}
