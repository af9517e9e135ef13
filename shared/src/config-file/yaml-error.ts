import { MeshError } from '../errors/index.ts'

/** A text that is not what it must be: every problem, each with line and column. The caller keeps its last good state. */
export class YamlError extends MeshError<'invalid-file'> {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    const shown = problems.slice(0, MAX_SHOWN)
    const rest = problems.length - shown.length
    super('invalid-file', `${shown.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`, { source: 'config' })
    this.problems = problems
  }
}

const MAX_SHOWN = 20
