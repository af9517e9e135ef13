/** Why a server does not listen: Node's words, which name the address, and for a port that is taken how to see by whom. */
export function whyNotListening(error: Error, port: number): string {
  if (!('code' in error) || error.code !== 'EADDRINUSE') return error.message
  return `${error.message} (another one runs? see: ss -ltnp 'sport = :${port}')`
}
