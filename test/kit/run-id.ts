/** Variable by which a run of the tests marks all that is of it: its value is part of every name that a mesh gives. */
export const RUN_VARIABLE = 'AMBIT_TEST_RUN'

/** Marks the janitors of a run instead: they outlive the programs that they clean up after. */
export const JANITOR_VARIABLE = 'AMBIT_TEST_JANITOR_OF'

/** Begins the name of every namespace of the run. */
export function namespacePrefix(run = process.env[RUN_VARIABLE] ?? ''): string {
  return `am${run}`
}
