import type { X509Certificate } from 'node:crypto'
import { parsePemChain } from '../../certificates/index.ts'
import { messageOf } from '../../errors/index.ts'
import { CaError } from '../ca-error.ts'

/** The certificates that a file of the CA holds, at least one. Throws CaError 'bad-authority', which names the file. */
export function certificatesOf(path: string, text: string): [X509Certificate, ...X509Certificate[]] {
  try {
    const [first, ...rest] = parsePemChain(text)
    if (first !== undefined) return [first, ...rest]
  } catch (cause) {
    throw new CaError('bad-authority', `${path} cannot be used: ${messageOf(cause)}`, { cause })
  }
  throw new CaError('bad-authority', `${path} holds no certificate in PEM.`)
}
