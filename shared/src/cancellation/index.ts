export { Cancellation, type CancelSignal } from './cancellation.ts'
