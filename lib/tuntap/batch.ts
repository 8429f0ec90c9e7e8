/** Frames in batches: up to a few hundred a turn, in one reused piece of memory, without an object for each. */
import { AbortError } from '../errors.js'
import { rangeError } from '../validate.js'
import { FRAME_ROOM } from './constants.js'
import type { TunDevice } from './device.js'

/** Options of `batches()`. */
export interface BatchOptions {
  /** The most frames a turn: from 1 to 4,096, 256 by default. More a turn is faster under a flood, and keeps the event loop longer. */
  max?: number
  /** Ends the iteration with an AbortError. */
  signal?: AbortSignal
}

/** What FrameBatch is made of, for the writers of this folder. */
export interface BatchParts {
  slab: Buffer
  spans: Uint32Array
}

/** The parts of a batch, or an error when its turn is over. */
export let partsOf: (batch: FrameBatch) => BatchParts
/** Ends a batch's turn. */
let expire: (batch: FrameBatch) => void

/**
 * The frames of one turn. They lie in memory that the next turn overwrites: what is kept longer must be copied (`copy(i)`).
 * A batch whose turn is over throws when its frames are asked for, but a view that `frame(i)` returned changes under its holder.
 */
export class FrameBatch implements Iterable<Buffer> {
  /** How many frames. */
  readonly length: number
  /** How many bytes all frames have together. */
  readonly bytes: number
  #parts: BatchParts | undefined

  static {
    partsOf = (batch) => batch.#use()
    expire = (batch) => {
      batch.#parts = undefined
    }
  }

  /** @internal */
  constructor(parts: BatchParts, length: number) {
    let bytes = 0
    for (let i = 1; i < 2 * length; i += 2) bytes += parts.spans[i] as number
    this.#parts = parts
    this.length = length
    this.bytes = bytes
  }

  /** The memory that all frames lie in: frame `i` is the `size(i)` bytes from `offset(i)` on. Looking at them here makes no object. */
  get data(): Buffer {
    return this.#use().slab
  }

  /** Where frame `i` begins in `data`. */
  offset(i: number): number {
    return this.#use(i).spans[2 * i] as number
  }

  /** How many bytes frame `i` has. */
  size(i: number): number {
    return this.#use(i).spans[2 * i + 1] as number
  }

  /** Frame `i`: a view, valid until the next turn. */
  frame(i: number): Buffer {
    const { slab, spans } = this.#use(i)
    const offset = spans[2 * i] as number
    return slab.subarray(offset, offset + (spans[2 * i + 1] as number))
  }

  /** A copy of frame `i`, to keep. */
  copy(i: number): Buffer {
    return Buffer.from(this.frame(i))
  }

  /** The views of all frames, in turn. */
  *[Symbol.iterator](): Generator<Buffer> {
    for (let i = 0; i < this.length; i++) yield this.frame(i)
  }

  #use(i = 0): BatchParts {
    if (this.#parts === undefined) {
      throw Object.assign(
        new Error('this batch is over: its frames were valid until the next turn (copy(i) keeps one)'),
        {
          code: 'ERR_INVALID_STATE',
        },
      )
    }
    if (!(Number.isInteger(i) && i >= 0 && i < this.length)) throw rangeError('i', 0, this.length - 1, i)
    return this.#parts
  }
}

/** What a batch iterator needs of the tap that it reads: it is claimed from the first `next` on, and released at the end. */
export interface BatchSource {
  readonly destroyed: boolean
  /** Throws when the tap is being read already. */
  claim(iterator: BatchIterator): void
  release(iterator: BatchIterator): void
  /** Lets go of the device after it failed. The iterator has the failure. */
  abandon(): void
}

type Turn = IteratorResult<FrameBatch, undefined>

/** The iterator behind `batches()`. */
export class BatchIterator implements AsyncIterableIterator<FrameBatch, undefined> {
  readonly #source: BatchSource
  readonly #device: TunDevice
  readonly #parts: BatchParts
  readonly #max: number
  readonly #signal: AbortSignal | undefined
  #state: 'new' | 'running' | 'over' = 'new'
  #current: FrameBatch | undefined
  #waiting: { resolve(turn: Turn): void; reject(error: unknown): void } | undefined
  /** What the next `next` rejects with, when nobody was waiting. */
  #failure: unknown

  constructor(source: BatchSource, device: TunDevice, mtu: number, max: number, signal: AbortSignal | undefined) {
    // Frames are packed, so the room for one of any size is needed only once. The MTU may grow later: then fewer fit a turn.
    const size = Math.min(FRAME_ROOM + max * ((mtu + 26 + 63) & ~63), 2 * 1024 * 1024)
    this.#source = source
    this.#device = device
    this.#parts = { slab: Buffer.allocUnsafeSlow(size), spans: new Uint32Array(2 * max) }
    this.#max = max
    this.#signal = signal
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
    let length: number
    try {
      length = this.#device.read(this.#parts.slab, 0, this.#parts.spans, this.#max)
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

  /** Ends the iteration: with an error, or quietly when the tap is closed. */
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

  /** Ends the iteration (what `break` does). The tap stays open. */
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
