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
import { WatchedFile, YamlError, YamlValue } from './index.ts'

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

function problems(text: string, read: (root: YamlValue) => unknown): string {
  try {
    YamlValue.read(text, read)
    return ''
  } catch (error) {
    if (!(error instanceof YamlError)) throw error
    return error.message
  }
}

void t.test('values are read strictly, and every problem has its line and place', async (t) => {
  const map = YamlValue.read('{ a: text, b: 5, c: [1, 2], d: yes, e: true, f: null }', (value) => value)
  const { a, b, c, d, e, f, g } = map.fields('a', 'b', 'c', 'd', 'e', 'f', 'g')
  t.equal(a.text(), 'text')
  t.equal(b.integer({ min: 0, max: 9 }), 5)
  t.equal(b.text(), '5')
  t.same(
    c.list().map((item) => item.integer({ min: 0, max: 9 })),
    [1, 2],
  )
  t.equal(d.text(), 'yes')
  t.equal(e.boolean(), true)
  t.equal(f.isAbsent, true)
  t.equal(g.text('fallback'), 'fallback')
  t.match(
    problems('a: 1\nb: x', (r) => r.fields('a', 'b').b.integer({ min: 0, max: 9 })),
    /2:4 b: must be a whole number from 0 to 9/,
  )
  t.match(
    problems('a: [', () => {}),
    /1:\d/,
  )
  t.match(
    problems('a: {b: 1}', (r) => r.fields('a').a.fields('c')),
    /a\.b: unknown key; it may be one of c/,
  )
  t.match(
    problems('{}', (r) => r.fields('a').a.text()),
    /a: is required/,
  )
})

function textOf(yaml: string): string {
  return YamlValue.read(yaml, (root) => root.fields('a').a.text())
}

const root = (value: YamlValue): unknown => value.fields('a', 'b')
const item = (value: YamlValue): unknown => value.list().map((each) => each.text())

void t.test('a text that says nothing is a problem where it must not be', async (t) => {
  for (const text of ['', '# a: 1\n', '---\n', '~']) {
    t.equal(
      YamlValue.read(text, (value) => value.entries().length),
      0,
    )
    t.throws(() => YamlValue.read(text, () => {}, { mayBeEmpty: false }), {
      message: /the file says nothing; write \{\} if that is meant$/,
    })
  }
  t.equal(
    YamlValue.read('{}', (value) => value.entries().length, { mayBeEmpty: false }),
    0,
  )
})

void t.test('what YAML allows and a strict file does not is a problem with its place', async (t) => {
  t.match(problems('a: 1\na: 2', root), /^2:4 a: is there twice, keys must be unique$/)
  t.match(problems('{ a: 1, "a": 2 }', root), /^1:14 a: is there twice/)
  t.match(problems('? [x]\n: 1', root), /^2:3 \?: the key must be a text$/)
  t.match(problems('a: 1\n--- \nb: 1', root), /the text has more than one document/)
  t.match(problems('%TAG ! tag:x,2000:\n---\na: !Exact x', root), /%TAG is not accepted/)
  t.match(problems('a: !!int "5"', root), /^1:4 the tag !!int is not accepted$/)
  t.match(problems('a: !<tag:x> 5', root), /^1:4 the tag !<tag:x> is not accepted$/)
  t.match(problems('a: {\n  b: 1', root), /^2:\d+ /)
  t.match(problems('a: "x', root), /^1:\d+ /)
  t.match(problems('a: 1\n\tb: 2', root), /^2:\d+ /)
  t.match(problems('['.repeat(10_000), root), /^1:\d+ .*nesting/)
  t.match(problems('- x\n# -\n-\n- y', item), /^3:1 \[1\]: must not be null$/, 'also of what is not written')
  t.match(problems('- "x"\n- ""\r\n- [ ]', item), /^3:3 \[2\]: must be a text$/, 'after quotes and other line ends')
  t.equal(textOf('\ufeff# comment\n---\na: !!str 5 # five\n...\n'), '5')
  t.match(
    problems('{ a: !!str true }', (r) => r.fields('a').a.boolean()),
    /^1:6 a: must be true or false$/,
  )
  t.same(
    YamlValue.read('{ __proto__: 1, constructor: 2 }', (r) => r.entries().map(([key]) => key)),
    ['__proto__', 'constructor'],
  )
  t.match(problems('{ constructor: 1 }', root), /constructor: unknown key/)
})

