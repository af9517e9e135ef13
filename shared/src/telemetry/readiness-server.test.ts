import t from 'tap'
import { ask, brief, endpointKit, PLAIN } from './http-fixture.ts'
import { Readiness, serveReadiness } from './index.ts'

void t.test('readiness: 200 when nothing is pending, else 500 with what is', async (t) => {
  let told = 0
  const readiness = new Readiness(() => told++)
  const { open, options } = endpointKit(t)
  const port = await open(serveReadiness(readiness, options))
  readiness.begin('xds')
  readiness.begin('ca')
  t.same(brief(await ask(port, 'GET', '/healthz/ready')), [500, PLAIN, 'not ready, pending: ca, xds\n'])
  readiness.done('xds')
  t.same(brief(await ask(port, 'GET', '/healthz/ready?x=1')), [500, PLAIN, 'not ready, pending: ca\n'])
  t.equal(told, 0)
  readiness.done('ca')
  readiness.done('ca')
  t.equal(told, 1, 'becoming ready is told once')
  t.same(brief(await ask(port, 'GET', '/healthz/ready')), [200, PLAIN, 'ready\n'])
  t.same(brief(await ask(port, 'POST', '/healthz/ready')), [405, PLAIN, 'method not allowed\n'])
  const head = await ask(port, 'HEAD', '/healthz/ready')
  t.same([head.status, head.headers.get('allow'), String(head.body)], [405, 'GET', ''])
  for (const path of ['/', '/healthz', '/healthz/ready/', '/HEALTHZ/READY', '*', '//healthz/ready']) {
    t.same(brief(await ask(port, 'GET', path)), [404, PLAIN, 'not found\n'], path)
  }
})
