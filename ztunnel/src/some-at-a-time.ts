/** Does `work`, which must not reject, for each of `items`: begins in their order, with at most `limit` of them at a time. */
export async function someAtATime<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items.values()
  const takeTurns = async (): Promise<void> => {
    for (const item of waiting) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, takeTurns))
}
