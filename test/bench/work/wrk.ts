import type { Variant } from '../variant.ts'

export interface WrkOptions {
  readonly connections: number
  /** wrk takes whole seconds only. */
  readonly seconds: number
  readonly threads?: number
  readonly script?: string
}

export interface WrkResult {
  readonly requests: number
  readonly perSecond: number
  readonly p50Us: number
}

/** Runs wrk; throws when requests failed, for then its figures say nothing. */
export async function wrk(
  { client, host, name }: Variant,
  port: number,
  { connections, seconds, threads = 1, script }: WrkOptions,
): Promise<WrkResult> {
  const words = ['wrk', '-t', String(threads), '-c', String(connections), '-d', `${Math.ceil(seconds)}s`, '--latency']
  if (script !== undefined) words.push('-s', script)
  const { stdout, stderr } = await client.run([...words, `http://${host}:${port}/`], {
    timeoutMs: (seconds + 20) * 1_000,
  })
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0)
  const failed = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)
  const failures = failed ? failed.slice(1).reduce((sum, count) => sum + Number(count), 0) : 0
  if (requests === 0 || failures > requests / 1_000)
    throw new Error(`wrk over ${name}: ${requests} requests, ${failures} failed\n${stdout}${stderr}`)
  return {
    requests,
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0),
    p50Us: microseconds(/^ *50% +(\S+)/m.exec(stdout)?.[1] ?? ''),
  }
}

function microseconds(text: string): number {
  const [, number = 'NaN', unit = ''] = /^([\d.]+)(us|ms|s)$/.exec(text) ?? []
  return Number(number) * ({ us: 1, ms: 1e3, s: 1e6 }[unit] ?? NaN)
}
