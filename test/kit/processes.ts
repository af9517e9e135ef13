import { readdirSync, readFileSync, statSync } from 'node:fs'

/** A process of this machine; pids are used again, together with its start time it is unique. */
export interface ProcessMark {
  readonly pid: number
  readonly startTime: string
  readonly command: string
}

/** Those of `roots` that run and everything that they started and that still has them as ancestors. */
export function familyOf(roots: readonly number[]): readonly ProcessMark[] {
  const all = everyPid().flatMap((pid) => statOf(pid) ?? [])
  const family = new Set(roots)
  // Children come after their parents only as long as pids do not wrap: until nothing is added any more.
  for (let size = 0; size !== family.size;) {
    size = family.size
    for (const { pid, parent } of all) if (family.has(parent)) family.add(pid)
  }
  return all
    .filter(({ pid }) => family.has(pid))
    .map(({ pid, startTime }) => ({ pid, startTime, command: commandOf(pid) }))
}

/** Whatever runs in one of these network namespaces, given by the paths of their names. */
export function inNetworks(paths: readonly string[]): readonly ProcessMark[] {
  const networks = new Set(paths.map((path) => inode(path)))
  return everyPid().flatMap((pid) => {
    const network = inode(`/proc/${pid}/ns/net`)
    return network !== undefined && networks.has(network) ? marksOf(pid) : []
  })
}

/** Whatever has this variable, with this value, in the environment that it was started with. */
export function withVariable(name: string, value: string): readonly ProcessMark[] {
  return everyPid().flatMap((pid) => {
    return read(`/proc/${pid}/environ`)?.split('\0').includes(`${name}=${value}`) ? marksOf(pid) : []
  })
}

export function isRunning({ pid, startTime }: ProcessMark): boolean {
  return statOf(pid)?.startTime === startTime
}

function marksOf(pid: number): readonly ProcessMark[] {
  const stat = statOf(pid)
  return stat ? [{ pid, startTime: stat.startTime, command: commandOf(pid) }] : []
}

function everyPid(): readonly number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
}

/** Undefined for what has ended, also where its parent did not notice yet. */
function statOf(
  pid: number,
): { readonly pid: number; readonly parent: number; readonly startTime: string } | undefined {
  // The name in parentheses may contain anything: fields are counted from behind it (proc_pid_stat(5)).
  const fields = read(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')
  const [state = 'X', parent = ''] = fields ?? []
  return 'ZX'.includes(state) ? undefined : { pid, parent: Number(parent), startTime: fields?.[19] ?? '' }
}

function commandOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ').trim() ?? ''
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // It ended meanwhile, or is not ours to look into.
    return undefined
  }
}

function inode(path: string): number | undefined {
  try {
    return statSync(path).ino
  } catch {
    return undefined
  }
}
