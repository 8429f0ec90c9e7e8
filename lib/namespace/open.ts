/** Making, opening and listing namespaces. */
import {
  closeSync,
  constants,
  fstatSync,
  open as openCallback,
  openSync,
  readdir as readdirCallback,
  stat as statCallback,
} from 'node:fs'
import { promisify } from 'node:util'
import { errnoNumber } from '../errno.js'
import { namedError, systemError, undoOnFailure } from '../errors.js'
import { native } from '../native.js'
import { checkBoolean, checkInteger, checkOptions, checkString, typeError, valueError } from '../validate.js'
import { failedWith, fromSystemError, hintIfDenied } from './failure.js'
import { NamespaceHandle } from './handle.js'
import { identityOf, type NamespaceIdentity, ownIdentity } from './identity.js'
import { handleOf, isNamespace } from './internal.js'
import { bringUpLoopback } from './loopback.js'
import { bindName, checkNameIsFree, checkNamespaceName, namesDirectory, noSuchName, pathOfName } from './named.js'
import { type Namespace, namespaceOf } from './namespace.js'
import { missingOwnCapability } from './privileges.js'
import { lookHint, processesByNamespace } from './processes.js'

// The callback forms, because the promise forms give a FileHandle, which closes its descriptor by itself.
const open = promisify(openCallback)
const readdir = promisify(readdirCallback)
const stat = promisify(statCallback)

const CLONE_NEWNET = 0x40000000
const ENOSPC = errnoNumber('ENOSPC')

export interface CreateNamespaceOptions {
  /** Whether to bring `lo` up, with 127.0.0.1 and ::1. Default: true (`ip netns add` leaves it down). */
  loopback?: boolean
}

/** What `openNamespace` opens: a name under /run/netns, or one of these. */
export type NamespaceTarget = { path: string } | { pid: number } | { fd: number }

export interface ListNamespacesOptions {
  /** Also the namespaces without a name that processes are in, and the ids of the processes in each. Default: false. */
  all?: boolean
}

/** One namespace of `listNamespaces`. One with two names is listed twice. */
export interface NamespaceInfo {
  /** The name under /run/netns. */
  name?: string
  inode: number
  /** The file on which it is mounted. */
  path?: string
  /** With `all`: the processes inside that this process may see. */
  pids?: number[]
}

/**
 * Makes a network namespace. With a name, it is bound to /run/netns/NAME, where `ip netns` sees it, until `delete()` or
 * disposal. Without one, it lives while something holds it: this handle, a process or a socket inside.
 *
 * Needs CAP_SYS_ADMIN. Rejects with EPERM or EACCES (with a hint), with EEXIST when the name is taken, with ENOSPC beyond
 * user.max_net_namespaces. After a failure nothing is left behind.
 */
export async function createNamespace(name?: string, options: CreateNamespaceOptions = {}): Promise<Namespace> {
  if (name !== undefined) checkNamespaceName(name, 'name')
  checkOptions(options, 'options', ['loopback'])
  const { loopback = true } = options
  checkBoolean(loopback, 'options.loopback')
  const namespace = namespaceOf(name === undefined ? await createHandle() : await createNamedHandle(name))
  if (loopback) {
    await undoOnFailure(
      () => bringUpLoopback(namespace),
      () => namespace[Symbol.asyncDispose](),
    )
  }
  return namespace
}

async function createHandle(name?: string): Promise<NamespaceHandle> {
  const descriptor = await native.createNamespace()
  if (descriptor < 0) {
    const what = name === undefined ? 'a namespace' : `namespace ${name}`
    const hint =
      descriptor === -ENOSPC
        ? 'the sysctl user.max_net_namespaces limits their number'
        : hintIfDenied(descriptor, () => missingOwnCapability('CAP_SYS_ADMIN'))
    throw systemError(descriptor, 'unshare', `cannot create ${what}`, { hint })
  }
  return new NamespaceHandle('created', descriptor, identityOf(fstatSync(descriptor)), name)
}

