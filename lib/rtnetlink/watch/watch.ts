/** Watching a namespace: `for await (const event of red.watch({ links: true }))`. */
import { AbortError, atCaller } from '../../errors.js'
import { defineFacet } from '../../namespace/facet.js'
import { descriptorOf, labelOf } from '../../namespace/internal.js'
import type { Namespace } from '../../namespace/namespace.js'
import { checkBoolean, checkInteger, checkOptions, checkSignal, valueError } from '../../validate.js'
import { EventQueue } from './event-queue.js'
import { changeOf, eventOf, type NetworkEvent, type ObjectName } from './events.js'
import { Hub, type Listener } from './hub.js'
import { identityOf } from './objects.js'

/** What to watch: nothing is watched that is not asked for. */
export interface WatchSelection {
  links?: boolean
  addresses?: boolean
  routes?: boolean
  neighbors?: boolean
  /** Entries of the forwarding databases of bridges and VXLANs. */
  fdb?: boolean
  rules?: boolean
  nexthops?: boolean
  /** The namespaces that this one has an id for (ip-netns(8), `ip netns list-id`). */
  namespaces?: boolean
}

export interface WatchOptions extends WatchSelection {
  /** Tell first of everything that is there, as 'added'. Default: false. */
  initial?: boolean
  /**
   * Events that may wait for a slow consumer. When more would, they are put together to a 'resync' and one event for each
   * object that differs. Default: 10,000.
   */
  limit?: number
  /** Ends the watch: who waits for an event is rejected with an AbortError. */
  signal?: AbortSignal
}

const names = {
  links: 'link',
  addresses: 'address',
  routes: 'route',
  neighbors: 'neighbor',
  fdb: 'fdb',
  rules: 'rule',
  nexthops: 'nexthop',
  namespaces: 'namespace',
} as const satisfies Record<keyof WatchSelection, ObjectName>

export const selectionKeys = Object.keys(names) as (keyof WatchSelection)[]

/** The objects that are selected. Throws ERR_INVALID_ARG_… */
export function selected(selection: WatchSelection, name: string): Set<ObjectName> {
  const objects = new Set<ObjectName>()
  for (const key of selectionKeys) {
    const value = selection[key]
    if (value === undefined) continue
    checkBoolean(value, `${name}.${key}`)
    if (value) objects.add(names[key])
  }
  return objects
}

/** The hub of a namespace handle, while anybody watches. */
const hubs = new WeakMap<Namespace, Hub>()

export function hubOf(namespace: Namespace): Hub {
  descriptorOf(namespace) // throws when it is closed
  let hub = hubs.get(namespace)
  if (hub === undefined) {
    const made = new Hub(namespace, () => {
      if (hubs.get(namespace) === made) hubs.delete(namespace)
    })
    hubs.set(namespace, made)
    hub = made
  }
  return hub
}

interface Waiting {
  resolve(result: IteratorResult<NetworkEvent, undefined>): void
  reject(error: unknown): void
}

const DONE = { done: true, value: undefined } as const

/**
 * Events of a namespace, for `for await`. All watches of a namespace handle share one subscription. A watch keeps the process
 * alive until it is closed, by `close()`, by leaving the loop, or by its signal.
 */
export class Watch implements AsyncIterableIterator<NetworkEvent, undefined>, AsyncDisposable {
  /**
   * Resolves when events begin: what is changed after that is told. Rejects with a NetkitError when the subscription cannot be
   * made, and with an AbortError when the watch ended before.
   */
  readonly ready: Promise<void>
  readonly #hub: Hub
  readonly #label: string
  readonly #listener: Listener
  readonly #queue: EventQueue
  readonly #signal: AbortSignal | undefined
  readonly #waiting: Waiting[] = []
  #failure: { error: unknown } | undefined
  /** Somebody was rejected with it. */
  #isTold = false
  #closing: Promise<void> | undefined

