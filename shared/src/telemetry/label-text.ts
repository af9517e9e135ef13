/** Characters of a label's value that are kept; longer than any name in Kubernetes, shorter than a peer may wish. */
const MAX_VALUE_CHARACTERS = 512
const HARMLESS = /^[ !#-[\]-~]*$/
/** C0, DEL and C1 control characters and the two Unicode line ends. */
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/g

/** One label of a series in OpenMetrics text: `name="value"`. Missing or empty reads `unknown`; a peer's text is cut. */
export function label(name: string, value: string | undefined): string {
  return `${name}="${value === undefined || value === '' ? 'unknown' : labelValue(value)}"`
}

/** Labels of a series, in order. The text is the identity of the series. */
export function labelText(labels: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(labels)
    .map(([name, value]) => label(name, value))
    .join(',')
}

function labelValue(value: string): string {
  if (value.length <= MAX_VALUE_CHARACTERS && HARMLESS.test(value)) return value
  return value
    .slice(0, MAX_VALUE_CHARACTERS)
    .replaceAll(CONTROL, ' ')
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .toWellFormed()
}
