/** What everything has in common that frames come out of and go into: a Duplex of frames, batches beside it, one descriptor. */
import { Duplex } from 'node:stream'
import { inspect } from 'node:util'
import { isMainThread } from 'node:worker_threads'
import { AbortError, namedError, stateError } from '../errors.js'
import { LeakGuard } from '../namespace/leaks.js'
import type { NativeEnd } from '../native.js'
import { checkBoolean, checkFunction, checkInteger, checkOptions, checkSignal, typeError } from '../validate.js'
import { FrameBatch, partsOf } from './batch.js'
import { BatchIterator, type BatchOptions, type BatchReader, type BatchSource } from './batch-iterator.js'
import { BatchListener, BatchPoller } from './batch-readers.js'
import type { PacketDevice, PacketStats, ThreadUser } from './device.js'
import { type FrameIteration, FrameIterator } from './frame-iterator.js'
import { pooledFrame, readPooled, TURN } from './frame-pool.js'

/** What an end consists of. */
export interface EndParts {
  device: PacketDevice
  /** The usual length of the longest packet, for the size of batches. */
  mtu: number
  readableHighWaterMark?: number | undefined
  writableHighWaterMark?: number | undefined
}

const guard = new LeakGuard('packet end')

type WriteCallback = (error?: Error | null) => void

/** The native end of a packet end, to hand to a thread. */
export let nativeEndOf: (end: PacketEnd) => NativeEnd
/** The device of a packet end. TypeError for anything else, with its name. */
export let deviceOf: (end: PacketEnd, name?: string) => PacketDevice
/**
 * Lets a thread read or write an end from now on; closing the end ends the thread's use of it before. Returns what gives the end
 * back. Throws ERR_INVALID_STATE when it is read or written otherwise, EBADF when it is closed.
 */
export let claimEnd: (end: PacketEnd, user: ThreadUser, use: { read: boolean; write: boolean }) => () => void

const ONE_WAY = 'it cannot be read as a stream at the same time'

/**
 * A `stream.Duplex` in object mode: one frame is one Buffer, in both directions.
 *
 * Reading begins when the first frame is asked for. What nobody reads waits in the kernel, up to a limit (the interface's
 * txqueuelen, the socket's buffer), beyond which the kernel drops it. A frame that is kept keeps the chunk of half a
 * megabyte (4 with offload) that it was read into: copy what is to be kept for long.
 *
 * What the kernel or the peer refuses is dropped and counted in `stats()`. When the end is full, the stream waits; an interface
 * never is.
 *
 * An end is used in one way at a time: as a stream, in batches, or by a thread (a pump, a switch).
 *
 * When the interface or the peer is gone, what reads or writes fails, and the stream is destroyed.
 */
export abstract class PacketEnd extends Duplex {
  readonly #device: PacketDevice
  readonly #mtu: number
  readonly #source: BatchSource
  #reader: BatchReader | undefined
  #poller: BatchPoller | undefined
  /** The callback of what is being written, while the end is full. */
  #stuckWrite: WriteCallback | undefined
  /** The callback of the turn's first write. */
  #afterWrite: WriteCallback | undefined
  /** Whether frames were ever asked for through the stream. */
  #streamed = false
  /** What the end was destroyed with. */
  #error: Error | null = null

  static {
    nativeEndOf = (end) => deviceOf(end).end
    deviceOf = (end, name = 'end') => {
      if (!(end instanceof PacketEnd)) throw typeError(name, 'a packet end (a Tap, a Tun, a socket …)', end)
      return end.#device
    }
    claimEnd = (end, user, use) => {
      const device = deviceOf(end)
      const isRead = end.#reader !== undefined || end.#streamed || end.readableFlowing === true
      if (use.read && isRead && !device.closed) {
        throw stateError(`${end.name} is being read: ${user.what} cannot read it at the same time`)
      }
      // What was written in this turn goes before.
      if (use.write) end.#flush()
      return device.claim(user, use)
    }
  }

