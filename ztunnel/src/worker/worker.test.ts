import { connect } from 'node:net'
import { once } from 'node:events'
import type { WorkloadCertificate } from '@ambit/shared/certificates'
import { label, METRICS, type MetricsDelta } from '@ambit/shared/telemetry'
import t, { type Test } from 'tap'
import { boundHandle } from '../../../shared/src/io/io-fixture.ts'
import { clientCertificate, ForeignTunnel, POD, revoking, startEcho, WorkerUnderTest } from './worker-fixture.ts'

t.setTimeout(60_000)

const NOTHING_OPEN = { inbound: [], outbound: [] }

void t.test('what comes while it starts is done when it has started, in its order', async (t) => {
  const under = new WorkerUnderTest(t)
  under.listen(1)
  under.tell({ type: 'report', id: 2, connections: true })
  under.tell({ type: 'pod-removed', uid: POD.uid })
  under.tell({ type: 'report', id: 3, connections: true })
  under.listen(4)
  t.strictSame(under.sent, [])
  await under.until(() => under.sent.length === 4, 'it has started')
  t.strictSame(
    under.sent.map((message) => (message.type === 'report' ? { id: message.id, pods: message.pods } : message)),
    [
      { type: 'listening', id: 1 },
      { id: 2, pods: { [POD.uid]: NOTHING_OPEN } },
      { id: 3, pods: {} },
      { type: 'listening', id: 4 },
    ],
  )
})

void t.test('a listener that cannot be taken is not confirmed; the log tells at the level of the moment', async (t) => {
  const under = new WorkerUnderTest(t, { logLevels: 'off' })
  under.tellOfPod()
  const message = { type: 'listener', pod: POD, role: 'inbound', transparent: false } as const
  under.tell({ ...message, id: 1 })
  under.tell({ type: 'log-levels', levels: 'ztunnel=error,off' })
  const closed = boundHandle().handle
  closed.close()
  under.tell({ ...message, id: 2 }, closed)
  under.tell({ type: 'log-levels', levels: 'off' })
  under.tell({ ...message, id: 3 })
  const port = under.listen(4)
  await under.until(() => under.sent.length > 0, 'it has started')
  t.strictSame(under.sent, [{ type: 'listening', id: 4 }])
  t.ok(await accepts(port), 'when it is handed over again it is taken')
  await under.drained({ deadlineMs: 0 })
  t.match(
    under.log(),
    /^\S+\s+error\s.*a listener cannot be taken.*pod="shop\/server" port="inbound" error="listen: EBADF"\n$/,
  )
})

void t.test('a report has what was counted since the last one, and what is open where that is asked for', async (t) => {
  const { under, app, open } = await serving(t)
  const tunnel = await open(clientCertificate())
  const first = await under.report(1, true)
  t.equal(valueOf(first.metrics, METRICS.socketsOpen.name), 1)
  t.match(first.pods, { [POD.uid]: { inbound: [{ actualDst: `127.0.0.1:${app}`, protocol: 'HBONE' }], outbound: [] } })
  const second = await under.report(2, false)
  t.equal(valueOf(second.metrics, METRICS.socketsOpen.name), undefined)
  t.strictSame(second.pods, {})
  await tunnel.end()
  await under.drained({ deadlineMs: 0 })
  const [last, end] = under.sent.slice(-2)
  t.match([last, end], [{ type: 'report', id: 0, pods: {} }, { type: 'drained' }])
  const counted = last?.type === 'report' ? last.metrics.map(({ name }) => name) : []
  t.ok(counted.includes(METRICS.closed.name), 'what was counted until the end')
})

void t.test('of a pod that is removed nothing is open, at once', async (t) => {
  const { under, port, open } = await serving(t)
  const tunnel = await open(clientCertificate())
  under.tell({ type: 'pod-removed', uid: POD.uid })
  t.strictSame((await under.report(1, true)).pods, {})
  await tunnel.closed
  t.notOk(await accepts(port))
})

void t.test('new revocation lists end the tunnels of peers that are revoked, and no others', async (t) => {
  const { under, open } = await serving(t)
  const [bad, good] = [clientCertificate(), clientCertificate()]
  const tunnel = await open(bad)
  const other = await open(good)
  under.tell(revoking(bad))
  await tunnel.closed
  t.equal(await other.echo('hello'), 'hello')
  await t.rejects(open(bad), 'nor does one come again')
  under.tell(revoking())
  await (await open(bad)).end()
  await other.end()
})

void t.test('a drain ends when the last connection has ended', async (t) => {
  const { under, port, open } = await serving(t)
  const tunnel = await open(clientCertificate())
  under.tell({ type: 'drain', deadlineMs: 3_600_000 })
  await under.clock.advance(1_000)
  t.equal(await tunnel.echo('still'), 'still')
  t.notOk(await accepts(port), 'no new one comes')
  t.notOk(under.worker.isDrained)
  const begun = under.clock.now()
  await tunnel.end()
  await under.until(() => under.worker.isDrained, 'it is drained')
  t.ok(under.clock.now() - begun < 60_000)
  t.strictSame(under.sent.at(-1), { type: 'drained' })
  t.notMatch(under.log(), /drain duration expired/)
})

void t.test('at its deadline a drain ends what is still open', async (t) => {
  const { under, open } = await serving(t)
  const tunnel = await open(clientCertificate())
  under.tell({ type: 'drain', deadlineMs: 5_000 })
  await under.clock.advance(4_999)
  t.equal(await tunnel.echo('still'), 'still')
  t.notOk(under.worker.isDrained)
  await under.clock.advance(1)
  await tunnel.closed
  await under.until(() => under.worker.isDrained, 'it is drained')
  t.match(under.log(), /warn.*drain duration expired with 1 connections open, closing them/)
})

/** A worker with one pod and an application behind it, to which `open` opens tunnels. */
async function serving(t: Test) {
  const app = await startEcho(t)
  const under = new WorkerUnderTest(t)
  under.tellOfPod()
  const port = under.listen(1)
  await under.until(() => under.sent.length > 0, 'it listens')
  const open = (certificate: WorkloadCertificate): Promise<ForeignTunnel> => ForeignTunnel.open(port, app, certificate)
  return { under, port, app, open }
}

/** Whether a connection to the port is taken, which is then ended. */
async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Of the server's side of connections. */
function valueOf(delta: MetricsDelta, name: string): number | undefined {
  const series = delta.find((family) => family.name === name)?.series ?? []
  return series.find(([labels]) => labels === label('reporter', 'destination'))?.[1]
}
