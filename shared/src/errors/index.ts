export { MeshError, messageOf, type ErrorSource, type MeshErrorOptions } from './mesh-error.ts'
