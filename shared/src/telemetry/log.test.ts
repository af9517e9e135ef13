import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t from 'tap'
import { FakeClock, type Clock } from '../clock/index.ts'
import { createLog, LineWriter, LogLevels, MAX_LINE_BYTES, type LogFormat, type ScopedLog } from './index.ts'

/** The beginning of a program that logs to its standard output. */
const OPEN = `
  const { openLog } = await import(${JSON.stringify(import.meta.resolve('./index.ts'))})
  const { systemClock } = await import(${JSON.stringify(import.meta.resolve('../clock/index.ts'))})
  const { log, flush, flushSync } = openLog({ fd: 1, format: 'plain', levels: 'info', program: 'p', clock: systemClock })
  process.on('exit', flushSync)`

function logInto(lines: string[], format: LogFormat = 'plain', levels = new LogLevels()): ScopedLog {
  return createLog({ write: (line) => lines.push(line), format, clock: new FakeClock(), levels, program: 'ztunnel' })
}

void t.test('log levels: the longest target wins, a bare level is for all others', async (t) => {
  const levels = new LogLevels('warn,access=debug,ztunnel::proxy=off,ztunnel::proxy::inbound=trace')
  t.equal(levels.threshold('access'), 4)
  t.equal(levels.threshold('access2'), 2, 'a target is not a prefix of text')
  t.equal(levels.threshold('ztunnel::proxy'), 0)
  t.equal(levels.threshold('ztunnel::proxy::outbound'), 0)
  t.equal(levels.threshold('ztunnel::proxy::inbound::x'), 5)
  t.equal(levels.threshold('ztunnel::state'), 2)
  t.equal(levels.toString(), 'ztunnel::proxy::inbound=trace,ztunnel::proxy=off,access=debug,warn')
})

void t.test('log levels change at run time and go back', async (t) => {
  const levels = new LogLevels()
  t.equal(levels.toString(), 'info')
  levels.add('access=debug')
  t.equal(levels.toString(), 'access=debug,info')
  levels.add('access=error,b=OFF, error')
  t.equal(levels.toString(), 'access=error,b=off,error')
  levels.reset()
  t.equal(levels.toString(), 'info')
  const initial = new LogLevels('access=debug')
  t.equal(initial.toString(), 'access=debug,info', 'to ask for more of one target does not silence the rest')
  initial.add('off')
  initial.reset()
  t.equal(initial.toString(), 'access=debug,info')
})

void t.test('a level that cannot be read is refused and changes nothing', async (t) => {
  const levels = new LogLevels()
  const version = levels.version
  const many = Array.from({ length: 101 }, (_, i) => `t${i}=info`).join(',')
  for (const bad of ['', 'loud', 'access', 'access=', 'access=loud', '=info', 'a b=info', 'info,', 'a\n=info', many]) {
    t.throws(() => levels.add(bad), { code: 'bad-level' }, JSON.stringify(bad).slice(0, 50))
    t.throws(() => new LogLevels(bad), { code: 'bad-level' })
  }
  levels.add(Array.from({ length: 60 }, (_, i) => `a${i}=info`).join(','))
  t.throws(() => levels.add(Array.from({ length: 60 }, (_, i) => `b${i}=info`).join(',')), { code: 'bad-level' })
  t.equal(levels.version, version + 1)
})

void t.test('plain lines are tab-separated; strings are quoted, numbers and addresses are not', async (t) => {
  const lines: string[] = []
  const log = logInto(lines)
  log.info('hello')
  log.scope('proxy::inbound').warn('a "b" c', { text: 'x', n: 1.5, yes: true, none: undefined, 'src.addr': '[::1]:80' })
  log.target('access').error('it', { 'dst.addr': 'ev il', text: 'say "\\' })
  log.debug('unseen')
  t.same(lines, [
    '2026-01-01T00:00:00.000000Z\tinfo\tztunnel\thello\n',
    '2026-01-01T00:00:00.000000Z\twarn\tproxy::inbound\ta "b" c\ttext="x" n=1.5 yes=true src.addr=[::1]:80\n',
    '2026-01-01T00:00:00.000000Z\terror\taccess\tit\tdst.addr="ev il" text="say \\"\\\\"\n',
  ])
})

