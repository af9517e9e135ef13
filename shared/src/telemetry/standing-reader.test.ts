import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'

/** A program like the CA: it starts no other, logs more than a socket takes, and ends. */
function program(fd: 1 | 2): string {
  return `
  const { openLog } = await import(${JSON.stringify(import.meta.resolve('./index.ts'))})
  const { systemClock } = await import(${JSON.stringify(import.meta.resolve('../clock/index.ts'))})
  const { log, flush, flushSync } = openLog({ fd: ${fd}, format: 'plain', levels: 'info', program: 'p', clock: systemClock })
  process.on('exit', flushSync)
  process.stdin.once('data', async () => {
    for (let i = 0; i < 20_000; i++) log.info('line', { i })
    await flush()
    process.exit(7)
  })`
}

/** Node gives it sockets. */
function started(fd: 1 | 2): ChildProcess {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program(fd)], { stdio: 'pipe' })
  child.stdin.write('\n')
  return child
}

for (const fd of [1, 2] as const) {
  void t.test(
    `without a call of its own a process ends though the reader of its socket ${fd} stands still`,
    async (t) => {
      const child = started(fd)
      t.same(await once(child, 'exit'), [7, null])
      child.stdout?.destroy()
      child.stderr?.destroy()
    },
  )

  void t.test(`a reader of socket ${fd} that reads has every line, whole and in order`, async (t) => {
    const child = started(fd)
    let output = ''
    for await (const chunk of (fd === 1 ? child.stdout : child.stderr) ?? []) output += String(chunk)
    const numbers = [...output.matchAll(/\bi=(\d+)\n/g)].map(([, number]) => Number(number))
    t.equal(numbers.length, 20_000)
    t.ok(numbers.every((number, index) => number === index))
  })

  void t.test(`a reader of socket ${fd} that has gone is ignored`, async (t) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program(fd)], { stdio: 'pipe' })
    ;(fd === 1 ? child.stdout : child.stderr).destroy()
    child.stdin.write('\n')
    t.same(await once(child, 'exit'), [7, null])
  })
}
