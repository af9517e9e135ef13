import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { whyNotRead } from '@ambit/shared/errors'
import { checked, CLONE_NEWNET, libcIoctl, libcSetns } from './libc.ts'

const NS_GET_NSTYPE = 0xb703
const SIOCGSKNS = 0x894c

/** The namespace that the calling thread is in; /proc/self would be the main thread's. */
export const OWN_NAMESPACE = '/proc/thread-self/ns/net'

let home: { readonly fd: number; readonly id: string } | undefined

/** The namespace of this thread at start. */
function homeOfThread(): { readonly fd: number; readonly id: string } {
  if (!home) {
    const fd = openSync(OWN_NAMESPACE, 'r')
    home = { fd, id: idOf(fd) }
  }
  return home
}

/** `device:inode`. */
function idOf(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true })
  return `${dev}:${ino}`
}

/**
 * Makes libuv create its thread pool now. Threads inherit the namespace of whoever creates them, so a pool that is born while
 * this thread visits a pod would resolve names from that pod for ever. Must run before the first visit.
 */
export async function primeThreadPool(): Promise<void> {
  homeOfThread()
  const { stat } = await import('node:fs/promises')
  await stat('/')
}

/**
 * A network namespace held by a descriptor. The descriptor keeps the namespace alive, also when its pod is gone: whoever
 * opened it closes it.
 */
export class NetworkNamespace {
  readonly #fd: number
  readonly #isHome: boolean
  /** `device:inode`: equal for two descriptors of one namespace. */
  readonly id: string
  #closed = false

  private constructor(fd: number) {
    this.#fd = fd
    this.id = idOf(fd)
    this.#isHome = this.id === homeOfThread().id
  }

  /** Opens /run/netns/x or /proc/<pid>/ns/net. Throws where there is nothing, or something else: the message names the path. */
  static open(path: string): NetworkNamespace {
    const fd = opened(path)
    if (libcIoctl(fd, NS_GET_NSTYPE) !== CLONE_NEWNET) {
      closeSync(fd)
      throw new Error(`${path} is no network namespace`)
    }
    return new NetworkNamespace(fd)
  }

  /** That of this thread. */
  static own(): NetworkNamespace {
    return NetworkNamespace.open(OWN_NAMESPACE)
  }

  /**
   * The namespace that a socket was made in; so a listener that another process handed over tells its pod's namespace. Takes
   * CAP_NET_ADMIN.
   */
  static ofSocket(fd: number): NetworkNamespace {
    return new NetworkNamespace(checked(libcIoctl(fd, SIOCGSKNS), 'SIOCGSKNS'))
  }

  /**
   * Runs `visit` with this thread in the namespace. `visit` must be synchronous and must not use the thread pool (no promise
   * file system, no DNS), nor visit another one. Sockets and child processes made in it belong to the namespace; everything else
   * is as at home. Takes CAP_SYS_ADMIN, except at home.
   */
  run<T>(visit: () => T): T {
    if (this.#isHome) return visit()
    const back = homeOfThread().fd
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

  get isClosed(): boolean {
    return this.#closed
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#fd)
  }
}

function opened(path: string): number {
  try {
    // Of a FIFO it would otherwise wait for a writer, and this thread with it.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (cause) {
    throw new Error(`${path} cannot be opened: ${whyNotRead(cause)}`, { cause })
  }
}
