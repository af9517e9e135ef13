import { Buffer } from 'node:buffer'
import t from 'tap'
import { authority, crlPem, revocationList, type Authority } from './certificate-fixture.ts'
import { authorityKeyIdentifier } from './extensions.ts'
import { CertificateError, checkSuccession, CrlSet, generateKeyPair, standingOf } from './index.ts'

const root = authority('root')
const middle = authority('middle', { under: root })
const stranger = authority('stranger')
const twin = authority('root') // the same name, another key: another CA

const known = [root, middle].map(({ signer }) => signer.certificate)

function listOf(ca: Authority, signingKey = ca.key.privateKey): string {
  return crlPem(revocationList(ca, [root.pem], { signingKey }))
}

/** With the key's identifier, as most CAs write it. */
function listWithKeyId(ca: Authority, keyOf = ca): string {
  const keyId = keyOf.signer.certificate.subjectKeyId
  if (!keyId) throw new Error('the CA of the test has no key identifier')
  return crlPem(revocationList(ca, [root.pem], { extensions: [authorityKeyIdentifier(keyId)] }))
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

/** Why the file `next` may not follow the file `current`; undefined where it may. */
function refusalOf(next: string, current: string, authorities = known): string | undefined {
  try {
    checkSuccession(CrlSet.load(next), CrlSet.load(current), authorities)
    return undefined
  } catch (error) {
    return error instanceof CertificateError && error.code === 'bad-crl' ? error.message : String(error)
  }
}

void t.test('a list that its CA has not signed is refused, whatever stands beside it', async (t) => {
  const forgeries = [damaged(root), listOf(root, generateKeyPair().privateKey), listOf(twin)]
  for (const forgery of forgeries) {
    for (const current of ['', listOf(root), listOf(middle)])
      for (const next of [forgery, listOf(middle) + forgery, listOf(root) + listOf(middle) + forgery])
        t.match(refusalOf(next, current), /list of test, root is not signed by it/)
    t.equal(refusalOf(forgery, listOf(root), []), undefined, 'with no CA known nothing can be said')
  }
  t.match(refusalOf(damaged(middle), ''), /list of test, middle/)
})

void t.test('a CA that is known keeps a list', async (t) => {
  const gone = /no list of test, root any more, which is trusted; to revoke nobody, have the CA sign a list without/
  t.match(refusalOf(listOf(stranger), listOf(root)), gone)
  t.match(refusalOf(listOf(middle), listOf(root) + listOf(middle)), gone)
  t.match(refusalOf(listWithKeyId(twin), listWithKeyId(root)), gone, 'that of its twin is none')
  t.match(refusalOf(root.pem, listOf(root)), /there is no list in it/)
  t.match(refusalOf(root.pem, listOf(stranger)), /there is no list in it/)
  t.equal(refusalOf(listOf(root), damaged(root)), undefined, 'a good one follows a bad one')
})

void t.test('what a CA signs follows, also where it revokes less', async (t) => {
  const nobody = crlPem(revocationList(root, []))
  for (const current of ['', nobody, listOf(root), listOf(stranger)])
    for (const next of [listOf(root), nobody, listWithKeyId(root), listOf(root) + listOf(stranger) + root.pem])
      t.equal(refusalOf(next, current), undefined)
  t.equal(refusalOf(listOf(middle) + listOf(root), listOf(root)), undefined)
  t.equal(refusalOf(root.pem, ''), undefined, 'there was nothing to lose')
})

void t.test('a new root may have its list before it is known, an old one may lose its when it is not', async (t) => {
  const old = listWithKeyId(root)
  for (const next of [stranger, twin]) {
    t.equal(refusalOf(old + listWithKeyId(next), old), undefined)
    t.equal(refusalOf(listWithKeyId(next), old + listWithKeyId(next), [next.signer.certificate]), undefined)
  }
  t.match(
    refusalOf(listWithKeyId(twin, root), ''),
    /not signed by it/,
    'who names the key of the known one is no other',
  )
  const both = [root, twin].map(({ signer }) => signer.certificate)
  t.equal(refusalOf(listOf(root) + listOf(twin), listOf(root), both), undefined)
  t.match(refusalOf(listOf(twin), listOf(root), both), /no list of test, root any more/)
})

void t.test('how lists stand to those who are known', async (t) => {
  t.same(standing(''), { forged: [], unknown: [], isAnySigned: false })
  t.same(standing(listOf(root) + listOf(stranger)), { forged: [], unknown: ['test, stranger'], isAnySigned: true })
  t.same(standing(damaged(root)), { forged: ['test, root'], unknown: [], isAnySigned: false })
  t.same(standing(listWithKeyId(twin)), { forged: [], unknown: ['test, root'], isAnySigned: false })
})

void t.test('a list in DER is checked like one in PEM', async (t) => {
  const der = revocationList(root, [], { signingKey: twin.key.privateKey })
  t.throws(() => checkSuccession(CrlSet.load(Buffer.from(der)), CrlSet.load(''), known), { code: 'bad-crl' })
})
