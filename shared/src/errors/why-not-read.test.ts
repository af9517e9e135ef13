import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { whyNotRead } from './why-not-read.ts'

void t.test('what the system answers is told without its names', async (t) => {
  const here = fileURLToPath(import.meta.url)
  t.equal(whyOf(`${here}.none`), 'there is no such file')
  t.equal(whyOf(`${here}/none`), 'there is no such file')
  t.equal(whyOf(fileURLToPath(new URL('.', import.meta.url))), 'it is a directory')
  t.equal(whyNotRead(Object.assign(new Error('EACCES: …'), { code: 'EACCES' })), 'this process may not read it')
})

void t.test('everything else keeps its words', async (t) => {
  t.equal(whyNotRead(new Error('it is longer than 5 bytes')), 'it is longer than 5 bytes')
  t.equal(whyNotRead(Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })), 'EIO: i/o error, read')
  t.equal(whyNotRead('thrown text'), 'thrown text')
})

function whyOf(path: string): string {
  try {
    readFileSync(path)
    return ''
  } catch (error) {
    return whyNotRead(error)
  }
}
