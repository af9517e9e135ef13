import { WEB_PORTS } from '../applications.ts'
import { withCpu, type Measurement } from './measurement.ts'
import { wrk } from './wrk.ts'

export const rps1: Measurement = {
  name: 'rps1',
  async measure(variant, samples, seconds) {
    const { perSecond } = await wrk(variant, variant.port(WEB_PORTS[0]), { connections: 1, seconds })
    samples.add('rps1', variant.name, perSecond)
  },
}

export const rps64: Measurement = {
  name: 'rps64',
  async measure(variant, samples, seconds) {
    const { result, cpu } = await withCpu(variant, () => {
      return wrk(variant, variant.port(WEB_PORTS[0]), { connections: 64, seconds })
    })
    samples.add('rps64', variant.name, result.perSecond)
    if (variant.name !== 'direct') samples.add('cpu_req', variant.name, (cpu * 1_000) / result.requests)
  },
}
