/** What taps and tuns have in common: a Duplex of frames, batches beside it, and one descriptor to let go of. */
import { Duplex } from 'node:stream'
import { LeakGuard } from '../namespace/leaks.js'
import type { Namespace } from '../namespace/namespace.js'
import type { Link } from '../rtnetlink/link.js'
import { checkBoolean, checkInteger, checkOptions, checkSignal, typeError } from '../validate.js'
import { BatchIterator, type BatchOptions, type BatchSource, FrameBatch, partsOf } from './batch.js'
import { FRAME_ROOM } from './constants.js'
import type { PacketStats, TunDevice } from './device.js'
import { FrameIterator } from './frame-iterator.js'

/** What an open device consists of; made by `openDevice`. */
export interface OpenDevice {
  device: TunDevice
  link: Link
  namespace: Namespace
  readableHighWaterMark: number
  writableHighWaterMark: number
}

/** Frames a turn of the event loop that a stream takes at most, whatever its highWaterMark. */
const TURN = 256
const CHUNK = 512 * 1024

/** Where the frames of all streams of this thread are read into: one chunk after the other, each left to the collector. */
const pool = { chunk: Buffer.alloc(0), position: 0 }
const spans = new Uint32Array(2 * TURN)

const guard = new LeakGuard('tap or tun')

type WriteCallback = (error?: Error | null) => void

function stateError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_INVALID_STATE' })
}

/**
 * A `stream.Duplex` in object mode: one frame is one Buffer, in both directions.
 *
 * Reading begins when the first frame is asked for. What nobody reads waits in the kernel, up to the interface's txqueuelen
 * (1,000 frames), beyond which the kernel drops it and counts it in `tx_dropped`. A frame that is kept keeps the chunk of half a
 * megabyte that it was read into: copy what is to be kept for long.
 *
 * Writing never waits: the kernel takes a frame, or refuses it, and what it refuses is dropped and counted in `stats()`.
 *
 * When the interface is deleted, what reads or writes fails with ENODEV, and the stream is destroyed.
 */
export abstract class PacketStream extends Duplex {
  /** The namespace that the interface was made in. */
  readonly namespace: Namespace
  /** The interface, as it was after opening; `link.refresh()` brings it up to date. */
  readonly link: Link
  readonly #device: TunDevice
  readonly #source: BatchSource
  #batches: BatchIterator | undefined
  /** The callback of the turn's first write. */
  #afterWrite: WriteCallback | undefined
  /** Whether frames were ever asked for through the stream. */
  #streamed = false

  /** @internal */
  constructor(open: OpenDevice) {
    super({
      objectMode: true,
      readableHighWaterMark: open.readableHighWaterMark,
      writableHighWaterMark: open.writableHighWaterMark,
    })
    this.namespace = open.namespace
    this.link = open.link
    this.#device = open.device
    this.#source = this.#batchSource()
    guard.watch(this, open.device)
  }

