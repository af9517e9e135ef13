import { SigningDirectory } from '../authority/signing-directory.ts'
import { checkSelfMadeRoot, openSelfMadeRoot } from '../authority/self-made-root.ts'
import type { SigningSource } from '../authority/signing-material.ts'
import { FileAuthorizer } from '../authorizer/file-authorizer.ts'
import { createCaServer, type CaServer } from '../server/ca-server.ts'
import type { Clock } from '../../clock/index.ts'
import { messageOf, whyNotWritten } from '../../errors/index.ts'
import type { Log } from '../../log/index.ts'
import { CaError } from '../ca-error.ts'
import { writeFileAtomically } from '../write-file.ts'
import type { CaConfig } from './ca-options.ts'

/**
 * A CA as configured, listening; `close` ends everything that it began. Throws CaError: what is wrong with the signing
 * certificate and with the authorizer file is reported together.
 */
export async function runCa(config: CaConfig, clock: Clock, log: Log): Promise<CaServer> {
  const { trustDomain, authorizerPath } = config
  const [authorized] = await Promise.allSettled([
    FileAuthorizer.open({ path: authorizerPath, trustDomain, clock, log }),
  ])
  // A CA that will not run makes no root.
  const isAuthorized = authorized.status === 'fulfilled'
  const [opened] = await Promise.allSettled([isAuthorized ? openSource(config, clock, log) : checkSource(config)])
  const source = opened.status === 'fulfilled' ? opened.value : undefined
  const authorizer = authorized.status === 'fulfilled' ? authorized.value : undefined
  const closeBoth = (): void => {
    source?.close()
    authorizer?.close()
  }
  try {
    if (!source || !authorizer) throw problemsOf([opened, authorized])
    await writeOutputs(source, config)
    source.onChange(() => {
      writeOutputs(source, config).catch((error: unknown) => log.error(messageOf(error)))
    })
    const { listen, servingNames, defaultTtlMs, maxTtlMs } = config
    const server = await createCaServer({
      listen,
      source,
      servingNames,
      authorizer,
      trustDomain,
      defaultTtlMs,
      maxTtlMs,
      clock,
      log,
    })
    return {
      address: server.address,
      close: async () => {
        closeBoth()
        await server.close()
      },
    }
  } catch (error) {
    closeBoth()
    throw error
  }
}

function openSource({ signing, trustDomain, rootTtlMs }: CaConfig, clock: Clock, log: Log): Promise<SigningSource> {
  if ('importedDirectory' in signing) {
    return SigningDirectory.open({ directory: signing.importedDirectory, refusesOpenKey: false, clock, log })
  }
  return openSelfMadeRoot({ stateDirectory: signing.stateDirectory, trustDomain, ttlMs: rootTtlMs, clock, log })
}

/** So that what is wrong with the directory is told as well; an imported one is not touched anyway. */
async function checkSource({ signing }: CaConfig): Promise<undefined> {
  if ('stateDirectory' in signing) await checkSelfMadeRoot(signing.stateDirectory)
}

async function writeOutputs(source: SigningSource, { rootOutputPath, crlOutputPath }: CaConfig): Promise<void> {
  const { rootsPem, crlPem } = source.current()
  await write(rootOutputPath, rootsPem, 'root certificates')
  await write(crlOutputPath, crlPem, 'revocation lists')
}

async function write(path: string | undefined, content: string, what: string): Promise<void> {
  if (path === undefined) return
  try {
    await writeFileAtomically(path, content, 0o644)
  } catch (cause) {
    throw new CaError('output', `The ${what} cannot be written to ${path}: ${whyNotWritten(cause)}`, { cause })
  }
}

function problemsOf(results: readonly PromiseSettledResult<unknown>[]): Error {
  const reasons: unknown[] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  const [first] = reasons
  if (reasons.length === 1 && first instanceof Error) return first
  return new CaError('bad-authority', reasons.map((reason) => messageOf(reason)).join('\n'))
}