void t.test(
  'JSON lines carry the full target, numbers as numbers, and no field passes for a key of the line',
  async (t) => {
    const lines: string[] = []
    const log = logInto(lines, 'json')
    log
      .scope('proxy::inbound')
      .info('say "hi"', { 'src.addr': '10.0.0.1:80', n: 4, nan: Number.NaN, yes: false, level: 'x' })
    log.warn('bare')
    t.same(
      lines.map((line): unknown => JSON.parse(line)),
      [
        {
          level: 'info',
          time: '2026-01-01T00:00:00.000000Z',
          scope: 'ztunnel::proxy::inbound',
          message: 'say "hi"',
          'src.addr': '10.0.0.1:80',
          n: 4,
          nan: null,
          yes: false,
          'field.level': 'x',
        },
        { level: 'warn', time: '2026-01-01T00:00:00.000000Z', scope: 'ztunnel', message: 'bare' },
      ],
    )
    t.ok(lines[0]?.startsWith('{"level":"info","time":"2026-01-01T00:00:00.000000Z","scope":'))
  },
)

void t.test('levels that change count from the next line on, for each target by itself', async (t) => {
  const lines: string[] = []
  const levels = new LogLevels()
  const log = logInto(lines, 'plain', levels)
  const access = log.target('access')
  access.debug('1')
  levels.add('access=debug')
  access.debug('2')
  log.debug('3')
  levels.add('off')
  log.error('4')
  access.info('5')
  t.equal(access.enabled('debug'), true)
  t.equal(log.enabled('error'), false)
  t.same(
    lines.map((line) => line.split('\t')[3]),
    ['2\n', '5\n'],
  )
})

void t.test('time has microseconds and survives a change of the second', async (t) => {
  const lines: string[] = []
  const times = [1_767_225_599_999.25, 1_767_225_600_000, 1_767_225_600_001, 1_767_225_599_000]
  const timers = new FakeClock()
  const clock: Clock = {
    now: () => times.shift() ?? 0,
    monotonicMs: () => timers.monotonicMs(),
    after: (ms, callback) => timers.after(ms, callback),
  }
  const log = createLog({
    write: (line) => lines.push(line),
    format: 'plain',
    clock,
    levels: new LogLevels(),
    program: 'z',
  })
  for (let i = 0; i < 4; i++) log.info('x')
  t.same(
    lines.map((line) => line.split('\t')[0]),
    [
      '2025-12-31T23:59:59.999250Z',
      '2026-01-01T00:00:00.000000Z',
      '2026-01-01T00:00:00.001000Z',
      '2025-12-31T23:59:59.000000Z',
    ],
  )
})

void t.test("no text of a peer ends a line, steers a terminal, or grows beyond a pipe's atomic write", async (t) => {
  const anyText = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ maxLength: 6000 }))
  const hostile = 'a\r\n2026\tinfo\u001b[2J\u0000\u202e\u2028\u0085é\ud800'
  fc.assert(
    fc.property(anyText, fc.dictionary(fc.constantFrom('a', 'b', 'c.addr', 'd'), anyText), (message, fields) => {
      for (const format of ['plain', 'json'] as const) {
        const lines: string[] = []
        logInto(lines, format).info(message, fields)
        const [line = ''] = lines
        if (!/^[ -~\t]*\n$/.test(line) || line.length > MAX_LINE_BYTES) return false
        if (format === 'json') JSON.parse(line)
        else if (line.split('\t').length > 5) return false
      }
      return true
    }),
    { examples: [[hostile, { a: hostile, 'c.addr': hostile }]], numRuns: 500 },
  )
  const lines: string[] = []
  logInto(lines).info(hostile, { 'c.addr': hostile })
  t.equal(
    lines[0]?.split('\t').slice(3).join('\t'),
    'a\\r\\n2026\\tinfo\\u{1b}[2J\\u{0}\\u{202e}\\u{2028}\\u{85}\\u{e9}\\u{d800}\tc.addr="a\\r\\n2026\\tinfo\\u{1b}[2J\\u{0}\\u{202e}\\u{2028}\\u{85}\\u{e9}\\u{d800}"\n',
  )
  const json: string[] = []
  logInto(json, 'json').info(hostile)
  const parsed: unknown = JSON.parse(json[0] ?? '')
  t.match(parsed, { message: hostile })
})

void t.test('long values are cut and marked; with many, the last are left out', async (t) => {
  const lines: string[] = []
  const log = logInto(lines)
  log.info('x', { long: 'y'.repeat(2000) })
  t.ok(lines[0]?.endsWith(`long="${'y'.repeat(1024)}...(cut)"\n`))
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, 'z'.repeat(200)]))
  log.info('m'.repeat(3000), many)
  const line = lines[1] ?? ''
  t.ok(line.length <= MAX_LINE_BYTES)
  t.match(line, /f0="z{128}\.\.\.\(cut\)" f1=/)
  t.notMatch(line, /f39/)
})

