import { randomBytes } from 'node:crypto'
import { chmod, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  generateKeyPair,
  issueAuthority,
  parseCertificate,
  readKeyPair,
  type KeyPair,
} from '../../certificates/index.ts'
import { Repetition, type Clock } from '../../clock/index.ts'
import { readRegularFile } from '../../config-file/index.ts'
import { messageOf, whyNotRead, whyNotWritten } from '../../errors/index.ts'
import type { Log } from '../../log/index.ts'
import { CaError } from '../ca-error.ts'
import { writeFileAtomically } from '../write-file.ts'
import { certificatesOf } from './certificates-of.ts'
import { SigningDirectory } from './signing-directory.ts'
import type { SigningMaterial, SigningSource } from './signing-material.ts'

/** A root is renewed when less than this share of its life is left (Istio's default). */
const RENEWAL_SHARE = 0.2
const RENEWAL_CHECK_MS = 3_600_000
/** Longest file in bytes, as for all that holds certificates. */
const MAX_FILE_BYTES = 1024 * 1024
const FILES = { certificate: 'ca-cert.pem', privateKey: 'ca-key.pem', roots: 'root-cert.pem' } as const

/** Where a root of our own is kept, and what a new one says. */
export interface SelfMadeRootOptions {
  /** Made with mode 0700 where missing. The root lives in `root` below it, in the layout of Istio's `cacerts`. */
  readonly stateDirectory: string
  /** Organization in the root's name; Istio puts the trust domain there. */
  readonly trustDomain: string
  /** Lifetime of a new root. */
  readonly ttlMs: number
  readonly clock: Clock
  readonly log: Log
}

/** With its parents. Node's own way never ends where a parent that is there takes no entry and says ENOENT, as /proc does. */
async function makeDirectory(path: string): Promise<void> {
  if (!(await isMissing(path))) return
  await makeDirectory(dirname(path))
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    // Another CA may have been faster.
    if (await isMissing(path)) throw error
  }
}

/**
 * A root of our own, made on first start and kept on disk: EC P-256, key with mode 0600. Renewed with the same key when a fifth of
 * its life is left, so that the old root and the new verify the same leaves; both are handed out until the old one ends.
 * Throws CaError 'permissions' when directory or key lie open or may not be written, 'output' when there is no room for them,
 * 'bad-authority' when what is there cannot be used.
 */
export async function openSelfMadeRoot(options: SelfMadeRootOptions): Promise<SigningSource> {
  const { stateDirectory, clock, log } = options
  const directory = join(stateDirectory, 'root')
  try {
    await makeDirectory(stateDirectory)
    await checkPrivate(stateDirectory)
    if (await isMissing(directory)) await makeRoot(directory, options)
    await checkPrivate(directory)
    await renewIfDue(directory, options)
  } catch (error) {
    throw explained(error, stateDirectory)
  }
  const source = await SigningDirectory.open({ directory, refusesOpenKey: true, clock, log })
  warnOfOtherDomain(source.current(), options)
  const renewal = new Repetition(clock, RENEWAL_CHECK_MS, () => renewInTime(directory, options))
  return {
    current: () => source.current(),
    onChange: (listener) => source.onChange(listener),
    close: () => {
      renewal.stop()
      source.close()
    },
  }
}

/** What `openSelfMadeRoot` would say of the modes of what is there. Makes nothing. Throws CaError 'permissions'. */
export async function checkSelfMadeRoot(stateDirectory: string): Promise<void> {
  for (const directory of [stateDirectory, join(stateDirectory, 'root')])
    if (!(await isMissing(directory))) await checkPrivate(directory)
}

/** Of a root that was renewed the directory's own watch takes notice. Never rejects. */
async function renewInTime(directory: string, options: SelfMadeRootOptions): Promise<void> {
  try {
    await renewIfDue(directory, options)
  } catch (error) {
    options.log.error('the root certificate could not be renewed', { error: messageOf(error) })
  }
}

