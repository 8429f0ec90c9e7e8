/** Transactions: several changes of which all are done, or none. */
import { AbortError, namedError, throwIfAborted } from '../../errors.js'
import { defineFacet } from '../../namespace/facet.js'
import { labelOf } from '../../namespace/internal.js'
import { type Namespace, viewOf } from '../../namespace/namespace.js'
import { wordsOf } from '../../netlink/acknowledgement.js'
import { checkFunction, checkOptions, checkSignal, typeError } from '../../validate.js'
import { type AnyAsk, type Interceptor, intercept } from '../interceptor.js'
import { linkMessage } from '../link-attributes.js'
import { change } from '../talk.js'
import { classMessage, filterMessage, qdiscMessage } from '../traffic/message.js'
import { linkKey, type Scope, type Undo, type UndoRule } from './undo.js'
import { linkRule } from './undo-link.js'
import { rowRules } from './undo-rows.js'

export interface TransactionOptions {
  /** When it fires, what was done is undone, and the transaction rejects with an AbortError, whatever the function waits for. */
  signal?: AbortSignal
}

/** What belongs to a link, and goes with it. */
const traffic = new Set<unknown>([qdiscMessage, classMessage, filterMessage])

const rules = new Map<unknown, UndoRule>([[linkMessage, linkRule], ...rowRules])

/** One transaction, of one or more namespaces. */
class Transaction {
  readonly views: Namespace[]
  readonly #undo: Undo[] = []
  readonly #created = new Set<string>()
  readonly #signal: AbortSignal | undefined
  /** Settles when what was asked for last has been done: one change after the other, each beside what was there before it. */
  #last: Promise<unknown> = Promise.resolve()
  /** Nothing more is taken in. */
  #ended = false
  #undone = false

  constructor(namespaces: readonly Namespace[], signal: AbortSignal | undefined) {
    this.#signal = signal
    this.views = namespaces.map((namespace) => {
      const view = viewOf(namespace)
      intercept(view, this.#interceptorOf({ namespace, namespaces, created: this.#created }))
      return view
    })
  }

  #interceptorOf(scope: Scope): Interceptor {
    return {
      change: (ask) => {
        if (this.#ended) return this.#undone ? this.#isOver(wordsOf(ask)) : change(scope.namespace, ask)
        const done = this.#last.then(() => this.#change(scope, ask))
        this.#last = done.catch(() => {})
        return done
      },
      order: async () => {
        if (!this.#ended) await this.#last
      },
    }
  }

  async #isOver(what: string): Promise<never> {
    throw new AbortError(`${what}: the transaction was undone`)
  }

  async #change(scope: Scope, ask: AnyAsk): Promise<void> {
    const what = wordsOf(ask)
    throwIfAborted(this.#signal, what)
    if (this.#undone) return this.#isOver(what)
    const ofLink = traffic.has(ask.definition) && this.#created.has(linkKey(scope.namespace, ask.header.index))
    if (ofLink) return change(scope.namespace, ask)
    const rule = rules.get(ask.definition)
    if (rule === undefined || ask.request.includes('_SET')) {
      throw namedError(
        'EOPNOTSUPP',
        ask.request,
        `${what}: it cannot be part of a transaction, as it could not be undone`,
      )
    }
    const undo = await rule.prepare(scope, ask)
    try {
      await change(scope.namespace, ask)
    } catch (error) {
      // What stands before the part that was refused may have been done.
      this.#undo.push(...(await undo(true)).reverse())
      throw error
    }
    try {
      this.#undo.push(...(await undo(false)).reverse())
    } catch (error) {
      // It was done, and what undoes it could not be found out: the same again, when it is undone.
      this.#undo.push(async () => {
        for (const step of await undo(false)) await step()
      })
      throw error
    }
  }

  /** Calls the function; rejects when the signal fires meanwhile, whatever the function goes on with. */
  async run<T>(fn: (...namespaces: Namespace[]) => T | Promise<T>): Promise<T> {
    const signal = this.#signal
    let abort = () => {}
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(new AbortError('the transaction was aborted', signal?.reason))
    })
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await Promise.race([fn(...this.views), aborted])
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Waits for all that was asked for, and for what is asked for meanwhile. */
  async #rest(): Promise<void> {
    for (let last: unknown; last !== this.#last; ) {
      last = this.#last
      await last
    }
  }

  /** All is done: from here on the views are namespaces like others. */
  async commit(): Promise<void> {
    await this.#rest()
    throwIfAborted(this.#signal, 'the transaction')
    this.#ended = true
    for (const view of this.views) intercept(view, undefined)
  }

  /**
   * Undoes what was done, the last first; resolves to what went wrong in that. Nothing can be changed through the views any
   * more: what the function has left running would otherwise go on where nothing is undone.
   */
  async rollBack(): Promise<unknown[]> {
    this.#ended = this.#undone = true
    await this.#rest()
    const failures: unknown[] = []
    for (const undo of this.#undo.reverse()) {
      try {
        await undo()
      } catch (failure) {
        failures.push(failure)
      }
    }
    return failures
  }
}

/**
 * Calls a function with namespaces in which everything is done, or nothing: when it throws or rejects, what was done through
 * them is undone, the last first. What is done through other handles is not part of it.
 *
 * Links, addresses, routes, rules, neighbors, entries of forwarding databases and next hop objects can be part of it, and the
 * traffic control (`limit`) of links that are created in it. Parameters (`sysctl`), programs and sockets are not undone. A link
 * that was deleted is made again with its options, addresses, routes and ports; its counters begin anew. Each change first
 * looks at what is there, so a transaction is slower than the same without. When it is undone, what the function may have left
 * running can change nothing through them any more: that is rejected with an AbortError.
 *
 * @throws what the function throws; if something cannot be undone, its `undoFailure` says what (an AggregateError, if that was
 * more than one). EOPNOTSUPP for a change that could not be undone, before anything is sent; AbortError by `signal`
 */
export async function transaction<T>(
  namespaces: readonly Namespace[],
  fn: (...namespaces: Namespace[]) => T | Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  if (!Array.isArray(namespaces)) throw typeError('namespaces', 'an array of Namespaces', namespaces)
  checkFunction(fn, 'fn')
  checkOptions(options, 'options', ['signal'])
  checkSignal(options.signal, 'options.signal')
  throwIfAborted(options.signal, 'the transaction')
  for (const namespace of namespaces) labelOf(namespace)
  const own = new Transaction(namespaces, options.signal)
  try {
    const result = await own.run(fn)
    await own.commit()
    return result
  } catch (error) {
    const failures = await own.rollBack()
    if (failures.length > 0 && error instanceof Error) {
      const failure =
        failures.length === 1 ? failures[0] : new AggregateError(failures, 'several changes could not be undone')
      Object.assign(error, { undoFailure: failure })
    }
    throw error
  }
}

declare module '../../namespace/namespace.js' {
  interface Namespace {
    /** Calls a function with a namespace in which everything is done, or nothing: `transaction([namespace], fn, options)`. */
    readonly transaction: <T>(fn: (namespace: Namespace) => T | Promise<T>, options?: TransactionOptions) => Promise<T>
  }
}

defineFacet('transaction', (namespace) => (fn, options) => transaction([namespace], fn, options))