/** A sink whose writes end when the test says so. */
function heldSink() {
  const written: string[] = []
  const pending: (() => void)[] = []
  const sink = {
    maxWriteBytes: 4096,
    write(text: string, done: () => void): void {
      written.push(text)
      pending.push(done)
    },
    writeSync: (text: string): void => void written.push(text),
  }
  return { written, sink, finish: () => pending.shift()?.() }
}

void t.test('lines are gathered for a moment, then written together, one write at a time', async (t) => {
  const clock = new FakeClock()
  const { written, sink, finish } = heldSink()
  const writer = new LineWriter({ sink, clock })
  writer.write('a\n')
  writer.write('b\n')
  t.same(written, [])
  await clock.advance(20)
  t.same(written, ['a\nb\n'])
  writer.write('c\n')
  await clock.advance(50)
  t.same(written, ['a\nb\n'], 'the next waits for the one under way')
  finish()
  t.same(written, ['a\nb\n', 'c\n'])
  writer.write('d\n')
  finish()
  t.equal(written.length, 2, 'a line that came during a write has its moment too')
  await clock.advance(20)
  t.same(written, ['a\nb\n', 'c\n', 'd\n'])
  writer.write('e\n')
  const flushed = writer.flush()
  finish()
  t.equal(written[3], 'e\n', 'but does not make a flush wait')
  finish()
  await flushed
  t.equal(clock.pendingTimers, 0)
})

void t.test('no write is larger than 4096 bytes and no line is torn', async (t) => {
  const clock = new FakeClock()
  const { written, sink, finish } = heldSink()
  const writer = new LineWriter({ sink, clock })
  const lines = Array.from({ length: 100 }, (_, i) => `${String(i).repeat(1 + ((i * 37) % 500))}\n`)
  for (const line of lines) writer.write(line)
  const flushed = writer.flush()
  for (let i = 0; i < 100; i++) finish()
  await flushed
  t.equal(written.join(''), lines.join(''))
  for (const text of written) t.ok(text.length <= 4096 && text.endsWith('\n'))
  t.ok(written.length < 20)
  t.equal(clock.pendingTimers, 0)
})

void t.test('a reader that stands still costs lines, which are counted, and never a wait', async (t) => {
  const clock = new FakeClock()
  const { written, sink, finish } = heldSink()
  const dropped: number[] = []
  const writer = new LineWriter({
    sink,
    clock,
    maxQueuedBytes: 10_000,
    onDropped: (count) => {
      dropped.push(count)
      writer.write('dropped\n')
    },
  })
  const line = `${'x'.repeat(99)}\n`
  for (let i = 0; i < 1000; i++) writer.write(line)
  const flushed = writer.flush()
  for (let i = 0; i < 20; i++) finish()
  await flushed
  const text = written.join('')
  const kept = text.split('x\n').length - 1
  t.equal(dropped.length, 1)
  t.equal(kept + (dropped[0] ?? 0), 1000, 'none is lost without being counted')
  t.ok(kept >= 100 && kept <= 141)
  t.ok(text.includes('dropped\n'))
})

void t.test('at the end all is written at once', async (t) => {
  const { written, sink } = heldSink()
  const writer = new LineWriter({ sink, clock: new FakeClock() })
  for (let i = 0; i < 100; i++) writer.write(`${i} ${'x'.repeat(100)}\n`)
  writer.flushSync()
  writer.flushSync()
  t.equal(written.join('').split('\n').length, 101)
  const idle = new LineWriter({ sink, clock: new FakeClock() })
  await idle.flush()
})

void t.test('a process ends though the reader of the pipe stands still', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-log-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'fifo')
  execFileSync('mkfifo', [path])
  const fifo = openSync(path, constants.O_RDWR)
  const program = `${OPEN}
    setInterval(() => {}, 1_000) // the caller keeps the process
    for (let i = 0; i < 20_000; i++) log.info('line', { i })
    await flush()
    process.exit(7)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', fifo, 'inherit'] })
  t.same(await once(child, 'exit'), [7, null])
  closeSync(fifo)
})

void t.test('a process that exits at once leaves all of its lines in the pipe, whole', async (t) => {
  const program = `${OPEN}
    for (let i = 0; i < 2000; i++) log.info('line', { i })
    await new Promise((resolve) => setImmediate(resolve))
    for (let i = 2000; i < 3000; i++) log.info('line', { i })
    process.exit(0)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  const numbers = output
    .trimEnd()
    .split('\n')
    .map((line) => Number(/i=(\d+)$/.exec(line)?.[1]))
    .sort((a, b) => a - b)
  t.same(numbers, [...Array(3000).keys()])
})
