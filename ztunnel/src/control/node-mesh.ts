import { setImmediate } from 'node:timers/promises'
import type { Clock } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'
import { Mesh, type MeshResource, type MeshUpdate } from '@ambit/shared/mesh'
import { LocalFileSource } from '@ambit/shared/mesh/local'
import type { ZtunnelConfig } from '../config/index.ts'
import type { SendToWorker } from '../messages.ts'
import { meshBatches } from './mesh-batches.ts'

export interface NodeMeshOptions {
  readonly from: ZtunnelConfig['localMesh']
  /** See LocalFileSourceOptions. */
  readonly maxReadingBytes: number
  /** Whose workloads are local; undefined: all are. */
  readonly nodeName: string | undefined
  readonly clock: Clock
  readonly log: Log
  /** To all workers that run. */
  readonly broadcast: SendToWorker
  /** A part of an update is in `state` and goes to the workers next. */
  readonly onPart: () => void
  /** All of an update is in `state` and with the workers. */
  readonly onUpdated: () => void
}

/** The mesh as this node knows it: read and followed, kept for this process, and passed on to the workers. */
export class NodeMesh {
  /** As of now. */
  readonly state: Mesh
  readonly #options: NodeMeshOptions
  readonly #file: LocalFileSource

  constructor(options: NodeMeshOptions) {
    this.#options = options
    const { from, maxReadingBytes, nodeName, clock, log } = options
    this.state = new Mesh({ nodeName })
    this.#file = new LocalFileSource({
      from,
      maxReadingBytes,
      clock,
      log,
      onUpdate: (update) => this.#takeOver(update),
    })
  }

  /** As the file has it, for /config_dump. */
  get written(): readonly MeshResource[] {
    return this.#file.current
  }

  /** Resolves when the mesh is known and with the workers; rejects where it cannot be read, or is stopped meanwhile. */
  start(): Promise<void> {
    return this.#file.start()
  }

  /** Follows no more changes. */
  stop(): void {
    this.#file.stop()
  }

  /** All of it, for a worker that starts. */
  sendAll(send: SendToWorker): void {
    for (const update of meshBatches(this.state.snapshot())) send({ type: 'mesh', update })
  }

  /** In parts, as the workers get it: all of a large mesh at once would keep this process busy for a second. */
  async #takeOver(update: MeshUpdate): Promise<void> {
    const { broadcast, onPart, onUpdated } = this.#options
    for (const part of meshBatches(update)) {
      // Applied and sent before anything else, so that a worker that starts in between misses nothing.
      this.state.apply(part)
      onPart()
      broadcast({ type: 'mesh', update: part })
      await setImmediate()
    }
    onUpdated()
  }
}
