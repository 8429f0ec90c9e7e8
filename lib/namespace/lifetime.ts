/** How long an operation in a namespace may go on: until its signal fires, its time is over, or the namespace handle is closed. */
import { AbortError, namedError } from '../errors.js'
import { labelOf, onClose } from './internal.js'
import type { Namespace } from './namespace.js'

export interface LifetimeOptions {
  /** What is being done: 'connecting to 10.0.0.1:80 in namespace red'. */
  what: string
  /** The system call that the error of a timeout names. */
  syscall: string
  signal?: AbortSignal | undefined
  /** Milliseconds. */
  timeout?: number | undefined
}

export class Lifetime {
  #error: Error | undefined
  readonly #listeners = new Set<(error: Error) => void>()
  readonly #undo: (() => void)[] = []

  constructor(namespace: Namespace, { what, syscall, signal, timeout }: LifetimeOptions) {
    const aborted = () => this.#end(new AbortError(`${what} was aborted`, signal?.reason))
    if (signal?.aborted) {
      aborted()
      return
    }
    const closed = () => this.#end(new AbortError(`${what} was aborted: ${labelOf(namespace)} was closed`))
    this.#undo.push(onClose(namespace, closed))
    if (signal !== undefined) {
      signal.addEventListener('abort', aborted, { once: true })
      this.#undo.push(() => signal.removeEventListener('abort', aborted))
    }
    if (timeout !== undefined) {
      const timer = setTimeout(
        () => this.#end(namedError('ETIMEDOUT', syscall, `${what} took longer than ${timeout} ms`)),
        timeout,
      )
      this.#undo.push(() => clearTimeout(timer))
    }
  }

  #end(error: Error): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.finish()
    for (const listener of [...this.#listeners]) listener(error)
    this.#listeners.clear()
  }

  /** Throws when the operation has to end. To be called after every `await`. */
  check(): void {
    if (this.#error !== undefined) throw this.#error
  }

  /** Calls back when the operation has to end. Returns a function that takes the callback back. */
  onEnd(listener: (error: Error) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** What a promise gives, unless the operation has to end before. */
  until<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const off = this.onEnd(reject)
      promise.then(resolve, reject).finally(off)
      if (this.#error !== undefined) reject(this.#error)
    })
  }

  /** The operation is over: lets go of the signal, the timer and the namespace. */
  finish(): void {
    for (const undo of this.#undo.splice(0)) undo()
  }
}

/** Runs an operation with a lifetime. */
export async function withLifetime<T>(
  namespace: Namespace,
  options: LifetimeOptions,
  operation: (lifetime: Lifetime) => Promise<T>,
): Promise<T> {
  const lifetime = new Lifetime(namespace, options)
  try {
    lifetime.check()
    return await operation(lifetime)
  } finally {
    lifetime.finish()
  }
}
