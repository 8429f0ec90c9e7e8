/** Unix sockets for handing descriptors to other processes and taking them (unix(7), SCM_RIGHTS). */
import { lstatSync, unlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { errnoName, errnoNumber } from '../errno.js'
import { AbortError, hasCode, systemError, throwIfAborted } from '../errors.js'
import { LeakGuard } from '../namespace/leaks.js'
import { native } from '../native.js'
import { checkInteger, checkOneOf, checkOptions, checkSignal, typeError, valueError } from '../validate.js'
import { type ReceivedDescriptors, takeOver } from './received.js'
import {
  checkUnixPath,
  createSocketPair,
  encodeUnixAddress,
  type PeerCredentials,
  peerOf,
  shownPath,
  type UnixType,
  unixConstants,
  unixTypeOf,
  unixTypes,
} from './unix.js'
import { type DescriptorStats, MOST_DATA, MOST_DESCRIPTORS, READABLE, UnixSocket } from './unix-socket.js'

/** A descriptor's number, or what has one (a Namespace, a FileHandle) or several (a Tap, another packet end). */
export type Sendable = number | { readonly fd: number } | { readonly fds: readonly number[] }

/** How messages travel: 'stream' as bytes without borders, 'seqpacket' each for itself. */
export type ChannelType = 'stream' | 'seqpacket'

/** Options of sending. */
export interface SendOptions {
  /** Gives up waiting for room in the socket, with an AbortError: then nothing was sent. */
  signal?: AbortSignal
}

/** Options of receiving. */
export interface ReceiveOptions {
  /** The most descriptors that are wanted, from 0 to 253; a message with more is thrown away (E2BIG). Default: 253. */
  max?: number
  /** Gives up waiting, with an AbortError. Nothing is lost: the message is there for the next call. */
  signal?: AbortSignal
}

/** Options of `connectDescriptorChannel`. */
export interface ConnectChannelOptions {
  /** Where the other side listens; an abstract address begins with a zero byte. */
  path: string
  /** Default: what the other side is. */
  type?: ChannelType
  /** Gives up with an AbortError. */
  signal?: AbortSignal
}

/** Options of `listenDescriptorChannel`. */
export interface ListenChannelOptions {
  /** Where to listen: a path that is not there yet, or an abstract address, which begins with a zero byte. */
  path: string
  /** Default: 'seqpacket', which keeps messages apart. Others often speak 'stream'. */
  type?: ChannelType
  /** How many connections may wait to be accepted. Default: 128. */
  backlog?: number
}

const channels = new LeakGuard('descriptor channel')
const listeners = new LeakGuard('descriptor listener')
const EAGAIN = -errnoNumber('EAGAIN')
/** Milliseconds between two attempts to connect to somebody whose backlog is full, for which there is no event. */
const RETRY = 10

/** The bytes of a message whose sender has nothing to say: a stream needs one for the descriptors to travel with. */
const ONE_BYTE = Uint8Array.of(0)

/** All descriptor numbers, in turn. */
function numbersOf(descriptors: unknown): number[] {
  const list = Array.isArray(descriptors) ? descriptors : [descriptors]
  const numbers = list.flatMap((each: unknown, i) => {
    const name = Array.isArray(descriptors) ? `descriptors[${i}]` : 'descriptors'
    if (typeof each === 'number') return [checked(each, name)]
    const { fd, fds } = (typeof each === 'object' && each !== null ? each : {}) as { fd?: unknown; fds?: unknown }
    if (Array.isArray(fds)) {
      if (fds.length === 0) throw valueError(name, each, 'has no descriptor (any more)')
      return fds.map((number) => checked(number, `${name}.fds`))
    }
    if (typeof fd === 'number') return [checked(fd, `${name}.fd`)]
    throw typeError(name, 'a descriptor, or an object with `fd` or `fds`', each)
  })
  if (numbers.length > MOST_DESCRIPTORS) {
    throw valueError('descriptors', numbers.length, `more than ${MOST_DESCRIPTORS} do not fit into a message`)
  }
  return numbers
}

function checked(fd: unknown, name: string): number {
  checkInteger(fd, name, 0, 0x7fffffff)
  return fd
}

function bytesOf(data: unknown): Uint8Array {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data
  if (!(bytes instanceof Uint8Array)) throw typeError('data', 'a string, a Buffer or another Uint8Array', data)
  if (bytes.length === 0) throw valueError('data', data, 'descriptors travel with at least one byte')
  if (bytes.length > MOST_DATA)
    throw valueError('data', `${bytes.length} bytes`, `at most ${MOST_DATA} are one message`)
  return bytes
}

/** A connected Unix socket that carries descriptors. */
export class DescriptorChannel implements AsyncDisposable {
  readonly #socket: UnixSocket
  #receiving = false

  /** @internal */
  constructor(socket: UnixSocket) {
    this.#socket = socket
    channels.watch(this, socket)
  }

  /** The socket's own descriptor, to be inherited by a child. -1 when closed. */
  get fd(): number {
    return this.#socket.closed ? -1 : this.#socket.fd
  }

  get type(): UnixType {
    return this.#socket.type
  }

  get closed(): boolean {
    return this.#socket.closed
  }

  /** The process at the other end; undefined when closed, and for sockets that are not connected. */
  get peer(): PeerCredentials | undefined {
    return this.#socket.closed ? undefined : peerOf(this.#socket.fd)
  }

  /** What was carried. */
  stats(): DescriptorStats {
    return { ...this.#socket.stats }
  }

  /**
   * Sends descriptors, and the data that says what they are: a string (UTF-8) or bytes, from 1 to 32,768; one zero byte by default.
   * The other side gets descriptors of its own, so those here may be closed as soon as this has been called; whoever hands a tap
   * over calls `tap.release()`. An empty list sends the data alone. Messages go in the order of the calls; it waits while the
   * other side does not receive.
   *
   * @throws NetkitError EBADF (one of them is not open), EPIPE or ECONNRESET (the other side has closed), EMSGSIZE, ETOOMANYREFS
   */
  async send(
    descriptors: Sendable | readonly Sendable[],
    data: string | Uint8Array = ONE_BYTE,
    options: SendOptions = {},
  ): Promise<void> {
    checkOptions(options, 'options', ['signal'])
    checkSignal(options.signal, 'options.signal')
    await this.#socket.send(numbersOf(descriptors), bytesOf(data), options.signal)
  }

  /**
   * Waits for the next message; undefined when the other side has closed. One call at a time.
   *
   * Of a stream, a message is what has come until the next descriptors: data without any may be put in front of them.
   *
   * @throws NetkitError E2BIG (more descriptors than `max`), EMSGSIZE (more than 65,536 bytes), EMFILE (this process may have no
   * more descriptors): that message is lost and its descriptors are closed, and the channel goes on. ECONNRESET.
   */
  async receive(options: ReceiveOptions = {}): Promise<ReceivedDescriptors | undefined> {
    checkOptions(options, 'options', ['max', 'signal'])
    const { max = MOST_DESCRIPTORS, signal } = options
    checkInteger(max, 'options.max', 0, MOST_DESCRIPTORS)
    checkSignal(signal, 'options.signal')
    if (this.#receiving) {
      throw Object.assign(new Error('this channel is being received from already'), { code: 'ERR_INVALID_STATE' })
    }
    this.#receiving = true
    try {
      return await this.#socket.receive(max, signal)
    } finally {
      this.#receiving = false
    }
  }

  /** The messages in turn, until the other side closes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedDescriptors, void> {
    for (let next = await this.receive(); next !== undefined; next = await this.receive()) yield next
  }

  /** Closes the socket; what waits is rejected with an AbortError. Idempotent. */
  async close(): Promise<void> {
    channels.forget(this.#socket)
    await this.#socket.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** A Unix socket that others connect to, in order to be handed descriptors or to hand some over. */
export class DescriptorListener implements AsyncDisposable {
  readonly path: string
  readonly #socket: UnixSocket
  readonly #unlink: () => void

  /** @internal */
  constructor(path: string, socket: UnixSocket, unlink: () => void) {
    this.path = path
    this.#socket = socket
    this.#unlink = unlink
    listeners.watch(this, socket)
  }

  get closed(): boolean {
    return this.#socket.closed
  }

  /** Waits for the next connection. A signal gives up, with an AbortError. */
  async accept(options: { signal?: AbortSignal } = {}): Promise<DescriptorChannel> {
    checkOptions(options, 'options', ['signal'])
    checkSignal(options.signal, 'options.signal')
    const what = `accepting at ${this.#socket.label}`
    for (;;) {
      this.#socket.check('accept')
      throwIfAborted(options.signal, what)
      const fd = native.acceptSocket(this.#socket.fd)
      if (fd >= 0)
        return new DescriptorChannel(new UnixSocket(fd, this.#socket.type, `a client of ${shownPath(this.path)}`))
      if (fd !== EAGAIN) throw systemError(fd, 'accept', `cannot accept at ${this.#socket.label}`)
      await this.#socket.wait(READABLE, what, options.signal)
    }
  }

  /** The connections in turn, until the listener is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<DescriptorChannel, void> {
    while (!this.closed) {
      try {
        yield await this.accept()
      } catch (error) {
        if (this.closed && error instanceof AbortError) return
        throw error
      }
    }
  }

  /** Listens no longer, and removes the path. Connections stay. Idempotent. */
  async close(): Promise<void> {
    listeners.forget(this.#socket)
    if (!this.closed) this.#unlink()
    await this.#socket.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** The rest of making a socket: when it fails, the descriptor is closed. */
async function withSocket<T>(type: UnixType, make: (fd: number) => T | Promise<T>): Promise<T> {
  const fd = await native.openSocket(-1, unixConstants.AF_UNIX, unixTypes[type], 0)
  if (fd < 0) throw systemError(fd, 'socket', 'cannot open a Unix socket')
  try {
    return await make(fd)
  } catch (error) {
    native.closeDescriptorNow(fd)
    throw error
  }
}

/**
 * Connects to a process that listens on a Unix socket: one of netkit's (`listenDescriptorChannel`), or any that hands out
 * descriptors.
 *
 * @throws NetkitError ENOENT (there is no such path), ECONNREFUSED (nobody listens), EACCES, EPROTOTYPE (it is of another type)
 */
export async function connectDescriptorChannel(options: ConnectChannelOptions): Promise<DescriptorChannel> {
  checkOptions(options, 'options', ['path', 'type', 'signal'])
  const { path, type, signal } = options
  checkUnixPath(path, 'options.path')
  if (type !== undefined) checkOneOf(type, 'options.type', ['stream', 'seqpacket'])
  checkSignal(signal, 'options.signal')
  try {
    return await connect(path, type ?? 'stream', signal)
  } catch (error) {
    // Abstract addresses of another type are other addresses.
    const isOther = hasCode(error, 'EPROTOTYPE') || (path.startsWith('\0') && hasCode(error, 'ECONNREFUSED'))
    if (type !== undefined || !isOther) throw error
    return await connect(path, 'seqpacket', signal)
  }
}

function connect(path: string, type: ChannelType, signal: AbortSignal | undefined): Promise<DescriptorChannel> {
  const shown = shownPath(path)
  return withSocket(type, async (fd) => {
    for (;;) {
      throwIfAborted(signal, `connecting to ${shown}`)
      const result = native.connectSocket(fd, encodeUnixAddress(path))
      if (result === 0) return new DescriptorChannel(new UnixSocket(fd, type, `the channel to ${shown}`))
      if (result !== EAGAIN)
        throw systemError(result, 'connect', `cannot connect to ${shown}`, { hint: connectHint(result) })
      await delay(RETRY)
    }
  })
}

function connectHint(result: number): string | undefined {
  return errnoName(-result) === 'ECONNREFUSED'
    ? 'the path is there, but nobody listens: its process has ended'
    : undefined
}

/**
 * Listens on a Unix socket for processes that hand over descriptors, or that are to get some. Only users who may write to the path
 * can connect; `channel.peer` says who did.
 *
 * @throws NetkitError EADDRINUSE (the path is there already, even if nobody listens any more), ENOENT, EACCES
 */
export function listenDescriptorChannel(options: ListenChannelOptions): Promise<DescriptorListener> {
  checkOptions(options, 'options', ['path', 'type', 'backlog'])
  const { path, type = 'seqpacket', backlog = 128 } = options
  checkUnixPath(path, 'options.path')
  checkOneOf(type, 'options.type', ['stream', 'seqpacket'])
  checkInteger(backlog, 'options.backlog', 0, 0x7fffffff)
  const shown = shownPath(path)
  return withSocket(type, (fd) => {
    const bound = native.bindSocket(fd, encodeUnixAddress(path))
    if (bound < 0) throw systemError(bound, 'bind', `cannot listen at ${shown}`)
    const unlink = unlinkerOf(path)
    const result = native.listenSocket(fd, backlog)
    if (result === 0) return new DescriptorListener(path, new UnixSocket(fd, type, `the socket ${shown}`), unlink)
    unlink()
    throw systemError(result, 'listen', `cannot listen at ${shown}`)
  })
}

/** Removes the path that was bound just now, unless somebody has put another file there. */
function unlinkerOf(path: string): () => void {
  if (path.startsWith('\0')) return () => {}
  const made = lstatSync(path)
  return () => {
    const there = lstatSync(path, { throwIfNoEntry: false })
    if (there?.ino === made.ino && there.dev === made.dev) unlinkSync(path)
  }
}

/**
 * Makes a channel of a Unix socket that this process was started with (`stdio` of `child_process.spawn`, systemd), or that it was
 * handed. The channel owns the descriptor from here on.
 *
 * @throws NetkitError EBADF, ENOTSOCK; RangeError when it is not a Unix socket
 */
export function openDescriptorChannel(options: { fd: number }): DescriptorChannel {
  checkOptions(options, 'options', ['fd'])
  const { fd } = options
  checkInteger(fd, 'options.fd', 0, 0x7fffffff)
  const type = unixTypeOf(fd, 'options.fd')
  takeOver(fd, false)
  return new DescriptorChannel(new UnixSocket(fd, type, `the channel on descriptor ${fd}`))
}

/** Two channels that are connected with each other: one is kept, and the other's `fd` goes to a child through `stdio`, and is closed. */
export function createDescriptorChannels(options: { type?: ChannelType } = {}): [DescriptorChannel, DescriptorChannel] {
  checkOptions(options, 'options', ['type'])
  const { type = 'seqpacket' } = options
  checkOneOf(type, 'options.type', ['stream', 'seqpacket'])
  const [first, second] = createSocketPair({ type })
  return [openDescriptorChannel({ fd: first }), openDescriptorChannel({ fd: second })]
}
