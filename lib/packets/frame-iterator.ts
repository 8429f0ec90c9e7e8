/**
 * `for await (const frame of tap)`. Node's own iterator of a stream would do, but for two things: it throws
 * ERR_STREAM_PREMATURE_CLOSE when the stream is closed, which is how every tap ends, and it costs several promises a frame.
 */
import type { Duplex } from 'node:stream'

/** What the iterator needs of the stream beyond a Duplex. */
export interface FrameStream extends Duplex {
  close(): Promise<void>
}

/** What else the iterator asks. */
export interface FrameIteration {
  /** Throws when the stream is read otherwise: to begin all the same would destroy it. */
  check(): void
  /** The error of reading or writing that destroyed the stream. What a closed stream had not written has another. */
  error(): Error | null
}

type Turn = IteratorResult<Buffer, undefined>

export class FrameIterator implements AsyncIterableIterator<Buffer, undefined> {
  readonly #stream: FrameStream
  readonly #destroyOnReturn: boolean
  readonly #iteration: FrameIteration
  readonly #waiting: { resolve(turn: Turn): void; reject(error: unknown): void }[] = []
  #state: 'new' | 'running' | 'over' = 'new'

  /** @internal */
  constructor(stream: FrameStream, destroyOnReturn: boolean, iteration: FrameIteration) {
    this.#stream = stream
    this.#destroyOnReturn = destroyOnReturn
    this.#iteration = iteration
  }

  next(): Promise<Turn> {
    try {
      if (this.#state === 'new') this.#begin()
    } catch (error) {
      return Promise.reject(error)
    }
    if (this.#state === 'over') return Promise.resolve({ done: true, value: undefined })
    if (this.#waiting.length === 0) {
      const frame = this.#take()
      if (frame !== null) return Promise.resolve({ done: false, value: frame })
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      if (this.#stream.destroyed) this.#wake()
    })
  }

  #take(): Buffer | null {
    return this.#stream.destroyed ? null : (this.#stream.read() as Buffer | null)
  }

  #begin(): void {
    if (!this.#stream.destroyed) this.#iteration.check()
    this.#state = 'running'
    this.#stream.on('readable', this.#wake).on('error', this.#wake).on('close', this.#wake)
  }

  readonly #wake = (): void => {
    while (this.#waiting.length > 0) {
      const frame = this.#take()
      if (frame === null) break
      this.#waiting.shift()?.resolve({ done: false, value: frame })
    }
    const stream = this.#stream
    if (!stream.destroyed || this.#waiting.length === 0) return
    const error = this.#iteration.error()
    if (error !== null) this.#waiting.shift()?.reject(error)
    this.#finish()
  }

  #finish(): void {
    const running = this.#state === 'running'
    this.#state = 'over'
    for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined })
    if (!running) return
    const stream = this.#stream
    stream.off('readable', this.#wake).off('close', this.#wake)
    // An error on its way has been told here: without a listener it would end the process.
    if (stream.destroyed && !stream.closed) stream.once('close', () => stream.off('error', this.#wake))
    else stream.off('error', this.#wake)
  }

  /** Ends the iteration (what `break` does), and closes the tap unless `destroyOnReturn` is false. */
  async return(): Promise<Turn> {
    this.#finish()
    if (this.#destroyOnReturn) await this.#stream.close()
    return { done: true, value: undefined }
  }

  async throw(error?: unknown): Promise<Turn> {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
