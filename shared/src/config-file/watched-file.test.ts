import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { FakeClock, systemClock, type Clock } from '../clock/index.ts'
import type { Log } from '../log/index.ts'
import { newFifo } from './fifo-fixture.ts'
import { WatchedFile } from './index.ts'

interface Watched {
  readonly directory: string
  readonly path: string
  readonly loaded: string[]
  readonly errors: string[]
  readonly file: WatchedFile
  /** Waits until so many contents were loaded, or errors told. */
  readonly until: (loaded: number, errors?: number) => Promise<void>
}

type Teardown = { teardown(end: () => void): void }

/** The file's directory is one below a temporary one; nothing is made there. */
function watchedBelow(t: Teardown): Watched {
  return watched(t, false, systemClock, 'below')
}

function watched(t: Teardown, mayComeLater = false, clock: Clock = systemClock, below = ''): Watched {
  const temporary = mkdtempSync(join(tmpdir(), 'ambit-file-'))
  const directory = join(temporary, below)
  const path = join(directory, 'file')
  const loaded: string[] = []
  const errors: string[] = []
  const log: Log = {
    error: (_text: string, fields?: unknown) => errors.push(JSON.stringify(fields)),
    warn: () => {},
    info: () => {},
    debug: () => {},
  }
  const load = (content: Buffer): void => {
    if (content.includes('bad')) throw new Error('it is bad')
    loaded.push(content.toString())
  }
  const file = new WatchedFile({ path, clock, log, load, mayComeLater })
  t.teardown(() => {
    file.stop()
    rmSync(temporary, { recursive: true })
  })
  const until = async (wanted: number, wantedErrors = 0): Promise<void> => {
    for (let i = 0; i < 500 && (loaded.length < wanted || errors.length < wantedErrors); i++) await setTimeout(10)
  }
  return { directory, path, loaded, errors, file, until }
}

void t.test('a file is loaded, and again when it is written, replaced or swapped by a link', async (t) => {
  const { directory, path, loaded, file, until } = watched(t)
  writeFileSync(path, 'one')
  await file.start()
  writeFileSync(path, 'two')
  await until(2)
  writeFileSync(`${path}.new`, 'three')
  renameSync(`${path}.new`, path)
  await until(3)
  mkdirSync(join(directory, 'v1'))
  writeFileSync(join(directory, 'v1', 'file'), 'four')
  symlinkSync(join(directory, 'v1', 'file'), `${path}.link`)
  renameSync(`${path}.link`, path)
  await until(4)
  t.same(loaded, ['one', 'two', 'three', 'four'])
})

void t.test('what is bad is reported once, and what was good stays', async (t) => {
  const { directory, path, loaded, errors, file, until } = watched(t)
  writeFileSync(path, 'one')
  await file.start()
  writeFileSync(path, 'bad')
  await until(1, 1)
  writeFileSync(join(directory, 'other'), 'x')
  await setTimeout(300)
  t.same(errors, ['{"file":"file","error":"it is bad"}'], 'not again for another file of the directory')
  unlinkSync(path)
  await until(1, 2)
  t.match(errors[1], /there is no such file/)
  writeFileSync(path, 'two')
  await until(2)
  t.same(loaded, ['one', 'two'])
})

void t.test('at start a file must be there and good, unless it may come later', async (t) => {
  await t.rejects(watched(t).file.start(), /there is no such file/)
  const bad = watched(t)
  writeFileSync(bad.path, 'bad')
  await t.rejects(bad.file.start(), { message: `${bad.path}: it is bad` })
  const late = watched(t, true)
  await late.file.start()
  t.same(late.loaded, [''])
  writeFileSync(join(late.directory, 'other'), 'x')
  await setTimeout(700)
  t.same(late.errors, [], 'that it is not there yet is no error')
  writeFileSync(late.path, 'there')
  await late.until(2)
  unlinkSync(late.path)
  await late.until(2, 1)
  t.same(late.loaded, ['', 'there'], 'one that goes leaves what it said')
})

