import { parseArgs } from 'node:util'
import { commands } from './commands.mjs'

/** Something the user typed that is not understood: exit code 2. */
export class Usage extends Error {}

/** The command and what is passed on to it. Throws Usage. */
export function parseArguments([name, ...rest], environment) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined
  if (!command) throw new Usage(name === undefined ? 'which command?' : `unknown command ${name}`)
  refuseKept(name, command, environment)
  // Commands without options here parse and describe their own.
  const wantsHelp = command.options !== undefined && parse(name, command, rest).help === true
  return { command, rest, wantsHelp }
}

/** Options that were typed before `--` npm keeps to itself, and says so by variables alone. */
function refuseKept(name, { options = {} }, environment) {
  const kept = Object.entries(options).flatMap(([option, { type }]) => {
    // What begins with `no-` is to npm the other one, unset.
    const isNo = option.startsWith('no-')
    const value = environment[`npm_config_${isNo ? option.slice('no-'.length) : option}`]
    if (isNo ? value !== '' : !value) return []
    // Of `--runs 3` it leaves us the 3 as a word.
    return type === 'boolean' ? `--${option}` : `--${option}=${value === 'true' ? '…' : value}`
  })
  if (kept.length === 0) return
  const npm = ['start', 'test'].includes(name) ? 'npm' : 'npm run'
  throw new Usage(`npm takes options before -- for its own; type: ${npm} ${name} -- ${kept.join(' ')}`)
}

function parse(name, { options, takesWords }, args) {
  const help = { type: 'boolean', short: 'h' }
  try {
    return parseArgs({ args, options: { ...options, help }, allowPositionals: takesWords }).values
  } catch (error) {
    // Node's second sentence is about words that begin with a dash; nothing here takes one.
    throw new Usage(`${name}: ${error.message.split('. ')[0]}; see --help`)
  }
}
