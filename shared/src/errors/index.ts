export { MeshError, messageOf, type ErrorSource, type MeshErrorOptions } from './mesh-error.ts'
export { whyNotListening } from './why-not-listening.ts'
export { whyNotRead } from './why-not-read.ts'
export { whyNotWritten } from './why-not-written.ts'
