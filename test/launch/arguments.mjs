import { parseArgs } from 'node:util'
import { commands } from './commands.mjs'

/** Something the user typed that is not understood: exit code 2. */
export class Usage extends Error {}

/** The command and what is passed on to it. Throws Usage. */
export function parseArguments([name, ...rest]) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined
  if (!command) throw new Usage(name === undefined ? 'which command?' : `unknown command ${name}`)
  // Commands without options here parse and describe their own.
  const wantsHelp = command.options !== undefined && parse(name, command, rest).help === true
  return { command, rest, wantsHelp }
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
