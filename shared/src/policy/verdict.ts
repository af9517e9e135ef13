/** Istio's texts (authorization log of ztunnel); tools and people search for them. */
export type PolicyEventMessage =
  | 'dry-run: deny policy match'
  | 'deny policy match'
  | 'dry-run: allow policy match'
  | 'dry-run: no allow policies match'
  | 'no allow policies, allow'
  | 'allow policy match'
  | 'no allow policies matched'
  | 'policy cannot be understood, refuse'
  | 'policy is not known, refuse'

/** One step of an evaluation that is worth a log line. */
export interface PolicyEvent {
  readonly message: PolicyEventMessage
  /** `namespace/name`, where one policy is meant. */
  readonly policy?: string
}

/**
 * What the policies say about one connection. `reason` is the error text for the access log; `policy` the `namespace/name`
 * that decided, where a single one did. At most MAX_DRY_RUN_EVENTS events of each dry-run kind.
 */
export type Verdict =
  | { readonly allowed: true; readonly policy?: string; readonly events: readonly PolicyEvent[] }
  | {
      readonly allowed: false
      readonly reason: string
      readonly policy?: string
      readonly events: readonly PolicyEvent[]
    }

/** Dry-run matches reported for one connection; with more, the rest match unseen. Bounds the log lines of a connection. */
export const MAX_DRY_RUN_EVENTS = 32