  /** @internal */
  constructor(parts: EndParts) {
    super({
      objectMode: true,
      readableHighWaterMark: parts.readableHighWaterMark ?? 256,
      writableHighWaterMark: parts.writableHighWaterMark ?? 256,
    })
    this.#device = parts.device
    this.#mtu = parts.mtu
    this.#source = this.#batchSource()
    guard.watch(this, parts.device)
  }

  /** What the end is called: an interface's name, as it was when opened, or a socket's address. */
  get name(): string {
    return this.#device.name
  }

  /** Whether frames that are read have offload headers, and those that are written may have. */
  get offload(): boolean {
    return this.#device.offload
  }

  /**
   * The descriptor, in an array, for a hypervisor or any other child process: pass it in `stdio` of `child_process.spawn`.
   * It is closed by `close()`; a child keeps its own. Empty when closed.
   */
  get fds(): readonly number[] {
    return this.#device.closed ? [] : [this.#device.fd]
  }

  /** What was carried since the opening. */
  stats(): PacketStats {
    return this.#device.stats
  }

  /** Reading keeps the process alive, as long as it is waited for frames. This is so unless `unref()` was called. */
  ref(): this {
    this.#device.refer(true)
    return this
  }

  /** The process may end while frames are waited for. */
  unref(): this {
    this.#device.refer(false)
    return this
  }

  override _read(): void {
    if (this.#reader !== undefined) {
      this.destroy(stateError(`${this.name} is being read in batches: ${ONE_WAY}`))
      return
    }
    this.#streamed = true
    try {
      this.#device.watch(this.#readable)
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  readonly #readable = (): void => {
    const device = this.#device
    const room = Math.min(this.readableHighWaterMark - this.readableLength, TURN)
    if (room <= 0) {
      device.unwatch()
      return
    }
    let count: number
    try {
      count = readPooled(device, room)
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    if (count === 0) return
    let more = true
    for (let i = 0; i < count && !this.destroyed; i++) more = this.push(pooledFrame(i))
    if (!more) device.unwatch()
  }

  /**
   * Writes one frame. Returns false when more frames than `writableHighWaterMark` wait, as any stream does.
   *
   * Writing while a pump or a switch does destroys the end, with ERR_INVALID_STATE.
   *
   * @throws TypeError (ERR_INVALID_ARG_TYPE) when the frame is not a Buffer or another Uint8Array.
   */
  override write(frame: Uint8Array, callback?: WriteCallback): boolean
  /** The signature that makes this a NodeJS.WritableStream. A string is refused all the same. */
  override write(frame: Uint8Array | string, encoding: BufferEncoding | undefined, callback?: WriteCallback): boolean
  override write(
    frame: Uint8Array | string,
    encoding?: BufferEncoding | WriteCallback,
    callback?: WriteCallback,
  ): boolean {
    if (!(frame instanceof Uint8Array)) throw typeError('frame', 'a Buffer or Uint8Array', frame)
    return super.write(frame, typeof encoding === 'function' ? encoding : callback)
  }

  /**
   * Sends the first frame of a turn at once. The stream collects those that follow while the callback waits, and then sends
   * them with one native call.
   */
  override _write(frame: unknown, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.#send([frame], (error) => {
      if (error) {
        callback(error)
        return
      }
      this.#afterWrite = callback
      process.nextTick(this.#flush)
    })
  }

  override _writev(items: { chunk: unknown }[], callback: WriteCallback): void {
    this.#send(
      items.map((item) => item.chunk),
      callback,
    )
  }

  /** Writes all frames: those that the end has no room for when it has. */
  #send(frames: unknown[], callback: WriteCallback, start = 0): void {
    let done = start
    this.#stuckWrite = undefined
    try {
      done += this.#device.writeBuffers(start === 0 ? checkFrames(frames, 'frame') : (frames as Uint8Array[]), start)
      if (done < frames.length) {
        this.#device.whenWritable(() => this.#send(frames, callback, done))
        this.#stuckWrite = callback
        return
      }
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  readonly #flush = (): void => {
    const callback = this.#afterWrite
    this.#afterWrite = undefined
    callback?.()
  }

