/** One field of a header list. Both texts hold one character per octet (latin1). */
export type HeaderField = readonly [name: string, value: string]

const METHODS_AND_PATHS: readonly HeaderField[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
]

const STATUSES = ['200', '204', '206', '304', '400', '404', '500']

/** Names of indices 15 to 61; all but one have no value. */
const NAMES =
  'accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow ' +
  'authorization cache-control content-disposition content-encoding content-language content-length content-location ' +
  'content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match ' +
  'if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range ' +
  'referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via ' +
  'www-authenticate'

/** RFC 7541 appendix A: the 61 fields both ends know; the field of index 1 is element 0. */
export const STATIC_TABLE: readonly HeaderField[] = [
  ...METHODS_AND_PATHS,
  ...STATUSES.map((status): HeaderField => [':status', status]),
  ...NAMES.split(' ').map((name): HeaderField => [name, name === 'accept-encoding' ? 'gzip, deflate' : '']),
]
