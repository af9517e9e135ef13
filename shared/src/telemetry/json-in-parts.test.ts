import * as fc from 'fast-check'
import t from 'tap'
import { jsonInParts, type Lazy } from './json-in-parts.ts'

const RECORDS = 20_000

/** A record of 9 values, 11 with its array and itself. */
function record(index: number): Readonly<Record<string, unknown>> {
  return { uid: `w${index}`, ips: [`10.0.0.${index}`, 'x'], a: 1, b: null, c: false, d: 'd', e: 'e', none: undefined }
}

async function inParts(value: unknown, partValues?: number): Promise<{ text: string; pauses: number }> {
  let pauses = 0
  const pause = async (): Promise<void> => void pauses++
  const bytes = await jsonInParts(value, pause, partValues)
  return { text: bytes.toString(), pauses }
}

/** Somewhere in the value, records that are made when they are written, and what is undefined. */
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.jsonValue(),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 12 }),
    fc.dictionary(fc.string(), fc.oneof(tie('value'), fc.constant(undefined)), { maxKeys: 12 }),
    tie('value').map((value) => ({ toJSON: () => ({ value }) })),
  ),
})).value

void t.test('it says what JSON.stringify says, in parts of whatever size', async () => {
  await fc.assert(
    fc.asyncProperty(values, fc.constantFrom(1, 2, 5, 20, 10_000), async (value, partValues) => {
      const { text } = await inParts(value, partValues)
      return text === `${JSON.stringify(value, undefined, 2)}\n`
    }),
    { numRuns: 1_000 },
  )
})

void t.test('a large dump is made a thousand records at a time, none before its turn', async (t) => {
  let made = 0
  let most = 0
  const lazy = Array.from({ length: RECORDS }, (_, index): Lazy => ({
    toJSON: () => {
      made++
      return record(index)
    },
  }))
  const plain = lazy.map((_, index) => record(index))
  const dump = {
    workloads: lazy,
    few: plain.slice(0, 10),
    nested: { workloads: plain, byName: Object.fromEntries(plain.entries()) },
  }
  const pause = async (): Promise<void> => {
    most = Math.max(most, made)
    made = 0
  }
  const bytes = await jsonInParts(dump, pause)
  t.ok(bytes.equals(Buffer.from(`${JSON.stringify(dump, undefined, 2)}\n`)))
  t.ok(most > 100 && most <= 1_000, `${most} at once`)
  const { pauses } = await inParts(dump)
  t.ok(pauses > 3 * (RECORDS / 1_000), `${pauses} pauses`)
})

void t.test('one record that is large is made in parts, too', async (t) => {
  const service: Lazy = { toJSON: () => ({ name: 's', endpoints: Object.fromEntries(many.entries()) }) }
  const many = Array.from({ length: RECORDS }, (_, index) => record(index))
  const dump = { services: [service, { toJSON: () => ({}) }] }
  const { text, pauses } = await inParts(dump)
  t.equal(text, `${JSON.stringify(dump, undefined, 2)}\n`)
  t.ok(pauses > RECORDS / 1_000, `${pauses} pauses`)
})
