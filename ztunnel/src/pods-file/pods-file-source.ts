import type { Clock } from '@ambit/shared/clock'
import { WatchedFile } from '@ambit/shared/config-file'
import type { Log } from '@ambit/shared/log'
import type { PodPlace } from '../pod.ts'
import { parsePodsFile } from './pods-file.ts'

/** Room for the most pods that a file may have, with long names and paths. */
const MAX_BYTES = 8 * 1024 * 1024

/** Where the pods of this node are named, and who hears of them. */
export interface PodsFileSourceOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Log
  /** A pod that changed is in both lists. */
  readonly onChange: (added: readonly PodPlace[], removed: readonly string[]) => void
}

/** The pods of this node from a local file, followed as it changes. */
export class PodsFileSource {
  readonly #file: WatchedFile
  readonly #onChange: PodsFileSourceOptions['onChange']
  #current = new Map<string, PodPlace>()

  constructor({ path, clock, log, onChange }: PodsFileSourceOptions) {
    this.#onChange = onChange
    this.#file = new WatchedFile({
      path,
      clock,
      log,
      load: (content) => this.#load(content.toString('utf8')),
      maxBytes: MAX_BYTES,
    })
  }

  /** Rejects where the first load fails. */
  start(): Promise<void> {
    return this.#file.start()
  }

  stop(): void {
    this.#file.stop()
  }

  #load(text: string): void {
    const next = new Map(parsePodsFile(text).map((place) => [place.uid, place]))
    const same = (place: PodPlace): boolean => JSON.stringify(this.#current.get(place.uid)) === JSON.stringify(place)
    const added = [...next.values()].filter((place) => !same(place))
    const removed = [...this.#current.values()].filter(({ uid }) => {
      const now = next.get(uid)
      return !now || !same(now)
    })
    this.#current = next
    this.#onChange(
      added,
      removed.map(({ uid }) => uid),
    )
  }
}
