/** How often something may happen: `burst` at once, `perSecond` in the long run. */
export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/** Every bound of one HBONE connection, both roles. The sizes follow Istio's ztunnel; the rates answer known attacks. */
export interface HboneLimits {
  /** Server: SETTINGS_MAX_CONCURRENT_STREAMS; more are refused. Streams count until their application took the last byte. */
  readonly maxConcurrentStreams: number
  /** What a peer may send on one stream before our application took it. */
  readonly streamWindowBytes: number
  /**
   * What a peer should have under way on one stream while small messages come beside it: this much for each millisecond of
   * round trip (2 Gbit/s), one at least. Small requests beside a bulk stream took 4.3 × of their time alone with 4 MiB and take
   * 2.8 × with this, on two busy cores; the bulk falls from 8.0 to 4.9 Gbit/s meanwhile.
   */
  readonly contendedWindowBytes: number
  /** What a peer may have under way on the connection. Four times the stream window: equal ones can block each other. */
  readonly connectionWindowBytes: number
  /** Received and not yet taken by applications, all streams together; above it the connection window is not replenished. */
  readonly maxHeldBytes: number
  /** SETTINGS_MAX_FRAME_SIZE. Frames are passed on as they come, so a large frame holds no memory. */
  readonly maxFrameBytes: number
  /** SETTINGS_MAX_HEADER_LIST_SIZE per role; also the most a compressed header block may have. */
  readonly maxRequestHeaderBytes: number
  readonly maxResponseHeaderBytes: number
  /** CONTINUATION frames of one header block. Answers CVE-2024-27983 and its relatives. */
  readonly maxContinuations: number
  /** Frames that wait to be written, beyond data. A peer that makes us answer and does not read is cut off here. */
  readonly maxQueuedControlBytes: number
  /** The TLS handshake, both roles. */
  readonly handshakeTimeoutMs: number
  /** From the end of the handshake until the peer's SETTINGS and its ACK of ours. */
  readonly settingsTimeoutMs: number
  /** PING this long after start or the last answer; without an answer for pingTimeoutMs the connection is dead. */
  readonly pingIntervalMs: number
  readonly pingTimeoutMs: number
  /**
   * Client: how long a CONNECT may wait for its answer; looked at with every PING, so 10 s more. A peer's own dial takes 10 s.
   * Until then the application is not read, so one that has gone meanwhile is noticed only here.
   */
  readonly answerTimeoutMs: number
  /** After the last GOAWAY: how long the peer may take to read it and close. */
  readonly closeTimeoutMs: number
  /** Resets by the peer of streams that never carried data: Rapid Reset, CVE-2023-44487. */
  readonly earlyResets: Rate
  /** Resets by the peer of streams that carried data: ordinary life of aborted connections. */
  readonly lateResets: Rate
  /** Client: one reset for each stream that we opened is free; so many of them may be saved up. Above the streams at once. */
  readonly maxExpectedResets: number
  /** Resets that the peer makes us send: MadeYouReset, CVE-2025-8671. */
  readonly causedResets: Rate
  /** PING and SETTINGS to be answered: CVE-2019-9512, CVE-2019-9515. */
  readonly answers: Rate
  /** Frames that bring nothing: empty DATA, PRIORITY, unknown types, ACKs that nobody waits for. CVE-2019-9518, CVE-2019-9513. */
  readonly idleFrames: Rate
  /** WINDOW_UPDATE; each DATA frame that we send earns ten more. */
  readonly windowUpdates: Rate
}

const MIB = 1_048_576

/** The bounds where nobody says otherwise; LIMITS.md tells them. */
export const DEFAULT_LIMITS: HboneLimits = {
  maxConcurrentStreams: 200,
  streamWindowBytes: 4 * MIB,
  contendedWindowBytes: MIB / 4,
  connectionWindowBytes: 16 * MIB,
  maxHeldBytes: 16 * MIB,
  maxFrameBytes: MIB,
  maxRequestHeaderBytes: 65_536,
  maxResponseHeaderBytes: 16_384,
  maxContinuations: 16,
  maxQueuedControlBytes: MIB,
  handshakeTimeoutMs: 10_000,
  settingsTimeoutMs: 10_000,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 20_000,
  answerTimeoutMs: 30_000,
  closeTimeoutMs: 1000,
  // Honest clients of a busy pooled connection abort some hundred times a second; an attack tens of thousands of times.
  earlyResets: { burst: 400, perSecond: 400 },
  lateResets: { burst: 2000, perSecond: 2000 },
  maxExpectedResets: 10_000,
  causedResets: { burst: 100, perSecond: 20 },
  answers: { burst: 500, perSecond: 100 },
  idleFrames: { burst: 500, perSecond: 100 },
  windowUpdates: { burst: 2000, perSecond: 200 },
}
