import { messageOf } from './mesh-error.ts'

/** Our words for the system's code of what was thrown; what has none keeps its own. */
export function reasonByCode(thrown: unknown, reasons: Readonly<Record<string, string>>): string {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
  return reasons[code] ?? messageOf(thrown)
}
