/** One open descriptor of frames: reading and writing them, waiting for them, and letting go. */
import { errnoName, errnoNumber } from '../errno.js'
import { type NetkitError, namedError, systemError } from '../errors.js'
import { type NativeEnd, native, type Poller } from '../native.js'
import { HAS_HEADER, LENGTH, OFFLOAD_HEADER_SIZE } from './constants.js'
import { isOffloadFrame } from './offload-header.js'

const READABLE = 1
const WRITABLE = 2
const sharedSpans = new Uint32Array(2 * 1024)
const EAGAIN = -errnoNumber('EAGAIN')
/** A moment without room in the slab is none without frames. */
const ENOBUFS = -errnoNumber('ENOBUFS')

/** What an end has carried since it was opened. */
export interface PacketStats {
  /** Frames read: what came out of the end. */
  framesRead: number
  bytesRead: number
  /** Frames that the kernel or the peer took. */
  framesWritten: number
  bytesWritten: number
  /**
   * Frames that were not taken, and so dropped, as on a cable: on a tap under 14 bytes (EINVAL), link down (EIO), no memory
   * (ENOMEM); on a socket full (EAGAIN), nobody there (ECONNREFUSED) …
   */
  refused: number
  /** Why the last of them was refused. */
  lastRefusal?: { code: string }
  /** Frames that were cut on reading, for being longer than their end allows. */
  truncated: number
  /** Frames that the kernel dropped before they could be read, for want of room; absent where that cannot be told. */
  dropped?: number
}

/** What a device is made of. */
export interface DeviceParts {
  end: NativeEnd
  fd: number
  name: string
  /** Whether it carries IP packets rather than Ethernet frames. */
  layer3?: boolean
  /** Whether frames that are read have offload headers, so that they may be long. */
  offload?: boolean
  /** Whether the end keeps part of what was written until its descriptor can be written. */
  buffered?: boolean
  /** Whether frames may wait in memory, so that the descriptor does not tell. */
  queued?: boolean
  /** Asked when reading ends with a result (a negated errno): true when that is no failure, and dealt with. */
  ended?(result: number): boolean
  /** Lets go of what belongs to the descriptor, after it is closed, or given away. */
  closed?(released: boolean): Promise<unknown>
  /** The error for a result (a negated errno) that ends the device. Default: 'cannot read NAME: …'. */
  explain?(result: number, syscall: string): NetkitError
  /** Milliseconds after which the end is to be read though nothing polls; 0 when it need not be. */
  lookAgain?(): number
  /** Called once when nothing uses the descriptor any more, before it is closed or given away. */
  closing?(): void
  /** What an error on the descriptor (POLLERR) means, when that is certain. Default: reading tells. */
  explainPoll?(): NetkitError
}

/** A thread that reads or writes an end in JavaScript's place. */
export interface ThreadUser {
  /** What it is called in errors: 'a pump'. */
  readonly what: string
  /** Ends it, and resolves when its thread no longer touches the end. Idempotent. */
  stop(): Promise<unknown>
}

function inUse(name: string, how: string, user: ThreadUser): Error {
  return Object.assign(new Error(`${name} is ${how} by ${user.what}: close that first`), { code: 'ERR_INVALID_STATE' })
}

export class PacketDevice {
  readonly end: NativeEnd
  readonly fd: number
  readonly name: string
  readonly offload: boolean
  readonly layer3: boolean
  /** Why the device can no longer be used, once that is known. */
  failure: NetkitError | undefined
  readonly #parts: DeviceParts
  readonly #counters = new Float64Array(7)
  #poller: Poller | undefined
  /** What the poll handle waits for now. */
  #events = 0
  #readListener: (() => void) | undefined
  #writeListener: (() => void) | undefined
  #reader: ThreadUser | undefined
  #writer: ThreadUser | undefined
  #timer: NodeJS.Timeout | undefined
  #isReferenced = true
  #released = false
  #closed: Promise<void> | undefined

