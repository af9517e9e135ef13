import t from 'tap'
import type { Log } from '@ambit/shared/log'
import { PodIdentities } from './pod-identities.ts'

void t.test('a pod without an identity is reported, stays who it was and harms no other', async (t) => {
  const errors: string[] = []
  const log: Log = {
    error: (text: string, fields?: unknown) => errors.push(`${text} ${JSON.stringify(fields)}`),
    warn: () => {},
    info: () => {},
    debug: () => {},
  }
  let trustDomain = 'old.example'
  const a = { uid: 'a', name: 'a', namespace: 'ns', serviceAccount: 'a' }
  const b = { uid: 'b', name: 'b', namespace: 'ns', serviceAccount: 'b' }
  const identities = new PodIdentities({
    trustDomainOf: ({ uid }) => (uid === 'a' ? trustDomain : 'td'),
    log,
  })
  const of = (...pods: (typeof a)[]): readonly string[] => identities.of(pods).map(String)

  t.same(of(a, b), ['spiffe://old.example/ns/ns/sa/a', 'spiffe://td/ns/ns/sa/b'])
  t.same(errors, [])
  trustDomain = 'no,good'
  t.same(of(a, b), ['spiffe://old.example/ns/ns/sa/a', 'spiffe://td/ns/ns/sa/b'])
  t.match(errors[0], /the last good one stays .*"pod":"ns\/a","error":".*no,good/)
  t.same(of({ ...a, serviceAccount: 'other' }), [], 'nor does a pod get the identity of another')
  t.same(of(a), [], 'who was never known is nobody')
  trustDomain = 'new.example'
  t.same(of(a), ['spiffe://new.example/ns/ns/sa/a'])

  t.equal(String(identities.add(b)), 'spiffe://td/ns/ns/sa/b')
  t.equal(String(identities.add({ ...a, uid: 'c' })), 'spiffe://td/ns/ns/sa/a')
  trustDomain = 'no,good'
  t.same(of(a), ['spiffe://new.example/ns/ns/sa/a'], 'one more takes nothing from the others')
  t.same(of(b), ['spiffe://td/ns/ns/sa/b'])
  t.equal(identities.add(a), undefined, 'nobody remembers who was not in the last call')
})
