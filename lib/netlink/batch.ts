/**
 * Many requests with one promise for all: they are pulled from where they come from only as the kernel takes them, and put into
 * a chunk's bytes without an object each.
 */
import { AbortError, NetkitError } from '../errors.js'
import { type Acknowledgement, type Description, wordsOf } from './acknowledgement.js'
import { align4, LITTLE_ENDIAN, Writer } from './bytes.js'
import { refusalOf } from './request.js'

/** Where the requests of a batch come from. */
export interface BatchSource<T> {
  /** The next one; undefined when there is none. An error that it throws ends the batch. */
  next(): T | undefined
  /** Appends its message. An error that it throws is the request's: the others are sent. */
  write(writer: Writer, item: T): void
  /** What is needed for the error of a refused one. */
  describe(item: T): Description
  /** What all of them are, for errors that are of none of them. */
  readonly what: Description['what']
  /** Called with the number of requests that are done, now and then. An error that it throws ends the batch. */
  readonly onProgress?: ((done: number) => void) | undefined
}

/** How many errors are kept, of what may be a million refusals. */
export const KEPT_ERRORS = 100
/** A chunk is put together for no longer than this, in milliseconds. */
const SLICE = 0.5
/** How many requests are put together before the clock is looked at. */
const CLOCK = 16
/** A writer that grew beyond this, by one request, is not kept. */
const WRITER_BYTES = 64 * 1024

export class Batch<T = unknown> {
  readonly #source: BatchSource<T>
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void
  /** Nothing more comes from the source. */
  #drained = false
  #chunks = 0
  #done = 0
  #settled = false
  readonly #errors: unknown[] = []
  #failed = 0
  readonly #writers: Writer[] = []

  constructor(source: BatchSource<T>, resolve: () => void, reject: (error: unknown) => void) {
    this.#source = source
    this.#resolve = resolve
    this.#reject = reject
  }

  /** Whether everything was pulled that will be. */
  get drained(): boolean {
    return this.#drained
  }

