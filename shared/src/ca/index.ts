export { CaError, SigningError, type CaErrorCode } from './ca-error.ts'
export { createCaClient, type CaClient, type CaClientOptions, type TokenSource } from './client/index.ts'
export {
  AuthorizationError,
  type AuthorizationErrorCode,
  type CaAuthorizer,
  type Caller,
  type ShownToken,
} from './authorizer/authorizer.ts'
export { FileAuthorizer, type FileAuthorizerOptions } from './authorizer/file-authorizer.ts'
export { openSelfMadeRoot, type SelfMadeRootOptions } from './authority/self-made-root.ts'
export { SigningDirectory, type SigningDirectoryOptions } from './authority/signing-directory.ts'
export {
  readSigningMaterial,
  type SigningFiles,
  type SigningMaterial,
  type SigningSource,
} from './authority/signing-material.ts'
export { createCaServer, type CaServer, type CaServerLimits, type CaServerOptions } from './server/ca-server.ts'
