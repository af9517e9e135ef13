import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { systemClock, type Clock } from '../../clock/index.ts'
import { silentLog } from '../../log/index.ts'
import { LocalFileSource } from './index.ts'
import { workloads } from './local-file-fixture.ts'

const MIB = 1024 * 1024

interface Watched {
  readonly source: LocalFileSource
  readonly errors: string[]
  /** Sizes of the updates. */
  readonly updates: number[]
  readonly write: (text: string) => void
  /** Waits until so many updates came, or errors were told. */
  readonly until: (updates: number, errors?: number) => Promise<void>
}

function watched(
  t: { teardown(end: () => void): void },
  text: string,
  maxReadingBytes: number,
  clock: Clock = systemClock,
): Watched {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-mesh-'))
  const path = join(directory, 'mesh.yaml')
  const errors: string[] = []
  const updates: number[] = []
  const source = new LocalFileSource({
    from: { path },
    clock,
    log: { ...silentLog, error: (_text: string, fields?: unknown) => errors.push(JSON.stringify(fields)) },
    maxReadingBytes,
    onUpdate: ({ upserts }) => void updates.push(upserts.length),
  })
  const write = (content: string): void => {
    writeFileSync(`${path}.new`, content)
    // Nobody has written to it for long: it is taken for complete at the first look.
    utimesSync(`${path}.new`, 1, 1)
    renameSync(`${path}.new`, path)
  }
  t.teardown(() => {
    source.stop()
    rmSync(directory, { recursive: true })
  })
  write(text)
  const until = async (wanted: number, wantedErrors = 0): Promise<void> => {
    for (let i = 0; i < 3_000 && (updates.length < wanted || errors.length < wantedErrors); i++) await setTimeout(10)
  }
  return { source, errors, updates, write, until }
}

/** Takes some 150 times its size to be read. */
function emptyMappings(bytes: number): string {
  return `[${'{},'.repeat(bytes / 3)}]`
}

void t.test('a file that takes too much memory to be read, or is too large, changes nothing', async (t) => {
  const { source, errors, updates, write, until } = watched(t, workloads(10), 32 * MIB)
  await source.start()
  write(emptyMappings(3 * MIB))
  await until(1, 1)
  t.match(errors, [
    /reading it takes more than 32 MiB of memory; if it is the mesh, give the container or machine more/,
  ])
  write('#'.repeat(5 * MIB))
  await until(1, 2)
  t.match(errors[1], /it is larger than 4194304 bytes; if it is the mesh, give the container or machine more memory/)
  t.equal(source.current.length, 10, 'what was good stays')
  write(workloads(11))
  await until(2)
  t.same(updates, [10, 1], 'and the next good one is taken')
})

void t.test('at start such a file is refused', async (t) => {
  const { source } = watched(t, emptyMappings(3 * MIB), 32 * MIB)
  await t.rejects(source.start(), { message: /mesh\.yaml: reading it takes more than 32 MiB of memory/ })
})

void t.test('a file that changes while it is read is given up for the newer one', async (t) => {
  const { source, errors, updates, write, until } = watched(t, workloads(10), 2_048 * MIB)
  await source.start()
  // Some seconds of work: a second workload of the same name in its last line would be an error.
  write(
    `${workloads(60_000)}  - { namespace: default, uid: cluster1//Pod/default/w0, workloadIps: [], services: {} }\n`,
  )
  await setTimeout(400)
  write(workloads(11))
  await until(2)
  t.same(updates, [10, 1])
  t.same(errors, [], 'what was wrong with the older one is not told')
})

void t.test('where the end comes while one is given up, the newer one is not read', async (t) => {
  let isWritten = false
  let mesh: Watched | undefined
  const clock: Clock = {
    ...systemClock,
    after: (delayMs, callback) =>
      systemClock.after(delayMs, () => {
        callback()
        if (isWritten) mesh?.source.stop()
      }),
  }
  mesh = watched(t, workloads(20_000), 2_048 * MIB, clock)
  const started = mesh.source.start()
  mesh.write(workloads(20_001))
  isWritten = true
  await t.rejects(started, { message: /mesh\.yaml: the reading was stopped/ })
  t.same(mesh.updates, [])
})
