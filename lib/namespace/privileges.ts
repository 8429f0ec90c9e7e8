/** Which capability is missing, and in which user namespace: the hints of EPERM and EACCES. None of these functions throws. */
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs'
import { errnoNumber } from '../errno.js'
import { native } from '../native.js'
import { ownNamespacePath } from './identity.js'

/** Bit numbers of linux/capability.h. */
const capabilities = {
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_SYS_ADMIN: 21,
} as const

/** A capability of capabilities(7). */
export type Capability = keyof typeof capabilities

/** PROC_USER_INIT_INO of linux/proc_ns.h. */
export const INITIAL_USER_NAMESPACE = 0xeffffffd

const EPERM = errnoNumber('EPERM')

const remedy = 'run as root, or inside `unshare --user --map-root-user --net`'

/** True when the calling thread has the capability in its own user namespace. */
export function hasCapability(capability: Capability): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'))
  return line?.[1] !== undefined && ((BigInt(`0x${line[1]}`) >> BigInt(capabilities[capability])) & 1n) === 1n
}

/**
 * Why the kernel may have refused something in a network namespace: `this process lacks CAP_NET_ADMIN in user namespace
 * 4026531837 (the initial one), which owns namespace red; run as root, or …`. Undefined when the capability is not what is
 * missing, or when that cannot be found out.
 *
 * @param descriptor a network namespace, or -1 for the environment's own
 * @param label what to call it: 'namespace red'
 */
export function missingCapability(
  descriptor: number,
  capability: Capability,
  label = descriptor < 0 ? "the process's own network namespace" : 'the network namespace',
): string | undefined {
  try {
    const own = statSync('/proc/thread-self/ns/user').ino
    const owner = ownerOf(descriptor)
    if (owner === 'outside') {
      return (
        `${label} is owned by a user namespace outside of ${shown(own)}, in which this process runs, ` +
        `so that its ${capability} does not count there; ${remedy}`
      )
    }
    if (hasCapability(capability)) return undefined
    const owned = owner === own ? `which owns ${label}` : `above ${shown(owner)}, which owns ${label}`
    return `this process lacks ${capability} in ${shown(own)}, ${owned}; ${remedy}`
  } catch {
    return undefined
  }
}

/** The same for what needs a capability in the process's own user namespace, whatever the network namespace: unshare(2), mount(2). */
export function missingOwnCapability(capability: Capability): string | undefined {
  try {
    if (hasCapability(capability)) return undefined
    return `this process lacks ${capability} in ${shown(statSync('/proc/thread-self/ns/user').ino)}; ${remedy}`
  } catch {
    return undefined
  }
}

function shown(inode: number): string {
  return `user namespace ${inode}${inode === INITIAL_USER_NAMESPACE ? ' (the initial one)' : ''}`
}

/** The inode of the user namespace that owns a network namespace (ioctl_ns(2)), when it is the process's own or below it. */
function ownerOf(descriptor: number): number | 'outside' {
  const opened = descriptor < 0 ? openSync(ownNamespacePath, 'r') : undefined
  try {
    const owner = native.namespaceOwner(opened ?? descriptor)
    if (owner === -EPERM) return 'outside'
    if (owner < 0) throw new Error('NS_GET_USERNS failed')
    try {
      return fstatSync(owner).ino
    } finally {
      native.closeDescriptorNow(owner)
    }
  } finally {
    if (opened !== undefined) closeSync(opened)
  }
}
