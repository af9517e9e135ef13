import * as fc from 'fast-check'
import t from 'tap'
import { SpiffeId } from '@ambit/shared/identity'
import { workload } from '../../../shared/src/mesh/mesh-fixture.ts'
import {
  encodeBaggage,
  encodeForwarded,
  encodeProxyHeader,
  newTraceparent,
  parseAuthority,
  parseBaggage,
  parseForwardedHost,
} from './index.ts'

void t.test('an authority is an address or a name, always with a port', async (t) => {
  t.same(parseAuthority('10.0.0.1:80'), { kind: 'address', address: '10.0.0.1', port: 80 })
  t.same(parseAuthority('[FD00::1]:65535'), { kind: 'address', address: 'fd00::1', port: 65_535 })
  t.same(parseAuthority('[::ffff:10.0.0.1]:1'), { kind: 'address', address: '10.0.0.1', port: 1 })
  t.same(parseAuthority('Web.Default.SVC:80'), { kind: 'hostname', hostname: 'web.default.svc', port: 80 })
  t.same(parseAuthority('10.0.0.1:0'), { kind: 'address', address: '10.0.0.1', port: 0 })
  for (const hostname of ['*.example.com', 'host.', 'a..b', '-host', `${'a'.repeat(64)}.x`])
    t.same(parseAuthority(`${hostname}:0`), { kind: 'hostname', hostname, port: 0 }, 'as Istio’s ztunnel takes it')
  for (const text of [
    '',
    ':80',
    '10.0.0.1',
    '10.0.0.1:',
    '10.0.0.1:65536',
    '10.0.0.1:+80',
    '10.0.0.1:80 ',
    ' 10.0.0.1:80',

    'fd00::1:80',
    '[10.0.0.1]:80',
    '[fd00::1',
    '[fe80::1%eth0]:80',
    '300.1.2.3:80',

    '1:80',

    'user@host:80',
    'http://host:80',
    'host:80/x',
    'ho st:80',
    'host\0:80',
    'hóst:80',
    'ho%73t:80',
    `${'a.'.repeat(130)}x:80`,
  ])
    t.equal(parseAuthority(text), undefined, JSON.stringify(text.slice(0, 30)))
  t.not(parseAuthority('0x7f.1:80')?.kind, 'address', 'never read as 127.0.0.1')
  t.not(parseAuthority('010.0.0.1:80')?.kind, 'address', 'never read as 8.0.0.1')
})

void t.test('no text makes the parsers throw', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
      parseAuthority(text)
      parseForwardedHost(text)
      parseBaggage([text, text])
      return true
    }),
  )
})

void t.test('baggage tells Istio’s members in its order, without those that are empty', async (t) => {
  const full = workload('uid', {
    clusterId: 'one',
    namespace: 'shop',
    workloadType: 'cronjob',
    workloadName: 'nightly',
    canonicalName: 'batch',
    canonicalRevision: 'v2',
    locality: { region: 'r', zone: 'z', subzone: 's' },
  })
  const text =
    'k8s.cluster.name=one,k8s.namespace.name=shop,k8s.cronjob.name=nightly,service.name=batch,service.version=v2,cloud.region=r,cloud.availability_zone=z'
  t.equal(encodeBaggage(full), text)
  t.same(parseBaggage([text]), {
    clusterId: 'one',
    namespace: 'shop',
    workloadName: 'nightly',
    serviceName: 'batch',
    serviceVersion: 'v2',
    region: 'r',
    zone: 'z',
  })
  t.equal(
    encodeBaggage({ ...full, canonicalRevision: '', locality: { region: '', zone: '', subzone: '' } }),
    'k8s.cluster.name=one,k8s.namespace.name=shop,k8s.cronjob.name=nightly,service.name=batch',
  )
  const spaced = encodeBaggage({ ...full, workloadName: 'my app', canonicalName: ' x', canonicalRevision: 'y ' })
  t.equal(parseBaggage([spaced]).workloadName, 'my app')
  t.notMatch(spaced, /service/, 'a space at an end would not come through')
  t.equal(
    encodeBaggage({
      ...full,
      workloadName: 'サーバー',
      canonicalName: 'a,service.version=b',
      canonicalRevision: 'v\r\n2',
    }),
    'k8s.cluster.name=one,k8s.namespace.name=shop,cloud.region=r,cloud.availability_zone=z',
    'what no header can hold, or would be read as more than one member',
  )
})

void t.test('baggage of a peer: all headers, later ones win, what is unknown is ignored', async (t) => {
  t.same(parseBaggage(['k8s.pod.name=a, service.name=x', 'k8s.job.name=b,unknown=1,service.name=']), {
    workloadName: 'b',
    serviceName: undefined,
  })
  t.same(parseBaggage([]), {})
  t.same(parseBaggage([`${'x'.repeat(8_192)},service.name=late`]), {}, 'beyond 8 KiB nothing is looked at')
})

void t.test('forwarded tells the client and, where there is one, the service', async (t) => {
  t.equal(encodeForwarded({ address: '10.0.0.1', port: 5 }, undefined), 'for="10.0.0.1:5"')
  t.equal(encodeForwarded({ address: 'fd00::1', port: 5 }, 'web.svc'), 'for="[fd00::1]:5";host=web.svc')
  t.equal(parseForwardedHost('for="[fd00::1]:5";host=web.svc'), 'web.svc')
  t.equal(parseForwardedHost('for=x; host="web.svc"'), 'web.svc')
  t.equal(parseForwardedHost('host=first;host=second'), 'first')
  for (const value of [undefined, '', 'for=x', 'host=', 'host=ä', 'host=\0', `host=${'x'.repeat(1_100)}`])
    t.equal(parseForwardedHost(value), undefined, JSON.stringify(value)?.slice(0, 30))
})

void t.test('every traceparent is another one', async (t) => {
  const seen = new Set(Array.from({ length: 1_000 }, newTraceparent))
  t.equal(seen.size, 1_000)
  for (const one of seen) if (!/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/.test(one)) t.fail(one)
})

void t.test('a PROXY header of version 2, byte by byte', async (t) => {
  const identity = SpiffeId.of('td', 'ns', 'sa')
  const v4 = encodeProxyHeader({
    source: { address: '10.0.0.1', port: 0x1234 },
    destination: { address: '10.0.0.2', port: 80 },
    identity,
  })
  const name = Buffer.from('spiffe://td/ns/ns/sa/sa')
  const tlv = `d000${name.length.toString(16)}${name.toString('hex')}`
  t.equal(
    v4.toString('hex'),
    `0d0a0d0a000d0a515549540a2111${(12 + tlv.length / 2).toString(16).padStart(4, '0')}0a0000010a00000212340050${tlv}`,
  )
  const v6 = encodeProxyHeader({
    source: { address: 'fd00::1', port: 1 },
    destination: { address: 'fd00::2', port: 2 },
    identity: undefined,
  })
  t.equal(v6.toString('hex'), `0d0a0d0a000d0a515549540a21210024fd00${'0'.repeat(26)}01fd00${'0'.repeat(26)}0200010002`)
  const mixed = encodeProxyHeader({
    source: { address: 'fd00::1', port: 1 },
    destination: { address: '10.0.0.2', port: 2 },
    identity: undefined,
  })
  t.equal(mixed.toString('hex'), '0d0a0d0a000d0a515549540a21010000', 'no addresses where the families differ')
})
