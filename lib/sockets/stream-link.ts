/** The connection, or the connections one after the other, behind a QemuStream. */

import { errnoNumber } from '../errno.js'
import { type NetkitError, systemError } from '../errors.js'
import { withLifetime } from '../namespace/lifetime.js'
import type { Namespace } from '../namespace/namespace.js'
import { type NativeEnd, native, type Poller } from '../native.js'
import { PacketDevice } from '../packets/device.js'
import { type SocketEndOptions, setBuffers } from './setup.js'
import { connectStream, type StreamListener, type StreamTarget, shownTarget } from './stream-target.js'

/** What hears of a connection's beginning and end. */
export interface StreamOwner {
  /** There is a connection. */
  up(): void
  /** It has ended. `last`: there will be no other. */
  down(reason: NetkitError, last: boolean): void
}

/** How the next connection comes. */
export type Successor =
  | { how: 'none' }
  | { how: 'connect'; namespace: Namespace; target: StreamTarget; delay: number }
  | { how: 'accept'; listener: StreamListener }

const READABLE = 1
const EBADF = -errnoNumber('EBADF')
const EPIPE = -errnoNumber('EPIPE')
const EPROTO = -errnoNumber('EPROTO')

/** The longest frame that is taken (src-native/stream_end.h). */
export const LONGEST_FRAME = 65_600

/** Why a connection has ended, for a result of the addon. */
function reasonOf(result: number, name: string): NetkitError {
  const words =
    result === EPIPE
      ? `the peer of ${name} closed the connection`
      : result === EPROTO
        ? `the peer of ${name} does not speak QEMU's stream protocol: it announced a frame of no or more than ${LONGEST_FRAME} bytes`
        : `the connection of ${name} ended`
  return systemError(result, 'read', words)
}

/** Holds everything but the object that the user has, which it does not keep from being collected. */
export class StreamLink {
  readonly device: PacketDevice
  readonly #end: NativeEnd
  readonly #signal: number
  readonly #signalled: Poller
  readonly #options: SocketEndOptions
  #successor: Successor
  #owner: WeakRef<StreamOwner> | undefined
  #timer: NodeJS.Timeout | undefined
  /** Stops an attempt to connect. */
  readonly #closing = new AbortController()
  #connected: boolean

  /** @param fd a connected socket, owned by the environment; or any descriptor for `successor` to replace */
  private constructor(
    end: NativeEnd,
    fd: number,
    signal: number,
    name: string,
    successor: Successor,
    options: SocketEndOptions,
  ) {
    this.#end = end
    this.#signal = signal
    this.#successor = successor
    this.#options = options
    this.#connected = successor.how === 'none'
    this.device = new PacketDevice({
      end,
      fd,
      name,
      buffered: true,
      ended: (result) => {
        if (result === EBADF) return false
        process.nextTick(() => this.#look())
        return true
      },
      closed: () => this.#close(),
    })
    this.#signalled = native.createPoller(signal, () => {
      native.readEventDescriptor(signal)
      this.#look()
    })
    this.#signalled.start(READABLE)
    this.#signalled.unref()
  }

  /** Takes over a connected socket. It is closed when this fails. */
  static over(fd: number, name: string, options: SocketEndOptions): StreamLink {
    setBuffers(fd, options)
    return StreamLink.#make(fd, name, { how: 'none' }, options)
  }

  /** Without a connection yet. */
  static lasting(name: string, successor: Successor, options: SocketEndOptions): StreamLink {
    const fd = native.createEventDescriptor()
    if (fd < 0) throw systemError(fd, 'eventfd', `cannot open ${name}`)
    return StreamLink.#make(fd, name, successor, options)
  }

  static #make(fd: number, name: string, successor: Successor, options: SocketEndOptions): StreamLink {
    const signal = native.createEventDescriptor()
    const end = signal < 0 ? signal : native.createStreamEnd(fd, signal, successor.how === 'none' ? 0 : 1)
    if (typeof end !== 'number') return new StreamLink(end, fd, signal, name, successor, options)
    native.closeDescriptorNow(fd)
    if (signal >= 0) native.closeDescriptorNow(signal)
    throw systemError(end, 'eventfd', `cannot open ${name}`)
  }

  get connected(): boolean {
    return this.#connected
  }

  set owner(owner: StreamOwner) {
    this.#owner = new WeakRef(owner)
  }

  /** Puts a connected socket in the place of the one before. Closes it when there is one still. */
  take(fd: number): void {
    if (!this.device.closed && !this.#connected) {
      setBuffers(fd, this.#options)
      if (native.setStreamDescriptor(this.#end, fd) === 0) {
        this.#connected = true
        this.device.renew()
        this.#owner?.deref()?.up()
      }
    }
    native.closeDescriptorNow(fd)
  }

  /** Begins to look for a connection. */
  seek(): void {
    const successor = this.#successor
    if (this.device.closed || this.#connected) return
    if (successor.how === 'accept') successor.listener.start()
    if (successor.how !== 'connect') return
    this.#timer = setTimeout(() => void this.#attempt(successor), successor.delay)
    this.#timer.unref()
  }

  async #attempt({ namespace, target }: Successor & { how: 'connect' }): Promise<void> {
    const what = `connecting to ${shownTarget(target)}`
    try {
      const options = { what, syscall: 'connect', signal: this.#closing.signal }
      this.take(await withLifetime(namespace, options, (lifetime) => connectStream(namespace, target, lifetime)))
    } catch {
      // Nobody there yet, or the end was closed.
    }
    if (!this.#connected) this.seek()
  }

  /** Finds out whether the connection has ended. */
  #look(): void {
    const state = native.streamState(this.#end)
    if (state === 0 || !this.#connected || this.device.closed) return
    this.#connected = false
    this.device.renew()
    const last = this.#successor.how === 'none'
    this.#owner?.deref()?.down(reasonOf(state, this.device.name), last)
    if (!last) this.seek()
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#timer)
    this.#signalled.close()
    const successor = this.#successor
    this.#successor = { how: 'none' }
    if (successor.how === 'accept') await successor.listener.close()
    native.releaseStreamEnd(this.#end)
    await native.closeDescriptor(this.#signal)
  }
}
