export { systemClock, type Clock, type Timer } from './clock.ts'
export { FakeClock } from './fake-clock.ts'
