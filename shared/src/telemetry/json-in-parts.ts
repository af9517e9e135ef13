/** Values, however nested, that are made into text at once: some milliseconds. */
const PART_VALUES = 10_000
/** Characters of a string that are reckoned as one value. */
const CHARACTERS_OF_VALUE = 64

/** Made into a value only when its turn has come to be written, so that a large array of them is no work at once. */
export interface Lazy {
  toJSON(): Readonly<Record<string, unknown>>
}

/**
 * The bytes of `JSON.stringify(value, undefined, 2)` and a line end, made in parts with `pause` between them. Meanwhile `value` must not
 * change; Lazy records tell how things are in the moment in which they are written.
 */
export async function jsonInParts(
  value: unknown,
  pause: () => Promise<void>,
  partValues = PART_VALUES,
): Promise<Buffer> {
  const parts: Buffer[] = []
  for (const text of textOf(value, partValues)) {
    parts.push(Buffer.from(text))
    await pause()
  }
  parts.push(Buffer.from('\n'))
  const whole = Buffer.allocUnsafeSlow(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    at += part.copy(whole, at)
    await pause()
  }
  return whole
}

type Container = readonly unknown[] | Readonly<Record<string, unknown>>

function* textOf(value: unknown, partValues: number): Generator<string> {
  const made = plain(value)
  if (isContainer(made) && weightOf(made, partValues) >= partValues) yield* containerText(made, 0, partValues)
  else yield JSON.stringify(made, undefined, 2)
}

/** Its entries as many at once as make a part; one that is too large for that by itself is written in parts like this one. */
function* containerText(container: Container, depth: number, partValues: number): Generator<string> {
  const isArray = Array.isArray(container)
  const part = new Part(isArray, depth)
  let before = isArray ? '[' : '{'
  for (const [key, value] of entriesOf(container)) {
    const made = plain(value)
    const weight = weightOf(made, partValues)
    if (isContainer(made) && weight >= partValues) {
      if (!part.isEmpty) {
        yield `${before}${part.take()}`
        before = ','
      }
      const name = isArray ? '' : `${JSON.stringify(key)}: `
      yield `${before}\n${indent(depth + 1)}${name}`
      yield* containerText(made, depth + 1, partValues)
      before = ','
      continue
    }
    part.add(key, made, weight)
    if (part.weight < partValues) continue
    yield `${before}${part.take()}`
    before = ','
  }
  if (!part.isEmpty) {
    yield `${before}${part.take()}`
    before = ','
  }
  if (before !== ',') {
    yield isArray ? '[]' : '{}'
    return
  }
  yield `\n${indent(depth)}${isArray ? ']' : '}'}`
}

/** Entries of a container at `depth` that are made into text together. */
class Part {
  weight = 0
  readonly #isArray: boolean
  readonly #depth: number
  #entries: (readonly [string, unknown])[] = []

  constructor(isArray: boolean, depth: number) {
    this.#isArray = isArray
    this.#depth = depth
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0
  }

  add(key: string, value: unknown, weight: number): void {
    this.#entries.push([key, value])
    this.weight += weight
  }

  /** Their lines, as they stand at this depth, each behind its line end; begins anew. */
  take(): string {
    let nested: unknown = this.#isArray ? this.#entries.map(([, value]) => value) : Object.fromEntries(this.#entries)
    this.#entries = []
    this.weight = 0
    // In so many arrays that JSON.stringify indents them itself; their brackets are cut off.
    let head = 1
    let tail = 2 + 2 * this.#depth
    for (let level = 0; level < this.#depth; level++) {
      nested = [nested]
      head += 4 + 2 * level
      tail += 2 + 2 * level
    }
    return JSON.stringify(nested, undefined, 2).slice(head, -tail)
  }
}

/** Those that JSON.stringify writes: what is undefined is left out of an object. */
function* entriesOf(container: Container): Generator<readonly [string, unknown]> {
  if (Array.isArray(container)) {
    for (const value of container as readonly unknown[]) yield ['', value]
    return
  }
  for (const [key, value] of Object.entries(container)) if (value !== undefined) yield [key, value]
}

function plain(value: unknown): unknown {
  return isLazy(value) ? value.toJSON() : value
}

function isLazy(value: unknown): value is Lazy {
  return isContainer(value) && 'toJSON' in value && typeof value['toJSON'] === 'function'
}

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null
}

/** How many values there are in it, itself included; not counted further than `limit`, which what is not made yet may have. */
function weightOf(value: unknown, limit: number): number {
  if (typeof value === 'string') return 1 + value.length / CHARACTERS_OF_VALUE
  if (!isContainer(value)) return 1
  if (isLazy(value)) return limit
  let weight = 1
  for (const inner of Array.isArray(value) ? (value as readonly unknown[]) : Object.values(value)) {
    if (weight >= limit) return weight
    weight += weightOf(inner, limit - weight)
  }
  return weight
}

function indent(depth: number): string {
  return '  '.repeat(depth)
}
