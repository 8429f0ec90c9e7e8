/** One open tun descriptor: reading and writing whole frames, waiting for them, and letting go. */
import { errnoName, errnoNumber } from '../errno.js'
import { type NetkitError, namedError, systemError } from '../errors.js'
import { native, type Poller } from '../native.js'
import { FRAME_ROOM, tunConstants } from './constants.js'

const READABLE = 1
const sharedSpans = new Uint32Array(2 * 1024)
const EAGAIN = -errnoNumber('EAGAIN')

/** What a descriptor says once its interface is deleted. */
function isGone(result: number): boolean {
  return result === -errnoNumber('EBADFD') || result === -errnoNumber('ENODEV')
}

/** What a tap or tun has carried since it was opened. */
export interface PacketStats {
  /** Frames taken from the kernel: what the interface sent. */
  framesRead: number
  bytesRead: number
  /** Frames that the kernel took: what the interface received. */
  framesWritten: number
  bytesWritten: number
  /** Frames that the kernel refused: under 14 bytes (EINVAL), link down (EIO), no memory (ENOMEM). They are dropped, as on a cable. */
  refused: number
  /** Why the last of them was refused. */
  lastRefusal?: { code: string }
}

export class TunDevice {
  readonly fd: number
  readonly name: string
  /** Why the device can no longer be used, once that is known. */
  failure: NetkitError | undefined
  #framesRead = 0
  #bytesRead = 0
  /** Frames and bytes written, frames refused, errno of the last refusal: the addon adds to it. */
  readonly #written = new Float64Array(4)
  #poller: Poller | undefined
  #started = false
  #listener: (() => void) | undefined
  #closed: Promise<void> | undefined

  constructor(fd: number, name: string) {
    this.fd = fd
    this.name = name
  }

  get closed(): boolean {
    return this.#closed !== undefined
  }

  /**
   * Calls `listener` when frames wait, once a turn of the event loop, until `unwatch`. Nothing but the poll handle of a
   * started watch holds on to the listener, so that a tap that nobody reads and nobody knows can be collected.
   */
  watch(listener: () => void): void {
    this.#listener = listener
    if (this.#started) return
    this.#poller ??= native.createPoller(this.fd, (status) => this.#polled(status))
    const result = this.#poller.start(READABLE)
    if (result < 0) throw systemError(result, 'epoll_ctl', `cannot wait for frames on ${this.name}`)
    this.#started = true
  }

  /** Drops the listener, and stops the poll handle only if frames come before the next `watch`: for one who comes back soon. */
  idle(): void {
    this.#listener = undefined
  }

  unwatch(): void {
    this.#listener = undefined
    if (!this.#started) return
    this.#started = false
    this.#poller?.stop()
  }

  #polled(status: number): void {
    // libuv stops a poll handle whose descriptor reports POLLERR, which a tun descriptor does once its interface is deleted.
    if (status < 0) {
      this.#started = false
      this.failure = this.#deleted('read')
    }
    if (this.#listener === undefined) this.unwatch()
    else this.#listener()
  }

  #deleted(syscall: string): NetkitError {
    return namedError('ENODEV', syscall, `${this.name} was deleted`)
  }

  /**
   * Reads up to `max` frames into `slab` from `position` on, and their offsets and lengths into `spans`. Returns how many;
   * throws the failure when the interface is gone.
   */
  read(slab: Uint8Array, position: number, spans: Uint32Array, max: number): number {
    const count = this.#closed === undefined ? native.readFrames(this.fd, slab, position, FRAME_ROOM, spans, max) : 0
    if (count <= 0) {
      if (this.failure === undefined && count !== EAGAIN && count !== 0) this.#fail(count, 'read')
      if (this.failure !== undefined) throw this.failure
      return 0
    }
    let bytes = 0
    for (let i = 1; i < 2 * count; i += 2) bytes += spans[i] as number
    this.#framesRead += count
    this.#bytesRead += bytes
    return count
  }

  /** Writes the first `count` frames of a slab. Throws the failure when the interface is gone, or closed. */
  writeSpans(slab: Uint8Array, spans: Uint32Array, count: number): void {
    this.#write(count, (start) => native.writeFrames(this.fd, slab, spans, start, count - start, this.#written))
  }

  /** The same for frames in arrays of their own. */
  writeBuffers(frames: readonly Uint8Array[]): void {
    const slab = this.#sharedMemory(frames)
    if (slab !== undefined) this.writeSpans(slab, sharedSpans, frames.length)
    else this.#write(frames.length, (start) => native.writeBuffers(this.fd, frames, start, this.#written))
  }

  /**
   * The memory that all frames lie in, with their places in `sharedSpans`; undefined when there is no such. It is the usual case
   * for frames that were read from another tap, and saves the addon to look at each array.
   */
  #sharedMemory(frames: readonly Uint8Array[]): Uint8Array | undefined {
    const buffer = frames[0]?.buffer
    if (buffer === undefined || frames.length > sharedSpans.length / 2 || buffer.byteLength > 0xffff_ffff)
      return undefined
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Uint8Array
      if (frame.buffer !== buffer) return undefined
      sharedSpans[2 * i] = frame.byteOffset
      sharedSpans[2 * i + 1] = frame.length
    }
    return new Uint8Array(buffer)
  }

  #write(count: number, write: (start: number) => number): void {
    if (this.#closed !== undefined) throw this.failure ?? namedError('EBADF', 'write', `${this.name} is closed`)
    for (let done = 0; done < count; ) {
      const result = write(done)
      if (result >= 0) {
        done += result
      } else if (result === EAGAIN) {
        // Only after someone has bounded the send buffer (TUNSETSNDBUF), and with it this frame is one too many.
        this.#written[2] = (this.#written[2] as number) + 1
        this.#written[3] = -EAGAIN
        done++
      } else {
        throw this.#fail(result, 'write')
      }
    }
  }

  #fail(result: number, syscall: string): NetkitError {
    this.failure ??= isGone(result)
      ? this.#deleted(syscall)
      : systemError(result, syscall, `cannot ${syscall} ${this.name}`)
    return this.failure
  }

  /** Whether the interface stays when its last descriptor is closed. */
  async setPersist(on: boolean): Promise<void> {
    if (this.#closed !== undefined) throw namedError('EBADF', 'TUNSETPERSIST', `${this.name} is closed`)
    const result = await native.controlTun(this.fd, tunConstants.TUNSETPERSIST, on ? 1 : 0)
    if (result < 0) {
      throw isGone(result)
        ? this.#deleted('TUNSETPERSIST')
        : systemError(result, 'TUNSETPERSIST', `cannot make ${this.name} persistent`)
    }
  }

  get stats(): PacketStats {
    const [framesWritten = 0, bytesWritten = 0, refused = 0, errno = 0] = this.#written
    return {
      framesRead: this.#framesRead,
      bytesRead: this.#bytesRead,
      framesWritten,
      bytesWritten,
      refused,
      ...(refused > 0 ? { lastRefusal: { code: errnoName(Math.abs(errno)) } } : {}),
    }
  }

  /** Closes the descriptor; resolves when it is closed. The kernel needs some 10 ms to unregister an interface, off this thread. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.unwatch()
      this.#poller?.close()
      this.#closed = native.closeDescriptor(this.fd).then(() => {})
    }
    return this.#closed
  }
}
