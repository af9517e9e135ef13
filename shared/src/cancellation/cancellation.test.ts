import t from 'tap'
import { Cancellation, type CancelSignal } from './index.ts'

/** What both are asked, so that work may wait for either. */
const kinds: readonly [string, () => { readonly signal: CancelSignal; readonly abort: (reason?: unknown) => void }][] =
  [
    [
      'an AbortController',
      () => {
        const controller = new AbortController()
        return { signal: controller.signal, abort: (reason) => controller.abort(reason) }
      },
    ],
    [
      'a Cancellation',
      () => {
        const signal = new Cancellation()
        return { signal, abort: (reason) => signal.abort(reason) }
      },
    ],
  ]

for (const [name, make] of kinds) {
  void t.test(`${name} calls its listeners once, with the first reason`, async (t) => {
    const { signal, abort } = make()
    const heard: unknown[] = []
    const gone = (): void => void heard.push('gone')
    signal.addEventListener('abort', gone)
    signal.addEventListener('abort', () => heard.push(signal.reason))
    signal.addEventListener('abort', () => heard.push('second'))
    signal.removeEventListener('abort', gone)
    signal.removeEventListener('abort', gone)
    t.same([signal.aborted, signal.reason, heard], [false, undefined, []])
    abort('first')
    abort('later')
    t.same([signal.aborted, signal.reason, heard], [true, 'first', ['first', 'second']])
    signal.addEventListener('abort', () => heard.push('too late'))
    abort()
    t.same(heard, ['first', 'second'])
  })

  void t.test(`listeners of ${name} may take themselves away while they are called`, async (t) => {
    const { signal, abort } = make()
    let calls = 0
    const once = (): void => {
      calls++
      signal.removeEventListener('abort', once)
    }
    signal.addEventListener('abort', once)
    signal.addEventListener('abort', () => calls++)
    abort()
    t.equal(calls, 2)
  })
}
