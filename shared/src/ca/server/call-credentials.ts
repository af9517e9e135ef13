import type { Metadata } from '@grpc/grpc-js'

/** The value of a header that came once. */
export function headerOf(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name)
  const [value] = values
  // Two of them would mean that somebody on the way reads the other one.
  return values.length === 1 && typeof value === 'string' ? value : undefined
}

/** The token of an `authorization` header; undefined where it is no bearer token. */
export function bearerTokenOf(authorization: string | undefined): string | undefined {
  const [scheme, token, ...rest] = authorization?.split(' ') ?? []
  return scheme?.toLowerCase() === 'bearer' && token && rest.length === 0 ? token : undefined
}
