// ztunnel from the command line: takes the TCP traffic of this node's pods and carries it over HBONE.
import { messageOf } from '@ambit/shared/errors'
import { ConfigError, describeVariables, readConfig } from './config/index.ts'
import { Control } from './control/control.ts'
import { version } from './version.ts'

const USAGE = `ztunnel: carries the TCP traffic of this node's pods over HBONE, with identity and L4 policy.

usage: ztunnel [proxy [ztunnel]]   run until SIGTERM, SIGINT or POST /quitquitquit
       ztunnel version             print the version
       ztunnel help                this text

Configured by environment variables, Istio's where one exists:
`

/** The words that may stand at each place. */
const KNOWN = [['proxy', 'version', '--version', 'help', '--help', '-h'], ['ztunnel']]

function help(): string {
  const lines = describeVariables().map(({ name, fallback, meaning }) => {
    return `  ${name.padEnd(33)} ${meaning}${fallback ? ` [${fallback}]` : ''}`
  })
  return `${USAGE}${lines.join('\n')}\n`
}

async function run(): Promise<number> {
  const config = readConfig(process.env)
  const control = await Control.start(config)
  let signals = 0
  const stop = (signal: NodeJS.Signals): void => {
    signals++
    if (signals > 1 && signal === 'SIGINT') process.exit(0)
    control.shutdown(signal)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  await control.finished
  return 0
}

async function main(words: readonly string[]): Promise<number> {
  const unknown = words.find((word, index) => !KNOWN[index]?.includes(word))
  if (unknown !== undefined) {
    process.stderr.write(`ztunnel: unknown argument "${unknown}"; see: ztunnel help\n`)
    return 2
  }
  switch (words[0]) {
    case 'version':
    case '--version':
      process.stdout.write(`${version()}\n`)
      return 0
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(help())
      return 0
    case undefined:
    default:
      return run()
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`ztunnel: ${messageOf(error)}\n`)
  process.exitCode = error instanceof ConfigError ? 2 : 1
}
// Anything still pending after an orderly end must not hold the process back.
process.exit()
