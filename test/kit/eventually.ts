/** How long a test waits for something that must happen; slow machines set AMBIT_TEST_PATIENCE_MS higher. */
export const patienceMs = Number(process.env['AMBIT_TEST_PATIENCE_MS'] ?? 15_000)

/** Asks again and again until the answer is truthy; throws with `what` (and the last error) when patience ends. */
export async function eventually<T>(what: string, ask: () => T | Promise<T>, everyMs = 25): Promise<NonNullable<T>> {
  const until = Date.now() + patienceMs
  let last: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== null && answer !== false) return answer
      last = answer
    } catch (error) {
      last = error
    }
    if (Date.now() > until) throw new Error(`waited ${patienceMs} ms for: ${what}`, { cause: last })
    await new Promise((resolve) => {
      setTimeout(resolve, everyMs)
    })
  }
}
