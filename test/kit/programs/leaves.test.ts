// Leaves something behind, as no test may: leaves.test.ts WHAT. None of the tests that the runner finds; leftovers.test.ts runs it.
import { openSync } from 'node:fs'
import { createServer } from 'node:net'
import { inside, must, TestMesh } from '../index.ts'

const [what = ''] = process.argv.slice(2)
switch (what) {
  case 'a timer':
    setTimeout(() => {}, 600_000).unref()
    break
  case 'a file':
    openSync(import.meta.filename, 'r')
    break
  case 'a listener':
    createServer().listen(0, '127.0.0.1').unref()
    break
  case 'a process': {
    const mesh = await TestMesh.create()
    const node = await mesh.node('a')
    // Of no program of the kit, and not ended by SIGTERM.
    await must([...inside(node.place.namespace), 'sh', '-c', 'trap "" TERM; sleep 600 > /dev/null 2>&1 &'])
    process.stdout.write(`${JSON.stringify(await mesh.close())}\n`)
    break
  }
  default:
}
