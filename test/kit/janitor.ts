import { spawn, type ChildProcess } from 'node:child_process'
import { JANITOR_VARIABLE, RUN_VARIABLE } from './run-id.ts'

/**
 * Waits for the end of its input, which comes when the program that started it closes it or dies in whatever way, and then
 * removes what is left of the namespaces and files of one mesh. It looks for processes until a look has found none: a
 * ztunnel enters the namespaces of its pods for moments, and was missed by one look that came from a pod to the node just then.
 */
const SCRIPT = `
prefix=$1 directory=$2
cat > /dev/null
names=$(ip netns list | cut -d' ' -f1 | grep "^$prefix-")
for look in 1 2 3 4 5 6 7 8 9 10; do
  found=0
  for name in $names; do
    for pid in $(ip netns pids "$name"); do kill -KILL "$pid" 2> /dev/null && found=1; done
  done
  [ $found = 0 ] && break
  sleep 0.1
done
printf 'netns del %s\\n' $names | ip -force -batch - 2> /dev/null
rm -rf "$directory"
`

/** Cleans up after this process, even when it is killed. */
export class Janitor {
  readonly #child: ChildProcess

  constructor(prefix: string, directory: string) {
    // A session of its own: a Ctrl-C must not reach it.
    this.#child = spawn('sh', ['-c', SCRIPT, 'janitor', prefix, directory], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { ...process.env, [RUN_VARIABLE]: undefined, [JANITOR_VARIABLE]: process.env[RUN_VARIABLE] },
      detached: true,
    })
    this.#child.unref()
    this.#child.stdin?.on('error', () => {
      // It has ended already.
    })
  }

  /** Lets it do its work now; resolves when it is done. */
  async finish(): Promise<void> {
    const ended = new Promise((resolve) => {
      this.#child.once('close', resolve)
    })
    this.#child.ref()
    this.#child.stdin?.end()
    await ended
  }
}
