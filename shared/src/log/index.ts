export { silentLog, type Log, type LogFields } from './log.ts'
