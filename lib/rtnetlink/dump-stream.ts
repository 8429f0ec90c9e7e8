/** A dump as an async iterator: rows are decoded one by one as they are asked for. */
import { AbortError, atCaller } from '../errors.js'
import { descriptorOf } from '../namespace/internal.js'
import { LeakGuard } from '../namespace/leaks.js'
import { Lifetime } from '../namespace/lifetime.js'
import type { Namespace } from '../namespace/namespace.js'
import { wordsOf } from '../netlink/acknowledgement.js'
import { Malformed } from '../netlink/attribute.js'
import { DumpReader } from '../netlink/dump-reader.js'
import { type Message, netlinkConstants } from '../netlink/message.js'
import { malformedAnswer, type Request } from '../netlink/request.js'
import { isTraced, Trace } from '../netlink/trace.js'
import { interceptorOf } from './interceptor.js'
import { InterruptedDumpError } from './interrupted.js'

const leaks = new LeakGuard('stream of a list')

/** Options of streams. */
export interface StreamOptions {
  /** Ends the stream with an AbortError. */
  signal?: AbortSignal | undefined
}

/** Nothing is opened before the first `next`. What holds the socket does not refer to this, which may be forgotten. */
export class DumpStream<R> implements AsyncGenerator<R, void, undefined> {
  readonly #namespace: Namespace
  readonly #request: Request
  readonly #read: (message: Message) => R | undefined
  readonly #signal: AbortSignal | undefined
  #reader: DumpReader | undefined
  #lifetime: Lifetime | undefined
  #trace: Trace | undefined
  #done = false
  /** The `next` before, while it waits for the kernel. */
  #turn: Promise<unknown> | undefined

  constructor(
    namespace: Namespace,
    request: Request,
    read: (message: Message) => R | undefined,
    { signal }: StreamOptions = {},
  ) {
    this.#namespace = namespace
    this.#request = request
    this.#read = read
    this.#signal = signal
  }

  next(): Promise<IteratorResult<R, void>> {
    if (this.#turn === undefined && !this.#done) {
      try {
        const row = this.#row()
        if (row !== undefined) return Promise.resolve({ value: row, done: false })
      } catch (error) {
        return this.#fail(error)
      }
    }
    const before = this.#turn
    const result = (async () => {
      await before
      return this.#wait()
    })()
    const turn = result
      .catch(() => {})
      .then(() => {
        if (this.#turn === turn) this.#turn = undefined
      })
    this.#turn = turn
    return result
  }

  /** The next row that has been received. */
  #row(): R | undefined {
    const reader = this.#reader
    for (let message = reader?.take(); message !== undefined; message = reader?.take()) {
      this.#trace?.reply(message)
      const row = this.#read(message)
      if (row !== undefined) return row
    }
    return undefined
  }

  async #wait(): Promise<IteratorResult<R, void>> {
    try {
      for (;;) {
        if (this.#done) return { value: undefined, done: true }
        if (this.#reader === undefined) await interceptorOf(this.#namespace)?.order()
        const reader = this.#reader ?? this.#start()
        const row = this.#row()
        if (row !== undefined) return { value: row, done: false }
        if (reader.ended) {
          if (reader.interrupted) {
            throw new InterruptedDumpError(wordsOf(this.#request), this.#request.syscall, [], 1)
          }
          await this.#finish()
          return { value: undefined, done: true }
        }
        await reader.receive()
      }
    } catch (error) {
      // Ended by `return` meanwhile: then there is nothing more, and nothing wrong.
      if (this.#done) return { value: undefined, done: true }
      return this.#fail(error)
    }
  }

  #start(): DumpReader {
    const { what, syscall } = this.#request
    if (isTraced()) this.#trace = new Trace(this.#request.bytes, this.#request)
    const reader = new DumpReader(descriptorOf(this.#namespace), netlinkConstants.NETLINK_ROUTE, this.#request)
    const words = typeof what === 'string' ? what : wordsOf({ what, syscall })
    const lifetime = new Lifetime(this.#namespace, { what: words, syscall, signal: this.#signal })
    this.#reader = reader
    this.#lifetime = lifetime
    lifetime.onEnd((error) => {
      void reader.close(error)
    })
    leaks.watch(this, reader)
    lifetime.check()
    return reader
  }

  async #fail(cause: unknown): Promise<never> {
    const error = cause instanceof Malformed ? malformedAnswer(cause, this.#request) : cause
    await this.#finish(error)
    throw atCaller(error)
  }

  async #finish(error?: unknown): Promise<void> {
    this.#done = true
    this.#trace?.end(error)
    this.#trace = undefined
    this.#lifetime?.finish()
    if (this.#reader === undefined) return
    leaks.forget(this.#reader)
    await this.#reader.close(new AbortError(`${wordsOf(this.#request)}: the stream was ended`))
  }

  /** Ends the stream, and closes its socket at once. */
  async return(): Promise<IteratorResult<R, void>> {
    await this.#finish()
    return { value: undefined, done: true }
  }

  async throw(error: unknown): Promise<never> {
    await this.#finish()
    throw error
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#finish()
  }
}
