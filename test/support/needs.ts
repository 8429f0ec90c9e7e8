/** What a test needs of the machine. A test that cannot run is skipped, and says why. */
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createNamespace } from '../../dist/namespace/open.js'
import { runProgram } from './program.js'

/**
 * 'namespaces': the privilege to make them. 'names': to bind them to /run/netns. 'root': to become another user. 'nobody':
 * the same, and that user may run this node and read this package. 'tun': /dev/net/tun. Anything else is the name of a program.
 */
export type Requirement = 'namespaces' | 'names' | 'root' | 'nobody' | 'tun' | (string & {})

/** The user that owns nothing, by its usual number. */
export const NOBODY = 65534

const known = new Map<Requirement, string | undefined>()

async function missing(requirement: Requirement): Promise<string | undefined> {
  switch (requirement) {
    case 'namespaces':
      return tried('network namespaces cannot be made here', () => createNamespace())
    case 'names':
      return tried('namespaces cannot be named here', () => createNamespace(`netkit-needs-${process.pid}`))
    case 'root':
      return mayBecomeNobody() ? undefined : 'this takes root, outside of a user namespace'
    case 'nobody': {
      if (!mayBecomeNobody()) return missing('root')
      const { exitCode } = await runProgram("import './dist/namespace/open.js'", { uid: NOBODY, gid: NOBODY })
      return exitCode === 0 ? undefined : `another user cannot run ${process.execPath} with this package`
    }
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

/** For root: whether there is another user in this user namespace (user_namespaces(7)). */
function mayBecomeNobody(): boolean {
  if (process.geteuid?.() !== 0) return false
  const ranges = readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n')
  return ranges.some((range) => {
    const [first = 0, , count = 0] = range.trim().split(/\s+/).map(Number)
    return NOBODY >= first && NOBODY < first + count
  })
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
