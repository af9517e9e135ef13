import { globSync, readFileSync } from 'node:fs'
import t from 'tap'
import { LOG_TARGETS } from './log-targets.ts'

const NOT_OURS = ['**/*.test.ts', '**/*-fixture.ts', 'shared/src/ca/**']

void t.test('the targets are those that lines are logged as', async (t) => {
  const packages = new URL('../../', import.meta.url)
  const targets = new Set(['ztunnel'])
  for (const file of globSync('{shared,ztunnel}/src/**/*.ts', { cwd: packages, exclude: NOT_OURS })) {
    // What is no literal is a target without a name, and fails.
    for (const [, how = '', name = ''] of readFileSync(new URL(file, packages), 'utf8').matchAll(
      /\blog\.(scope|target)\((?:'([\w:]+)'|[^)]*)\)/g,
    ))
      targets.add(how === 'scope' ? `ztunnel::${name}` : name)
  }
  t.strictSame(LOG_TARGETS, [...targets].sort())
})
