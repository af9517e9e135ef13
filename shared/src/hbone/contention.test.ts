import t from 'tap'
import { Contention, type Talker } from './contention.ts'

const BULK = 16_384
const MANY = 65 * 64

const talker = (isOver = false): Talker => ({ isOver, bytesSinceSmall: 0 })

void t.test('small messages beside bulk are contention, for a while', async (t) => {
  const contention = new Contention()
  const [bulk, small] = [talker(), talker()]
  contention.frame(bulk, BULK)
  t.notOk(contention.isPresent, 'bulk alone')
  contention.frame(small, 100)
  t.ok(contention.isPresent)
  contention.frame(bulk, BULK)
  t.ok(contention.isPresent)
  for (let i = 0; i < MANY; i++) contention.frame(bulk, BULK)
  t.notOk(contention.isPresent, '64 MiB of bulk later')
})

void t.test('neither bulk streams beside each other nor messages one after the other are', async (t) => {
  const contention = new Contention()
  const [one, other] = [talker(), talker()]
  for (let i = 0; i < 100; i++) {
    for (const stream of [one, other]) {
      for (let piece = 0; piece < 4; piece++) contention.frame(stream, BULK)
      if (i % 2 === 1) contention.frame(stream, 18)
    }
  }
  t.notOk(contention.isPresent, 'the rest of a piece of bulk is no message')
  for (let i = 0; i < 10; i++) contention.frame(other, 10)
  t.notOk(contention.isPresent, 'nor is what follows of the same stream')
  for (let i = 0; i < 10; i++) for (const stream of [one, other]) contention.frame(stream, 10)
  t.notOk(contention.isPresent, 'nor are messages among themselves')
  for (let i = 0; i < 10; i++) {
    contention.frame(talker(true), BULK)
    contention.frame(talker(), 10)
  }
  t.notOk(contention.isPresent, 'whoever is over has nothing under way')
})
