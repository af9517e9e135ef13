import t from 'tap'
import { MeshError, type ErrorSource } from './mesh-error.ts'

void t.test('only errors of our own side carry a trace', async (t) => {
  for (const source of ['internal', 'config'] as const) t.match(trace(source), /mesh-error\.test\.ts:\d+/, source)
  for (const source of ['downstream', 'upstream'] as const) t.equal(trace(source), 'MeshError: what is wrong', source)
  t.match(new Error('any other').stack, /mesh-error\.test\.ts:\d+/, 'nor does it change other errors')
})

function trace(source: ErrorSource): string {
  return new MeshError('code', 'what is wrong', { source }).stack ?? ''
}
