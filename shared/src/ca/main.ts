// The certificate authority from the command line.
import { systemClock } from '../clock/index.ts'
import { messageOf } from '../errors/index.ts'
import { formatSocketAddress } from '../ip/index.ts'
import { openLog, type OpenedLog } from '../telemetry/index.ts'
import { CaError, type CaErrorCode } from './ca-error.ts'
import { caUsage, readCaOptions, type CaConfig } from './cli/ca-options.ts'
import { runCa } from './cli/run-ca.ts'

/** What was given cannot be used: exit code 2. Whatever else keeps the CA from running: 1. */
const OF_THE_USER: ReadonlySet<CaErrorCode> = new Set([
  'usage',
  'bad-authorizer',
  'bad-authority',
  'permissions',
  'output',
])

async function run(config: CaConfig, opened: OpenedLog): Promise<void> {
  const { log } = opened
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    let signals = 0
    const stop = (signal: NodeJS.Signals): void => {
      signals++
      if (signals === 1) resolve(signal)
      else process.exit(1)
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
  process.on('exit', () => opened.flushSync())
  const server = await runCa(config, systemClock, log)
  log.info('ready: the CA listens', {
    address: formatSocketAddress(server.address),
    trustDomain: config.trustDomain,
  })
  const signal = await stopped
  log.info('stopping', { signal })
  await server.close()
  await opened.flush()
  // What the reader of the log did not take must not hold the process back.
  process.exit()
}

// Node would open its debugger, which hands out the signing key, to all who share the network of this process.
process.on('SIGUSR1', () => {})

try {
  const config = readCaOptions(process.argv.slice(2), process.env)
  if (config === 'help') process.stdout.write(caUsage())
  else {
    const { logFormat: format, logLevels: levels } = config
    await run(config, openLog({ fd: 2, format, levels, program: 'ca', clock: systemClock }))
  }
} catch (error) {
  const code = error instanceof CaError ? error.code : undefined
  process.stderr.write(`ca: ${messageOf(error)}\n${code === 'usage' ? 'See --help.\n' : ''}`)
  process.exitCode = code !== undefined && OF_THE_USER.has(code) ? 2 : 1
}
