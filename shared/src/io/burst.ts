/** The plaintext of a full TLS record (RFC 8446 §5.1). */
export const RECORD_BYTES = 16_384

/** What TLS 1.3 adds to each record: header, content type, tag. */
const RECORD_OVERHEAD_BYTES = 22

/**
 * The most that Linux sends in one packet over the links that pods have: 64 KB less the headers, cut to whole segments (GSO).
 * That is 65,160 bytes at an MTU of 1500, this at 9000, something between at the MTUs of overlay networks and with IPv6.
 */
const PACKET_BYTES = 62_636

/**
 * How much of a bulk stream is read, framed, encrypted and written at a time: two packets. Four full records (65,624 bytes when
 * encrypted) were a full packet and one of 464 bytes, which is routed, filtered, forwarded and acknowledged like a full one:
 * 1.72 s of CPU per GB, with seven records (49 KB in the second packet) 1.43, with this 1.35. More gains nothing, for node:tls
 * writes at most 160 KB at once.
 */
export const BURST_BYTES = 2 * PACKET_BYTES - 8 * RECORD_OVERHEAD_BYTES

/**
 * Beside small messages, which wait behind it on both sides, a bulk stream is read in no more than one packet; and so is any
 * stream before its first turn, of which a peer that stalls can have many.
 */
export const SMALL_BURST_BYTES = PACKET_BYTES - 4 * RECORD_OVERHEAD_BYTES

/** What is carried without TLS is read in two packets for the same reason. */
export const PLAIN_READ_BYTES = 2 * PACKET_BYTES
