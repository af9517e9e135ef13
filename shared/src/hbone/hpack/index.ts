export { encodeHeaders } from './encode-headers.ts'
export { HpackDecoder, type DecodedHeaders, type HpackDecoderOptions } from './hpack-decoder.ts'
export { HpackError, type HpackErrorCode } from './hpack-error.ts'
export type { HeaderField } from './static-table.ts'
