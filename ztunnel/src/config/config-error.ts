import { MeshError } from '@ambit/shared/errors'

/** Every problem of the environment at once, one sentence each. */
export class ConfigError extends MeshError<'invalid-configuration'> {
  readonly problems: readonly string[]

  constructor(problems: readonly string[], cause?: unknown) {
    super(
      'invalid-configuration',
      `invalid configuration:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
      {
        source: 'config',
        cause,
      },
    )
    this.problems = problems
  }
}
