/** Sorted, or merged, at once: a millisecond or two. */
const PART = 4_096

/** As toSorted takes it: negative where `a` comes first. */
export type Compare<T> = (a: T, b: T) => number

/** A sorted copy, as toSorted makes it, with `pause` after each few thousand items. */
export async function sortInParts<T extends object>(
  items: readonly T[],
  compare: Compare<T>,
  pause: () => Promise<void>,
): Promise<T[]> {
  let runs: T[][] = []
  for (let from = 0; from < items.length; from += PART) {
    runs.push(items.slice(from, from + PART).sort(compare))
    await pause()
  }
  while (runs.length > 1) {
    const longer: T[][] = []
    for (let index = 0; index < runs.length; index += 2)
      longer.push(await merged(runs[index] ?? [], runs[index + 1] ?? [], compare, pause))
    runs = longer
  }
  return runs[0] ?? []
}

/** What is equal stays in order: that of `first` comes first. */
async function merged<T extends object>(
  first: readonly T[],
  second: readonly T[],
  compare: Compare<T>,
  pause: () => Promise<void>,
): Promise<T[]> {
  const all: T[] = []
  let one = 0
  let other = 0
  for (;;) {
    const [a, b] = [first[one], second[other]]
    if (a && (!b || compare(a, b) <= 0)) {
      all.push(a)
      one++
    } else if (b) {
      all.push(b)
      other++
    } else return all
    if (all.length % PART === 0) await pause()
  }
}
