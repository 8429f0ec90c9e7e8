/** A live picture of a namespace: `await using store = await red.store()`. */
import { inspect } from 'node:util'
import { AbortError, atCaller, lateError, namedError, throwIfAborted } from '../../errors.js'
import { defineFacet } from '../../namespace/facet.js'
import { labelOf } from '../../namespace/internal.js'
import type { Namespace } from '../../namespace/namespace.js'
import { checkFunction, checkInteger, checkOptions, checkSignal, valueError } from '../../validate.js'
import type { Address } from '../address.js'
import type { FdbEntry } from '../fdb-entry.js'
import type { Link } from '../link.js'
import { synchronousCheck, type WaitOptions } from '../link-wait.js'
import type { NamespaceId } from '../namespace-ids.js'
import type { Neighbor } from '../neighbor.js'
import type { NexthopObject } from '../nexthop.js'
import type { Route } from '../route.js'
import type { Rule } from '../rule.js'
import type { NetworkEvent, ObjectName, WatchedObjects } from './events.js'
import type { Hub, Listener } from './hub.js'
import { byName } from './observed-link.js'
import type { Rows } from './rows.js'
import { hubOf, selected, selectionKeys, Watch, type WatchSelection } from './watch.js'

export interface StoreOptions extends WatchSelection {
  /** Closes the store. */
  signal?: AbortSignal
}

/** The rows of one sort of object, as they are now. What is given is the store's own: look, and do not change it. */
export class StoreRows<R extends object> implements Iterable<R> {
  readonly #rows: () => Rows<R>

  /** @internal */
  constructor(rows: () => Rows<R>) {
    this.#rows = rows
  }

  get size(): number {
    return this.#rows().size
  }

  [Symbol.iterator](): IterableIterator<R> {
    return this.#rows()[Symbol.iterator]()
  }

  /** The first that the function says yes to. */
  find(holds: (row: R) => boolean): R | undefined {
    for (const row of this) if (holds(row)) return row
    return undefined
  }

  /** All that the function says yes to. */
  filter(holds: (row: R) => boolean): R[] {
    const found: R[] = []
    for (const row of this) if (holds(row)) found.push(row)
    return found
  }

  /** All of them, in an array of their own. */
  toArray(): R[] {
    return [...this]
  }

  /** Nothing, for what was not selected. */
  toJSON(): R[] | undefined {
    return this.#isThere() ? this.toArray() : undefined
  }

  [inspect.custom](): string {
    return this.#isThere() ? `StoreRows(${this.size})` : 'StoreRows(not there)'
  }

  /** Whether it was selected, and the store is open. */
  #isThere(): boolean {
    try {
      return this.size >= 0
    } catch {
      return false
    }
  }
}

/**
 * What is in a namespace, kept as it is by the kernel's events: links, addresses, routes, neighbors. Reading it asks nobody.
 * It lags behind the kernel by the time that an event takes (`waitFor` waits).
 */
export class Store implements AsyncDisposable {
  readonly #namespace: Namespace
  readonly #hub: Hub
  readonly #objects: ReadonlySet<ObjectName>
  readonly #listener: Listener
  readonly #signal: AbortSignal | undefined
  readonly #lookers = new Set<(event: NetworkEvent | undefined) => void>()
  #failure: { error: unknown } | undefined
  #closing: Promise<void> | undefined

  readonly links: StoreRows<Link>
  readonly addresses: StoreRows<Address>
  /** Of all tables. */
  readonly routes: StoreRows<Route>
  readonly neighbors: StoreRows<Neighbor>
  /** These four only when they were selected: entries of forwarding databases, */
  readonly fdb: StoreRows<FdbEntry>
  readonly rules: StoreRows<Rule>
  readonly nexthops: StoreRows<NexthopObject>
  /** and the namespaces that this one has an id for. */
  readonly namespaces: StoreRows<NamespaceId>

