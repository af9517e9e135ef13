import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { must } from '../kit/index.ts'
import type { MeshFiles } from '../kit/mesh-files.ts'

export interface UnwillingNft {
  /** For the environment of whoever is to run it. */
  readonly path: string
  obey(): void
  refuse(): void
  /** Until it is told otherwise. */
  hesitate(): void
  /** Applies scripts at once, and ends only when it is told otherwise. */
  linger(): void
}

/** A program before the real nft which does as it is told. */
export async function unwillingNft(files: MeshFiles): Promise<UnwillingNft> {
  const real = (await must(['sh', '-c', 'command -v nft'])).trim()
  const mood = files.path('mood')
  const script = `#!/bin/sh
[ -e ${mood}.refuse ] && { echo 'not today' >&2; exit 1; }
while [ -e ${mood}.hesitate ]; do sleep 0.05; done
[ "$1 $2" = '-f -' ] && [ -e ${mood}.linger ] || exec ${real} "$@"
${real} "$@" || exit
while [ -e ${mood}.linger ]; do sleep 0.05; done
`
  chmodSync(files.write('nft', script), 0o755)
  const obey = (): void => {
    for (const name of ['refuse', 'hesitate', 'linger']) rmSync(`${mood}.${name}`, { force: true })
  }
  const be = (name: string): void => {
    obey()
    writeFileSync(`${mood}.${name}`, '')
  }
  return {
    path: `${files.directory}:${process.env['PATH'] ?? ''}`,
    obey,
    refuse: () => be('refuse'),
    hesitate: () => be('hesitate'),
    linger: () => be('linger'),
  }
}
