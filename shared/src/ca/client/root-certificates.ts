import { getCACertificates } from 'node:tls'
import { parsePemChain } from '../../certificates/index.ts'
import { readRegularFile } from '../../config-file/index.ts'
import { messageOf, whyNotRead } from '../../errors/index.ts'
import { CaError } from '../ca-error.ts'

/** Longest roots file in bytes: some 500 roots. */
const MAX_ROOTS_BYTES = 1024 * 1024

/**
 * The roots that a control-plane server is verified with, in PEM, as they are now. `roots` is what CA_ROOT_CA may be: the path
 * of a file, the word SYSTEM for the operating system's store, or PEM text itself. A file is read at every call, so a
 * mounted file that is swapped is noticed without a watch. Throws CaError 'bad-roots'.
 */
export async function readRootCertificates(roots: string): Promise<string> {
  if (roots === 'SYSTEM') return getCACertificates('system').join('\n')
  if (roots.includes('-----BEGIN')) return checked(roots, 'The text given as roots of the CA server')
  const pem = await read(roots)
  return checked(pem, `The file ${roots} with the roots of the CA server`)
}

async function read(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, MAX_ROOTS_BYTES)).toString('utf8')
  } catch (cause) {
    throw new CaError(
      'bad-roots',
      `The file ${path} with the roots of the CA server cannot be read: ${whyNotRead(cause)}`,
      { cause },
    )
  }
}

function checked(pem: string, what: string): string {
  try {
    if (parsePemChain(pem).length > 0) return pem
  } catch (cause) {
    throw new CaError('bad-roots', `${what} cannot be used: ${messageOf(cause)}`, { cause })
  }
  throw new CaError('bad-roots', `${what} holds no certificate.`)
}
