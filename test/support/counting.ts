/** What this process holds: for tests that nothing is left behind. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { native } from '../../dist/native.js'

/** How many descriptors the process has open. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length - 1
}

export function threads(): number {
  return readdirSync('/proc/self/task').length
}

/** The resident set in bytes, after a garbage collection when the process was started with --expose-gc. */
export function resident(): number {
  ;(globalThis as { gc?: () => void }).gc?.()
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]) * 1024
}

/** The network namespaces that the threads of this process are in, each once: `['net:[4026531833]']` when all is well. */
export function namespacesOfThreads(): string[] {
  const found = new Set<string>()
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      found.add(readlinkSync(`/proc/self/task/${thread}/ns/net`))
    } catch {
      // The thread has ended.
    }
  }
  return [...found]
}

/** How many times slower than usual this machine is: in the guests of test:kernels, 4. */
const slowness = Number(process.env.NETKIT_TEST_SLOWNESS ?? 1)

/**
 * Waits until a condition holds, looking every millisecond or so. False when it does not within `patience` milliseconds (times
 * the machine's slowness).
 */
export async function eventually(condition: () => boolean | Promise<boolean>, patience = 5000): Promise<boolean> {
  const end = performance.now() + patience * slowness
  while (!(await condition())) {
    if (performance.now() > end) return false
    await delay(2)
  }
  return true
}

/** Calls a function, and checks that no more descriptors are open, or owned by the addon, than before. */
export async function leavesNoDescriptor(t: Test, what: string, fn: () => unknown): Promise<void> {
  const open = descriptors()
  const owned = native.ownedDescriptors()
  await fn()
  const back = await eventually(() => descriptors() <= open && native.ownedDescriptors() <= owned, 2000)
  t.ok(back, `${what} leaves no descriptor: ${open} before, ${descriptors()} after`)
}
