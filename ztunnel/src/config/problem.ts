import { messageOf } from '@ambit/shared/errors'

/** Why a value is refused: the end of a sentence that begins with the variable. */
export class Problem {
  readonly sentence: string
  constructor(sentence: string) {
    this.sentence = sentence
  }
}

/** What a parser answers for a value that it refuses. */
export function problem(sentence: string): Problem {
  return new Problem(sentence)
}

/** A parser that throws for what it refuses, as one that answers a problem. */
export function accepted<T>(parse: (text: string) => T): (text: string) => T | Problem {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      return problem(`is refused: ${messageOf(error)}`)
    }
  }
}
