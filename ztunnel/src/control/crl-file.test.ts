import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'
import t from 'tap'
import { blamedOn } from '../config/index.ts'
import { CrlFile } from './crl-file.ts'

/** What is said of a file with this content, or of none, when ztunnel starts. */
async function saidOf(content: string | undefined): Promise<readonly string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-crl-'))
  const path = join(directory, 'crl.pem')
  if (content !== undefined) writeFileSync(path, content)
  const said: string[] = []
  const told = (level: string) => (text: string) => void said.push(`${level}: ${text.replaceAll(directory, '')}`)
  const log: Log = { error: told('error'), warn: told('warn'), info: told('info'), debug: told('debug') }
  const file = new CrlFile({ path, clock: new FakeClock(), log, broadcast: () => {} })
  try {
    await blamedOn('CRL_PATH', () => file.start())
  } catch (error) {
    said.push(String(error).replaceAll(directory, ''))
  }
  file.stop()
  rmSync(directory, { recursive: true })
  return said
}

void t.test('lists that revoke nobody because there are none are no success', async (t) => {
  t.strictSame(await saidOf(undefined), ['warn: CRL_PATH=/crl.pem does not exist: nothing is revoked until it does'])
  for (const empty of ['', '-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n'])
    t.strictSame(await saidOf(empty), ['warn: CRL_PATH=/crl.pem holds no revocation list: nothing is revoked'])
})

void t.test('what is no list is a problem of the configuration, with its variable', async (t) => {
  const [problem, ...more] = await saidOf('hello')
  t.match(problem, /^ConfigError: .*\n {2}- CRL_PATH: \/crl\.pem: .* it is neither PEM \(-----BEGIN…\) nor DER/)
  t.same(more, [])
})
