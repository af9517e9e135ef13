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
}

/** A program before the real nft which does as it is told. */
export async function unwillingNft(files: MeshFiles): Promise<UnwillingNft> {
  const real = (await must(['sh', '-c', 'command -v nft'])).trim()
  const mood = files.path('mood')
  const script = `#!/bin/sh
[ -e ${mood}.refuse ] && { echo 'not today' >&2; exit 1; }
while [ -e ${mood}.hesitate ]; do sleep 0.05; done
exec ${real} "$@"
`
  chmodSync(files.write('nft', script), 0o755)
  const obey = (): void => {
    for (const name of ['refuse', 'hesitate']) rmSync(`${mood}.${name}`, { force: true })
  }
  return {
    path: `${files.directory}:${process.env['PATH'] ?? ''}`,
    obey,
    refuse: () => {
      obey()
      writeFileSync(`${mood}.refuse`, '')
    },
    hesitate: () => {
      obey()
      writeFileSync(`${mood}.hesitate`, '')
    },
  }
}
