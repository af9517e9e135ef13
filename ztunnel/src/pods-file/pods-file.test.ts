import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { systemClock } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'
import { PodsFileSource } from './index.ts'
import { parsePodsFile } from './pods-file.ts'

const POD = '{ name: a, namespace: n, serviceAccount: s, netns: /run/netns/a }'

void t.test('pods have a place; service account and uid have defaults', async (t) => {
  t.same(parsePodsFile(`pods: [${POD}, {name: b, namespace: n, netns: /proc/7/ns/net, uid: u}]`), [
    { name: 'a', namespace: 'n', serviceAccount: 's', netns: '/run/netns/a', uid: 'n/a' },
    { name: 'b', namespace: 'n', serviceAccount: 'default', netns: '/proc/7/ns/net', uid: 'u' },
  ])
})

void t.test('no pods are meant only where the file says so', async (t) => {
  t.same(parsePodsFile('pods: []'), [])
  for (const text of ['', '# pods: []', 'pods:', 'pods: null', '{}', 'null', '---'])
    t.throws(() => parsePodsFile(text), { message: /pods: is required: a list of pods, \[\] for none/ }, text)
})

void t.test('what is wrong is told with its line, all of it together', async (t) => {
  const text = `pods:
  - { name: a, namespace: n, netns: relative }
  - { name: a, namespace: n, netns: /x }
  - { namespace: n, netns: /y, colour: red }
  - 5
  - { name: b, namespace: n, netns: /x }
`
  t.throws(() => parsePodsFile(text), { message: /2:\d+ pods\[0\]\.netns: must be an absolute path/ })
  t.throws(() => parsePodsFile(text), { message: /3:\d+ pods\[1\]: another pod has the uid n\/a already/ })
  t.throws(() => parsePodsFile(text), { message: /pods\[2\]\.name: is required/ })
  t.throws(() => parsePodsFile(text), { message: /pods\[2\]\.colour: unknown key/ })
  t.throws(() => parsePodsFile(text), { message: /pods\[3\]: must be a mapping/ })
  t.throws(() => parsePodsFile(text), { message: /6:\d+ pods\[4\]: another pod has the network namespace \/x already/ })
  t.throws(() => parsePodsFile('pods: ['), { message: /1:\d+/ })
  t.throws(() => parsePodsFile(`pods: [${'{},'.repeat(10_001)}]`), { message: /more than 10000 pods/ })
})

void t.test('what cannot stand in an identity is refused with its line', async (t) => {
  const text = `pods:
  - { name: a, namespace: 'a,b', serviceAccount: 's"x', netns: /x }
  - { name: b, namespace: '', netns: /y }
`
  t.throws(() => parsePodsFile(text), { message: /2:\d+ pods\[0\]\.namespace: "a,b" cannot stand in an identity: use/ })
  t.throws(() => parsePodsFile(text), { message: /2:\d+ pods\[0\]\.serviceAccount: "s\\"x" cannot stand/ })
  t.throws(() => parsePodsFile(text), { message: /3:\d+ pods\[1\]\.namespace: "" cannot stand/ })
})

void t.test('the file is followed: what is added, removed and changed; a bad edit changes nothing', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-pods-'))
  const path = join(directory, 'pods.yaml')
  const write = (text: string): void => {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  const changes: string[] = []
  const errors: string[] = []
  const log: Log = {
    error: (text: string, fields?: unknown) => errors.push(`${text} ${JSON.stringify(fields)}`),
    warn: () => {},
    info: () => {},
    debug: () => {},
  }
  write(`pods: [${POD}]`)
  const source = new PodsFileSource({
    path,
    clock: systemClock,
    log,
    onChange: (added, removed) => changes.push(`+${added.map(({ uid }) => uid).join()} -${removed.join()}`),
  })
  const next = async (text: string, done: () => boolean): Promise<void> => {
    write(text)
    for (let i = 0; i < 500 && !done(); i++) await setTimeout(10)
  }
  try {
    await source.start()
    await next(`pods: [${POD}, {name: b, namespace: n, netns: /b}]`, () => changes.length === 2)
    await next('pods: [{]', () => errors.length === 1)
    await next('# pods:', () => errors.length === 2)
    await next(`pods: [{name: b, namespace: n, netns: /elsewhere}]`, () => changes.length === 3)
    await next('pods: []', () => changes.length === 4)
  } finally {
    source.stop()
    rmSync(directory, { recursive: true })
  }
  t.same(changes, ['+n/a -', '+n/b -', '+n/b -n/a,n/b', '+ -n/b'])
  t.match(errors[1], /pods: is required/, 'an empty file releases no pod')
  t.match(errors[0], /last good state stays.*pods\.yaml/)
  await t.rejects(
    new PodsFileSource({ path, clock: systemClock, log, onChange: () => {} }).start(),
    /: there is no such file$/,
  )
})
