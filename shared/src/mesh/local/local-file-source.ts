import { WatchedFile } from '../../config-file/index.ts'
import type { Clock } from '../../clock/index.ts'
import type { Log } from '../../log/index.ts'
import { parseLocalFile } from './local-file.ts'
import type { MeshResource, MeshUpdate } from '../mesh-update.ts'
import { readInThread } from './read-in-thread.ts'
import { writeResources, type WrittenResource } from './written-resource.ts'

/**
 * Bytes from which a text is read in a thread. Less takes under 0.1 s; 100,000 workloads take 2 s, in which the caller
 * must answer for other things, as for a worker that died.
 */
const THREAD_FROM = 1024 * 1024

/** A mesh takes some 20 times its size to be read: one that is larger than an eighth of what that may take need not be tried. */
const READING_FACTOR = 8

/** Where the local mesh is, and who hears of its changes. */
export interface LocalFileSourceOptions {
  /** A file, which is watched, or its text, which is not. */
  readonly from: { readonly path: string } | { readonly inline: string }
  readonly clock: Clock
  readonly log: Log
  /** Memory that the reading may take, beside what is loaded; a text that takes more is refused, and so is a file larger than an eighth of it. */
  readonly maxReadingBytes: number
  /**
   * What changed against the last good state; never called for a text that is wrong, and not again before a promise that it
   * returns is settled.
   */
  readonly onUpdate: (update: MeshUpdate) => void | Promise<void>
}

interface Known {
  readonly digest: string
  readonly resource: MeshResource
}

/** The mesh from a local file (LOCAL_XDS_PATH). Unlike Istio's ztunnel, which reads it once, follows its changes. */
export class LocalFileSource {
  readonly #options: LocalFileSourceOptions
  readonly #file: WatchedFile | undefined
  readonly #stopped = new AbortController()
  #current: ReadonlyMap<string, Known> = new Map()

  constructor(options: LocalFileSourceOptions) {
    this.#options = options
    const { from, clock, log, maxReadingBytes } = options
    if ('path' in from)
      this.#file = new WatchedFile({
        path: from.path,
        clock,
        log,
        load: (content, newer) => this.#load(content, newer),
        maxBytes: Math.floor(maxReadingBytes / READING_FACTOR),
        ifLarger: 'if it is the mesh, give the container or machine more memory',
      })
  }

  /** The content now, for /config_dump. */
  get current(): readonly MeshResource[] {
    return [...this.#current.values()].map(({ resource }) => resource)
  }

  /** Resolves when the first load was taken over; rejects where it fails. */
  async start(): Promise<void> {
    if (this.#file) await this.#file.start()
    else if ('inline' in this.#options.from) await this.#load(Buffer.from(this.#options.from.inline))
  }

  stop(): void {
    this.#stopped.abort(new Error('the reading was stopped'))
    this.#file?.stop()
  }

  async #load(content: Buffer<ArrayBuffer>, newer?: AbortSignal): Promise<void> {
    const { log, onUpdate, maxReadingBytes } = this.#options
    // A newer file that takes the place of one that was given up may only be read when all is over.
    this.#stopped.signal.throwIfAborted()
    const before = this.#current
    const now = new Map<string, Known>()
    const upserts: MeshResource[] = []
    const take = (resources: readonly WrittenResource[]): void => {
      for (const { key, digest, json } of resources) {
        const known = before.get(key)
        // What was written is a MeshResource.
        now.set(key, known?.digest === digest ? known : { digest, resource: JSON.parse(json) as MeshResource })
      }
    }
    const mayBeEmpty = before.size === 0
    const warn = (sentence: string): void => log.warn(`local mesh: ${sentence}`)
    if (content.length >= THREAD_FROM) {
      const signal = newer ? AbortSignal.any([this.#stopped.signal, newer]) : this.#stopped.signal
      await readInThread({ content, mayBeEmpty, maxReadingBytes }, { take, warn }, signal)
    } else {
      const resources = parseLocalFile(content.toString('utf8'), { mayBeEmpty, warn })
      for (const part of writeResources(resources)) take(part)
    }
    for (const [key, known] of now) if (before.get(key) !== known) upserts.push(known.resource)
    const removals = [...before.keys()].filter((key) => !now.has(key))
    this.#current = now
    await onUpdate({ upserts, removals })
    log.info(`local mesh loaded, ${now.size} resources: ${upserts.length} new or changed, ${removals.length} removed`)
  }
}