  /** @internal Watches come from `namespace.watch`. */
  constructor(namespace: Namespace, objects: ReadonlySet<ObjectName>, options: WatchOptions) {
    const { initial = false, limit = 10_000, signal } = options
    this.#label = labelOf(namespace)
    this.#hub = hubOf(namespace)
    this.#queue = new EventQueue(limit, (event, which) => {
      const change = changeOf(event)
      return identityOf(event.object, which === 'previous' && change.type === 'changed' ? change.previous : change.row)
    })
    this.#listener = {
      objects,
      onEvent: (event) => this.#push(event),
      onError: (error) => this.#end({ error }),
    }
    this.#signal = signal
    signal?.addEventListener('abort', this.#abort, { once: true })
    const start = () => {
      if (!initial) return
      for (const object of objects) {
        for (const row of this.#hub.rows(object) ?? []) this.#push(eventOf(object, { type: 'added', row }))
      }
    }
    this.ready = this.#begin(start)
    // Who does not ask when it is ready hears of it in the loop.
    this.ready.catch(() => {})
    if (signal?.aborted) this.#abort()
  }

  async #begin(start: () => void): Promise<void> {
    try {
      await this.#hub.add(this.#listener, start)
    } catch (error) {
      this.#end({ error: atCaller(error) })
    }
    if (this.#failure !== undefined) throw this.#failure.error
    if (this.#closing !== undefined) throw this.#wasClosed()
  }

  readonly #abort = () =>
    this.#end({ error: new AbortError(`watching ${this.#label} was aborted`, this.#signal?.reason) })

  #wasClosed(): AbortError {
    return new AbortError(`watching ${this.#label} was aborted: the watch was closed`)
  }

  #push(event: NetworkEvent): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#queue.push(event)
    else waiting.resolve({ done: false, value: event })
  }

  #end(failure: { error: unknown } | undefined): void {
    if (this.#closing !== undefined) return
    this.#failure = failure
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#queue.clear()
    this.#closing = this.#hub.remove(this.#listener)
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (failure === undefined || this.#isTold) resolve(DONE)
      else {
        this.#isTold = true
        reject(failure.error)
      }
    }
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /**
   * The next event. After `close()` there is none (`done`); a watch that ended otherwise rejects once with the reason: an
   * AbortError when its signal fired or the namespace handle was closed, a NetkitError when the subscription failed.
   */
  async next(): Promise<IteratorResult<NetworkEvent, undefined>> {
    const event = this.#queue.shift()
    if (event !== undefined) return { done: false, value: event }
    if (this.#failure !== undefined && !this.#isTold) {
      this.#isTold = true
      throw atCaller(this.#failure.error)
    }
    if (this.#closing !== undefined) return DONE
    try {
      return await new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    } catch (error) {
      throw atCaller(error)
    }
  }

  /** As `close`: the loop calls it when it is left. */
  async return(): Promise<IteratorResult<NetworkEvent, undefined>> {
    await this.close()
    return DONE
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Ends the watch; the loop that waits ends. Events that wait are dropped. Idempotent. */
  async close(): Promise<void> {
    this.#end(undefined)
    await this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function watch(namespace: Namespace, options: WatchOptions): Watch {
  checkOptions(options, 'options', [...selectionKeys, 'initial', 'limit', 'signal'])
  const objects = selected(options, 'options')
  if (objects.size === 0)
    throw valueError('options', options, `selects nothing: one of ${selectionKeys.join(', ')} must be true`)
  if (options.initial !== undefined) checkBoolean(options.initial, 'options.initial')
  if (options.limit !== undefined) checkInteger(options.limit, 'options.limit', 1, 0x7fff_ffff)
  checkSignal(options.signal, 'options.signal')
  return new Watch(namespace, objects, options)
}

declare module '../../namespace/namespace.js' {
  interface Namespace {
    /**
     * Watches links, addresses, routes, neighbors, forwarding databases, rules, nexthop objects, ids of namespaces: what is added, changed and removed, by the kernel's
     * events. Nothing is lost: when the kernel drops events, what is known is read anew and the difference is told after a
     * 'resync', so that a consumer who applies every event is never wrong. Counters and running times are no changes.
     *
     * Events begin when `ready` resolves, a moment after the call.
     * @throws TypeError/RangeError ERR_INVALID_ARG_…, ERR_OUT_OF_RANGE for wrong options, EBADF for a closed handle
     */
    readonly watch: (options: WatchOptions) => Watch
  }
}

defineFacet('watch', (namespace) => (options) => watch(namespace, options))
