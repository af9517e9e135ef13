import { checked, libcFcntl } from './libc.ts'

const F_DUPFD_CLOEXEC = 1030

/** A second descriptor of the same socket, not inherited by programs; the caller owns it. Throws SystemCallError. */
export function duplicate(fd: number): number {
  return checked(libcFcntl(fd, F_DUPFD_CLOEXEC, 0), 'fcntl F_DUPFD_CLOEXEC')
}
