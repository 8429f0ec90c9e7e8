/** What tells one network namespace from another, and the identity of this environment's own. */
import { statSync } from 'node:fs'

/**
 * Two descriptors, paths or processes are in the same namespace when these two numbers are equal (namespaces(7)). An inode
 * number is given to another namespace once nothing holds the first one, so an identity counts only while something holds it.
 */
export interface NamespaceIdentity {
  /** The device of the kernel's namespace file system: the same for every namespace. */
  readonly device: number
  /** The inode, as in `net:[4026531833]`. */
  readonly inode: number
}

/** Of the calling thread: `/proc/self` is the thread group's leader, which for a worker is another thread. */
export const ownNamespacePath = '/proc/thread-self/ns/net'

function readOwnIdentity(): NamespaceIdentity {
  try {
    return identityOf(statSync(ownNamespacePath))
  } catch {
    // No /proc: nothing else here works without it either, but loading a module is not the place to say so.
    return { device: -1, inode: -1 }
  }
}

export function identityOf(stats: { dev: number; ino: number }): NamespaceIdentity {
  return { device: stats.dev, inode: stats.ino }
}

export function sameNamespace(a: NamespaceIdentity, b: NamespaceIdentity): boolean {
  return a.inode === b.inode && a.device === b.device
}

/** The namespace in which this environment (the process, or a worker thread) was when netkit was loaded. */
export const ownIdentity: NamespaceIdentity = readOwnIdentity()
