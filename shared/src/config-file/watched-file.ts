import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { Repetition, type Clock, type Timer } from '../clock/index.ts'
import { whyNotRead } from '../errors/index.ts'
import type { Log } from '../log/index.ts'
import { stampOf, type FileStamp } from './file-stamp.ts'
import { readRegularFileSync } from './read-regular-file.ts'
import { WatchedDirectory } from './watched-directory.ts'

/** How often a file that may have changed is looked at. */
const LOOK_MS = 50
/**
 * A file that nobody has written to for so long is taken for complete: half of one is often good, and says less. No longer,
 * for a policy is to reach open connections within 0.3 s of its edit.
 */
const SETTLED_MS = 150
/** One that is written to all the time is loaded as it is after so long. */
const MAX_POSTPONED_MS = 3_000
/** How often the file is looked at though its directory told nothing. */
const UNTOLD_MS = 10_000
/** Larger is not a file of ours. */
const MAX_BYTES = 256 * 1024 * 1024

/** Which file is followed, and who takes it. */
export interface WatchedFileOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Log
  /**
   * Takes the content, whose memory is its own; throws, or rejects, where it is not good, and has then changed nothing. Never
   * called twice at once. `signal` says that there is a newer content: what rejects then is not reported, and the newer one is
   * loaded. Whoever is about to be done need not heed it.
   */
  readonly load: (content: Buffer<ArrayBuffer>, signal: AbortSignal) => void | Promise<void>
  /** A file that is not there at start counts as empty; one that goes later leaves the last good state. Default false. */
  readonly mayComeLater?: boolean
  /** A larger one is not read. Default 256 MiB. */
  readonly maxBytes?: number
  /** What can be done about a larger one, for the error. */
  readonly ifLarger?: string
}

/** A change that waits until its writer has finished; times in monotonic milliseconds. */
interface Change {
  readonly since: number
  /** As the file was seen last, and since when it is so. */
  readonly stamp: FileStamp
  readonly unchangedSince: number
}

/** A load that is under way. */
interface Loading {
  /** Of the state of the file that it loads. */
  readonly identity: string
  readonly newer: AbortController
}

/**
 * A file that is loaded at start and again whenever it changes and nobody writes to it any more; a file that was complete
 * when it was moved to its place is not waited for. Where it changes while it is loaded, that load is given up for the newer
 * state, but never two in a row: a file that is written more often than it can be loaded is loaded. A bad edit is reported and
 * what was loaded before stays; so does it where nothing is left of a file (an editor that was stopped, or a full disk), or
 * something else than a file stands there. The directory is watched, so that editors' renames and Kubernetes' symlink swaps are
 * seen. What it does not tell is seen within ten seconds: that a link on the way to it points elsewhere, or what another machine
 * wrote to a network file system.
 */
export class WatchedFile {
  readonly #options: WatchedFileOptions
  #directory: WatchedDirectory | undefined
  #looking: Repetition | undefined
  /** Of the change that waits, if there is one. */
  #timer: Timer | undefined
  /** Of the state that was looked at last, where it had settled. */
  #lastIdentity: string | undefined
  #isEmpty = true
  #loading: Loading | undefined
  #hasGivenUp = false
  /** Of the content that was looked at last, good or bad. */
  #lastDigest: string | undefined

  constructor(options: WatchedFileOptions) {
    this.#options = options
  }