  /** The interface's name, as it was when opened. */
  get name(): string {
    return this.#device.name
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

  override _read(): void {
    if (this.#batches !== undefined) {
      this.destroy(stateError(`${this.name} is being read in batches: it cannot be read as a stream at the same time`))
      return
    }
    this.#streamed = true
    this.#device.watch(this.#readable)
  }

  readonly #readable = (): void => {
    const device = this.#device
    const room = Math.min(this.readableHighWaterMark - this.readableLength, TURN)
    if (room <= 0) {
      device.unwatch()
      return
    }
    if (pool.chunk.length - pool.position < FRAME_ROOM) {
      pool.chunk = Buffer.allocUnsafeSlow(CHUNK)
      pool.position = 0
    }
    const { chunk, position } = pool
    let count: number
    try {
      count = device.read(chunk, position, spans, room)
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    if (count === 0) return
    pool.position = ((spans[2 * count - 2] as number) + (spans[2 * count - 1] as number) + 63) & ~63
    let more = true
    for (let i = 0; i < count && !this.destroyed; i++) {
      const offset = spans[2 * i] as number
      more = this.push(chunk.subarray(offset, offset + (spans[2 * i + 1] as number)))
    }
    if (!more) device.unwatch()
  }

  /**
   * Writes one frame. Returns false when more frames than `writableHighWaterMark` wait, as any stream does.
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
    const error = this.#send([frame])
    if (error !== undefined) {
      callback(error)
      return
    }
    this.#afterWrite = callback
    process.nextTick(this.#flush)
  }

  override _writev(items: { chunk: unknown }[], callback: WriteCallback): void {
    callback(this.#send(items.map((item) => item.chunk)))
  }

  #send(frames: unknown[]): Error | undefined {
    try {
      this.#device.writeBuffers(checkFrames(frames, 'frame'))
      return undefined
    } catch (error) {
      return error as Error
    }
  }

  readonly #flush = (): void => {
    const callback = this.#afterWrite
    this.#afterWrite = undefined
    callback?.()
  }

  /**
   * Reads in batches: the fast way. Up to `max` frames a turn, in memory that the next turn overwrites.
   *
   * The iteration ends when the tap is closed, with ENODEV when the interface was deleted, and with an AbortError when the
   * signal fires; `break` leaves the tap open. A tap is read either as a stream or in batches: once frames were asked for
   * through the stream, this throws (ERR_INVALID_STATE); reading the stream during an iteration destroys it with that error.
   */
  batches(options: BatchOptions = {}): BatchIterator {
    checkOptions(options, 'options', ['max', 'signal'])
    const { max = 256, signal } = options
    checkInteger(max, 'max', 1, 4096)
    checkSignal(signal, 'signal')
    return new BatchIterator(this.#source, this.#device, this.link.mtu, max, signal)
  }

  #batchSource(): BatchSource {
    const stream = this
    return {
      get destroyed() {
        return stream.destroyed
      },
      claim(iterator) {
        if (stream.#streamed || stream.readableFlowing === true)
          throw stateError(`${stream.name} is read as a stream: it cannot be read in batches`)
        if (stream.#batches !== undefined) throw stateError(`${stream.name} is being read in batches already`)
        stream.#batches = iterator
      },
      release(iterator) {
        if (stream.#batches === iterator) stream.#batches = undefined
      },
      abandon: () => stream.#abandon(),
    }
  }

  /**
   * Writes many frames with one native call: a batch of this or another tap, or an array of Buffers. Overtakes frames that still
   * wait in the stream's own queue.
   *
   * @returns the number of frames that were dealt with, which is all of them; those that the kernel refused are counted in `stats()`
   * @throws NetkitError ENODEV when the interface was deleted, EBADF when the tap is closed
   */
  writeBatch(batch: FrameBatch | readonly Uint8Array[]): number {
    try {
      if (batch instanceof FrameBatch) {
        const { slab, spans } = partsOf(batch)
        this.#device.writeSpans(slab, spans, batch.length)
      } else {
        if (!Array.isArray(batch)) throw typeError('batch', 'a FrameBatch or an array of Buffers', batch)
        this.#device.writeBuffers(checkFrames(batch, 'batch'))
      }
      return batch.length
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
    return new FrameIterator(this, true)
  }

  /** The same, with a choice: `destroyOnReturn: false` leaves the tap open on `break`. */
  override iterator(options: { destroyOnReturn?: boolean } = {}): FrameIterator {
    checkOptions(options, 'options', ['destroyOnReturn'])
    const { destroyOnReturn = true } = options
    checkBoolean(destroyOnReturn, 'destroyOnReturn')
    return new FrameIterator(this, destroyOnReturn)
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    guard.forget(this.#device)
    this.#batches?.end(error ?? this.#device.failure)
    this.#device.close().then(() => callback(error), callback)
  }

  /**
   * Sets whether the interface stays when its last descriptor is closed (TUNSETPERSIST).
   */
  async setPersist(on: boolean): Promise<void> {
    checkBoolean(on, 'on')
    await this.#device.setPersist(on)
  }

  /** Closes a persistent interface so that it goes. If another process holds a descriptor of it, it goes when that one is closed. */
  async delete(): Promise<void> {
    if (!this.destroyed) await this.#device.setPersist(false)
    await this.close()
  }

  /**
   * Lets go of the descriptor, and resolves when it is closed. An interface that is not persistent goes with its last
   * descriptor. Iterations end; what was written goes out, what was read ahead is dropped. Idempotent.
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
}

function checkFrames(frames: readonly unknown[], name: string): readonly Uint8Array[] {
  for (let i = 0; i < frames.length; i++) {
    if (!(frames[i] instanceof Uint8Array)) throw typeError(`${name}[${i}]`, 'a Buffer or Uint8Array', frames[i])
  }
  return frames as readonly Uint8Array[]
}
