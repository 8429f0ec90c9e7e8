/**
 * What a namespace's watchers share: one subscription to the kernel's events, and the rows as the events have made them. The
 * rows are read when the first watcher asks for their object, and again after a loss; the differences are told as events.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { AbortError, hasCode } from '../../errors.js'
import { descriptorOf, labelOf, onClose } from '../../namespace/internal.js'
import type { Namespace } from '../../namespace/namespace.js'
import { Malformed } from '../../netlink/attribute.js'
import type { Message } from '../../netlink/message.js'
import { NetlinkSubscription } from '../../netlink/subscription.js'
import { type Change, eventOf, type NetworkEvent, type ObjectName } from './events.js'
import { observedObjects } from './objects.js'
import { difference, type Effect, type Observed, type Part, simpleEffect } from './observed.js'
import { Rows } from './rows.js'

export interface Listener {
  /** What it wants to hear of. */
  readonly objects: ReadonlySet<ObjectName>
  onEvent(event: NetworkEvent): void
  /** Nothing comes after this. */
  onError(error: unknown): void
}

/** Parts that are read one by one: when more are to be, all rows are read. */
const MANY_PARTS = 4
/** Milliseconds before a list that would not come to rest is read again. */
const REST = 20

/** One sort of object, as the hub knows it. */
interface Sight {
  readonly observed: Observed
  readonly rows: Rows<object>
  /** Resolves when the rows are known for the first time. */
  readonly known: Promise<void>
  readonly settle: { resolve: () => void; reject: (error: unknown) => void }
  isKnown: boolean
  /** Keys that events were about since the list that is being read was asked for: the events are newer. */
  touched: Set<string> | undefined
  /** What is to be read anew; 'all' says it all. */
  readonly wanted: Map<string, Part<object>>
  all: boolean
  reading: boolean
  /** The next reading's differences follow a loss of events. */
  lost: boolean
}

export class Hub {
  readonly #namespace: Namespace
  readonly #onIdle: () => void
  readonly #listeners = new Set<Listener>()
  /** Those that come when what they want is known. */
  readonly #waiting = new Set<Listener>()
  readonly #sights = new Map<ObjectName, Sight>()
  #subscription: Promise<NetlinkSubscription> | undefined
  #forget: (() => void) | undefined
  #failure: { error: unknown } | undefined
  #closed = false

  /** @param onIdle called when the last listener has left, and the hub is of no use any more */
  constructor(namespace: Namespace, onIdle: () => void) {
    this.#namespace = namespace
    this.#onIdle = onIdle
  }

  /** The rows of an object, which live on while somebody listens. */
  rows(object: ObjectName): Rows<object> | undefined {
    return this.#sights.get(object)?.rows
  }

