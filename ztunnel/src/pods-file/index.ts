export { parsePodsFile } from './pods-file.ts'
export { PodsFileSource, type PodsFileSourceOptions } from './pods-file-source.ts'
