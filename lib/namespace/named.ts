/**
 * Names of namespaces: bind mounts under /run/netns, made as iproute2 makes them (ip-netns(8)), so that both see each other's.
 * What is called here is short work on memory file systems, and is done on the calling thread.
 */
import { closeSync, constants, existsSync, lstatSync, mkdirSync, openSync, statSync, unlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { errnoNumber } from '../errno.js'
import { NetkitError, namedError, systemError } from '../errors.js'
import { native } from '../native.js'
import { checkString, valueError } from '../validate.js'
import { failedWith, fromSystemError, hintIfDenied } from './failure.js'
import { identityOf, type NamespaceIdentity, sameNamespace } from './identity.js'
import { missingOwnCapability } from './privileges.js'

/** Where iproute2 keeps names: one file a namespace, on which the namespace is mounted. */
export const namesDirectory = '/run/netns'

const NAME_MAX = 255
const EAGAIN = errnoNumber('EAGAIN')
const EINVAL = errnoNumber('EINVAL')
const ESTALE = errnoNumber('ESTALE')
/** sys/mount.h and sys/file.h. */
const MS_BIND = 0x1000
const MS_REC = 0x4000
const MS_SHARED = 0x100000
const MNT_DETACH = 2
const LOCK_EX = 2
const LOCK_NB = 4

const LOCK_PATIENCE = 5000

export function pathOfName(name: string): string {
  return `${namesDirectory}/${name}`
}

/** What iproute2 takes as a name: a file name. */
export function checkNamespaceName(value: unknown, name: string): asserts value is string {
  checkString(value, name)
  if (value === '') throw valueError(name, value, 'is empty')
  if (value === '.' || value === '..') throw valueError(name, value, 'is not a file name')
  if (value.includes('/')) throw valueError(name, value, 'a name has no slash; open a path with { path }')
  if (value.includes('\0')) throw valueError(name, value, 'a name has no NUL character')
  if (Buffer.byteLength(value) > NAME_MAX) throw valueError(name, value, `is longer than ${NAME_MAX} bytes`)
}

function hint(): string | undefined {
  return (
    missingOwnCapability('CAP_SYS_ADMIN') ??
    `${namesDirectory} must be writable; in a user namespace, use a mount namespace (unshare --mount) with a tmpfs on /run`
  )
}

/** Makes the directory, and makes it a shared mount, so that a name that is removed is removed from every mount namespace. */
async function prepareDirectory(): Promise<void> {
  try {
    mkdirSync(namesDirectory, 0o755)
  } catch (error) {
    if (!failedWith(error, 'EEXIST')) throw fromSystemError(error, `cannot create ${namesDirectory}`, hint)
  }
  if (shareDirectory()) return
  // Not a mount yet. The lock is iproute2's own: without it two programs would each put a mount on top of the other's.
  const lock = await lockDirectory()
  try {
    if (shareDirectory()) return
    const result = native.mount(namesDirectory, namesDirectory, MS_BIND | MS_REC)
    if (result < 0) throw mountError(result, `cannot make ${namesDirectory} a mount`)
    if (!shareDirectory()) throw mountError(-EINVAL, `cannot make ${namesDirectory} a shared mount`)
  } finally {
    closeSync(lock)
  }
}

/** False when the directory is not a mount. */
function shareDirectory(): boolean {
  const result = native.mount('', namesDirectory, MS_SHARED | MS_REC)
  if (result === -EINVAL) return false
  if (result < 0) throw mountError(result, `cannot make ${namesDirectory} a shared mount`)
  return true
}

/** A descriptor that holds the directory's lock until it is closed. Waits without blocking the event loop. */
async function lockDirectory(): Promise<number> {
  const lock = openSync(namesDirectory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const end = performance.now() + LOCK_PATIENCE
    for (let wait = 1; ; wait = Math.min(2 * wait, 50)) {
      const result = native.lockFile(lock, LOCK_EX | LOCK_NB)
      if (result === 0) return lock
      if (result !== -EAGAIN || performance.now() > end) {
        throw systemError(result, 'flock', `cannot lock ${namesDirectory}`)
      }
      await delay(wait)
    }
  } catch (error) {
    closeSync(lock)
    throw error
  }
}

function mountError(result: number, message: string): Error {
  return systemError(result, 'mount', message, { hint: hintIfDenied(result, hint) })
}

/** Refuses a name that somebody has, before anything is made for it. */
export function checkNameIsFree(name: string): void {
  if (existsSync(pathOfName(name))) throw nameIsTaken(name)
}

function nameIsTaken(name: string): Error {
  return new NetkitError({
    message: `cannot create namespace ${name}`,
    errno: errnoNumber('EEXIST'),
    syscall: 'open',
    hint: 'openNamespace opens it; when an earlier run left it behind, its delete() removes it',
  })
}

/**
 * Binds a name to a namespace. EEXIST when somebody has it. The file and the mount are made in one go, so that a process that
 * ends meanwhile does not leave a name that names nothing.
 */
export async function bindName(name: string, descriptor: number): Promise<void> {
  await prepareDirectory()
  const path = pathOfName(name)
  const { O_RDONLY, O_CREAT, O_EXCL } = constants
  try {
    closeSync(openSync(path, O_RDONLY | O_CREAT | O_EXCL, 0))
  } catch (error) {
    if (failedWith(error, 'EEXIST')) throw nameIsTaken(name)
    throw fromSystemError(error, `cannot create namespace ${name}`, hint)
  }
  const result = native.mount(`/proc/self/fd/${descriptor}`, path, MS_BIND)
  if (result === 0) return
  try {
    unlinkSync(path)
  } catch {
    // Whoever removed it did what was to be done.
  }
  throw mountError(result, `cannot bind namespace ${name} to ${path}`)
}

/**
 * Removes a name, provided that it still names this namespace: false when it is gone, or names another one by now.
 * The namespace itself lives on while something else holds it.
 */
export async function removeName(name: string, identity: NamespaceIdentity): Promise<boolean> {
  const path = pathOfName(name)
  try {
    if (!sameNamespace(identityOf(statSync(path)), identity)) return false
    // A link to a name that is kept elsewhere (as Docker's are): what it points at is not ours to unmount.
    if (!lstatSync(path).isSymbolicLink()) {
      // Compared again right before the unmount: somebody may have given the name to another namespace meanwhile.
      const result = await native.unmount(path, MNT_DETACH, identity.device, identity.inode)
      if (result === -ESTALE) return false
      if (result < 0 && result !== -EINVAL) {
        throw systemError(result, 'umount2', `cannot remove namespace ${name}`, { hint: hintIfDenied(result, hint) })
      }
    }
    unlinkSync(path)
    return true
  } catch (error) {
    if (failedWith(error, 'ENOENT')) return false
    throw fromSystemError(error, `cannot remove namespace ${name}`, hint)
  }
}

/** An error for a name that nobody has. */
export function noSuchName(name: string, cause: unknown): Error {
  return namedError('ENOENT', 'open', `there is no namespace ${name} in ${namesDirectory}`, cause)
}
