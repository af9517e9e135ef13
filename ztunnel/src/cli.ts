// ztunnel from the command line: takes the TCP traffic of this node's pods and carries it over HBONE.
import { systemClock } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import { openLog } from '@ambit/shared/telemetry'
import { ConfigError, describeVariables, readConfig, whyUnreadable } from './config/index.ts'
import { Control } from './control/control.ts'
import { sendNow } from './linux/index.ts'
import { version } from './version.ts'

const COMMANDS = `usage: ztunnel [proxy [ztunnel]]   run until SIGTERM, SIGINT or POST /quitquitquit; SIGINT while it drains cuts what is open
       ztunnel version             print the version
       ztunnel help                these, and the variables that configure it
`
const EXIT_STATUS = `Exit status: 0 after SIGTERM, SIGINT or POST /quitquitquit, 1 when it cannot run, 2 when variables are wrong or name files
that cannot be used.
`
const ABOUT = "ztunnel: carries the TCP traffic of this node's pods over HBONE, with identity and L4 policy."

function help(): string {
  const lines = describeVariables().map(({ name, fallback, meaning }) => {
    return `  ${name.padEnd(33)} ${meaning}${fallback ? ` [${fallback}]` : ''}`
  })
  return `${ABOUT}\n\n${COMMANDS}\nConfigured by environment variables, Istio's where one exists:\n${lines.join('\n')}\n\n${EXIT_STATUS}`
}

async function run(): Promise<number> {
  const config = readConfig(process.env, whyUnreadable)
  const { logFormat: format, logLevel: levels } = config.worker
  const logging = openLog({ fd: 1, format, levels, program: 'ztunnel', clock: systemClock, sendNow })
  process.on('exit', () => logging.flushSync())
  const end = new AbortController()
  const stop = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGINT' && end.signal.aborted) {
      logging.log.warn('SIGINT while draining: the connections that are open are cut')
      process.exit(0)
    }
    end.abort(signal)
  }
  // Before anything is started: it may be told to end while it starts.
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  const control = await Control.start(config, logging, end)
  await control.finished
  return 0
}

async function main(words: readonly string[]): Promise<number> {
  if (words.some((word) => word === '--help' || word === '-h')) return say(help())
  // What stands alone, and what Istio's images say: `proxy ztunnel`.
  const [word = 'proxy', ...rest] = words
  const [unknown] = word === 'proxy' && rest[0] === 'ztunnel' ? rest.slice(1) : rest
  if (unknown !== undefined) return refuse(unknown)
  switch (word) {
    case 'proxy':
      return run()
    case 'version':
    case '--version':
      return say(`${version()}\n`)
    case 'help':
      return say(help())
    default:
      return refuse(word)
  }
}

function say(text: string): number {
  process.stdout.write(text)
  return 0
}

function refuse(word: string): number {
  process.stderr.write(`ztunnel: unknown word "${word}"\n\n${COMMANDS}`)
  return 2
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`ztunnel: ${messageOf(error)}\n`)
  process.exitCode = error instanceof ConfigError ? 2 : 1
}
// Anything still pending after an orderly end must not hold the process back.
process.exit()
