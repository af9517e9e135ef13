/**
 * Connections of one listener that wait to be accepted while a worker is busy or being replaced; Istio has 128, too few for
 * that. The control process and the workers listen on the same socket: the last of them says how many.
 */
export const LISTEN_BACKLOG = 4_096
