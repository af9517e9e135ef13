// New connections at a steady pace, one HTTP request on each, until a second after its input has ended:
// node load.ts HOST PORT PER_SECOND
// Prints one JSON object: how they ended, the longest time from connect to the answer, and of those that were answered and of
// those that were cut when they began and ended (milliseconds since 1970).
import { connect } from 'node:net'
import { patienceMs } from '../eventually.ts'

const [host = '', port = '0', perSecond = '100'] = process.argv.slice(2)
/** What happened at the very end is seen by new connections too. */
const TAIL_S = 1
const result = {
  started: 0,
  ok: 0,
  refused: 0,
  cut: 0,
  timedOut: 0,
  slowestMs: 0,
  answered: [] as [number, number][],
  broken: [] as [number, number][],
  errors: {} as Record<string, number>,
}
let open = 0
let finished = false

function one(): void {
  const began = Date.now()
  let connected = false
  let answer = ''
  open++
  result.started++
  const cut = (): void => {
    result.cut++
    result.broken.push([began, Date.now()])
  }
  const socket = connect({ host, port: Number(port) })
  socket.setTimeout(patienceMs, () => socket.destroy(Object.assign(new Error('timeout'), { code: 'TIMEOUT' })))
  socket.on('connect', () => {
    connected = true
    socket.write('GET / HTTP/1.1\r\nhost: load\r\nconnection: close\r\n\r\n')
  })
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
  socket.on('error', (error: NodeJS.ErrnoException) => {
    const code = `${error.code ?? 'ERROR'}${connected ? ' after connect' : ''}`
    result.errors[code] = (result.errors[code] ?? 0) + 1
    if (error.code === 'TIMEOUT') result.timedOut++
    else if (connected) cut()
    else result.refused++
  })
  socket.on('close', (hadError) => {
    open--
    if (!hadError) {
      if (answer.startsWith('HTTP/1.1 200')) {
        result.ok++
        result.slowestMs = Math.max(result.slowestMs, Date.now() - began)
        result.answered.push([began, Date.now()])
      } else cut()
    }
    if (finished && open === 0) process.stdout.write(`${JSON.stringify(result)}\n`)
  })
}

// Timers are coarse: each tick starts as many as are due by now.
const start = performance.now()
let endS = Infinity
process.stdin.resume().once('end', () => (endS = (performance.now() - start) / 1_000 + TAIL_S))
const ticker = setInterval(() => {
  const elapsedS = (performance.now() - start) / 1_000
  if (elapsedS >= endS) {
    clearInterval(ticker)
    finished = true
    if (open === 0) process.stdout.write(`${JSON.stringify(result)}\n`)
    return
  }
  while (result.started < elapsedS * Number(perSecond)) one()
}, 5)
