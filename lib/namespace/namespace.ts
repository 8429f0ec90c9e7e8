/** A network namespace. */
import type * as childProcess from 'node:child_process'
import type * as dgram from 'node:dgram'
import type * as net from 'node:net'
import { inspect } from 'node:util'
import { errnoNumber } from '../errno.js'
import { NetkitError, namedError } from '../errors.js'
import { typeError } from '../validate.js'
import { type ConnectOptions, connect } from './connect.js'
import { bindDatagram, type DatagramOptions } from './datagram.js'
import { NamespaceHandle } from './handle.js'
import type { NamespaceIdentity } from './identity.js'
import { attachHandle, attachView, callCloseCallbacks, handleOf, isView } from './internal.js'
import { LeakGuard } from './leaks.js'
import { type ListenOptions, listen } from './listen.js'
import { removeName } from './named.js'
import { processesIn } from './processes.js'
import { type ExecOptions, type ExecResult, execInside, spawnInside } from './programs.js'
import { checkNotThenable, checkSynchronous, runInside } from './run.js'
import { Sysctl } from './sysctl.js'

const leaks = new LeakGuard('network namespace handle')

/** The constructor, which is private, for `namespaceOf` and `viewOf`. */
let construct: (handle: NamespaceHandle, original?: Namespace) => Namespace

/** The Namespace of a new handle. Not exported from the package. */
export function namespaceOf(handle: NamespaceHandle): Namespace {
  return construct(handle)
}

/**
 * Another Namespace with the same handle, whose requests something may stand between (a transaction). Closing and deleting it
 * does nothing: the handle is the original's.
 */
export function viewOf(namespace: Namespace): Namespace {
  return construct(handleOf(namespace), namespace)
}

/**
 * A network namespace (network_namespaces(7)) and the handle that holds it.
 *
 * Handles come from `createNamespace`, `openNamespace` and `currentNamespace`. A handle holds the namespace: it exists, with
 * everything in it, at least until the handle is closed. Several handles on one namespace do not know of each other.
 *
 * Everything but `name`, `inode`, `device`, `closed`, `close` and disposal throws a NetkitError with code EBADF once the
 * handle is closed. Entering another namespace than the process's own needs CAP_SYS_ADMIN, both in the user namespace that
 * owns it and in the process's own: EPERM, with a hint that says which is missing.
 */
export class Namespace implements NamespaceIdentity {
  #closing: Promise<void> | undefined
  #deleting: Promise<void> | undefined
  #sysctl: Sysctl | undefined

  /** Starts a program inside, as `child_process.spawn` does, with its arguments, its result and its errors. */
  readonly spawn: typeof childProcess.spawn

  private constructor(handle: NamespaceHandle, original?: Namespace) {
    if (!(handle instanceof NamespaceHandle))
      throw typeError('handle', 'made by createNamespace or openNamespace', handle)
    if (original !== undefined) attachView(this, original)
    else {
      attachHandle(this, handle)
      if (handle.origin !== 'own') leaks.watch(this, handle)
    }
    // The arguments are Node's to look at: its overloads allow several shapes.
    this.spawn = spawnInside.bind(undefined, this) as typeof childProcess.spawn
  }

  static {
    construct = (handle, original) => new Namespace(handle, original)
  }

  /** The name under /run/netns by which it was created or opened. */
  get name(): string | undefined {
    return handleOf(this).name
  }

  /** The inode number, as in `net:[4026531833]`: together with `device`, what tells namespaces apart. */
  get inode(): number {
    return handleOf(this).inode
  }

  /** The device number of the file system of namespaces: the same for all. */
  get device(): number {
    return handleOf(this).device
  }

  /** The handle's descriptor, close-on-exec. It stays the handle's: do not close it, and do not use it after `close()`. */
  get fd(): number {
    return handleOf(this).fd
  }

  /** True once the handle was closed or deleted. */
  get closed(): boolean {
    return handleOf(this).closed
  }

  /**
   * Calls a synchronous function with the calling thread inside the namespace, and returns what it returns. What it opens
   * there (files of /proc/thread-self/net and /proc/sys/net, sockets) may be used afterwards. Calls may be nested.
   *
   * The thread is back outside when this returns, whatever happens; if it cannot come back, the process is aborted. Work that
   * `fn` starts and that goes on later (timers, promises, `fs` callbacks) is outside. A Worker that `fn` starts lives inside
   * for good. In a worker thread, /proc/net and /proc/self/net show the main thread's namespace: use /proc/thread-self/net.
   *
   * Throws a TypeError for an async function (before it is called) and for one that returns a promise; EPERM without the
   * privilege to enter. In the process's own namespace no privilege is needed.
   */
  run<T>(fn: () => T extends PromiseLike<unknown> ? never : T): T {
    checkSynchronous(fn, 'fn')
    const handle = handleOf(this)
    const value = runInside<T>(handle.descriptor, handle.label, fn)
    checkNotThenable(value, 'fn')
    return value
  }

  /**
   * Runs a program inside to its end, and gives what it wrote. Its exit code does not matter unless `check` is true.
   *
   * Rejects with Node's own error when the program cannot be started (ENOENT), with an `ExecError` when it runs longer than
   * `timeout`, writes more than `maxBuffer`, or (with `check`) fails, and with an AbortError when the signal fires; in all
   * these cases it has been killed.
   */
  exec(
    file: string,
    args: readonly string[],
    options: ExecOptions & { encoding: 'buffer' },
  ): Promise<ExecResult<Buffer>>
  exec(file: string, args?: readonly string[], options?: ExecOptions): Promise<ExecResult<string>>
  async exec(
    file: string,
    args: readonly string[] = [],
    options: ExecOptions = {},
  ): Promise<ExecResult<string | Buffer>> {
    return execInside(this, file, args, options)
  }

