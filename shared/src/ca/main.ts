// The certificate authority from the command line.
import { isIPv6 } from 'node:net'
import { systemClock } from '../clock/index.ts'
import { messageOf } from '../errors/index.ts'
import { openLog, type OpenedLog } from '../telemetry/index.ts'
import { CaError } from './ca-error.ts'
import { caUsage, readCaOptions, type CaConfig } from './cli/ca-options.ts'
import { runCa } from './cli/run-ca.ts'

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
  const { address, port } = server.address
  log.info('ready: the CA listens', { address: isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}` })
  const signal = await stopped
  log.info('stopping', { signal })
  await server.close()
  await opened.flush()
}

try {
  const config = readCaOptions(process.argv.slice(2), process.env)
  if (config === 'help') process.stdout.write(caUsage())
  else {
    const { logFormat: format, logLevels: levels } = config
    await run(config, openLog({ fd: 2, format, levels, program: 'ca', clock: systemClock }))
  }
} catch (error) {
  const isUsage = error instanceof CaError && error.code === 'usage'
  process.stderr.write(`ca: ${messageOf(error)}\n${isUsage ? 'See --help.\n' : ''}`)
  process.exitCode = isUsage ? 2 : 1
}
