// The program: remembers compiled code first, for that is a third of the memory and most of the start, then runs.
import { rememberCompiledCode } from './compile-cache.ts'

rememberCompiledCode()
await import('./cli.ts')
