/** What becomes of an object that its user forgot to close. */

/** Something that holds descriptors, apart from the object that the user holds. */
export interface Closable {
  readonly closed: boolean
  close(): void | Promise<void>
}

/**
 * Closes what was forgotten when the garbage collector finds it, and says so once a kind.
 *
 * The object that the user holds is registered with its `Closable`, which must not refer back to it.
 */
export class LeakGuard {
  readonly #registry: FinalizationRegistry<Closable>
  #warned = false

  /** @param kind what the warning calls it: 'network namespace' */
  constructor(kind: string) {
    this.#registry = new FinalizationRegistry((closable) => {
      if (closable.closed) return
      Promise.resolve(closable.close()).catch(() => {})
      if (this.#warned) return
      this.#warned = true
      process.emitWarning(`A ${kind} was garbage-collected before it was closed. It has been closed now.`, {
        type: 'NetkitWarning',
        code: 'NETKIT_LEAK',
        detail: "Use 'await using', or call close() or delete(). This warning is given once; there may be more.",
      })
    })
  }

  watch(object: object, closable: Closable): void {
    this.#registry.register(object, closable, closable)
  }

  forget(closable: Closable): void {
    this.#registry.unregister(closable)
  }
}
