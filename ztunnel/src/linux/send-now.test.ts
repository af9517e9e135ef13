import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'

/** A program that logs more than a socket takes, has a child process in between, and ends. */
const PROGRAM = `
  const { spawnSync } = await import('node:child_process')
  const { openLog } = await import(${JSON.stringify(import.meta.resolve('@ambit/shared/telemetry'))})
  const { systemClock } = await import(${JSON.stringify(import.meta.resolve('@ambit/shared/clock'))})
  const { sendNow } = await import(${JSON.stringify(import.meta.resolve('./index.ts'))})
  const options = { fd: 1, format: 'plain', levels: 'info', program: 'p', clock: systemClock, sendNow }
  const { log, flush, flushSync } = openLog(options)
  process.on('exit', flushSync)
  setInterval(() => {}, 1_000)
  spawnSync('true', { stdio: 'inherit' })
  for (let i = 0; i < 20_000; i++) log.info('line', { i })
  await flush()
  process.exit(7)`

void t.test('a process ends though the reader of the socket that it logs to stands still', async (t) => {
  // Of Node a child gets a socket; nobody reads it.
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.same(await once(child, 'exit'), [7, null])
  child.stdout.destroy()
})

void t.test('a reader that reads has every line, whole and in order', async (t) => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  const numbers = [...output.matchAll(/\bi=(\d+)\n/g)].map(([, number]) => Number(number))
  t.equal(numbers.length, 20_000)
  t.ok(numbers.every((number, index) => number === index))
})
