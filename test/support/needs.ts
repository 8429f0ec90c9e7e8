/** What a test needs of the machine. A test that cannot run is skipped, and says why. */
import { accessSync, closeSync, constants, openSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createNamespace } from '../../dist/namespace/open.js'

/** 'namespaces': the privilege to make them. 'names': to bind them to /run/netns. 'root': user id 0. 'tun': /dev/net/tun. Else a program. */
export type Requirement = 'namespaces' | 'names' | 'root' | 'tun' | (string & {})

const known = new Map<Requirement, string | undefined>()

async function missing(requirement: Requirement): Promise<string | undefined> {
  switch (requirement) {
    case 'namespaces':
      return tried('network namespaces cannot be made here', () => createNamespace())
    case 'names':
      return tried('namespaces cannot be named here', () => createNamespace(`netkit-needs-${process.pid}`))
    case 'root':
      return process.geteuid?.() === 0 ? undefined : 'this takes root'
    case 'tun':
      try {
        closeSync(openSync('/dev/net/tun', 'r+'))
        return undefined
      } catch (error) {
        return `/dev/net/tun cannot be opened: ${(error as Error).message}`
      }
    default:
      return programPath(requirement) === undefined ? `the program ${requirement} is not installed` : undefined
  }
}

async function tried(reason: string, make: () => Promise<AsyncDisposable>): Promise<string | undefined> {
  try {
    const made = await make()
    await made[Symbol.asyncDispose]()
    return undefined
  } catch (error) {
    return `${reason}: ${(error as Error).message}`
  }
}

function programPath(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

/** The options of a test that needs these: `t.test('…', await needs('namespaces', 'ip'), async (t) => …)`. */
export async function needs(...requirements: Requirement[]): Promise<{ skip: string | false }> {
  for (const requirement of requirements) {
    if (!known.has(requirement)) known.set(requirement, await missing(requirement))
    const reason = known.get(requirement)
    if (reason !== undefined) return { skip: reason }
  }
  return { skip: false }
}
