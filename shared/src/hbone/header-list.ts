import type { HeaderField } from './hpack/index.ts'
import { faultOfField, isFieldValue, MAX_HEADER_FIELDS, show } from './field-rules.ts'

/** A message that breaks RFC 9113 §8: a stream error PROTOCOL_ERROR (§8.1.1). `reason` is for the log. */
export interface Malformed {
  readonly malformed: true
  readonly reason: string
}

export function malformed(reason: string): Malformed {
  return { malformed: true, reason }
}

/** The fields of a valid message without its pseudo-header fields. */
export class HeaderList {
  readonly #fields: readonly HeaderField[]

  constructor(fields: readonly HeaderField[]) {
    this.#fields = fields
  }

  /** The first value of that name (lower case). */
  first(name: string): string | undefined {
    return this.#fields.find((field) => field[0] === name)?.[1]
  }

  /** All values of that name, in order. */
  all(name: string): string[] {
    return this.#fields.filter((field) => field[0] === name).map((field) => field[1])
  }
}

export interface SplitHeaders {
  readonly malformed: false
  /** By name without the colon; each occurs at most once and is one of those allowed. */
  readonly pseudo: ReadonlyMap<string, string>
  readonly fields: HeaderList
}

/** Parts the pseudo-header fields from the others and checks what holds for every message (RFC 9113 §8.2, §8.3). */
export function splitHeaders(headers: readonly HeaderField[], allowed: ReadonlySet<string>): SplitHeaders | Malformed {
  if (headers.length > MAX_HEADER_FIELDS) return malformed(`more than ${MAX_HEADER_FIELDS} header fields`)
  const pseudo = new Map<string, string>()
  const fields: HeaderField[] = []
  for (const field of headers) {
    const [name, value] = field
    if (!name.startsWith(':')) {
      const fault = faultOfField(field)
      if (fault) return malformed(fault)
      fields.push(field)
      continue
    }
    if (fields.length > 0) return malformed(`${show(name)} stands after a field that is no pseudo-header`)
    if (!allowed.has(name)) return malformed(`${show(name)} is no pseudo-header of this message`)
    if (pseudo.has(name)) return malformed(`${name} stands twice`)
    if (!isFieldValue(value)) return malformed(`the value of ${name} is not allowed`)
    pseudo.set(name, value)
  }
  return { malformed: false, pseudo, fields: new HeaderList(fields) }
}

/** Trailers hold no pseudo-header fields (RFC 9113 §8.1). Undefined where they are in order. */
export function faultOfTrailers(headers: readonly HeaderField[]): string | undefined {
  const split = splitHeaders(headers, new Set())
  return split.malformed ? split.reason : undefined
}
