import { checked, libcSend } from './libc.ts'

const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

/**
 * Sends what the socket takes at once and answers how much that was. Throws SystemCallError, EAGAIN where it takes nothing,
 * whatever its mode is.
 */
export function sendNow(fd: number, bytes: Buffer): number {
  return checked(libcSend(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL), 'send')
}
