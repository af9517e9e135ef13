import { readFileSync } from 'node:fs'
import t from 'tap'
import { LOG_TARGETS } from './log-targets.ts'

void t.test('the targets are those that lines are logged as', async (t) => {
  const control = readFileSync(new URL('control/control.ts', import.meta.url), 'utf8')
  const scopes = new Set([...control.matchAll(/\.scope\('([\w:]+)'\)/g)].map(([, scope = '']) => `ztunnel::${scope}`))
  t.strictSame(LOG_TARGETS, ['access', 'ztunnel', ...[...scopes].sort()])
})