/** Keys and texts of a mapping of lists. */
function texts(yaml: string): readonly string[] {
  return YamlValue.read(yaml, (value) =>
    value.entries().flatMap(([key, list]) => [key, ...list.list().map((each) => each.text())]),
  )
}

void t.test('an alias stands for what it names, and not for more than can be read', async (t) => {
  t.same(texts('a: &a [&x 007, *x]\nb: *a\n*x : [*x]'), ['a', '007', '007', 'b', '007', '007', '007', '007'])
  t.same(texts('a: [&x 1, *x, &x 2, *x]'), ['a', '1', '1', '2', '2'], 'the last one of a name counts')
  t.match(problems('a: 1\nb: *x', root), /^2:4 the alias \*x names nothing before it$/)
  t.match(problems('a: &a\n  - *a', root), /^2:5 the alias \*a names what it is in$/)
  t.match(
    problems('a: &a 1\n*a : 2\n"1": 3', (v) => v.entries()),
    /^3:6 1: is there twice/,
    'keys by their text',
  )
  t.match(
    problems('a: &a {<<: {b: 1}}', (v) => v.fields('a').a.fields('b')),
    /a\.<<: unknown key/,
    'none is merged',
  )
  const laughs = Array.from({ length: 40 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]`)
  t.match(
    problems(['a0: &a0 [lol]', ...laughs].join('\n'), (value) => value.entries()),
    /^7:26 the aliases up to here repeat more than 1000000 values$/,
  )
})

void t.test('a text is what is written, not the number or truth value that YAML would make of it', async (t) => {
  for (const written of [
    '007',
    '1.10',
    '0x1f',
    '0o17',
    '1e3',
    '+5',
    '-0',
    '.5',
    'True',
    'false',
    'no',
    '.inf',
    '1_000',
  ])
    t.equal(textOf(`{ a: ${written} }`), written)
  t.equal(textOf('a: 12345678901234567890'), '12345678901234567890')
  t.equal(textOf('a: !x 007'), '007')
  t.equal(textOf('a: "~"'), '~')
  t.equal(textOf('a: "\\x41\\n"'), 'A\n')
  t.equal(textOf("a: 'it''s'"), "it's")
  t.equal(textOf('a: >\n  folded\n  text\n'), 'folded text\n')
  t.equal(textOf('a: two\n  lines'), 'two lines')
  for (const nothing of ['', '~', 'null', 'Null', 'NULL']) {
    t.match(
      problems(`a: ${nothing}`, (root) => root.fields('a').a.text()),
      /^1:\d+ a: is required$/,
    )
    t.equal(
      YamlValue.read(`a: ${nothing}`, (root) => root.fields('a').a.text('fallback')),
      'fallback',
    )
  }
  t.same(
    YamlValue.read('{ 007: 1, 1.10: 2, true: 3 }', (root) => root.entries().map(([key]) => key)),
    ['007', '1.10', 'true'],
    'so are the keys of a mapping',
  )
})

void t.test('a whole number has digits, and nothing before them', async (t) => {
  const range = { min: -10, max: 1_000 }
  const integer = (yaml: string): number => YamlValue.read(yaml, (root) => root.fields('a').a.integer(range))
  t.same(['a: 5', 'a: -5', 'a: 0', 'a: 0x1f', 'a: 0o17'].map(integer), [5, -5, 0, 31, 15])
  for (const wrong of ['007', '1e2', '5.0', '"5"', '0x', '.inf', 'true', '1001', '[]'])
    t.throws(() => integer(`a: ${wrong}`), { message: /1:4 a: must be a whole number from -10 to 1000/ }, wrong)
})
