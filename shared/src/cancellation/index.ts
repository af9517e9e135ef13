export { Cancellation, type CancelSignal } from './cancellation.ts'
export { Waiters } from './waiters.ts'
