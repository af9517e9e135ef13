import { commands } from './commands.mjs'

/** Something the user typed that is not understood: exit code 2. */
export class Usage extends Error {}

/** The command and what is passed on to it. Throws Usage. */
export function parseArguments([name, ...rest]) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined
  if (!command) throw new Usage(name === undefined ? 'which command?' : `unknown command ${name}`)
  // Commands without a text here print their own.
  const wantsHelp = command.help !== undefined && rest.some((word) => word === '--help' || word === '-h')
  const unknown = rest.find(
    (word) => word.startsWith('-') && command.options !== undefined && !known(word, command.options),
  )
  if (unknown !== undefined) throw new Usage(`unknown option ${unknown} of ${name}`)
  return { command, rest, wantsHelp }
}

function known(word, options) {
  return word === '--help' || word === '-h' || options.includes(word.split('=')[0])
}
