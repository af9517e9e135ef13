export type { ConnectionFacts } from './connection-facts.ts'
export { PolicySet, type PolicyTarget } from './policy-set.ts'
export { MAX_DRY_RUN_EVENTS, type PolicyEvent, type PolicyEventMessage, type Verdict } from './verdict.ts'
export { logVerdict } from './log-verdict.ts'
