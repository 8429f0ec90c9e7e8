/** A netlink socket for events: what the kernel multicasts to groups, in batches. */
import { errnoNumber } from '../errno.js'
import { type NetkitError, systemError } from '../errors.js'
import { native, type Poller } from '../native.js'
import { Malformed } from './attribute.js'
import { sourceOf } from './bytes.js'
import { forEachMessage, type Message } from './message.js'
import { isLoss, joinGroup, openNetlinkSocket, returnSlab, takeSlab } from './socket.js'

export interface SubscriptionHandlers {
  /** Called with each event, synchronously: its bytes are reused afterwards. Must not throw. */
  onMessage(message: Message): void
  /** Events were lost (the socket's buffer was full, or one was too large): what is known must be read anew. */
  onOverrun(): void
  /** The socket failed for good; the subscription is closed, and nothing comes after this. */
  onError?(error: unknown): void
}

const EAGAIN = errnoNumber('EAGAIN')
/** Calls of `receive` in one turn of the event loop that throw away what waits. */
const DISCARDS = 16

/** Datagrams read in one turn of the event loop are bounded by the slab: the rest waits for the next turn. */
export class NetlinkSubscription {
  readonly #fd: number
  readonly #handlers: SubscriptionHandlers
  readonly #poller: Poller
  /** Events were lost, and the socket is not empty yet. */
  #discarding = false
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
      throw cannotWait(status)
    }
    return subscription
  }

  /** Joins more groups; those that it is in do not matter. Throws a NetkitError. */
  join(groups: readonly number[]): void {
    if (this.closed) return
    for (const group of groups) {
      const status = joinGroup(this.#fd, group)
      if (status < 0) throw systemError(status, 'setsockopt', `cannot join the netlink group ${group}`)
    }
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
    if (!this.#discarding) this.#receive()
    // libuv stops a handle on which it saw an error.
    if (status >= 0 || this.closed) return
    const started = this.#poller.start(1)
    if (started < 0) this.#fail(cannotWait(started))
  }

  #receive(): void {
    const slab = takeSlab()
    // A pending socket error (ENOBUFS) arrives as a poll error too; reading tells which.
    const received = native.receive(this.#fd, slab)
    if (received > 0) this.#deliver(slab, received)
    returnSlab(slab)
    if (isLoss(received)) this.#discard()
    else if (received < 0 && received !== -EAGAIN) this.#fail(cannotRead(received))
  }

  /**
   * After a loss: throws away what waits, until nothing does. Before that the kernel goes on dropping without a word, and what
   * was read anew on onOverrun() would be out of date again.
   */
  #discard(): void {
    const slab = takeSlab()
    let received = 0
    for (let calls = 0; calls < DISCARDS && (received >= 0 || isLoss(received)); calls++) {
      received = native.receive(this.#fd, slab)
    }
    returnSlab(slab)
    this.#discarding = received >= 0 || isLoss(received)
    if (this.#discarding) {
      // Not at the next poll: when the last call has emptied the socket, that may be long in coming.
      setImmediate(() => {
        if (!this.closed) this.#discard()
      })
      return
    }
    if (received === -EAGAIN) this.#handlers.onOverrun()
    else this.#fail(cannotRead(received))
  }

  #fail(error: unknown): void {
    void this.close()
    this.#handlers.onError?.(error)
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

function cannotRead(result: number): NetkitError {
  return systemError(result, 'recvmsg', 'cannot read netlink events')
}

function cannotWait(result: number): NetkitError {
  return systemError(result, 'poll', 'cannot wait for netlink events')
}
