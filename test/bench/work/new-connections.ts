import type { TestMesh } from '../../kit/index.ts'
import { WEB_PORTS } from '../applications.ts'
import { withCpu, type Measurement } from './measurement.ts'
import { wrk } from './wrk.ts'

/** One request on each connection; every thread has a port of its own, for one alone runs out of client ports. */
export function newConnections(mesh: TestMesh): Measurement {
  return {
    name: 'cps',
    // V8 compiles for some 35,000 connections: in the 1st, 5th and 10th second one costs http2 0.35, 0.28 and 0.26 ms of CPU,
    // hbone 0.38, 0.28 and 0.24.
    warmUpSeconds: 12,
    async measure(variant, samples, seconds) {
      const script = mesh.files.write(
        `cps-${variant.name}.lua`,
        `local ports = { ${WEB_PORTS.map((port) => variant.port(port)).join(', ')} }
local count = 0
function setup(thread)
  count = count + 1
  thread.addr = wrk.lookup("${variant.host}", tostring(ports[count]))[1]
end
wrk.headers["Connection"] = "close"
`,
      )
      const { result, cpu } = await withCpu(variant, () => {
        const options = { connections: 32, threads: WEB_PORTS.length, seconds, script }
        return wrk(variant, variant.port(WEB_PORTS[0]), options)
      })
      samples.add('cps', variant.name, result.perSecond)
      if (variant.name !== 'direct') samples.add('cpu_conn', variant.name, (cpu * 1_000) / result.requests)
    },
  }
}
