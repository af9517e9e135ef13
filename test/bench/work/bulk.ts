import type { Pod } from '../../kit/index.ts'
import { BULK_PORT } from '../applications.ts'
import type { Variant } from '../variant.ts'
import { withCpu, type Measurement } from './measurement.ts'

export const bulk1: Measurement = {
  name: 'bulk1',
  async measure(variant, samples, seconds) {
    const { result, cpu } = await withCpu(variant, () => transfer(variant, 1, seconds))
    samples.add('bulk1', variant.name, (result.bytes * 8) / 1e9 / result.seconds)
    if (variant.name !== 'direct') samples.add('cpu_gb', variant.name, cpu / (result.bytes / 1e9))
  },
}

export const bulk8: Measurement = {
  name: 'bulk8',
  async measure(variant, samples, seconds) {
    const { bytes, streams, ...took } = await transfer(variant, 8, seconds)
    samples.add('bulk8', variant.name, (bytes * 8) / 1e9 / took.seconds)
    samples.add('fair8', variant.name, Math.min(...streams) / Math.max(...streams))
  },
}

interface Transfer {
  readonly bytes: number
  readonly seconds: number
  /** Bytes that arrived on each stream. */
  readonly streams: readonly number[]
}

/** Client to server, counted where it arrives. */
async function transfer({ client, host, port }: Variant, streams: number, seconds: number): Promise<Transfer> {
  const words = [
    'iperf3',
    '-c',
    host,
    '-p',
    String(port(BULK_PORT)),
    '-P',
    String(streams),
    '-t',
    String(seconds),
    '-J',
  ]
  const report = await iperf(client, words, seconds)
  const arrived = report.end.streams.map(({ receiver }) => receiver.bytes)
  return {
    bytes: report.end.sum_received.bytes,
    seconds: report.end.sum_received.seconds,
    streams: arrived,
  }
}

/** The parts of iperf3's report that are read here. */
interface Report {
  readonly end: {
    readonly sum_received: { readonly bytes: number; readonly seconds: number }
    readonly streams: readonly { readonly receiver: { readonly bytes: number } }[]
  }
}

async function iperf(client: Pod, words: readonly string[], seconds: number): Promise<Report> {
  const { stdout, stderr } = await client.run(words, { timeoutMs: (seconds + 20) * 1_000 })
  const report: unknown = JSON.parse(stdout || '{}')
  const complaint = typeof report === 'object' && report !== null && 'error' in report ? String(report.error) : stderr
  if (typeof report !== 'object' || report === null || !('end' in report) || complaint !== '')
    throw new Error(`iperf3: ${complaint || 'no report'}`)
  return report as Report
}
