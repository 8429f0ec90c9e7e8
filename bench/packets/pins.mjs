// Which core a program runs on, and how long it has run and waited.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

const works = (words) => {
  try {
    execFileSync(words[0], [...words.slice(1), 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/**
 * Words before a command that keep it on one core: the pump on one and the load on another; none where that cannot be had.
 * `priority`: both besides run before everything else on the machine (chrt(1), -r), for one that is not quiet.
 */
export function pinning(priority) {
  const real = priority > 0 ? ['chrt', '-r', String(priority)] : []
  if (real.length > 0 && !works(real)) throw new Error('real-time priority cannot be had here (chrt -r)')
  const cores = availableParallelism() >= 2 && works(['taskset', '-c', '0,1'])
  const on = (core) => [...real, ...(cores ? ['taskset', '-c', core] : [])]
  return { pump: on('1'), load: on('0'), cores }
}

/** Milliseconds that each thread of a process has been running, and waiting for a processor (proc_pid_schedstat(5)). */
export function schedule(pid) {
  const threads = new Map()
  if (pid === undefined) return threads
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [busy, waited] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')
    threads.set(thread, { busy: Number(busy) / 1e6, waited: Number(waited) / 1e6 })
  }
  return threads
}

/**
 * What happened between two schedules: milliseconds that all threads were running, and that the busiest of them waited for
 * others than its own kind.
 */
export function elapsed(before, after) {
  const none = { busy: 0, waited: 0 }
  let busy = 0
  let busiest = none
  for (const [thread, times] of after) {
    const start = before.get(thread) ?? none
    const grown = { busy: times.busy - start.busy, waited: times.waited - start.waited }
    busy += grown.busy
    if (grown.busy > busiest.busy) busiest = grown
  }
  return { busy, waited: Math.max(0, busiest.waited - (busy - busiest.busy)) }
}

/** Milliseconds that the machine below this one took from its processors since the start, all together (proc_stat(5)). */
export function stolen() {
  const [, , , , , , , , steal] = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0].split(/ +/)
  return Number(steal) * 10
}