  constructor(parts: DeviceParts) {
    this.end = parts.end
    this.fd = parts.fd
    this.name = parts.name
    this.offload = parts.offload === true
    this.layer3 = parts.layer3 === true
    this.#parts = parts
  }

  get closed(): boolean {
    return this.#closed !== undefined
  }

  /**
   * Calls `listener` when frames wait, once a turn of the event loop, until `unwatch`. Nothing but the poll handle of a
   * started watch holds on to the listener, so that a tap that nobody reads and nobody knows can be collected.
   */
  watch(listener: () => void): void {
    this.checkUnread()
    this.#readListener = listener
    if ((this.#events & READABLE) === 0) this.#poll(this.#events | READABLE)
    if (this.#parts.queued === true) native.nudgeEnd(this.end)
    this.#lookAgain()
  }

  /** Throws ERR_INVALID_STATE when a thread reads it. */
  checkUnread(): void {
    if (this.#reader !== undefined) throw inUse(this.name, 'read', this.#reader)
  }

  /** For ends whose descriptor does not tell everything: calls the listener after a while, as long as the end wants that. */
  #lookAgain(): void {
    if (this.#timer !== undefined || this.#readListener === undefined || this.#closed !== undefined) return
    const wait = this.#parts.lookAgain?.() ?? 0
    if (wait === 0) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#closed === undefined) this.#readListener?.()
      this.#lookAgain()
    }, wait).unref()
  }

  /** Drops the listener, and stops waiting only if frames come before the next `watch`: for one who comes back soon. */
  idle(): void {
    this.#readListener = undefined
  }

  unwatch(): void {
    this.#readListener = undefined
    if ((this.#events & READABLE) !== 0) this.#poll(this.#events & ~READABLE)
  }

  /** Calls `listener` once, when more can be written. */
  whenWritable(listener: () => void): void {
    this.#writeListener = listener
    this.#poll(this.#events | WRITABLE)
  }

  /** To be called when another file has come under the number of the descriptor: waits for that one from now on. */
  renew(): void {
    const events = this.#events
    this.#poll(0)
    if (events !== 0) this.#poll(events)
  }

  /** Whether waiting keeps the process alive, as it does at first. */
  refer(isReferenced: boolean): void {
    this.#isReferenced = isReferenced
    if (this.#closed !== undefined) return
    if (isReferenced) this.#poller?.ref()
    else this.#poller?.unref()
  }

  #poll(events: number): void {
    if (events === 0 || this.#closed !== undefined) {
      this.#events = 0
      this.#poller?.stop()
      return
    }
    if (this.#poller === undefined) {
      this.#poller = native.createPoller(this.fd, (status, seen) => this.#polled(status, seen))
      if (!this.#isReferenced) this.#poller.unref()
    }
    const result = this.#poller.start(events)
    if (result < 0) throw systemError(result, 'epoll_ctl', `cannot wait for ${this.name}`)
    this.#events = events
  }

  #polled(status: number, seen: number): void {
    let events = seen
    if (status < 0) {
      // libuv stops a poll handle whose descriptor reports POLLERR. Who listens reads, and learns why.
      this.#events = 0
      events = READABLE | WRITABLE
      if (this.#parts.explainPoll !== undefined) this.failure ??= this.#parts.explainPoll()
    }
    if ((events & WRITABLE) !== 0 && this.#writeListener !== undefined) {
      const listener = this.#writeListener
      this.#writeListener = undefined
      if (this.#events !== 0) this.#poll(this.#events & ~WRITABLE)
      listener()
    }
    if ((events & READABLE) === 0 || this.#closed !== undefined) return
    const listener = this.#readListener
    if (listener === undefined) this.unwatch()
    else {
      listener()
      // Still wanted after an error that was read away.
      if (status < 0 && this.failure === undefined && this.#readListener !== undefined) this.watch(this.#readListener)
      this.#lookAgain()
    }
  }

  /**
   * Reads up to `max` frames into `slab` from `position` on, and their offsets and lengths into `spans`. Returns how many;
   * throws the failure when the device is gone.
   */
  read(slab: Uint8Array, position: number, spans: Uint32Array, max: number, details?: Uint8Array): number {
    this.checkUnread()
    const count = this.#closed === undefined ? native.readFrames(this.end, slab, position, spans, max, details) : 0
    if (count > 0) return count
    if (this.failure === undefined && count !== EAGAIN && count !== 0 && count !== ENOBUFS) {
      if (this.#parts.ended?.(count) === true) return 0
      this.#fail(count, 'read')
    }
    if (this.failure !== undefined) throw this.failure
    return 0
  }

  /** Blocks the calling thread until frames wait: false after `timeout` milliseconds. */
  waitReadable(timeout: number): boolean {
    if (this.#closed !== undefined) return false
    const again = this.#parts.lookAgain?.() ?? 0
    if (again > 0 && (timeout < 0 || timeout > again)) {
      native.waitReadable(Uint32Array.of(this.fd), again)
      return true
    }
    return native.waitReadable(Uint32Array.of(this.fd), timeout) >= 0
  }

  /**
   * Writes the first `count` frames of a slab, from number `start` on. Returns how many were dealt with: fewer than asked when
   * the end is full (`whenWritable` tells when it is no more). Throws the failure when the device is gone, or closed.
   */
  writeSpans(slab: Uint8Array, spans: Uint32Array, count: number, start = 0): number {
    return this.#write(count, start, (from) => native.writeFrames(this.end, slab, spans, from, count - from))
  }

  /** The same for frames in arrays of their own. */
  writeBuffers(frames: readonly Uint8Array[], start = 0): number {
    let done = start
    while (done < frames.length) {
      const run = this.#sharedMemory(frames, done)
      const length = run.count
      const from = done
      const dealt =
        run.slab === undefined
          ? this.#writeApart(from + length < frames.length ? frames.slice(0, from + length) : frames, from)
          : this.writeSpans(run.slab, sharedSpans, length)
      done += dealt
      if (dealt < length) break
    }
    return done - start
  }

  #writeApart(frames: readonly Uint8Array[], start: number): number {
    return this.#write(frames.length, start, (from) => native.writeBuffers(this.end, frames, from))
  }

  /**
   * How many frames from `start` on lie in the same memory, with their places in `sharedSpans`: the usual case for frames that
   * were read from another end, which saves the addon to look at each array. Without `slab`: how many have no header and lie apart.
   */
  #sharedMemory(frames: readonly Uint8Array[], start: number): { slab?: Uint8Array; count: number } {
    const first = frames[start] as Uint8Array
    const buffer = first.buffer
    const most = Math.min(frames.length - start, sharedSpans.length / 2)
    let count = 0
    if (buffer.byteLength <= 0xffff_ffff) {
      for (; count < most; count++) {
        const frame = frames[start + count] as Uint8Array
        if (frame.buffer !== buffer) break
        sharedSpans[2 * count] = frame.byteOffset
        sharedSpans[2 * count + 1] = isOffloadFrame(frame) ? frame.length + HAS_HEADER : frame.length
      }
    }
    if (count > 1 || count === most) return { slab: new Uint8Array(buffer), count }
    if (isOffloadFrame(first)) {
      sharedSpans[0] = OFFLOAD_HEADER_SIZE
      sharedSpans[1] = first.length + HAS_HEADER
      const slab = new Uint8Array(buffer, first.byteOffset - OFFLOAD_HEADER_SIZE, first.length + OFFLOAD_HEADER_SIZE)
      return { slab, count: 1 }
    }
    while (count < most && !isOffloadFrame(frames[start + count] as Uint8Array)) count++
    return { count }
  }

  #write(count: number, start: number, write: (start: number) => number): number {
    if (this.#closed !== undefined) throw this.failure ?? namedError('EBADF', 'write', `${this.name} is closed`)
    if (this.#writer !== undefined) throw inUse(this.name, 'written', this.#writer)
    let done = start
    while (done < count) {
      const result = write(done)
      if (result > 0) done += result
      else if (result === EAGAIN || result === 0) break
      else throw this.#fail(result, 'write')
    }
    if (this.#parts.buffered === true) this.flush()
    this.#lookAgain()
    return done - start
  }

  /** Goes on with what the end has begun to write, now and when it can be written again. */
  readonly flush = (): void => {
    if (this.#closed !== undefined) return
    const result = native.flushEnd(this.end)
    if (result === 1 && this.#writeListener === undefined) this.whenWritable(this.flush)
  }

  #fail(result: number, syscall: string): NetkitError {
    this.failure ??= this.explain(result, syscall)
    return this.failure
  }

  /** The error for a result that ended the use of the end. */
  explain(result: number, syscall: string): NetkitError {
    return this.#parts.explain?.(result, syscall) ?? systemError(result, syscall, `cannot ${syscall} ${this.name}`)
  }

  /** Lets a thread read or write the end from now on. Returns what gives it back. Throws ERR_INVALID_STATE when another does. */
  claim(user: ThreadUser, { read, write }: { read: boolean; write: boolean }): () => void {
    if (this.#closed !== undefined) throw this.failure ?? namedError('EBADF', 'claim', `${this.name} is closed`)
    if (read && this.#reader !== undefined) throw inUse(this.name, 'read', this.#reader)
    if (write && this.#writer !== undefined) throw inUse(this.name, 'written', this.#writer)
    if (read && this.#readListener !== undefined) {
      throw Object.assign(new Error(`${this.name} is being read: ${user.what} cannot read it at the same time`), {
        code: 'ERR_INVALID_STATE',
      })
    }
    if (write && this.#writeListener !== undefined && this.#writeListener !== this.flush) {
      throw Object.assign(
        new Error(`${this.name} has frames that wait to be written: ${user.what} would overtake them`),
        {
          code: 'ERR_INVALID_STATE',
        },
      )
    }
    if (read) {
      this.unwatch()
      this.#reader = user
    }
    if (write) this.#writer = user
    return () => {
      if (this.#reader === user && read) this.#reader = undefined
      if (this.#writer === user && write) this.#writer = undefined
    }
  }

  get stats(): PacketStats {
    native.endCounters(this.end, this.#counters)
    const [framesRead = 0, bytesRead = 0, framesWritten = 0, bytesWritten = 0, refused = 0, truncated = 0, errno = 0] =
      this.#counters
    return {
      framesRead,
      bytesRead,
      framesWritten,
      bytesWritten,
      refused,
      ...(refused > 0 ? { lastRefusal: { code: errnoName(Math.abs(errno)) } } : {}),
      truncated,
    }
  }

  /** Gives the descriptor away: nothing here reads, writes or closes it any more. A thread that uses it is ended before. */
  async release(): Promise<number> {
    if (this.#closed !== undefined) throw namedError('EBADF', 'release', `${this.name} is closed`)
    this.#released = true
    await this.close()
    return this.fd
  }

  /** Closes the descriptor; resolves when it is closed. The kernel needs some 10 ms to unregister an interface, off this thread. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#readListener = this.#writeListener = undefined
    this.#events = 0
    this.#poller?.close()
    clearTimeout(this.#timer)
    const users = new Set([this.#reader, this.#writer])
    for (const user of users) if (user !== undefined) await user.stop()
    this.#parts.closing?.()
    if (this.#released) native.disownDescriptor(this.fd)
    else await native.closeDescriptor(this.fd)
    await this.#parts.closed?.(this.#released)
  }
}

/** The length of a span, without what the flag says. */
export function lengthOf(spans: Uint32Array, i: number): number {
  return (spans[2 * i + 1] as number) & LENGTH
}
