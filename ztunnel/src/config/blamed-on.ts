import { messageOf } from '@ambit/shared/errors'
import { ConfigError } from './config-error.ts'

/** What a variable gave is loaded for the first time: rejects with ConfigError, which names the variable, where that fails. */
export async function blamedOn<T>(variable: string, load: () => T | Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    throw new ConfigError([`${variable}: ${messageOf(cause)}`], cause)
  }
}