void t.test('other writing in the directory does not put a change off', async (t) => {
  const { directory, path, loaded, file, until } = watched(t)
  writeFileSync(path, 'one')
  await file.start()
  const busy = setInterval(() => writeFileSync(join(directory, 'busy'), String(Math.random())), 20)
  writeFileSync(path, 'two')
  await until(2)
  clearInterval(busy)
  t.same(loaded, ['one', 'two'])
})

/** Time stands still but for what the test lets pass; that a file changed comes from the kernel when it likes. */
async function noticed(clock: FakeClock): Promise<void> {
  for (let i = 0; i < 500 && clock.pendingWithin(50) === 0; i++) await setTimeout(10)
}

void t.test('half of a file is not loaded, however slowly it is written, by whatever clock', async (t) => {
  const clock = new FakeClock()
  const { path, loaded, file } = watched(t, false, clock)
  writeFileSync(path, 'one')
  await file.start()
  writeFileSync(path, '')
  await noticed(clock)
  for (const part of ['allow', ' these', ', deny', ' those']) {
    await clock.advance(50)
    clock.stepWallClock(1_000)
    await clock.advance(50)
    appendFileSync(path, part)
  }
  await clock.advance(100)
  t.same(loaded, ['one'])
  await clock.advance(150)
  t.same(loaded, ['one', 'allow these, deny those'])
  t.equal(clock.pendingWithin(3_000), 0)
})

void t.test('a file that is written to all the time is loaded every few seconds, by whatever clock', async (t) => {
  const clock = new FakeClock()
  const { path, loaded, file } = watched(t, false, clock)
  writeFileSync(path, 'one')
  await file.start()
  appendFileSync(path, '.')
  await noticed(clock)
  clock.stepWallClock(-3_600_000)
  for (let ms = 0; ms < 2_800; ms += 100) {
    await clock.advance(100)
    appendFileSync(path, '.')
  }
  t.same(loaded, ['one'])
  for (let ms = 0; ms < 300; ms += 100) {
    await clock.advance(100)
    appendFileSync(path, '.')
  }
  t.equal(loaded.length, 2)
  await noticed(clock)
  await clock.advance(400)
  t.equal(loaded.at(-1), `one${'.'.repeat(32)}`)
})

void t.test('a file of which nothing is left leaves what it said', async (t) => {
  const { path, loaded, errors, file, until } = watched(t)
  writeFileSync(path, 'one')
  await file.start()
  truncateSync(path)
  await until(1, 1)
  t.match(errors, [/the file is empty; what it said before is kept/])
  writeFileSync(path, 'two')
  await until(2)
  t.same(loaded, ['one', 'two'])
})

void t.test('a file that is too large is not read', async (t) => {
  const { path, loaded, errors, file, until } = watched(t)
  writeFileSync(path, 'one')
  await file.start()
  truncateSync(path, 3 * 2 ** 30)
  await until(1, 1)
  t.match(errors, [/larger than 268435456 bytes/])
  t.same(loaded, ['one'])
})

void t.test('a directory that goes and comes again is followed on', async (t) => {
  const { directory, loaded, errors, file, until } = watchedBelow(t)
  mkdirSync(directory)
  writeFileSync(join(directory, 'file'), 'one')
  await file.start()
  rmSync(directory, { recursive: true })
  mkdirSync(directory)
  writeFileSync(join(directory, 'file'), 'two')
  await until(2)
  renameSync(directory, `${directory}.old`)
  await until(2, 1)
  mkdirSync(directory)
  writeFileSync(join(directory, 'file'), 'three')
  await until(3)
  writeFileSync(join(directory, 'file'), 'four')
  await until(4)
  t.same(loaded, ['one', 'two', 'three', 'four'])
  t.match(errors, [/there is no such file/])
})

void t.test('a link to the directory that points elsewhere is noticed', async (t) => {
  const clock = new FakeClock()
  const { directory, loaded, file } = watched(t, false, clock, 'link')
  const versions = ['v1', 'v2'].map((name) => join(directory, '..', name))
  for (const version of versions) {
    mkdirSync(version)
    writeFileSync(join(version, 'file'), version)
  }
  symlinkSync('v1', directory)
  await file.start()
  symlinkSync('v2', `${directory}.new`)
  renameSync(`${directory}.new`, directory)
  for (let i = 0; i < 4; i++) await clock.advance(5_000)
  t.same(loaded, versions)
})