  get what(): string {
    return wordsOf(this.#source)
  }

  /** The next requests, numbered from `first`, as many as the limits allow. Undefined when there is none left. */
  take(first: number, bytes: number, count: number): BatchChunk<T> | undefined {
    const writer = this.#writers.pop() ?? new Writer(bytes)
    writer.length = 0
    const items: T[] = []
    let last = 0
    const end = performance.now() + SLICE
    while (items.length < count && writer.length < bytes) {
      const item = this.#pull()
      if (item === undefined) break
      const start = writer.length
      try {
        this.#source.write(writer, item)
      } catch (error) {
        writer.length = start
        this.#fail(error)
        continue
      }
      writer.view.setUint32(start + 8, first + items.length, LITTLE_ENDIAN)
      writer.align()
      last = start
      items.push(item)
      if (items.length % CLOCK === 0 && performance.now() > end) break
    }
    if (items.length === 0) {
      this.#settleWhenOver()
      return undefined
    }
    this.#chunks++
    return new BatchChunk(this, writer, items, first, last)
  }

  #pull(): T | undefined {
    if (this.#drained) return undefined
    try {
      const item = this.#source.next()
      if (item === undefined) this.#drained = true
      return item
    } catch (error) {
      this.#drained = true
      this.#fail(error)
      return undefined
    }
  }

  /** A request of a chunk was refused. */
  refused(item: T, request: Uint8Array, acknowledgement: Acknowledgement): void {
    this.#failWith(item, (description) => refusalOf(request, description, acknowledgement))
  }

  /** A chunk is over: all of it was done, but for what was refused. */
  over(chunk: BatchChunk<T>): void {
    this.#chunks--
    this.#done += chunk.items.length
    if (chunk.writer.bytes.length <= WRITER_BYTES) this.#writers.push(chunk.writer)
    try {
      if (!this.#settled) this.#source.onProgress?.(this.#done)
    } catch (error) {
      this.#drained = true
      this.#failFirst(error)
    }
    this.#settleWhenOver()
  }

  /** A chunk was not sent, or nobody knows what became of it. */
  lost(chunk: BatchChunk<T>, error: (description: Description) => NetkitError): void {
    for (const item of chunk.items) this.#failWith(item, error)
    this.#chunks--
    this.#settleWhenOver()
  }

  /** Pulls no more; what was sent is waited for. */
  stop(error: unknown): void {
    if (this.#drained) return
    this.#drained = true
    this.#failFirst(error)
    this.#settleWhenOver()
  }

  /** Waits for nothing. */
  abandon(error: unknown): void {
    this.#drained = true
    if (this.#settled) return
    this.#settled = true
    this.#reject(error)
  }

  #failWith(item: T, error: (description: Description) => unknown): void {
    if (this.#errors.length >= KEPT_ERRORS) {
      this.#failed++
      return
    }
    try {
      this.#fail(error(this.#source.describe(item)))
    } catch (cause) {
      // A function of the caller's: what it throws must not keep others from being settled.
      this.#fail(cause)
    }
  }

  #fail(error: unknown): void {
    this.#failed++
    if (this.#errors.length < KEPT_ERRORS) this.#errors.push(error)
  }

  /** What is wrong with all of it. */
  #failFirst(error: unknown): void {
    this.#failed++
    this.#errors.unshift(error)
    if (this.#errors.length > KEPT_ERRORS) this.#errors.pop()
  }

  #settleWhenOver(): void {
    if (this.#settled || !this.#drained || this.#chunks > 0) return
    this.#settled = true
    if (this.#failed === 0) {
      this.#resolve()
      return
    }
    this.#reject(firstOf(this.#errors, this.#failed))
  }
}

/** The first of the errors that were kept, which tells of the others and how many there were. */
export function firstOf(errors: readonly unknown[], failed: number): unknown {
  const [first] = errors
  if (first instanceof NetkitError || first instanceof AbortError) {
    // Not enumerable: nobody wants to have a hundred errors printed.
    Object.defineProperty(first, 'errors', { value: errors, configurable: true, writable: true })
    Object.defineProperty(first, 'failed', { value: failed, configurable: true, writable: true })
  }
  return first
}

/** A batch, and the promise that it settles. `signal` stops it, and `stopped` is called then. */
export function startBatch<T>(
  source: BatchSource<T>,
  signal: AbortSignal | undefined,
  stopped: () => void,
): { batch: Batch; settled: Promise<void> } {
  let batch: Batch<T> | undefined
  const stop = () => {
    batch?.stop(new AbortError(`${wordsOf(source)}: aborted`, signal?.reason))
    stopped()
  }
  const settled = new Promise<void>((resolve, reject) => {
    batch = new Batch(source, resolve, reject)
    if (signal?.aborted) stop()
    else signal?.addEventListener('abort', stop, { once: true })
  }).finally(() => signal?.removeEventListener('abort', stop))
  return { batch: batch as unknown as Batch, settled }
}

/** The requests of a batch that travel together, numbered one after another. */
export class BatchChunk<T = unknown> {
  #offsets: number[] | undefined

  constructor(
    readonly batch: Batch<T>,
    readonly writer: Writer,
    readonly items: readonly T[],
    readonly first: number,
    /** Where the last one's message starts. */
    readonly lastOffset: number,
  ) {}

  get last(): number {
    return this.first + this.items.length - 1
  }

  has(sequence: number): boolean {
    return sequence >= this.first && sequence <= this.last
  }

  /** The acknowledgement of one of them. */
  answered(sequence: number, acknowledgement: Acknowledgement): void {
    if (acknowledgement.errno === 0) return
    const index = sequence - this.first
    const item = this.items[index] as T
    this.batch.refused(item, this.#request(index), acknowledgement)
  }

  #request(index: number): Uint8Array {
    const start = this.#starts()[index] as number
    return this.writer.bytes.slice(start, start + this.writer.view.getUint32(start, LITTLE_ENDIAN))
  }

  #starts(): number[] {
    if (this.#offsets === undefined) {
      this.#offsets = []
      for (let at = 0; at < this.writer.length; at += align4(this.writer.view.getUint32(at, LITTLE_ENDIAN)))
        this.#offsets.push(at)
    }
    return this.#offsets
  }
}
