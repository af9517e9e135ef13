import { readRegularFile } from '../../config-file/index.ts'
import { whyNotRead } from '../../errors/index.ts'
import { CaError } from '../ca-error.ts'

/** Longest token in characters; a Kubernetes service-account token has some 1,200. */
const MAX_TOKEN_LENGTH = 16 * 1024
/** Longest file in bytes: a token and more line breaks than any editor leaves. */
const MAX_FILE_BYTES = 64 * 1024

/** Where the bearer token comes from; a file is read for every call, because tokens are rotated in place. */
export type TokenSource = { readonly path: string } | { readonly value: string }

/**
 * The token as it is now, undefined where there is none to send. Used as it stands, but for line breaks at its end, which no
 * header can carry and every editor leaves behind. Throws CaError 'bad-token'.
 */
export async function readBearerToken(source: TokenSource | undefined): Promise<string | undefined> {
  if (source === undefined) return undefined
  const [text, where] =
    'path' in source ? [await read(source.path), `The token file ${source.path}`] : [source.value, 'The token']
  const token = text.replace(/[\r\n]+$/u, '')
  if (token.length === 0) throw new CaError('bad-token', `${where} is empty.`)
  if (token.length > MAX_TOKEN_LENGTH || !/^[\u0020-\u007e]+$/u.test(token)) {
    throw new CaError(
      'bad-token',
      `${where} is not one line of at most ${MAX_TOKEN_LENGTH} printable ASCII characters.`,
    )
  }
  return token
}

async function read(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, MAX_FILE_BYTES)).toString('utf8')
  } catch (cause) {
    throw new CaError('bad-token', `The token file ${path} cannot be read: ${whyNotRead(cause)}`, {
      cause,
      retryable: true,
    })
  }
}
