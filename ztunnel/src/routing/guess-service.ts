import type { Mesh, Service, Workload } from '@ambit/shared/mesh'

/**
 * Which of a workload's services a connection to `port` was meant for; telemetry only. The one that the client named, else
 * the first with a port that leads there.
 */
export function guessService(
  candidates: readonly Service[],
  mesh: Mesh,
  local: Workload,
  port: number,
  forwardedHost?: string,
): Service | undefined {
  const named = forwardedHost === undefined ? undefined : candidates.find(({ hostname }) => hostname === forwardedHost)
  return (
    named ??
    candidates.find((service) => {
      const own = mesh.endpoint(service, local.uid)?.port ?? {}
      return Object.values(service.ports).includes(port) || Object.values(own).includes(port)
    })
  )
}
