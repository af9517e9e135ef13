import t from 'tap'
import { YamlError, YamlValue } from './index.ts'

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
    problems('a:\n  b:\n    - 1', (r) => r.fields('a').a.fields('c')),
    /^2:3 a\.b: unknown key/,
    'in the line of the key, not in that of its value',
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
  t.match(problems('a: 1\na: 2', root), /^2:1 a: is there twice, keys must be unique$/)
  t.match(problems('{ a: 1, "a": 2 }', root), /^1:9 a: is there twice/)
  t.match(problems('? [x]\n: 1', root), /^1:3 \?: the key must be a text$/)
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
    /^3:1 1: is there twice/,
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