  /** Resolves after the first load; rejects where that fails: there is no good state to keep. */
  async start(): Promise<void> {
    try {
      const { path, clock, log } = this.#options
      this.#directory = new WatchedDirectory({ path: dirname(path), clock, log, onChange: () => this.#changed() })
      this.#looking = new Repetition(clock, UNTOLD_MS, async () => this.#changed())
      const { identity, writtenAt } = stampOf(path)
      // A newer one that is bad too is no reason to wait for a third.
      if (!(await this.#load(this.#options.mayComeLater))) await this.#load()
      // It is no news that it is not there. A file that is may be half written; the first stir looks at it again.
      if (writtenAt === undefined) this.#lastIdentity = identity
    } catch (error) {
      this.stop()
      throw new Error(`${this.#options.path}: ${whyNotRead(error)}`, { cause: error })
    }
  }

  stop(): void {
    this.#directory?.stop()
    this.#directory = undefined
    this.#looking?.stop()
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Something in the directory changed; it need not be the file. */
  #changed(): void {
    if (this.#timer) return
    const now = this.#options.clock.monotonicMs()
    this.#look({ since: now, stamp: stampOf(this.#options.path), unchangedSince: now })
  }

  #look(change: Change): void {
    this.#timer = this.#options.clock.after(LOOK_MS, () => void this.#settle(change))
  }

  /** Only the file itself puts a load off: a directory in which much is written would put it off for ever. */
  async #settle(change: Change): Promise<void> {
    this.#timer = undefined
    const now = this.#options.clock.monotonicMs()
    const stamp = stampOf(this.#options.path)
    if (stamp.identity === this.#lastIdentity) return
    const unchangedSince = stamp.identity === change.stamp.identity ? change.unchangedSince : now
    const isSettled = now - unchangedSince >= SETTLED_MS || this.#isOld(stamp)
    if (isSettled) this.#supersede(stamp)
    if (this.#loading || (!isSettled && now - change.since < MAX_POSTPONED_MS)) {
      this.#look({ since: change.since, stamp, unchangedSince })
      return
    }
    // Known before it is read: whatever is written meanwhile is another state.
    this.#lastIdentity = isSettled ? stamp.identity : undefined
    try {
      await this.#load()
    } catch (error) {
      if (this.#directory) this.#report(error)
    }
  }

  /** A file of which nothing is left supersedes nothing: it will not be loaded either. */
  #supersede({ identity, size }: FileStamp): void {
    if (!this.#loading || this.#loading.identity === identity || size === 0 || this.#hasGivenUp) return
    this.#loading.newer.abort(new Error('it changed while it was read'))
  }

  /** By its date, which is the wall clock's: one that lies ahead says nothing. */
  #isOld({ writtenAt }: FileStamp): boolean {
    return writtenAt !== undefined && this.#options.clock.now() - writtenAt >= SETTLED_MS
  }

  #report(error: unknown): void {
    this.#options.log.error('file not taken over, the last good state stays', {
      file: basename(this.#options.path),
      error: whyNotRead(error),
    })
  }

  /** False where it was given up, for there is a newer content. */
  async #load(mayBeMissing = false): Promise<boolean> {
    const { path, load, maxBytes = MAX_BYTES, ifLarger } = this.#options
    // Before it is read: whatever is written meanwhile is another state.
    const { identity, size } = stampOf(path)
    if (size > maxBytes && ifLarger !== undefined) throw new Error(`it is larger than ${maxBytes} bytes; ${ifLarger}`)
    const content = mayBeMissing && !existsSync(path) ? Buffer.alloc(0) : readRegularFileSync(path, maxBytes)
    const digest = createHash('sha256').update(content).digest('base64')
    if (digest === this.#lastDigest) return true
    // Remembered first: bad content is reported once, not at every stir in its directory.
    this.#lastDigest = digest
    const isEmpty = content.length === 0
    if (isEmpty && !this.#isEmpty) throw new Error('the file is empty; what it said before is kept')
    const newer = new AbortController()
    this.#loading = { identity, newer }
    try {
      await load(content, newer.signal)
      this.#isEmpty = isEmpty
      this.#hasGivenUp = false
      return true
    } catch (error) {
      this.#hasGivenUp = newer.signal.aborted
      if (!newer.signal.aborted) throw error
      // The newer one may turn out to be the same, and so may the file: a link that points to it again.
      this.#lastDigest = undefined
      this.#lastIdentity = undefined
      return false
    } finally {
      this.#loading = undefined
    }
  }
}
