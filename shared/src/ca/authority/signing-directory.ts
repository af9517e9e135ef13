import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../clock/index.ts'
import { readRegularFile } from '../../config-file/index.ts'
import { messageOf, whyNotRead } from '../../errors/index.ts'
import type { Log } from '../../log/index.ts'
import { CaError } from '../ca-error.ts'
import { FileWatch, fingerprintOf } from '../file-watch.ts'
import { certificatesOf } from './certificates-of.ts'
import { readSigningMaterial, type SigningMaterial, type SigningSource } from './signing-material.ts'

/** Longest file in bytes: revocation lists may have that many, the others are refused from 1 MiB when they are read. */
const MAX_FILE_BYTES = 8 * 1024 * 1024
/** In any layout; need not exist. */
const CRL_FILE = 'ca-crl.pem'

interface Layout {
  readonly certificate: string
  readonly privateKey: string
  readonly roots: string
  /** Need not exist. */
  readonly chain: string
}

/** Istio's `cacerts`, and what a Secret of the type kubernetes.io/tls looks like. */
const LAYOUTS: readonly [Layout, Layout] = [
  { certificate: 'ca-cert.pem', privateKey: 'ca-key.pem', roots: 'root-cert.pem', chain: 'cert-chain.pem' },
  { certificate: 'tls.crt', privateKey: 'tls.key', roots: 'ca.crt', chain: 'tls.crt' },
]

/** Where an imported signing certificate is. */
export interface SigningDirectoryOptions {
  /** Holds the files of Istio's `cacerts`, or tls.crt, tls.key and ca.crt. */
  readonly directory: string
  /** True: a key that others may read is an error (our own directory); false: a warning (a mounted Secret is often so). */
  readonly refusesOpenKey: boolean
  readonly clock: Clock
  readonly log: Log
}

/**
 * The signing material of a directory, read again when its files change. A change that cannot be used is reported with its
 * reason, and what was there before stays in use. Owns a watch until `close`.
 */
export class SigningDirectory implements SigningSource {
  readonly #options: SigningDirectoryOptions
  readonly #watch: FileWatch
  readonly #listeners = new Set<() => void>()
  #material: SigningMaterial

  private constructor(options: SigningDirectoryOptions, material: SigningMaterial, fingerprint: string) {
    this.#options = options
    this.#material = material
    const { clock, directory } = options
    this.#watch = new FileWatch({ clock, paths: () => pathsOf(directory), onChange: () => this.#reload() }, fingerprint)
  }

  /** Throws CaError 'bad-authority' or 'permissions'. */
  static async open(options: SigningDirectoryOptions): Promise<SigningDirectory> {
    const fingerprint = await fingerprintOf(pathsOf(options.directory))
    return new SigningDirectory(options, await load(options), fingerprint)
  }

  current(): SigningMaterial {
    return this.#material
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  close(): void {
    this.#watch.close()
    this.#listeners.clear()
  }

  async #reload(): Promise<void> {
    const { log, directory } = this.#options
    try {
      this.#material = await load(this.#options)
      log.info('the CA certificate was reloaded', { directory, serial: this.#material.signer.certificate.serial })
      for (const listener of this.#listeners) listener()
    } catch (error) {
      log.error('the changed CA certificate is not used, the old one stays', { directory, error: messageOf(error) })
    }
  }
}

async function load({ directory, refusesOpenKey, clock, log }: SigningDirectoryOptions): Promise<SigningMaterial> {
  const [istio, plain] = LAYOUTS
  const layout = (await exists(join(directory, istio.certificate))) ? istio : plain
  const isFound = layout === istio || (await exists(join(directory, plain.certificate)))
  if (!isFound) {
    throw new CaError(
      'bad-authority',
      (await exists(directory))
        ? `${directory} holds neither ca-cert.pem (with ca-key.pem and root-cert.pem) nor tls.crt (with tls.key and ca.crt).`
        : `There is no directory ${directory}.`,
    )
  }
  const keyPath = join(directory, layout.privateKey)
  await checkKeyMode(keyPath, refusesOpenKey, log)
  const [certificatePem, privateKeyPem, rootsPem, chainPem, crlPem] = await Promise.all([
    read(join(directory, layout.certificate)),
    read(keyPath),
    read(join(directory, layout.roots)),
    readIfPresent(join(directory, layout.chain)),
    readIfPresent(join(directory, CRL_FILE)),
  ])
  // Each by itself first, for an error that names its file.
  certificatesOf(join(directory, layout.certificate), certificatePem)
  certificatesOf(join(directory, layout.roots), rootsPem)
  try {
    return readSigningMaterial({ certificatePem, privateKeyPem, rootsPem, chainPem, crlPem }, clock.now())
  } catch (cause) {
    throw new CaError('bad-authority', `${directory}: ${messageOf(cause)}`, { cause })
  }
}

async function checkKeyMode(path: string, refuses: boolean, log: Log): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode & 0o777,
    () => 0,
  )
  if ((mode & 0o077) === 0) return
  const shown = mode.toString(8).padStart(4, '0')
  if (refuses) {
    throw new CaError(
      'permissions',
      `The CA key ${path} has mode ${shown}: others may read it. Run chmod 600 on it, and think about who did.`,
    )
  }
  if ((mode & 0o007) !== 0) log.warn('everybody on this machine may read the CA key', { path, mode: shown })
}

async function read(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, MAX_FILE_BYTES)).toString('utf8')
  } catch (cause) {
    throw new CaError('bad-authority', `${path} cannot be read: ${whyNotRead(cause)}`, { cause })
  }
}

async function readIfPresent(path: string): Promise<string> {
  return (await exists(path)) ? read(path) : ''
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function pathsOf(directory: string): string[] {
  const names = LAYOUTS.flatMap(({ certificate, privateKey, roots, chain }) => [certificate, privateKey, roots, chain])
  return [...new Set([...names, CRL_FILE])].map((name) => join(directory, name))
}
