import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../clock/index.ts'
import type { HttpReply, HttpRequest } from './http-endpoint.ts'
import { jsonInParts } from './json-in-parts.ts'
import { OneForAll } from './one-for-all.ts'

/** Dumps in memory; one of a mesh of 100,000 workloads has 110 MB. */
const MAX_DUMPS = 2

/**
 * /config_dump: one dump for all who ask while it is being made, in parts, so that the process goes on with other things
 * meanwhile. While two are being sent to slow clients no third is made; who asks gets the newer of them, as old as a client may
 * take to read an answer.
 */
export class DumpPage {
  readonly #dumps: OneForAll<Buffer>
  /** How many answers each is being sent in, the oldest dump first; at most MAX_DUMPS. */
  readonly #sending = new Map<Buffer, number>()

  /** `dump` is what is shown, as for jsonInParts. */
  constructor(dump: () => unknown, clock: Clock) {
    this.#dumps = new OneForAll(async () => jsonInParts(await dump(), async () => setImmediate()), clock)
  }

  async reply({ signal }: HttpRequest): Promise<HttpReply> {
    const newest = [...this.#sending.keys()].at(-1)
    const body = newest && this.#sending.size >= MAX_DUMPS ? newest : await this.#dumps.get()
    if (!signal.aborted) {
      this.#sending.set(body, (this.#sending.get(body) ?? 0) + 1)
      signal.addEventListener('abort', () => this.#sent(body), { once: true })
    }
    return { status: 200, contentType: 'application/json', body }
  }

  #sent(body: Buffer): void {
    const left = (this.#sending.get(body) ?? 0) - 1
    if (left > 0) this.#sending.set(body, left)
    else this.#sending.delete(body)
  }
}
