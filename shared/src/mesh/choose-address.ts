import { familyOf } from '../ip/index.ts'
import type { Service } from './service.ts'
import type { Workload } from './workload.ts'

/**
 * The address of a workload to dial: the target itself where it is one of the workload's, else, of those that the service's
 * families allow, one of the target's family, else the first. undefined where it has none.
 */
export function chooseAddress(
  { workloadIps }: Workload,
  target: string | undefined,
  ipFamilies?: Service['ipFamilies'],
): string | undefined {
  if (target !== undefined && workloadIps.includes(target)) return target
  const allowed = workloadIps.filter((address) => {
    return ipFamilies === undefined || ipFamilies === 'Dual' || (ipFamilies === 'IPv4') === (familyOf(address) === 4)
  })
  const family = target === undefined ? undefined : familyOf(target)
  return allowed.find((address) => familyOf(address) === family) ?? allowed[0]
}
