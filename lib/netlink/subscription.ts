/** A netlink socket for events: what the kernel multicasts to groups, in batches. */
import { systemError } from '../errors.js'
import { native, type Poller } from '../native.js'
import { Malformed } from './attribute.js'
import { sourceOf } from './bytes.js'
import { forEachMessage, type Message } from './message.js'
import { openNetlinkSocket, returnSlab, takeSlab } from './socket.js'

export interface SubscriptionHandlers {
  /** Called with each event, synchronously: its bytes are reused afterwards. Must not throw. */
  onMessage(message: Message): void
  /** Events were lost (the socket's buffer was full): what is known must be read anew. */
  onOverrun(): void
  /** The socket failed for good. */
  onError?(error: unknown): void
}

/** Datagrams read in one turn of the event loop are bounded by the slab: the rest waits for the next turn. */
export class NetlinkSubscription {
  readonly #fd: number
  readonly #handlers: SubscriptionHandlers
  readonly #poller: Poller
  #closing: Promise<void> | undefined

  private constructor(fd: number, handlers: SubscriptionHandlers) {
    this.#fd = fd
    this.#handlers = handlers
    this.#poller = native.createPoller(fd, (status) => this.#read(status))
  }

  /** Joins `groups` in a namespace, by descriptor (-1: the environment's own). Keeps the process alive until closed. */
  static async open(
    namespace: number,
    protocol: number,
    groups: readonly number[],
    handlers: SubscriptionHandlers,
  ): Promise<NetlinkSubscription> {
    const fd = await openNetlinkSocket(namespace, protocol, { groups, receiveBuffer: 4 << 20 })
    const subscription = new NetlinkSubscription(fd, handlers)
    const status = subscription.#poller.start(1)
    if (status < 0) {
      await subscription.close()
      throw systemError(status, 'poll', 'cannot wait for netlink events')
    }
    return subscription
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** No handler is called after this. Resolves when the descriptor is closed; idempotent. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#poller.close()
      this.#closing = native.closeDescriptor(this.#fd).then(() => {})
    }
    return this.#closing
  }

  #read(status: number): void {
    const slab = takeSlab()
    // A pending socket error (ENOBUFS) arrives as a poll error too; reading tells which.
    const received = native.receive(this.#fd, slab)
    if (received > 0) this.#deliver(slab, received)
    returnSlab(slab)
    if (received === -105) this.#handlers.onOverrun()
    else if (received < 0 && received !== -11)
      this.#handlers.onError?.(systemError(received, 'recvmsg', 'cannot read netlink events'))
    // libuv stops a handle on which it saw an error.
    if (status < 0 && this.#closing === undefined) this.#poller.start(1)
  }

  #deliver(slab: Uint8Array, received: number): void {
    try {
      forEachMessage(sourceOf(slab), received, (message) => {
        if (this.#closing === undefined) this.#handlers.onMessage(message)
      })
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      if (this.#closing === undefined) this.#handlers.onOverrun()
    }
  }
}
