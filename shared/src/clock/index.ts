export { systemClock, type Clock, type Timer } from './clock.ts'
export { parseDurationMs } from './duration.ts'
export { FakeClock } from './fake-clock.ts'
export { Repetition } from './repetition.ts'
