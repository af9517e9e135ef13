import { DEFAULT_LIMITS, type HboneLimits } from '@ambit/shared/hbone'
import type { WorkerConfig } from '../config/index.ts'

/** The tunnel's limits with the three that Istio lets one set. */
export function hboneLimits({ http2 }: WorkerConfig): HboneLimits {
  return {
    ...DEFAULT_LIMITS,
    streamWindowBytes: http2.streamWindowBytes,
    connectionWindowBytes: http2.connectionWindowBytes,
    maxFrameBytes: http2.frameBytes,
  }
}
