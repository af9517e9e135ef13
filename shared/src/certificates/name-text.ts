import { Buffer } from 'node:buffer'
import { bytesOf, childrenOf, readDer, sequenceOf } from './der.ts'

const MAX_CHARACTERS = 200

/** The values of a name that is given as DER (ParsedCertificate.subject), for people only: `test, root`. Cut where it is long. */
export function nameText(name: string): string {
  const parts = sequenceOf(readDer(Buffer.from(name, 'latin1')), 'name').flatMap((part) => childrenOf(part, 'part'))
  const values = parts.map((part) => bytesOf(sequenceOf(part, 'attribute').at(-1), 'value').toString('utf8'))
  return values.join(', ').slice(0, MAX_CHARACTERS) || 'a CA without a name'
}
