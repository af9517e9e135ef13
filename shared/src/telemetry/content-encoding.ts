import { promisify } from 'node:util'
import { brotliCompress, constants, deflate, gzip, zstdCompress } from 'node:zlib'

/** Bodies below this are sent as they are. */
const MIN_BYTES = 1024

type Encode = (body: Buffer) => Promise<Buffer>

const brotli = promisify(brotliCompress)

/** In the order of preference where a client likes several alike: cheapest for what it saves first. */
const ENCODINGS: ReadonlyMap<string, Encode> = new Map<string, Encode>([
  ['zstd', promisify(zstdCompress)],
  ['gzip', promisify(gzip)],
  ['br', (body) => brotli(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
  ['deflate', promisify(deflate)],
])

/** A body for many clients: each encoding is made once, by the first who wants it. */
export class EncodedBody {
  readonly #body: Buffer
  readonly #encoded = new Map<string, Promise<Buffer>>()

  constructor(body: Buffer) {
    this.#body = body
  }

  /** In the best encoding that `Accept-Encoding` allows (RFC 9110 section 12.5.3), or as it is. */
  async for(
    acceptEncoding: string | undefined,
  ): Promise<{ readonly body: Buffer; readonly encoding: string | undefined }> {
    const encoding = this.#body.length < MIN_BYTES ? undefined : chooseEncoding(acceptEncoding ?? '')
    const encode = encoding === undefined ? undefined : ENCODINGS.get(encoding)
    if (encoding === undefined || !encode) return { body: this.#body, encoding: undefined }
    const encoded = this.#encoded.get(encoding) ?? encode(this.#body)
    this.#encoded.set(encoding, encoded)
    return { body: await encoded, encoding }
  }
}

/** The encoding with the highest q above 0 and not below that of identity where it is named; undefined for identity. */
function chooseEncoding(acceptEncoding: string): string | undefined {
  const wanted = new Map<string, number>()
  for (const element of acceptEncoding.toLowerCase().split(',')) {
    const [name = '', ...parameters] = element.split(';').map((part) => part.trim())
    const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
    wanted.set(name, q === undefined ? 1 : Number(q) || 0)
  }
  let best: string | undefined
  let bestQ = 0
  for (const name of ENCODINGS.keys()) {
    const q = wanted.get(name) ?? wanted.get('*') ?? 0
    if (q > bestQ) {
      best = name
      bestQ = q
    }
  }
  return bestQ < (wanted.get('identity') ?? 0) ? undefined : best
}
