/** What a Namespace holds: the descriptor, the identity, and the netlink connections that were opened for it. */
import { openSync } from 'node:fs'
import { namedError } from '../errors.js'
import { native } from '../native.js'
import { NetlinkConnection } from '../netlink/connection.js'
import { type NamespaceIdentity, ownIdentity, ownNamespacePath, sameNamespace } from './identity.js'
import { runInside } from './run.js'

/** How a handle came to be, which decides what undoes it. */
export type Origin = 'own' | 'created' | 'opened'

/** Apart from the Namespace, and never referring to it: it outlives a Namespace that was forgotten, in order to be closed. */
export class NamespaceHandle implements NamespaceIdentity {
  readonly device: number
  readonly inode: number
  /** What messages call it: 'namespace red'. */
  readonly label: string
  /** True when this is the namespace that the environment lives in: nothing has to be entered. */
  readonly isOwn: boolean
  #closed = false
  #descriptor: number
  readonly #connections = new Map<number, NetlinkConnection>()

  /** @param descriptor owned by the environment from here on; -1 for the environment's own namespace */
  constructor(
    readonly origin: Origin,
    descriptor: number,
    identity: NamespaceIdentity,
    readonly name?: string,
  ) {
    this.#descriptor = descriptor
    this.device = identity.device
    this.inode = identity.inode
    this.isOwn = sameNamespace(identity, ownIdentity)
    this.label =
      origin === 'own'
        ? "the process's own namespace"
        : name === undefined
          ? `namespace ${this.inode}`
          : `namespace ${name}`
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Throws EBADF when the handle is closed. */
  check(): void {
    if (this.#closed) throw namedError('EBADF', 'setns', `${this.label} is closed`)
  }

  /** What the addon takes: -1 for the environment's own namespace, which needs no privilege to be entered. */
  get descriptor(): number {
    this.check()
    return this.isOwn ? -1 : this.#descriptor
  }

  /** A real descriptor, also of the environment's own namespace. */
  get fd(): number {
    this.check()
    if (this.#descriptor < 0) {
      this.#descriptor = runInside(-1, this.label, () => openSync(ownNamespacePath, 'r'))
      native.ownDescriptor(this.#descriptor)
    }
    return this.#descriptor
  }

  /** The netlink connection of a protocol, opened at its first use, and again when someone closed it. Throws EBADF. */
  connection(protocol: number): NetlinkConnection {
    this.check()
    let connection = this.#connections.get(protocol)
    if (connection === undefined || connection.closed) {
      connection = new NetlinkConnection(this.descriptor, protocol)
      this.#connections.set(protocol, connection)
    }
    return connection
  }

  /** Closes the connections, then the descriptor. The handle is closed at once; the promise tells when nothing is left. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const connections = [...this.#connections.values()]
    this.#connections.clear()
    const closing = connections.map((connection) => connection.close())
    // Work that was handed in with this descriptor is done before it is closed.
    if (this.#descriptor >= 0) closing.push(native.closeDescriptor(this.#descriptor).then(() => {}))
    await Promise.all(closing)
  }
}
