export { readRegularFile, readRegularFileSync } from './read-regular-file.ts'
export { WatchedFile, type WatchedFileOptions } from './watched-file.ts'
export { YamlError } from './yaml-error.ts'
export { YamlValue, type ReadOptions } from './yaml-value.ts'
