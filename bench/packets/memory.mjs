// Memory of this process, in bytes: `resident` all that is in memory, `own` without the pages of program files, which all
// processes share; `heap` is JavaScript's.
import { readFileSync } from 'node:fs'

export function memory() {
  const status = readFileSync('/proc/self/status', 'latin1')
  const field = (name) => Number(status.match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))[1]) * 1024
  return { resident: field('VmRSS'), own: field('RssAnon'), heap: process.memoryUsage().heapUsed }
}
