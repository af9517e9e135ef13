import type { ConnectionFacts } from './connection-facts.ts'
import { bitsOf, type AddressBits } from './ip-range.ts'

/** The facts of a connection in the form in which policies compare them, made once for all rules. */
export interface PreparedFacts {
  /** `td/ns/x/sa/y`, as policies write it; undefined for plaintext. */
  readonly principal: string | undefined
  /** Of the peer's identity; empty for plaintext, which a policy may also ask for. */
  readonly namespace: string
  /** Undefined for plaintext. */
  readonly serviceAccount: string | undefined
  readonly source: AddressBits
  readonly destination: AddressBits
  readonly port: number
}

const PREFIX_LENGTH = 'spiffe://'.length

/** undefined when an address is none, which no listener produces: the connection must then be refused. */
export function prepareFacts({ source, destination, identity }: ConnectionFacts): PreparedFacts | undefined {
  const from = bitsOf(source.address)
  const to = bitsOf(destination.address)
  if (from === undefined || to === undefined) return undefined
  return {
    principal: identity?.toString().slice(PREFIX_LENGTH),
    namespace: identity?.namespace ?? '',
    serviceAccount: identity?.serviceAccount,
    source: from,
    destination: to,
    port: destination.port,
  }
}
