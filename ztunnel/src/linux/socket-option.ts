import { checked, libcSetsockopt } from './libc.ts'

export const SO_MARK = 36

/** One buffer for each value that is ever set; the kernel copies it. */
const values = new Map<number, Buffer>()

/** An option's value as the kernel reads it; not to be written to. */
export function bytesOf(value: number): Buffer {
  let bytes = values.get(value)
  if (!bytes) {
    bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value >>> 0)
    values.set(value, bytes)
  }
  return bytes
}

/** Throws SystemCallError. */
export function setOption(fd: number, level: number, name: number, value: number): void {
  checked(libcSetsockopt(fd, level, name, bytesOf(value), 4), `setsockopt ${level}/${name}`)
}
