import { MeshError } from '../../errors/index.ts'

/** What is wrong with a header block; the connection ends by each of them. */
export type HpackErrorCode =
  | 'truncated'
  | 'integer-too-large'
  | 'bad-index'
  | 'bad-huffman'
  | 'bad-table-size'
  | 'header-list-too-large'

/**
 * A header block that cannot be decoded. The dynamic tables of the two ends no longer agree, so the connection must be
 * closed with COMPRESSION_ERROR (RFC 9113 §4.3); for `header-list-too-large` the tables still agree but the peer is not
 * worth keeping: ENHANCE_YOUR_CALM. The decoder does not know which end it serves, hence source `internal`: the connection
 * wraps this error and names the end.
 */
export class HpackError extends MeshError<HpackErrorCode> {
  constructor(code: HpackErrorCode, message: string) {
    super(code, message, { source: 'internal' })
  }
}
