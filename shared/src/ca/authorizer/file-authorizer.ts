import type { Clock } from '../../clock/index.ts'
import type { SpiffeId } from '../../identity/index.ts'
import type { Log } from '../../log/index.ts'
import { FileWatch, fingerprintOf } from '../file-watch.ts'
import type { CaAuthorizer, Caller, ShownToken } from './authorizer.ts'
import { decide, ruleOf, type AuthorizerRules } from './authorizer-rules.ts'
import { readAuthorizerFile } from './read-authorizer-file.ts'

/** Where the rules are. */
export interface FileAuthorizerOptions {
  readonly path: string
  /** Of every identity that is given out. */
  readonly trustDomain: string
  readonly clock: Clock
  readonly log: Log
}

/**
 * Decides by a YAML file: `nodes` (name, serviceAccounts as namespace/name, and token, tokenSha256 or tokenFile) may impersonate
 * exactly their service accounts; `workloads` (serviceAccount, and a token likewise) are who they are. The file and the
 * token files that it names are read again when they change; a bad edit is reported with line and reason, and what was
 * there before stays in use. Owns a watch until `close`.
 */
export class FileAuthorizer implements CaAuthorizer {
  readonly #options: FileAuthorizerOptions
  readonly #watch: FileWatch
  #rules: AuthorizerRules
  #tokenPaths: readonly string[]

  private constructor(
    options: FileAuthorizerOptions,
    rules: AuthorizerRules,
    tokenPaths: readonly string[],
    fingerprint: string,
  ) {
    this.#options = options
    this.#rules = rules
    this.#tokenPaths = tokenPaths
    const { clock, path } = options
    const paths = (): readonly string[] => [path, ...this.#tokenPaths]
    this.#watch = new FileWatch({ clock, paths, onChange: () => this.#reload() }, fingerprint)
  }

  /** Throws CaError 'bad-authorizer'. */
  static async open(options: FileAuthorizerOptions): Promise<FileAuthorizer> {
    const { path } = options
    const first = await readAuthorizerFile(path)
    const fingerprint = await fingerprintOf([path, ...first.tokenPaths])
    // Read after the fingerprint was taken, so that no edit falls between the two.
    const { outcome, tokenPaths } = await readAuthorizerFile(path)
    if ('error' in outcome) throw outcome.error
    return new FileAuthorizer(options, outcome.rules, tokenPaths, fingerprint)
  }

  async authenticate({ token }: ShownToken): Promise<void> {
    ruleOf(this.#rules, token)
  }

  async authorize(caller: Caller): Promise<SpiffeId> {
    return decide(this.#rules, this.#options.trustDomain, caller)
  }

  close(): void {
    this.#watch.close()
  }

  async #reload(): Promise<void> {
    const { path, log } = this.#options
    const { outcome, tokenPaths } = await readAuthorizerFile(path)
    this.#tokenPaths = tokenPaths
    if ('error' in outcome) {
      log.error('the changed authorizer file is not used, the old rules stay', { path, error: outcome.error.message })
    } else {
      this.#rules = outcome.rules
      log.info('the authorizer file was reloaded', { path, rules: outcome.rules.size })
    }
  }
}
