import t from 'tap'
import {
  addressBits,
  addressBytes,
  canonicalAddress,
  familyOf,
  formatSocketAddress,
  isLinkLocal,
  isLoopback,
  networkBits,
  parseCidr,
  parseIp,
} from './index.ts'

void t.test('addresses have one text', async (t) => {
  t.equal(parseIp('::FFFF:10.0.0.1'), '10.0.0.1')
  t.equal(parseIp('FD00:0:0::1'), 'fd00::1')
  t.equal(parseIp('0:0:0:0:0:0:0:1'), '::1')
  for (const text of ['', '10.0.0', '10.0.0.256', '010.0.0.1', 'fe80::1%eth0', '1.2.3.4/8', ':::'])
    t.equal(parseIp(text), undefined, text)
  t.same(parseCidr('10.1.2.3/8'), { address: '10.1.2.3', length: 8 })
  t.same(parseCidr('::ffff:10.1.2.3/104'), { address: '10.1.2.3', length: 8 })
  t.same(parseCidr('::ffff:a01:203/128'), { address: '10.1.2.3', length: 32 })
  for (const text of [
    '::ffff:10.0.0.0/24',
    '::ffff:10.0.0.0/129',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '/8',
  ])
    t.equal(parseCidr(text), undefined, text)
})

void t.test('the text that the kernel gives is made canonical', async (t) => {
  const texts = ['::ffff:10.0.0.1', 'fe80::1%eth0', 'fd00::1', '10.0.0.1'].map(canonicalAddress)
  t.same(texts, ['10.0.0.1', 'fe80::1', 'fd00::1', '10.0.0.1'])
  t.equal(formatSocketAddress({ address: '10.0.0.1', port: 80 }), '10.0.0.1:80')
  t.equal(formatSocketAddress({ address: 'fd00::1', port: 80 }), '[fd00::1]:80')
})

void t.test('an address has a family, bits and bytes', async (t) => {
  t.same(['10.0.0.1', 'fd00::1', 'fe80::1%eth0', 'localhost', ''].map(familyOf), [4, 6, 6, undefined, undefined])
  const cases: readonly [string, string][] = [
    ['255.1.2.3', 'ff010203'],
    ['0.0.0.0', '00000000'],
    ['fd00::1:0:2', 'fd000000000000000000000100000002'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:10.0.0.1', '00000000000000000000ffff0a000001'],
    ['::', '0'.repeat(32)],
  ]
  for (const [text, hex] of cases) {
    t.equal(addressBytes(text).toString('hex'), hex, text)
    t.equal(addressBits(text), BigInt(`0x${hex}`), text)
  }
  t.equal(networkBits('10.1.2.3', 8), 0x0a00_0000n)
})

void t.test('link-local is fe80::/10, not fe80::/16, and loopback is 127.0.0.0/8', async (t) => {
  for (const text of ['fe80::1', 'fe90::1', 'feaf:1::', 'febf::', 'fe80::1%eth0']) t.ok(isLinkLocal(text), text)
  for (const text of ['fe7f::1', 'fec0::1', 'fe8::1', 'feb::', 'fd00::fe80', '169.254.0.1', '::1'])
    t.notOk(isLinkLocal(text), text)
  for (const text of ['127.0.0.1', '127.8.0.1', '::1']) t.ok(isLoopback(text), text)
  for (const text of ['12.7.0.1', '128.0.0.1', '::2', '10.127.0.1']) t.notOk(isLoopback(text), text)
})
