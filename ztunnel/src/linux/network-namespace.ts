import { closeSync, fstatSync, openSync, writeSync } from 'node:fs'
import { checked, CLONE_NEWNET, libcIoctl, libcSetns } from './libc.ts'

const NS_GET_NSTYPE = 0xb703
const SIOCGSKNS = 0x894c

let home = -1

/** The namespace of this thread at start; /proc/self would be the main thread's. */
function homeDescriptor(): number {
  if (home < 0) home = openSync('/proc/thread-self/ns/net', 'r')
  return home
}

/**
 * Makes libuv create its thread pool now. Threads inherit the namespace of whoever creates them, so a pool that is born while
 * this thread visits a pod would resolve names from that pod for ever. Must run before the first visit.
 */
export async function primeThreadPool(): Promise<void> {
  homeDescriptor()
  const { stat } = await import('node:fs/promises')
  await stat('/')
}

/**
 * A network namespace held by a descriptor. The descriptor keeps the namespace alive, also when its pod is gone: whoever
 * opened it closes it.
 */
export class NetworkNamespace {
  readonly #fd: number
  /** `device:inode`: equal for two descriptors of one namespace. */
  readonly id: string
  #closed = false

  private constructor(fd: number) {
    this.#fd = fd
    const { dev, ino } = fstatSync(fd, { bigint: true })
    this.id = `${dev}:${ino}`
  }

  /** Opens /run/netns/x or /proc/<pid>/ns/net. Throws where there is nothing, or something else. */
  static open(path: string): NetworkNamespace {
    const fd = openSync(path, 'r')
    if (libcIoctl(fd, NS_GET_NSTYPE) !== CLONE_NEWNET) {
      closeSync(fd)
      throw new Error(`${path} is no network namespace`)
    }
    return new NetworkNamespace(fd)
  }

  /** The namespace that a socket was made in; so a listener that another process handed over tells its pod's namespace. */
  static ofSocket(fd: number): NetworkNamespace {
    return new NetworkNamespace(checked(libcIoctl(fd, SIOCGSKNS), 'SIOCGSKNS'))
  }

  /**
   * Runs `visit` with this thread in the namespace. `visit` must be synchronous and must not use the thread pool (no promise
   * file system, no DNS). Sockets and child processes made in it belong to the namespace; everything else is as at home.
   */
  run<T>(visit: () => T): T {
    const back = homeDescriptor()
    checked(libcSetns(this.#fd, CLONE_NEWNET), 'setns')
    try {
      return visit()
    } finally {
      if (libcSetns(back, CLONE_NEWNET) !== 0) {
        // Going on would open sockets of other pods, and our own, in this one.
        writeSync(2, 'ztunnel: cannot return to the own network namespace, aborting\n')
        process.abort()
      }
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#fd)
  }
}