  /**
   * Reads in batches: the fast way. Up to `max` frames a turn, in memory that the next turn overwrites.
   *
   * The iteration ends when the end is closed, with ENODEV when the interface was deleted, and with an AbortError when the
   * signal fires; `break` leaves the end open. An end is read either as a stream or in batches: once frames were asked for
   * through the stream, this throws (ERR_INVALID_STATE). So does `for await` of the stream during an iteration; 'data' and `pipe`
   * then destroy it with that error. While a pump or a switch reads the end, all of it fails so.
   */
  batches(options: BatchOptions = {}): BatchIterator {
    checkOptions(options, 'options', ['max', 'details', 'signal'])
    const { details, signal } = options
    if (details !== undefined) checkBoolean(details, 'options.details')
    checkSignal(signal, 'options.signal')
    const max = this.#checkMax(options.max)
    return new BatchIterator(this.#source, this.#device, this.#mtu, max, options)
  }

  #checkMax(max: number | undefined): number {
    if (max === undefined) return this.#device.offload ? 64 : 256
    checkInteger(max, 'options.max', 1, 4096)
    return max
  }

  /**
   * Reads in batches, by callback: `callback` gets each batch, whose turn is over when it returns. Without a promise a batch, this
   * is the least work. An exception of the callback is an uncaught one. When the interface or the peer is gone the end emits
   * 'error', if somebody listens, and 'close'.
   *
   * @returns what pauses, resumes and ends it
   * @throws NetkitError EBADF when the end is closed; ERR_INVALID_STATE when it is read otherwise
   */
  onBatch(callback: (batch: FrameBatch) => void, options: { max?: number } = {}): BatchListener {
    checkFunction(callback, 'callback')
    checkOptions(options, 'options', ['max'])
    const max = this.#checkMax(options.max)
    if (this.destroyed) throw this.#gone()
    return new BatchListener(this.#source, this.#device, this.#mtu, max, callback)
  }

  /**
   * Waits for frames, blocking the thread: the shortest way, for a worker thread that does nothing else. On the main thread this
   * throws (ERR_INVALID_STATE), unless `timeout` is 0. An end that was once asked is read in no other way any more.
   *
   * @param timeout milliseconds: 0 returns at once, -1 waits for ever. A thread that waits cannot be told to end: prefer a limit.
   * @returns the frames that wait, valid until the next call; undefined when there was none in time
   */
  pollBatch(timeout: number, options: { max?: number } = {}): FrameBatch | undefined {
    checkInteger(timeout, 'timeout', -1, 0x7fff_ffff)
    checkOptions(options, 'options', ['max'])
    const max = this.#checkMax(options.max)
    if (isMainThread && timeout !== 0) {
      throw stateError('pollBatch() would block the main thread: use it in a worker thread, or batches() or onBatch()')
    }
    if (this.destroyed) throw this.#gone()
    if (this.#poller === undefined) {
      const poller = new BatchPoller(this.#device, this.#mtu)
      this.#source.claim(poller)
      this.#poller = poller
    }
    try {
      return this.#poller.poll(timeout, max)
    } catch (error) {
      if (this.#device.failure !== undefined) this.#abandon()
      throw error
    }
  }

  #gone(): Error {
    return this.#device.failure ?? namedError('EBADF', 'read', `${this.name} is closed`)
  }

  #batchSource(): BatchSource {
    const stream = this
    return {
      get destroyed() {
        return stream.destroyed
      },
      claim(reader) {
        stream.#device.checkUnread()
        if (stream.#streamed || stream.readableFlowing === true)
          throw stateError(`${stream.name} is read as a stream: it cannot be read in batches`)
        if (stream.#reader !== undefined) throw stateError(`${stream.name} is being read in batches already`)
        stream.#reader = reader
      },
      release(reader) {
        if (stream.#reader === reader) stream.#reader = undefined
      },
      abandon: () => stream.#abandon(),
    }
  }

  /**
   * Writes many frames with one native call: a batch of this or another end, or an array of Buffers. Overtakes frames that still
   * wait in the stream's own queue.
   *
   * @returns the number of frames that were dealt with. A tap deals with all of them, and counts those that it refuses in `stats()`;
   * a socket that is full takes fewer. The rest is the caller's: to write later, or to drop.
   * @throws NetkitError ENODEV when the interface was deleted, EBADF when the end is closed
   */
  writeBatch(batch: FrameBatch | readonly Uint8Array[]): number {
    try {
      if (batch instanceof FrameBatch) {
        const { slab, spans } = partsOf(batch)
        return this.#device.writeSpans(slab, spans, batch.length)
      }
      if (!Array.isArray(batch)) throw typeError('batch', 'a FrameBatch or an array of Buffers', batch)
      return this.#device.writeBuffers(checkFrames(batch, 'batch'))
    } catch (error) {
      if (this.#device.failure !== undefined) this.#abandon()
      throw error
    }
  }

  /** Lets go after a failure that the caller has been told already: only who listens for 'error' hears of it again. */
  #abandon(): void {
    this.destroy(this.listenerCount('error') > 0 ? this.#device.failure : undefined)
  }

  /** `for await (const frame of tap)`: ends when the tap is closed, and closes it on `break`. */
  override [Symbol.asyncIterator](): FrameIterator {
    return new FrameIterator(this, true, this.#iteration)
  }

  /** The same, with a choice: `destroyOnReturn: false` leaves the tap open on `break`. */
  override iterator(options: { destroyOnReturn?: boolean } = {}): FrameIterator {
    checkOptions(options, 'options', ['destroyOnReturn'])
    const { destroyOnReturn = true } = options
    checkBoolean(destroyOnReturn, 'destroyOnReturn')
    return new FrameIterator(this, destroyOnReturn, this.#iteration)
  }

  readonly #iteration: FrameIteration = {
    check: () => {
      if (this.#reader !== undefined) throw stateError(`${this.name} is being read in batches: ${ONE_WAY}`)
      this.#device.checkUnread()
    },
    error: () => this.#error,
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    guard.forget(this.#device)
    this.#error = error
    this.#reader?.end(error ?? this.#device.failure)
    const stuck = this.#stuckWrite
    this.#stuckWrite = undefined
    // The stream tells those behind it, and who waits for 'finish'.
    stuck?.(error ?? new AbortError(`${this.name} was closed before the frame was written`))
    this.#device.close().then(() => callback(error), callback)
  }

  /**
   * Gives the descriptor away: netkit neither reads, writes nor closes it any more, and this object is closed. What was read ahead
   * is dropped; a pump or switch that uses the end is ended before.
   *
   * @returns the descriptors, one a queue: whoever gets them closes them
   */
  async release(): Promise<number[]> {
    this.#flush()
    const { fd } = this.#device
    const released = this.#device.release()
    const closed = this.close()
    await released
    await closed
    return [fd]
  }

  /**
   * Lets go of the descriptor, and resolves when it is closed. Iterations end; what was written goes out as far as the end has room,
   * and the callbacks of the rest get an AbortError; what was read ahead is dropped. Idempotent.
   */
  async close(): Promise<void> {
    this.#flush()
    this.destroy()
    if (!this.closed) await new Promise<void>((resolve) => this.once('close', resolve))
  }

  /** The same as `close()`. */
  override [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [inspect.custom](): string {
    return `${this.constructor.name} { ${this.name}${this.destroyed ? ' closed' : ''} }`
  }
}

function checkFrames(frames: readonly unknown[], name: string): readonly Uint8Array[] {
  for (let i = 0; i < frames.length; i++) {
    if (!(frames[i] instanceof Uint8Array)) throw typeError(`${name}[${i}]`, 'a Buffer or Uint8Array', frames[i])
  }
  return frames as readonly Uint8Array[]
}
