import { readFileSync } from 'node:fs'

/** Linux counts CPU time in 1/100 s everywhere that Node runs. */
const TICKS_PER_SECOND = 100

/** A process and all that it started, as they are now. */
export function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return [pid, ...children.split(' ').flatMap((child) => (child === '' ? [] : family(Number(child))))]
}

/** CPU seconds used so far, user and system, by all of the processes. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may contain anything, so fields count from its end: utime and stime are the 14th and 15th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS_PER_SECOND
}

/** Proportional set size: each process's memory, pages that several share divided among them. */
export function pssKilobytes(pids: readonly number[]): number {
  let sum = 0
  for (const pid of pids)
    sum += Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
  return sum
}