  /**
   * Starts a server that listens inside. With `server`, that server (an `http.Server`, say); otherwise a new `net.Server`, with
   * `listener` as its 'connection' listener. Resolves when it listens. Closing the namespace handle does not close it.
   *
   * Rejects with a NetkitError (EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM …; EOPNOTSUPP in a cluster worker), or with Node's
   * own error when the name of `host` is not known (ENOTFOUND); with an AbortError when the signal fires, or the handle or the
   * server is closed meanwhile.
   */
  listen<Server extends net.Server>(options: ListenOptions & { server: Server }): Promise<Server>
  listen(options?: ListenOptions, listener?: (socket: net.Socket) => void): Promise<net.Server>
  async listen(options: ListenOptions = {}, listener?: (socket: net.Socket) => void): Promise<net.Server> {
    return listen(this, options, listener)
  }

  /**
   * Connects a TCP socket inside. A host name is resolved by the process, in the process's own namespace; its addresses are
   * tried in turn. Resolves when connected. Closing the namespace handle does not close it.
   *
   * Rejects with a NetkitError (ECONNREFUSED, ENETUNREACH, ETIMEDOUT …), or with Node's own error when the name is not known
   * (ENOTFOUND); with an AbortError when the signal fires or the handle is closed meanwhile.
   */
  async connect(options: ConnectOptions): Promise<net.Socket> {
    return connect(this, options)
  }

  /**
   * Binds a UDP socket inside. It is bound when the promise resolves: 'listening' has been emitted by then. Closing the
   * namespace handle does not close it. On a 'udp6' socket, Node's `setTTL`, `setMulticastTTL` and `setMulticastLoopback` set
   * what they mean for IPv4 only, because libuv did not make the socket.
   *
   * Rejects with a NetkitError (EADDRINUSE, EADDRNOTAVAIL, ENODEV when there is no such `device`, EACCES, EPERM …), or with
   * Node's own error when the name of `address` is not known (ENOTFOUND); with an AbortError when the signal fires or the
   * handle is closed meanwhile.
   */
  async bindDatagram(options: DatagramOptions): Promise<dgram.Socket> {
    return bindDatagram(this, options)
  }

  /** The kernel parameters of this namespace: those under `net.` (sysctl(8)). */
  get sysctl(): Sysctl {
    this.#sysctl ??= new Sysctl(this)
    return this.#sysctl
  }

  /**
   * The ids of the processes inside, ascending. Only those whose namespaces this process may see: all for root, its own for
   * an ordinary user. A process counts by its main thread.
   */
  async processes(): Promise<number[]> {
    const handle = handleOf(this)
    handle.check()
    return processesIn(handle)
  }

  /**
   * Removes the name, if there is one and it still names this namespace, and closes the handle. The namespace goes when
   * nothing else holds it. Idempotent; a name that someone else has removed meanwhile is no error. After `close()` there is
   * nothing to be done for a namespace without a name; one with a name is EBADF, and must be opened again.
   *
   * Rejects with EPERM without the privilege to unmount (the handle stays open then), with EINVAL for a namespace that was
   * opened without a name and for the process's own: there is nothing to remove.
   */
  async delete(): Promise<void> {
    const handle = handleOf(this)
    if (isView(this)) return
    if (this.#deleting === undefined) {
      if (handle.closed && handle.origin === 'created') {
        if (handle.name === undefined) return this.close()
        throw new NetkitError({
          message: `cannot delete ${handle.label}, whose handle is closed`,
          errno: errnoNumber('EBADF'),
          syscall: 'umount2',
          hint: `(await openNamespace('${handle.name}')).delete() removes the name`,
        })
      }
      handle.check()
      if (handle.origin === 'own' || (handle.origin === 'opened' && handle.name === undefined)) {
        const why = 'which has no name; it lives while something holds it'
        throw namedError('EINVAL', 'umount2', `cannot delete ${handle.label}, ${why}`)
      }
      this.#deleting = this.#delete(handle)
    }
    return this.#deleting
  }

  async #delete(handle: NamespaceHandle): Promise<void> {
    try {
      if (handle.name !== undefined) await removeName(handle.name, handle)
    } catch (error) {
      this.#deleting = undefined
      throw error
    }
    return this.close()
  }

  /**
   * Lets go of the namespace and leaves it, and its name, as they are. What waits inside on this handle is rejected with an
   * AbortError; sockets, servers and programs that were started go on. Idempotent. For the process's own namespace, nothing.
   */
  async close(): Promise<void> {
    const handle = handleOf(this)
    if (handle.origin === 'own' || isView(this)) return
    this.#closing ??= this.#close(handle)
    return this.#closing
  }

  async #close(handle: NamespaceHandle): Promise<void> {
    leaks.forget(handle)
    const callbacks = callCloseCallbacks(this)
    const closing = handle.close()
    const results = await Promise.allSettled([callbacks, closing])
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** Undoes what made the handle: `delete()` after `createNamespace`, `close()` after `openNamespace`. */
  async [Symbol.asyncDispose](): Promise<void> {
    const handle = handleOf(this)
    if (handle.origin !== 'created' || handle.closed || isView(this)) return this.close()
    try {
      await this.delete()
    } finally {
      await this.close()
    }
  }

  [inspect.custom](): string {
    const { name, inode, closed } = handleOf(this)
    const words = [name, `net:[${inode}]`, closed ? 'closed' : undefined].filter((word) => word !== undefined)
    return `Namespace { ${words.join(' ')} }`
  }
}