  /** Begins to listen, and resolves when everything that the listener wants is known; events begin then, in this very turn. */
  async add(listener: Listener, start: () => void): Promise<void> {
    const hasLeft = () => !this.#waiting.has(listener)
    this.#waiting.add(listener)
    try {
      await this.#observe([...listener.objects])
      if (this.#failure !== undefined) throw this.#failure.error
      if (hasLeft()) return
      this.#listeners.add(listener)
      start()
    } finally {
      this.#waiting.delete(listener)
      if (!this.#listeners.has(listener)) void this.#leave()
    }
  }

  async remove(listener: Listener): Promise<void> {
    this.#waiting.delete(listener)
    this.#listeners.delete(listener)
    await this.#leave()
  }

  async #leave(): Promise<void> {
    if (this.#listeners.size + this.#waiting.size === 0) await this.#close()
  }

  async #close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#onIdle()
      this.#forget?.()
      // Who still waits has been told why, or does not care any more.
      for (const { settle } of this.#sights.values()) settle.resolve()
    }
    const subscription = await this.#subscription?.catch(() => undefined)
    await subscription?.close()
  }

  /** Opens the subscription or joins more groups, and reads what is not known yet. */
  async #observe(objects: readonly ObjectName[]): Promise<void> {
    this.#forget ??= onClose(this.#namespace, () => {
      this.#fail(new AbortError(`watching ${labelOf(this.#namespace)} was aborted: it was closed`))
      return this.#close()
    })
    const all = withNeeds(objects)
    const groups = all.flatMap((object) => observedObjects[object].groups)
    this.#subscription ??= NetlinkSubscription.open(descriptorOf(this.#namespace), 0, groups, {
      onMessage: (message) => this.#receive(message),
      onOverrun: () => this.#overrun(),
      onError: (error) => this.#fail(error),
    })
    const subscription = await this.#subscription
    if (this.#closed) return
    subscription.join(groups)
    await Promise.all(all.map((object) => this.#sight(object).known))
  }

  #sight(object: ObjectName): Sight {
    const known = this.#sights.get(object)
    if (known !== undefined) return known
    const observed = observedObjects[object] as Observed
    const settle: Sight['settle'] = { resolve: () => {}, reject: () => {} }
    const promise = new Promise<void>((resolve, reject) => {
      Object.assign(settle, { resolve, reject })
    })
    const sight: Sight = {
      observed,
      rows: new Rows(observed.linksOf),
      known: promise,
      settle,
      isKnown: false,
      touched: undefined,
      wanted: new Map(),
      all: true,
      reading: false,
      lost: false,
    }
    this.#sights.set(object, sight)
    promise.catch(() => {})
    this.#readSoon(sight)
    return sight
  }

  /** Reads what is wanted, one list after another, until nothing is. */
  #readSoon(sight: Sight): void {
    if (sight.reading) return
    sight.reading = true
    void this.#read(sight)
  }

  async #read(sight: Sight): Promise<void> {
    try {
      await this.#readWanted(sight)
    } finally {
      // In the very moment in which nothing more was wanted: what is wanted later starts anew.
      sight.reading = false
    }
  }

  async #readWanted(sight: Sight): Promise<void> {
    // What happens in one turn of the event loop is read once.
    await new Promise(setImmediate)
    while (!this.#closed && (sight.all || sight.wanted.size > 0)) {
      const { lost } = sight
      const parts = sight.all || sight.wanted.size > MANY_PARTS ? [undefined] : [...sight.wanted.values()]
      const wasAll = parts[0] === undefined
      sight.all = false
      sight.lost = false
      sight.wanted.clear()
      for (const part of parts) {
        if (this.#closed) return
        sight.touched = new Set()
        try {
          const found = await this.#list(sight, part)
          // Another loss, before this list was read: it is of no use.
          if (sight.all) break
          this.#reconcile(sight, found, part, lost && wasAll)
        } catch (error) {
          if (this.#closed) return
          if (!hasCode(error, 'EINTR')) {
            this.#fail(error)
            return
          }
          if (part === undefined) sight.all = true
          else sight.wanted.set(part.name, part)
          sight.lost ||= lost
          await delay(REST)
        } finally {
          sight.touched = undefined
        }
      }
    }
  }

  async #list(sight: Sight, part: Part<object> | undefined): Promise<object[]> {
    const found: object[] = []
    const list = part?.list ?? ((namespace: Namespace) => sight.observed.list(namespace))
    for await (const row of list(this.#namespace)) {
      if (this.#closed) break
      if (part === undefined || part.has(row)) found.push(row)
    }
    return found
  }

  /** Makes the rows what a list says, but for those that events have told of since it was asked for. */
  #reconcile(sight: Sight, found: readonly object[], part: Part<object> | undefined, lost: boolean): void {
    const { observed, rows, touched } = sight
    const identity = (row: object) => `${observed.key(row)}\n${observed.identity?.(row) ?? ''}`
    const listed = new Set<string>()
    const changes: Change<object>[] = []
    for (const row of found) {
      const key = observed.key(row)
      listed.add(identity(row))
      if (touched?.has(key)) continue
      const known = rows.of(key).find((one) => identity(one) === identity(row))
      const change = difference(observed, known, row)
      if (change !== undefined) changes.push(change)
    }
    const gone: Change<object>[] = []
    for (const row of rows) {
      if (listed.has(identity(row)) || touched?.has(observed.key(row)) || (part !== undefined && !part.has(row)))
        continue
      gone.push({ type: 'removed', row })
    }
    const wasKnown = sight.isKnown
    sight.isKnown = true
    sight.settle.resolve()
    if (lost && wasKnown) this.#tell(observed.object, { type: 'resync' })
    for (const change of [...gone, ...changes]) this.#make(sight, change, wasKnown)
  }

  #receive(message: Message): void {
    for (const sight of this.#sights.values()) {
      const { observed } = sight
      if (message.type !== observed.there && message.type !== observed.gone) continue
      try {
        const row = observed.read(this.#namespace, message)
        if (row !== undefined) this.#event(sight, row, message)
        else {
          const part = observed.hint?.(message)
          if (part !== undefined) this.#want(sight, part)
        }
      } catch (error) {
        // A message that cannot be read may have told of anything.
        if (error instanceof Malformed) this.#lost(sight)
        else this.#fail(error)
      }
    }
  }

  #event(sight: Sight, row: object, message: Message): void {
    const { observed, rows } = sight
    sight.touched?.add(observed.key(row))
    const effect =
      observed.effect === undefined
        ? simpleEffect(observed, rows, row, message.type)
        : observed.effect(rows, row, { type: message.type, flags: message.flags })
    this.#apply(sight, effect)
  }

  #apply(sight: Sight, { changes, unsure }: Effect<object>): void {
    for (const change of changes) this.#make(sight, change, sight.isKnown)
    if (unsure !== undefined) this.#want(sight, unsure)
  }

  /** Makes a change, and tells of it and of what follows from it. */
  #make(sight: Sight, change: Change<object>, tell: boolean): void {
    const { observed, rows } = sight
    const key = observed.key(change.row)
    if (change.type === 'removed') rows.delete(key, change.row)
    else rows.put(key, change.row, change.type === 'changed' ? change.previous : undefined)
    if (tell) this.#tell(observed.object, eventOf(observed.object, change))
    const rowsOf = (object: ObjectName) => this.rows(object)
    for (const other of this.#sights.values()) {
      if (other === sight || !other.observed.needs?.includes(observed.object)) continue
      const effect = other.observed.after?.(other.rows, { object: observed.object, change, rowsOf })
      if (effect !== undefined) this.#apply(other, effect)
    }
  }

  #want(sight: Sight, part: Part<object>): void {
    sight.wanted.set(part.name, part)
    this.#readSoon(sight)
  }

  #overrun(): void {
    for (const sight of this.#sights.values()) this.#lost(sight)
  }

  #lost(sight: Sight): void {
    sight.all = true
    sight.lost = true
    this.#readSoon(sight)
  }

  #tell(object: ObjectName, event: NetworkEvent): void {
    for (const listener of [...this.#listeners]) if (listener.objects.has(object)) listener.onEvent(event)
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = { error }
    const listeners = [...this.#listeners]
    this.#listeners.clear()
    for (const listener of listeners) listener.onError(error)
    for (const { settle } of this.#sights.values()) settle.reject(error)
    void this.#close()
  }
}

/** The objects, and those that have to be known for them, which come first. */
function withNeeds(objects: readonly ObjectName[]): ObjectName[] {
  const all = new Set<ObjectName>()
  for (const object of objects) {
    for (const need of observedObjects[object].needs ?? []) all.add(need)
    all.add(object)
  }
  return [...all]
}
