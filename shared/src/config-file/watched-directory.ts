import { watch, type FSWatcher } from 'node:fs'
import { basename } from 'node:path'
import type { Clock, Timer } from '../clock/index.ts'
import type { Log } from '../log/index.ts'

/** How often a directory that has gone is looked for. */
const RETRY_MS = 1_000

export interface WatchedDirectoryOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Log
  /** Something in it changed, or it was made again. */
  readonly onChange: () => void
}

/**
 * A directory that is watched by its name: the kernel watches the one that had the name, so where that is removed or moved
 * away, the one that comes in its place is watched anew.
 */
export class WatchedDirectory {
  readonly #options: WatchedDirectoryOptions
  #watcher: FSWatcher | undefined
  /** Of the next look for one that has gone. */
  #retry: Timer | undefined

  /** Throws where there is none. */
  constructor(options: WatchedDirectoryOptions) {
    this.#options = options
    this.#watcher = this.#watch()
  }

  stop(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#retry?.cancel()
    this.#retry = undefined
  }

  #watch(): FSWatcher {
    const { path, log, onChange } = this.#options
    const watcher = watch(path, { persistent: false }, (event, name) => {
      if (watcher !== this.#watcher) return
      // Its own name is told when it is removed or moved. Its inode would not tell: the next one often gets the same.
      if (event === 'rename' && name === basename(path)) this.#watchAnew(true)
      onChange()
    })
    watcher.on('error', (error) => {
      log.warn('cannot watch the directory of a file; changes are not seen', { path, error: error.message })
    })
    return watcher
  }

  #watchAnew(isNews: boolean): void {
    const { path, clock, log, onChange } = this.#options
    this.stop()
    try {
      this.#watcher = this.#watch()
    } catch {
      if (isNews) log.warn('the directory of a file has gone; changes are not seen until it is back', { path })
      this.#retry = clock.after(RETRY_MS, () => this.#watchAnew(false))
      return
    }
    if (!isNews) onChange()
  }
}
