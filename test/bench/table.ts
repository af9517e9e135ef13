import type { Row } from './samples.ts'
import type { Target } from './targets.ts'
import { VARIANTS } from './variant.ts'

/** The rows as text for people. */
export function table(rows: readonly Row[], targets: readonly Target[]): string {
  const measured = VARIANTS.filter((variant) => rows.some((row) => row[variant] !== null))
  const head = ['work', 'unit', ...measured]
  const lines = rows
    .filter((row) => measured.some((variant) => row[variant] !== null))
    .map((row) => [row.work, row.unit, ...measured.map((variant) => figure(row[variant]))])
  const verdicts = targets
    .filter(({ value }) => value !== null)
    .map(({ what, value, wanted, isMet }) => [isMet === true ? '✔' : '✘', what, figure(value), wanted])
  return `${columns([head, ...lines])}\n\n${columns(verdicts)}\n`
}

function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function figure(value: number | null): string {
  if (value === null) return '–'
  const size = Math.abs(value)
  if (size >= 1_000) return Math.round(value).toLocaleString('en')
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3)
}
