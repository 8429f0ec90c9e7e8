/**
 * May this user make namespaces? If not: the demo once more, as root of a user namespace. If that is not allowed either,
 * advice.
 */
import { spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { createNamespace, NetkitError } from 'netkit'
import { advice } from '../scripts/isolate.mjs'
import { print, wrap } from './terminal.js'

const main = fileURLToPath(new URL('main.js', import.meta.url))

/** Set for the second run, which does not try a third. */
const MARK = 'NETKIT_DEMO_INSIDE'

/** A new user namespace, in which this user is root, and a network namespace that belongs to it (unshare(1)). */
const unshare = ['--user', '--map-root-user', '--net', '--']

/** True in the second run. */
export const inUserNamespace = process.env[MARK] !== undefined

/** Why namespaces cannot be made by this process; undefined when they can. */
export async function refusal(): Promise<NetkitError | undefined> {
  try {
    const namespace = await createNamespace()
    await namespace.delete()
    return undefined
  } catch (error) {
    if (error instanceof NetkitError && (error.code === 'EPERM' || error.code === 'EACCES')) return error
    throw error
  }
}

/**
 * Runs the demo in a user namespace, and resolves to its exit code; to undefined when that is not allowed here, after
 * it has said what to do.
 */
export async function runInUserNamespace(refused: NetkitError): Promise<number | undefined> {
  const { status, error, stderr } = spawnSync('unshare', [...unshare, 'true'], { encoding: 'utf8' })
  if (status !== 0) {
    explain(refused, error?.message ?? stderr.trim())
    return undefined
  }
  const child = spawn('unshare', [...unshare, process.execPath, main, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, [MARK]: '1' },
  })
  // Ctrl-C reaches both processes; a signal sent to this one alone must reach the other, which cleans up.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}

/** Says what helps. The reason is what unshare(1) said, or empty. */
export function explain(refused: NetkitError, reason: string): void {
  print('The demo makes network namespaces, and this user may not:')
  for (const line of wrap(refused.message, 76)) print(`    ${line}`)
  if (reason !== '') {
    print('As root of a user namespace it would work, but that is not allowed here either:')
    for (const line of wrap(reason, 76)) print(`    ${line}`)
  }
  print('What helps, any one of these:')
  for (const line of advice()) print(`  - ${line}`)
}
