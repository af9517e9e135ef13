/**
 * Why a server does not listen: Node's words, which name the address, and what to do: for a port that is taken how to see by
 * whom; where a loopback address is not there to bring lo up, which is down in a new network namespace.
 */
export function whyNotListening(error: NodeJS.ErrnoException, port: number): string {
  if (error.code === 'EADDRINUSE') return `${error.message} (another one runs? see: ss -ltnp 'sport = :${port}')`
  if (error.code === 'EADDRNOTAVAIL' && 'address' in error && LOOPBACK.test(String(error.address)))
    return `${error.message} (is lo up in this network namespace? see: ip address show lo; do: ip link set lo up)`
  return error.message
}

const LOOPBACK = /^(?:127\.|::1$)/
