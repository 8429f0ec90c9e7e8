// A process of Node without netkit, which tells its memory: at rest, and after its event loop has turned for half a second. What the
// memory of the others is compared with is the latter: the first half second of work brings Node's compiler and collector into
// memory, whatever the work is.
import { setImmediate as turn } from 'node:timers/promises'
import { memory } from './memory.mjs'

const MILLISECONDS = 500

const rest = memory()
let sum = 0
for (const end = performance.now() + MILLISECONDS; performance.now() < end; ) {
  await turn()
  const numbers = new Uint32Array(512)
  for (let i = 0; i < 2000; i++) sum += numbers[i & 511] + (i % 7)
}
process.send({ rest, busy: memory(), sum })
