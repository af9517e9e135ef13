// The one way in: makes sure of packages, of the pinned Node and of system programs, then runs a command of the project.
// Plain JavaScript, because it must run on whatever Node (20 or newer) the machine has.
import { commands } from './launch/commands.mjs'
import { parseArguments, Usage } from './launch/arguments.mjs'
import { ensurePackages, projectNode } from './launch/packages.mjs'
import { ensurePrograms } from './launch/programs.mjs'
import { enterUserNamespace } from './launch/user-namespace.mjs'
import { run } from './launch/run.mjs'

async function main() {
  const { command, rest, wantsHelp } = parseArguments(process.argv.slice(2), process.env)
  if (wantsHelp) {
    process.stdout.write(command.help)
    return 0
  }
  await ensurePackages()
  const node = projectNode()
  if (command.needsNamespaces && process.getuid?.() !== 0 && !process.env.AMBIT_IN_USER_NAMESPACE) {
    const code = await enterUserNamespace(process.argv.slice(2))
    if (code !== undefined) return code
    process.stderr.write('ambit: no root and no user namespaces here: what needs network namespaces is skipped\n')
    process.env.AMBIT_WITHOUT_NAMESPACES = '1'
  }
  await ensurePrograms(command.programs)
  return run(node, [command.main, ...rest])
}

try {
  process.exitCode = await main()
} catch (error) {
  const isUsage = error instanceof Usage
  process.stderr.write(`ambit: ${error instanceof Error ? error.message : String(error)}\n`)
  if (isUsage) process.stderr.write(`commands: ${Object.keys(commands).join(', ')}; each has --help\n`)
  process.exitCode = isUsage ? 2 : 1
}