/** Makes all files aside and puts them in place in one step: of two that start at once, one wins and the other uses its root. */
async function makeRoot(directory: string, options: SelfMadeRootOptions): Promise<void> {
  const aside = `${directory}.${randomBytes(6).toString('hex')}.new`
  const key = generateKeyPair()
  const certificatePem = issue(key, options)
  try {
    await mkdir(aside, { mode: 0o700 })
    await chmod(aside, 0o700)
    await writeFileAtomically(join(aside, FILES.privateKey), key.privateKeyPem, 0o600)
    await writeFileAtomically(join(aside, FILES.roots), certificatePem, 0o644)
    await writeFileAtomically(join(aside, FILES.certificate), certificatePem, 0o644)
    await rename(aside, directory)
    options.log.info('made a new root certificate', { directory })
  } catch (error) {
    await rm(aside, { recursive: true, force: true })
    if (await isMissing(directory)) throw error
  }
}

async function renewIfDue(directory: string, options: SelfMadeRootOptions): Promise<void> {
  const [oldPem, privateKeyPem, rootsPem] = await Promise.all([
    readText(join(directory, FILES.certificate)),
    readText(join(directory, FILES.privateKey)),
    readText(join(directory, FILES.roots)),
  ])
  const nowMs = options.clock.now()
  const old = parseCertificate(certificatesOf(join(directory, FILES.certificate), oldPem)[0])
  if (old.notAfterMs - nowMs > (old.notAfterMs - old.notBeforeMs) * RENEWAL_SHARE) return
  const renewedPem = issue(readKeyPair(privateKeyPem), options)
  const stillValid = certificatesOf(join(directory, FILES.roots), rootsPem).filter(
    ({ validToDate }) => validToDate.getTime() > nowMs,
  )
  // The bundle first: at every moment the signing certificate is among the roots.
  await writeFileAtomically(join(directory, FILES.roots), [renewedPem, ...stillValid.map(String)].join(''), 0o644)
  await writeFileAtomically(join(directory, FILES.certificate), renewedPem, 0o644)
  options.log.info('renewed the root certificate with the same key', { directory, roots: stillValid.length + 1 })
}

function issue(key: Pick<KeyPair, 'privateKey' | 'publicKeyDer'>, options: SelfMadeRootOptions): string {
  const { trustDomain: organization, ttlMs, clock } = options
  return issueAuthority({ key, organization, ttlMs, nowMs: clock.now() })
}

async function checkPrivate(path: string): Promise<void> {
  const found = await stat(path)
  if (!found.isDirectory()) throw new CaError('bad-authority', `${path} is no directory, as --state-dir must be.`)
  const { mode } = found
  if ((mode & 0o077) === 0) return
  const shown = (mode & 0o777).toString(8).padStart(4, '0')
  throw new CaError(
    'permissions',
    `The CA directory ${path} has mode ${shown}: others may enter it. Run chmod 700 on it, and think about who did.`,
  )
}

/** What the system says of a directory that cannot be made or written, for whoever chose it; any other error as it is. */
function explained(error: unknown, stateDirectory: string): unknown {
  switch (error instanceof Error && 'code' in error && error.code) {
    case 'ENOTDIR':
      return new CaError('bad-authority', `--state-dir ${stateDirectory} is no directory.`, { cause: error })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new CaError(
        'permissions',
        `This process may not write to --state-dir ${stateDirectory}: ${messageOf(error)}.`,
        { cause: error },
      )
    case 'ENOSPC':
    case 'EDQUOT':
      return new CaError(
        'output',
        `The root cannot be written to --state-dir ${stateDirectory}: ${whyNotWritten(error)}.`,
        {
          cause: error,
        },
      )
    default:
      return error
  }
}

/** It signs for the new one all the same, but in its own name for ever: whoever reads it is misled. */
function warnOfOtherDomain(
  { signer }: SigningMaterial,
  { stateDirectory, trustDomain, log }: SelfMadeRootOptions,
): void {
  const madeFor = /^O=(.*)$/mu.exec(signer.certificate.x509.subject)?.[1]
  if (madeFor === undefined || madeFor === trustDomain) return
  log.warn(`the root was made for the trust domain ${madeFor}, and signs for ${trustDomain}`, { stateDirectory })
}

async function readText(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, MAX_FILE_BYTES)).toString('utf8')
  } catch (cause) {
    throw new CaError('bad-authority', `${path} cannot be read: ${whyNotRead(cause)}`, { cause })
  }
}

async function isMissing(path: string): Promise<boolean> {
  return stat(path).then(
    () => false,
    () => true,
  )
}
