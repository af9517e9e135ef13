import { WatchedFile } from '../../config-file/index.ts'
import type { Clock } from '../../clock/index.ts'
import type { Log } from '../../telemetry/log.ts'
import { parseLocalFile } from './local-file.ts'
import { diff, keyOf, type MeshResource, type MeshUpdate } from '../mesh-update.ts'

export interface LocalFileSourceOptions {
  /** A file, which is watched, or its text, which is not. */
  readonly from: { readonly path: string } | { readonly inline: string }
  readonly clock: Clock
  readonly log: Log
  /** What changed against the last good state; never called for a text that is wrong. */
  readonly onUpdate: (update: MeshUpdate) => void
}

/** The mesh from a local file (LOCAL_XDS_PATH). Unlike Istio's ztunnel, which reads it once, follows its changes. */
export class LocalFileSource {
  readonly #options: LocalFileSourceOptions
  readonly #file: WatchedFile | undefined
  #current: readonly MeshResource[] = []

  constructor(options: LocalFileSourceOptions) {
    this.#options = options
    const { from, clock, log } = options
    if ('path' in from)
      this.#file = new WatchedFile({
        path: from.path,
        clock,
        log,
        load: (content) => this.#load(content.toString('utf8')),
      })
  }

  /** The content now, for /config_dump. */
  get current(): readonly MeshResource[] {
    return this.#current
  }

  /** Throws where the first load fails. */
  start(): void {
    if (this.#file) this.#file.start()
    else if ('inline' in this.#options.from) this.#load(this.#options.from.inline)
  }

  stop(): void {
    this.#file?.stop()
  }

  #load(text: string): void {
    const resources = unique(parseLocalFile(text, this.#current.length === 0), this.#options.log)
    const update = diff(this.#current, resources)
    this.#current = resources
    this.#options.onUpdate(update)
    const count = `${resources.length} resources: ${update.upserts.length} new or changed, ${update.removals.length} removed`
    this.#options.log.info(`local mesh loaded, ${count}`)
  }
}

/** The last of several resources with one key counts, as in a map. */
function unique(resources: readonly MeshResource[], log: Log): readonly MeshResource[] {
  const byKey = new Map(resources.map((resource) => [keyOf(resource), resource]))
  if (byKey.size < resources.length)
    log.warn(`${resources.length - byKey.size} resources have the key of another; the last one counts`)
  return [...byKey.values()]
}
