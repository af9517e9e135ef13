export { WatchedFile, type WatchedFileOptions } from './watched-file.ts'
export { YamlError } from './yaml-error.ts'
export { YamlValue } from './yaml-value.ts'