  private constructor(namespace: Namespace, objects: ReadonlySet<ObjectName>, signal: AbortSignal | undefined) {
    this.#namespace = namespace
    this.#hub = hubOf(namespace)
    this.#objects = objects
    this.#signal = signal
    this.#listener = {
      objects,
      onEvent: (event) => this.#look(event),
      onError: (error) => this.#end({ error }),
    }
    this.links = this.#rowsOf('link')
    this.addresses = this.#rowsOf('address')
    this.routes = this.#rowsOf('route')
    this.neighbors = this.#rowsOf('neighbor')
    this.fdb = this.#rowsOf('fdb')
    this.rules = this.#rowsOf('rule')
    this.nexthops = this.#rowsOf('nexthop')
    this.namespaces = this.#rowsOf('namespace')
  }

  /** @internal Stores come from `namespace.store`. */
  static async open(namespace: Namespace, objects: ReadonlySet<ObjectName>, signal?: AbortSignal): Promise<Store> {
    throwIfAborted(signal, `reading ${labelOf(namespace)}`)
    const store = new Store(namespace, objects, signal)
    signal?.addEventListener('abort', store.#abort, { once: true })
    try {
      await store.#hub.add(store.#listener, () => {})
    } catch (error) {
      store.#end({ error })
    }
    if (store.#failure !== undefined) throw atCaller(store.#failure.error)
    return store
  }

  #rowsOf<O extends ObjectName>(object: O): StoreRows<WatchedObjects[O]> {
    return new StoreRows(() => this.#known(object))
  }

  #known<O extends ObjectName>(object: O): Rows<WatchedObjects[O]> {
    if (this.#closing !== undefined) throw this.#isClosed()
    const rows = this.#objects.has(object) ? this.#hub.rows(object) : undefined
    if (rows === undefined) throw valueError('store', object, 'was not selected when the store was opened')
    return rows as unknown as Rows<WatchedObjects[O]>
  }

  #isClosed(): Error {
    return namedError('EBADF', 'store', `the store of ${labelOf(this.#namespace)} is closed`, this.#failure?.error)
  }

  readonly #abort = () =>
    this.#end({ error: new AbortError(`the store of ${labelOf(this.#namespace)} was aborted`, this.#signal?.reason) })

  #end(failure: { error: unknown } | undefined): void {
    if (this.#closing !== undefined) return
    this.#failure = failure
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#closing = this.#hub.remove(this.#listener)
    this.#look(undefined)
  }

  #look(event: NetworkEvent | undefined): void {
    for (const look of [...this.#lookers]) look(event)
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** A link by its name, an alternative name, or its index; undefined when there is none. */
  link(link: string | number): Link | undefined {
    const rows = this.#known('link')
    return typeof link === 'number' ? rows.of(String(link))[0] : rows.at(byName(link))[0]
  }

  /** What changes from now on, as a watch of the same objects: ends with `close()` of its own, or with the namespace. */
  changes(options: { limit?: number; signal?: AbortSignal } = {}): Watch {
    if (this.#closing !== undefined) throw this.#isClosed()
    checkOptions(options, 'options', ['limit', 'signal'])
    if (options.limit !== undefined) checkInteger(options.limit, 'options.limit', 1, 0x7fff_ffff)
    checkSignal(options.signal, 'options.signal')
    return new Watch(this.#namespace, this.#objects, options)
  }

  /**
   * Calls back with every event after the store has taken it in. Returns a function that ends that. What the callback throws
   * is an uncaught exception, as of an EventTarget's listener.
   */
  onChange(callback: (event: NetworkEvent) => void): () => void {
    checkFunction(callback, 'callback')
    const look = (event: NetworkEvent | undefined) => {
      try {
        if (event !== undefined) callback(event)
      } catch (error) {
        // It is nobody's who is told of events here.
        process.nextTick(() => {
          throw error
        })
      }
    }
    this.#lookers.add(look)
    return () => void this.#lookers.delete(look)
  }

  /**
   * Waits until a function of the store says yes: at once, or after an event.
   * @throws NetkitError ETIMEDOUT after `timeout` ms (default: 5,000), EBADF when the store is closed meanwhile; AbortError by
   * `signal`; what the function throws
   */
  async waitFor(holds: (store: this) => boolean, options: WaitOptions = {}): Promise<void> {
    const isSo = synchronousCheck(holds, 'holds')
    checkOptions(options, 'options', ['timeout', 'signal'])
    const { timeout = 5000, signal } = options
    checkSignal(signal, 'options.signal')
    if (timeout !== Number.POSITIVE_INFINITY) checkInteger(timeout, 'options.timeout', 0, 0x7fff_ffff)
    const what = `waiting for ${labelOf(this.#namespace)}`
    throwIfAborted(signal, what)
    if (this.#closing !== undefined) throw this.#isClosed()
    if (isSo(this)) return
    let stop = () => {}
    try {
      await new Promise<void>((resolve, reject) => {
        const look = () => {
          try {
            if (this.#closing !== undefined) reject(this.#isClosed())
            else if (isSo(this)) resolve()
          } catch (error) {
            reject(error)
          }
        }
        const abort = () => reject(new AbortError(`${what} was aborted`, signal?.reason))
        const late = () => reject(lateError('store', `${what} to be as asked`, timeout))
        const timer = Number.isFinite(timeout) ? setTimeout(late, timeout) : undefined
        signal?.addEventListener('abort', abort, { once: true })
        this.#lookers.add(look)
        stop = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', abort)
          this.#lookers.delete(look)
        }
      })
    } catch (error) {
      throw atCaller(error)
    } finally {
      stop()
    }
  }

  /** Lets go of the events: what was in the store cannot be read any more. Idempotent. */
  async close(): Promise<void> {
    this.#end(undefined)
    await this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** What a store has when nothing is said. */
const usual: WatchSelection = { links: true, addresses: true, routes: true, neighbors: true }

async function openStore(namespace: Namespace, options: StoreOptions = {}): Promise<Store> {
  checkOptions(options, 'options', [...selectionKeys, 'signal'])
  checkSignal(options.signal, 'options.signal')
  const said = selected(options, 'options')
  const isSaid = selectionKeys.some((key) => options[key] !== undefined)
  const objects = isSaid ? said : selected(usual, 'options')
  if (objects.size === 0) throw valueError('options', options, 'selects nothing')
  return Store.open(namespace, objects, options.signal)
}

declare module '../../namespace/namespace.js' {
  interface Namespace {
    /**
     * Opens a live picture of the namespace: links, addresses, routes and neighbors, or what is selected. Resolves when all is
     * known. Keeps the process alive until it is closed.
     * @throws ERR_INVALID_ARG_… for wrong options; NetkitError when it cannot be read; AbortError by `signal`
     */
    readonly store: (options?: StoreOptions) => Promise<Store>
  }
}

defineFacet('store', (namespace) => (options) => openStore(namespace, options))
