import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import t from 'tap'
import { SerialIndex } from './serial-index.ts'

/** INTEGERs of these octets one behind the other, and an index of them. */
function indexOf(numbers: readonly Uint8Array[], expected = 0): SerialIndex {
  const bytes = Buffer.concat([Buffer.of(0), ...numbers.map((octets) => Buffer.of(2, octets.length, ...octets))])
  const index = new SerialIndex(bytes, expected)
  let at = 1
  for (const { length } of numbers) {
    index.add(at)
    at += 2 + length
  }
  return index
}

/** In hex, without leading zero octets. */
function textOf(octets: Uint8Array): string {
  return Buffer.from(octets)
    .toString('hex')
    .replace(/^(?:00)+(?=..)/u, '')
}

/** 16 octets. */
function number(value: number): Buffer {
  return Buffer.from(value.toString(16).padStart(8, '0').padEnd(32, 'ab'), 'hex')
}

void t.test('it has what a Set of their texts has, whatever room was made and however they collide', async () => {
  const octets = fc.uint8Array({ minLength: 1, maxLength: 3, max: 3 })
  const numbers = fc.array(octets, { maxLength: 300 })
  fc.assert(
    fc.property(numbers, fc.array(octets), fc.nat(100), (added, asked, expected) => {
      const index = indexOf(added, expected)
      const texts = new Set(added.map((one) => textOf(one)))
      return (
        index.size === texts.size &&
        [...added, ...asked].every((one) => index.has(textOf(one)) === texts.has(textOf(one)))
      )
    }),
    { numRuns: 300 },
  )
})

void t.test('100,000 numbers of 16 octets are all there, those beside them are not', async (t) => {
  const index = indexOf(Array.from({ length: 100_000 }, (_, value) => number(value * 2)))
  t.equal(index.size, 100_000)
  const found = Array.from({ length: 200_000 }, (_, value) => index.has(textOf(number(value))))
  t.ok(found.every((isThere, value) => isThere === (value % 2 === 0)))
})

void t.test('a number that is too long to be one is refused', async (t) => {
  t.equal(indexOf([new Uint8Array(127).fill(7)]).size, 1)
  t.throws(() => indexOf([new Uint8Array(128).fill(7)]), { code: 'malformed' })
})
