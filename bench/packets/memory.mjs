// Memory of this process, in bytes: all that is resident, and JavaScript's heap.
import { readFileSync } from 'node:fs'

export const memory = () => ({
  resident: Number(readFileSync('/proc/self/status', 'latin1').match(/^VmRSS:\s+(\d+)/m)[1]) * 1024,
  heap: process.memoryUsage().heapUsed,
})
