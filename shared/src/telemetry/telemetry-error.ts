import { MeshError } from '../errors/index.ts'

/**
 * `bad-level`: a log level specification that cannot be read. `bad-address`: a server cannot listen there.
 * `profile`: the profiler is busy or unavailable.
 */
export type TelemetryErrorCode = 'bad-level' | 'bad-address' | 'profile'

/** What telemetry refuses. */
export class TelemetryError extends MeshError<TelemetryErrorCode> {}
