export { LocalFileSource, type LocalFileSourceOptions } from './local-file-source.ts'
export { parseLocalFile } from './local-file.ts'
