// Lists and streams what is in the namespace it is started in: WHAT is `links`, `routes` or `neighbors`, HOW `list` or `stream`.
// Prints, as JSON, the rows, the milliseconds, the MiB by which the process grew, and the longest turn of the event loop.
import { readFileSync } from 'node:fs'
import { currentNamespace } from '../../dist/index.js'

const [what, how] = process.argv.slice(2)
const here = currentNamespace()
const collection = here[what]
const filter = what === 'links' ? {} : { family: 'inet' }

/** The process's memory, and the most that it had (proc_pid_status(5)). */
function memory(name) {
  return Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'latin1'))[1]) / 1024
}

// The code is compiled, and what serves all requests is there.
await collection.list(what === 'links' ? { kind: 'bridge' } : { ...filter, link: 'lo' })
globalThis.gc?.()
const before = memory('VmRSS')
let longest = 0
let last = performance.now()
const timer = setInterval(() => {
  const now = performance.now()
  longest = Math.max(longest, now - last - 1)
  last = now
}, 1)
const start = performance.now()
let rows = 0
if (how === 'list') rows = (await collection.list(filter)).length
else for await (const _ of collection.stream(filter)) rows++
const took = performance.now() - start
clearInterval(timer)
console.log(JSON.stringify({ rows, took, grown: memory('VmHWM') - before, longest }))
