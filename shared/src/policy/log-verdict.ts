import type { Log } from '../log/index.ts'
import type { Verdict } from './verdict.ts'

/** Writes the events of a verdict: at debug, or at info where AUTHZ_POLICY_INFO_LOGGING asks for it (as Istio). */
export function logVerdict(log: Log, verdict: Verdict, options: { readonly atInfo: boolean }): void {
  for (const { message, policy } of verdict.events) {
    if (options.atInfo) log.info(message, { policy })
    else log.debug(message, { policy })
  }
}
