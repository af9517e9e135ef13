/** Where a fault comes from, seen from the proxy that reports it. */
export type ErrorSource = 'downstream' | 'upstream' | 'internal' | 'config'

export interface MeshErrorOptions {
  readonly source: ErrorSource
  /** True when the same operation may succeed later without any change. Default false. */
  readonly retryable?: boolean
  readonly cause?: unknown
}

/**
 * The one base of every error that a package throws on purpose. `code` is a closed union per room (match on it, never on
 * the message); the message is a plain sentence that names what is wrong and what to do.
 */
export class MeshError<Code extends string = string> extends Error {
  readonly code: Code
  readonly source: ErrorSource
  readonly retryable: boolean

  constructor(code: Code, message: string, options: MeshErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.source = options.source
    this.retryable = options.retryable ?? false
  }
}

/** The text of anything that was thrown, for a log line. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