async function createNamedHandle(name: string): Promise<NamespaceHandle> {
  checkNameIsFree(name)
  const handle = await createHandle(name)
  try {
    await bindName(name, handle.fd)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Opens a network namespace: by its name under /run/netns, or by `{ path }` (a file on which one is mounted, or a file of
 * /proc/PID/ns), by `{ pid }` (the one that a process is in), or by `{ fd }` (a descriptor of one, which stays the caller's).
 *
 * Rejects with ENOENT (no such name or path), ESRCH (no such process), EBADF, EACCES (with a hint), and with EINVAL when
 * what is there is not a network namespace.
 */
export async function openNamespace(target: string | NamespaceTarget): Promise<Namespace> {
  if (typeof target === 'string') {
    checkNamespaceName(target, 'name')
    const path = pathOfName(target)
    return openAt(path, `cannot open namespace ${target}`, {
      name: target,
      missing: (cause) => noSuchName(target, cause),
    })
  }
  checkOptions(target, 'target', ['path', 'pid', 'fd'])
  const { path, pid, fd } = target as { path?: unknown; pid?: unknown; fd?: unknown }
  if ([path, pid, fd].filter((value) => value !== undefined).length !== 1) {
    throw valueError('target', target, 'expected a name, or one of { path }, { pid } and { fd }')
  }
  if (path !== undefined) {
    checkString(path, 'target.path')
    if (path === '' || path.includes('\0')) throw valueError('target.path', path, 'is not a path')
    return openAt(path, `cannot open namespace ${path}`)
  }
  if (pid !== undefined) {
    checkInteger(pid, 'target.pid', 1, 0x7fffffff)
    const missing = (cause: unknown) =>
      namedError('ESRCH', 'open', `cannot open the namespace of process ${pid}`, cause)
    const denied = () => lookHint(pid)
    return openAt(`/proc/${pid}/ns/net`, `cannot open the namespace of process ${pid}`, { missing, denied })
  }
  checkInteger(fd, 'target.fd', 0, 0x7fffffff)
  const missing = (cause: unknown) =>
    namedError('EBADF', 'open', `cannot open the namespace of descriptor ${fd}`, cause)
  return openAt(`/proc/self/fd/${fd}`, `cannot open the namespace of descriptor ${fd}`, { missing })
}

async function openAt(
  path: string,
  message: string,
  { name, missing, denied }: { name?: string; missing?: (cause: unknown) => Error; denied?: () => string } = {},
): Promise<Namespace> {
  try {
    // Asked first, because opening a device or a pipe has effects.
    if ((await stat(path)).dev !== ownIdentity.device) throw notANamespace(message)
    const descriptor = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    native.ownDescriptor(descriptor)
    try {
      if (native.namespaceType(descriptor) !== CLONE_NEWNET) throw notANamespace(message)
      return namespaceOf(new NamespaceHandle('opened', descriptor, identityOf(fstatSync(descriptor)), name))
    } catch (error) {
      native.closeDescriptorNow(descriptor)
      throw error
    }
  } catch (error) {
    if (missing !== undefined && failedWith(error, 'ENOENT', 'ESRCH')) throw missing(error)
    throw fromSystemError(error, message, denied ?? (() => missingOwnCapability('CAP_SYS_ADMIN')))
  }
}

function notANamespace(message: string): Error {
  return namedError('EINVAL', 'open', `${message}: it is not a network namespace`)
}

let current: Namespace | undefined

/**
 * The network namespace that this environment (the process, or a worker thread) lives in: always the same object. Nothing in
 * it needs a privilege just to get there. It is never closed: disposing or closing it does nothing.
 */
export function currentNamespace(): Namespace {
  current ??= namespaceOf(new NamespaceHandle('own', -1, ownIdentity))
  return current
}

/** The `namespace` option of the layers above: an open Namespace, the environment's own when it is left out. */
export function checkNamespace(value: unknown, name: string): Namespace {
  if (value === undefined) return currentNamespace()
  if (!isNamespace(value)) throw typeError(name, 'a Namespace', value)
  handleOf(value).check()
  return value
}

/**
 * The namespaces that have a name under /run/netns, by name; with `all`, then those that only processes hold, by inode.
 * Those that are held by nothing but a descriptor or a socket have no place where they could be found.
 */
export async function listNamespaces(options: ListNamespacesOptions = {}): Promise<NamespaceInfo[]> {
  checkOptions(options, 'options', ['all'])
  const { all = false } = options
  checkBoolean(all, 'options.all')
  const named = await listNames()
  if (!all) return named
  const processes = await processesByNamespace()
  const known = new Set(named.map((info) => info.inode))
  const unnamed = [...processes].filter(([inode]) => !known.has(inode)).sort(([a], [b]) => a - b)
  return [
    ...named.map((info) => ({ ...info, pids: processes.get(info.inode) ?? [] })),
    ...unnamed.map(([inode, pids]) => ({ inode, pids })),
  ]
}

async function listNames(): Promise<NamespaceInfo[]> {
  let names: string[]
  try {
    names = await readdir(namesDirectory)
  } catch (error) {
    // Nobody has made one yet.
    if (failedWith(error, 'ENOENT')) return []
    throw fromSystemError(error, `cannot list ${namesDirectory}`)
  }
  const found = await Promise.all(
    names.sort().map(async (name) => ({ name, identity: await namespaceAt(pathOfName(name)) })),
  )
  return found.flatMap(({ name, identity }) =>
    identity === undefined ? [] : [{ name, inode: identity.inode, path: pathOfName(name) }],
  )
}

/** The identity of what is mounted on a file; undefined when it is not a network namespace, or has gone meanwhile. */
async function namespaceAt(path: string): Promise<NamespaceIdentity | undefined> {
  try {
    if ((await stat(path)).dev !== ownIdentity.device) return undefined
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      return native.namespaceType(descriptor) === CLONE_NEWNET ? identityOf(fstatSync(descriptor)) : undefined
    } finally {
      closeSync(descriptor)
    }
  } catch {
    return undefined
  }
}
