import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import t, { type Test } from 'tap'
import { authority, crlPem, revocationList, type Authority } from './certificate-fixture.ts'
import { authorityKeyIdentifier } from './extensions.ts'
import { CertificateError, CrlSet, generateKeyPair, standingOf, succeed, type Succession } from './index.ts'

const root = authority('root')
const middle = authority('middle', { under: root })
const stranger = authority('stranger')
const twin = authority('root') // the same name, another key: another CA

const known = [root, middle].map(({ signer }) => signer.certificate)

/** A list is always the same, for each that is made has a signature of its own. */
const lists = new Map<string, string>()

function once(name: string, make: () => Buffer): string {
  const list = lists.get(name) ?? crlPem(make())
  lists.set(name, list)
  return list
}

function listOf(ca: Authority): string {
  return once(ca.pem, () => revocationList(ca, [root.pem]))
}

/** With the key's identifier, as most CAs write it. */
function listWithKeyId(ca: Authority, keyOf = ca): string {
  const keyId = keyOf.signer.certificate.subjectKeyId
  if (!keyId) throw new Error('the CA of the test has no key identifier')
  return once(ca.pem + keyOf.pem, () => revocationList(ca, [root.pem], { extensions: [authorityKeyIdentifier(keyId)] }))
}

/** By somebody's key. */
function forgedBy(signingKey: KeyObject): string {
  return crlPem(revocationList(root, [root.pem], { signingKey }))
}

/** The list with one bit of its signature the other way. */
function damaged(ca: Authority): string {
  const der = revocationList(ca, [root.pem])
  der.writeUInt8(der.readUInt8(der.length - 3) ^ 1, der.length - 3)
  return crlPem(der)
}

function standing(file: string): unknown {
  return standingOf(CrlSet.load(file), known)
}

/** What follows the file `current` where the file is `next`; why nothing of it does. */
function succession(next: string, current: string, authorities = known): Succession | string {
  try {
    return succeed(CrlSet.load(next), CrlSet.load(current), authorities)
  } catch (error) {
    return error instanceof CertificateError && error.code === 'bad-crl' ? error.message : String(error)
  }
}

/** Whether exactly these lists are in force when `next` follows `current`, and what is said of the others. */
function follows(t: Test, next: string, current: string, expected: string, fault?: RegExp, authorities = known): void {
  const found = succession(next, current, authorities)
  if (typeof found === 'string') return void t.fail(found)
  const wanted = CrlSet.load(expected).lists
  t.equal(found.crl.lists.length, wanted.length)
  t.ok(wanted.every((list) => found.crl.has(list)))
  t.match(found.faults, fault ? [fault] : [])
  t.equal(found.faults.length, fault ? 1 : 0)
}

void t.test('a list that its CA has not signed does not count, but what stands beside it', async (t) => {
  const forgeries = [damaged(root), forgedBy(generateKeyPair().privateKey), listOf(twin)]
  const why = /list of test, root is not signed by it/
  for (const forgery of forgeries) {
    for (const current of ['', listOf(root), listOf(middle)]) t.match(succession(forgery, current), why)
    follows(t, listOf(middle) + forgery, '', listOf(middle), why)
    follows(t, listOf(middle) + forgery, listOf(root), listOf(middle) + listOf(root), why)
    follows(t, listOf(root) + forgery, listWithKeyId(root), listOf(root), why)
    follows(t, forgery, listOf(root), forgery, undefined, [])
    follows(t, forgery, forgery, forgery)
  }
  t.match(succession(damaged(middle), ''), /list of test, middle/)
})

void t.test('a CA that is known keeps a list, whatever others have', async (t) => {
  const gone = /no list of test, root any more, which is trusted; to revoke nobody, have the CA sign a list without/
  follows(t, listOf(stranger), listOf(root), listOf(stranger) + listOf(root), gone)
  follows(t, listOf(middle), listOf(root) + listOf(stranger), listOf(middle) + listOf(root), gone)
  follows(t, listWithKeyId(twin), listWithKeyId(root), listWithKeyId(twin) + listWithKeyId(root), gone)
  t.match(succession(root.pem, listOf(root)), /there is no list in it; to revoke nobody/)
  t.match(succession(root.pem, listOf(stranger)), /there is no list in it/)
  follows(t, listOf(root), damaged(root), listOf(root))
})

void t.test('what a CA signs follows, also where it revokes less', async (t) => {
  const nobody = crlPem(revocationList(root, []))
  for (const current of ['', nobody, listOf(root), listOf(stranger)])
    for (const next of [listOf(root), nobody, listWithKeyId(root), listOf(root) + listOf(stranger) + root.pem])
      follows(t, next, current, next)
  follows(t, listOf(middle) + listOf(root), listOf(root), listOf(middle) + listOf(root))
  follows(t, root.pem, '', '')
})

void t.test('a new root may have its list before it is known, an old one may lose its when it is not', async (t) => {
  const old = listWithKeyId(root)
  for (const next of [stranger, twin]) {
    follows(t, old + listWithKeyId(next), old, old + listWithKeyId(next))
    const alone = listWithKeyId(next)
    follows(t, alone, old + alone, alone, undefined, [next.signer.certificate])
  }
  t.match(
    succession(listWithKeyId(twin, root), ''),
    /not signed by it/,
    'who names the key of the known one is no other',
  )
  const both = [root, twin].map(({ signer }) => signer.certificate)
  const ofBoth = listOf(root) + listOf(twin)
  follows(t, ofBoth, listOf(root), ofBoth, undefined, both)
  follows(t, listOf(twin), listOf(root), ofBoth, /no list of test, root any more/, both)
})

void t.test('how lists stand to those who are known', async (t) => {
  const none = { undecided: [], forged: [], unknown: [], isAnySigned: false }
  t.same(standing(''), none)
  t.same(standing(listOf(root) + listOf(stranger)), { ...none, unknown: ['test, stranger'], isAnySigned: true })
  t.same(standing(damaged(root)), { ...none, undecided: ['test, root'] })
  t.same(standing(damaged(root) + listOf(root)), { ...none, forged: ['test, root'], isAnySigned: true })
  t.same(standing(listWithKeyId(twin)), { ...none, unknown: ['test, root'] })
})

void t.test('a list in DER is checked like one in PEM', async (t) => {
  const der = revocationList(root, [], { signingKey: twin.key.privateKey })
  t.throws(() => succeed(CrlSet.load(Buffer.from(der)), CrlSet.load(''), known), { code: 'bad-crl' })
})
