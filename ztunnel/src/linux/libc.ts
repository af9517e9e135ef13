import { constants } from 'node:os'
import koffi from 'koffi'

/** Numbers of the Linux kernel interface; the same on x86-64 and arm64. */
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const SOCK_STREAM = 1
export const SOCK_RAW = 3
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const SOL_IP = 0
export const SOL_SOCKET = 1
export const SOL_TCP = 6
export const SOL_IPV6 = 41
export const CLONE_NEWNET = 0x4000_0000

const libc = koffi.load(null)

/**
 * The calls that Node does not offer. Each answers -1 (or less) on failure, with the reason in `errno()`; 0.3 µs a call.
 * The declarations are those of the C library's headers (glibc and musl alike).
 */
const functions = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  setns: libc.func('int setns(int fd, int nstype)'),
  bind: libc.func('int bind(int fd, const void *address, uint32_t length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, _Inout_ void *value, _Inout_ void *length)'),
  getpeername: libc.func('int getpeername(int fd, _Inout_ void *address, _Inout_ void *length)'),
  getsockname: libc.func('int getsockname(int fd, _Inout_ void *address, _Inout_ void *length)'),
  send: libc.func('long send(int fd, const void *buffer, size_t length, int flags)'),
  ioctl: libc.func('int ioctl(int fd, unsigned long request, ...)'),
  close: libc.func('int close(int fd)'),
  fcntl: libc.func('int fcntl(int fd, int command, ...)'),
}

export const libcSocket: (domain: number, type: number, protocol: number) => number = functions.socket
export const libcSetns: (fd: number, type: number) => number = functions.setns
export const libcBind: (fd: number, address: Uint8Array, length: number) => number = functions.bind
export const libcListen: (fd: number, backlog: number) => number = functions.listen
export const libcSetsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: number) => number =
  functions.setsockopt
export const libcGetsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint8Array,
) => number = functions.getsockopt
export const libcGetpeername: (fd: number, address: Uint8Array, length: Uint8Array) => number = functions.getpeername
export const libcGetsockname: (fd: number, address: Uint8Array, length: Uint8Array) => number = functions.getsockname
export const libcSend: (fd: number, buffer: Uint8Array, length: number, flags: number) => number = functions.send
export const libcClose: (fd: number) => number = functions.close

/** ioctl without an argument. */
export function libcIoctl(fd: number, request: number): number {
  // koffi answers a call of a C function with the declared result type.
  return functions.ioctl(fd, request) as number
}

/** fcntl with a number as its argument. */
export function libcFcntl(fd: number, command: number, argument: number): number {
  return functions.fcntl(fd, command, 'int', argument) as number
}

const mallocTrim = ifThere('int malloc_trim(size_t pad)')

function ifThere(declaration: string): ((argument: number) => number) | undefined {
  try {
    return libc.func(declaration)
  } catch {
    return undefined
  }
}

/**
 * Gives free pages of the C library's heap back to the kernel, which glibc keeps while anything above them is in use. Does
 * nothing with musl, which has no such call.
 */
export function trimHeap(): void {
  mallocTrim?.(0)
}

const errnoNames = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, value]) => [value, name] as const),
  // It has two names, and Node uses this one.
  [constants.errno.EAGAIN, 'EAGAIN'],
])

/** A call into the kernel that failed. */
export class SystemCallError extends Error {
  /** Such as EADDRINUSE. */
  readonly code: string
  readonly syscall: string

  constructor(syscall: string, code: string) {
    super(`${syscall}: ${code}`)
    this.code = code
    this.syscall = syscall
  }

  static ofErrno(syscall: string, errno: number): SystemCallError {
    return new SystemCallError(syscall, errnoNames.get(errno) ?? `errno ${errno}`)
  }
}

/** The result of a call, or SystemCallError with the reason where it is negative. */
export function checked(result: number, syscall: string): number {
  if (result >= 0) return result
  throw SystemCallError.ofErrno(syscall, koffi.errno())
}
