import t from 'tap'
import { pickAddress } from './index.ts'

const BOTH = { v4: ['192.0.2.1', '192.0.2.2'], v6: ['2001:db8::1', '2001:db8::2', '2001:db8::3'] }

void t.test('any address of the family that is wanted, and of no other', async (t) => {
  const picked = (family: 4 | 6): Set<string> =>
    new Set(Array.from({ length: 60 }, (_, index) => pickAddress(BOTH, family, () => index / 60)))
  t.strictSame(picked(4), new Set(BOTH.v4))
  t.strictSame(picked(6), new Set(BOTH.v6))
})

void t.test('of the other family where there is none of it', async (t) => {
  t.equal(
    pickAddress({ v4: [], v6: BOTH.v6 }, 4, () => 0.99),
    '2001:db8::3',
  )
  t.equal(
    pickAddress({ v4: BOTH.v4, v6: [] }, 6, () => 0),
    '192.0.2.1',
  )
})
