/** `for await (const batch of tap.batches())`. */
import { AbortError } from '../errors.js'
import { type BatchParts, batchParts, expire, FrameBatch } from './batch.js'
import type { PacketDevice } from './device.js'

/** Options of `batches()`. */
export interface BatchOptions {
  /**
   * The most frames a turn: from 1 to 4,096; by default 256, or 64 of an end with offload. More a turn is faster under a flood, and
   * keeps the event loop longer.
   */
  max?: number
  /** True gives each frame's time, direction and original length (`batch.time(i)` …), where the end knows them. Default: false. */
  details?: boolean
  /** Ends the iteration with an AbortError. */
  signal?: AbortSignal
}

/** Something that reads an end in batches. */
export interface BatchReader {
  /** Ends reading: with an error, or quietly when the end is closed. */
  end(error?: unknown): void
}

/** What readers of batches need of the end that they read: it is claimed while one reads. */
export interface BatchSource {
  readonly destroyed: boolean
  /** Throws when the end is being read already. */
  claim(reader: BatchReader): void
  release(reader: BatchReader): void
  /** Lets go of the device after it failed. The reader has the failure. */
  abandon(): void
}

type Turn = IteratorResult<FrameBatch, undefined>

/** The iterator behind `batches()`. */
export class BatchIterator implements AsyncIterableIterator<FrameBatch, undefined>, BatchReader {
  readonly #source: BatchSource
  readonly #device: PacketDevice
  readonly #parts: BatchParts
  readonly #max: number
  readonly #signal: AbortSignal | undefined
  #state: 'new' | 'running' | 'over' = 'new'
  #current: FrameBatch | undefined
  #waiting: { resolve(turn: Turn): void; reject(error: unknown): void } | undefined
  /** What the next `next` rejects with, when nobody was waiting. */
  #failure: unknown

  /** @internal */
  constructor(source: BatchSource, device: PacketDevice, mtu: number, max: number, options: BatchOptions) {
    this.#source = source
    this.#device = device
    this.#parts = batchParts(device, mtu, max, options.details)
    this.#max = max
    this.#signal = options.signal
  }

  /**
   * The next batch. It always comes with a wake-up of the event loop, which frames that wait already cause at once: taking
   * them here would starve timers and sockets under a flood.
   */
  next(): Promise<Turn> {
    if (this.#waiting !== undefined) {
      return Promise.reject(
        Object.assign(new Error('next() was called before the batch before was there'), { code: 'ERR_INVALID_STATE' }),
      )
    }
    try {
      this.#begin()
      if (this.#state === 'running') this.#device.watch(this.#ready)
    } catch (error) {
      this.#finish()
      return Promise.reject(error)
    }
    if (this.#state === 'over') return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  #begin(): void {
    if (this.#current !== undefined) expire(this.#current)
    this.#current = undefined
    const failure = this.#failure
    this.#failure = undefined
    if (failure !== undefined) throw failure
    if (this.#state !== 'new') return
    if (this.#device.failure !== undefined) throw this.#device.failure
    if (this.#source.destroyed) {
      this.#state = 'over'
      return
    }
    if (this.#signal?.aborted) throw this.#aborted()
    this.#source.claim(this)
    this.#state = 'running'
    this.#signal?.addEventListener('abort', this.#abort)
  }

  readonly #ready = (): void => {
    const waiting = this.#waiting
    if (waiting === undefined) {
      // The consumer is still at the batch before.
      this.#device.idle()
      if (this.#device.failure !== undefined) this.#failed(this.#device.failure)
      return
    }
    const { slab, spans, details } = this.#parts
    let length: number
    try {
      length = this.#device.read(slab, 0, spans, this.#max, details)
    } catch (error) {
      this.#failed(error)
      return
    }
    if (length === 0) return
    this.#current = new FrameBatch(this.#parts, length)
    this.#waiting = undefined
    waiting.resolve({ done: false, value: this.#current })
  }

  readonly #abort = (): void => this.end(this.#aborted())

  #aborted(): AbortError {
    return new AbortError(`reading batches of ${this.#device.name} was aborted`, this.#signal?.reason)
  }

  #failed(error: unknown): void {
    this.end(error)
    this.#source.abandon()
  }

  /** Ends the iteration: with an error, or quietly when the end is closed. */
  end(error?: unknown): void {
    if (this.#state === 'over') return
    const waiting = this.#waiting
    this.#finish()
    if (waiting === undefined) this.#failure = error
    else if (error === undefined) waiting.resolve({ done: true, value: undefined })
    else waiting.reject(error)
  }

  #finish(): void {
    const running = this.#state === 'running'
    this.#state = 'over'
    this.#waiting = undefined
    if (!running) return
    this.#signal?.removeEventListener('abort', this.#abort)
    if (!this.#device.closed) this.#device.unwatch()
    this.#source.release(this)
  }

  /** Ends the iteration (what `break` does). The end stays open. */
  return(): Promise<Turn> {
    const waiting = this.#waiting
    this.#finish()
    this.#failure = undefined
    if (this.#current !== undefined) expire(this.#current)
    waiting?.resolve({ done: true, value: undefined })
    return Promise.resolve({ done: true, value: undefined })
  }

  throw(error?: unknown): Promise<Turn> {
    return this.return().then(() => Promise.reject(error))
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.return().then(() => undefined)
  }
}