void t.test('what is no regular file is reported, and the next one is loaded', async (t) => {
  const { directory, path, loaded, errors, file, until } = watched(t)
  writeFileSync(path, 'one')
  await file.start()
  newFifo(t, join(directory, 'fifo'))
  symlinkSync('fifo', `${path}.link`)
  renameSync(`${path}.link`, path)
  await until(1, 1)
  writeFileSync(`${path}.two`, 'two')
  renameSync(`${path}.two`, path)
  await until(2, 1)
  symlinkSync('/dev/zero', `${path}.zero`)
  renameSync(`${path}.zero`, path)
  await until(2, 2)
  mkdirSync(join(directory, 'v1'))
  symlinkSync('v1', `${path}.v1`)
  renameSync(`${path}.v1`, path)
  await until(2, 3)
  t.same(loaded, ['one', 'two'])
  t.match(errors, [/"it is no regular file"/, /"it is no regular file"/, /"it is a directory"/])
  const atStart = watched(t)
  newFifo(t, atStart.path)
  await t.rejects(atStart.file.start(), { message: `${atStart.path}: it is no regular file` })
})

interface Slow {
  readonly path: string
  readonly file: WatchedFile
  /** What was begun to be loaded, and what was given up, in order. */
  readonly events: string[]
  /** Ends the load that is under way. */
  readonly finish: () => void
  readonly until: (events: number) => Promise<void>
}

/** Loads are under way until they are told to end, or given up. */
function slowlyLoaded(t: Teardown, onGivenUp = (): void => {}): Slow {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-file-'))
  const path = join(directory, 'file')
  const events: string[] = []
  let finish: (() => void) | undefined
  const load = async (content: Buffer, newer: AbortSignal): Promise<void> => {
    events.push(content.toString())
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    finish = resolve
    newer.addEventListener('abort', () => {
      events.push(`not ${content.toString()}`)
      onGivenUp()
      reject(newer.reason)
    })
    await promise
  }
  const file = new WatchedFile({
    path,
    clock: systemClock,
    log: { error: (text) => events.push(text), warn: () => {}, info: () => {}, debug: () => {} },
    load,
  })
  t.teardown(() => {
    file.stop()
    rmSync(directory, { recursive: true })
  })
  const until = async (wanted: number): Promise<void> => {
    for (let i = 0; i < 500 && events.length < wanted; i++) await setTimeout(10)
  }
  return { path, file, events, finish: () => finish?.(), until }
}

void t.test('a load is given up for a newer content, but not two in a row', async (t) => {
  const { path, file, events, finish, until } = slowlyLoaded(t)
  writeFileSync(path, 'one')
  const started = file.start()
  await until(1)
  writeFileSync(path, 'two')
  await until(3)
  t.same(events, ['one', 'not one', 'two'], 'at start as well')
  writeFileSync(path, 'three')
  await setTimeout(500)
  t.equal(events.length, 3)
  finish()
  await started
  await until(4)
  // As an editor does that writes what was there already.
  writeFileSync(path, 'three')
  await until(6)
  truncateSync(path)
  await setTimeout(500)
  finish()
  await until(7)
  t.same(events.slice(3), ['three', 'not three', 'three', 'file not taken over, the last good state stays'])
  writeFileSync(path, 'four')
  await until(8)
  truncateSync(path)
  await setTimeout(500)
  finish()
  await until(9)
  t.same(events.slice(7), ['four', 'file not taken over, the last good state stays'], 'nothing is not newer')
})

void t.test('a content that was given up is loaded when a link points to it again', async (t) => {
  const pointTo = (name: string): void => {
    symlinkSync(name, `${path}.link`)
    renameSync(`${path}.link`, path)
  }
  const { path, file, events, finish, until } = slowlyLoaded(t, () => pointTo('v2'))
  for (const name of ['v1', 'v2', 'v3']) writeFileSync(join(path, '..', name), name)
  pointTo('v1')
  const started = file.start()
  finish()
  await started
  pointTo('v2')
  await until(2)
  pointTo('v3')
  await until(4)
  t.same(events, ['v1', 'v2', 'not v2', 'v2'])
  finish()
})
