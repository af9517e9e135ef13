export { CaError, SigningError, type CaErrorCode } from '../ca-error.ts'
export { isCaHeader } from './ca-channel.ts'
export type { TokenSource } from './bearer-token.ts'
export { createCaClient, type CaClient, type CaClientOptions } from './ca-client.ts'
