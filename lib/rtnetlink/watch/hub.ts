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
import { difference, type Effect, type Happening, type Observed, type Part, simpleEffect } from './observed.js'
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

/** Rows that are put beside a list before the clock is looked at, and milliseconds that this may take in one turn of the event loop. */
const CLOCK = 256
const SLICE = 10

/** What events were about, by key, and by key and identity. */
interface Touched {
  readonly keys: Set<string>
  readonly rows: Set<string>
  /** What happened to other objects: rows that the list will bring were not known then. */
  readonly happened: Happening[]
}

/** One sort of object, as the hub knows it. */
interface Sight {
  readonly observed: Observed
  readonly rows: Rows<object>
  /** Resolves when the rows are known for the first time. */
  readonly known: Promise<void>
  readonly settle: { resolve: () => void; reject: (error: unknown) => void }
  isKnown: boolean
  /** What events were about since the list that is being read was asked for: the events are newer. */
  touched: Touched | undefined
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
      rows: new Rows(observed.placesOf),
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
        sight.touched = { keys: new Set(), rows: new Set(), happened: [] }
        try {
          const found = await this.#list(sight, part)
          // Another loss, before this list was read: it is of no use.
          if (sight.all) break
          await this.#reconcile(sight, found, part, lost && wasAll)
          if (this.#closed) return
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

  /**
   * Makes the rows what a list says, but for those that events have told of since it was asked for; a million of them without
   * holding up the event loop.
   */
  async #reconcile(
    sight: Sight,
    found: readonly object[],
    part: Part<object> | undefined,
    lost: boolean,
  ): Promise<void> {
    const { observed, rows } = sight
    const touched = sight.touched as Touched
    const isDone = () => this.#closed || sight.all
    const listed = new Set<string>()
    const changes: Change<object>[] = []
    let isDoubtful = false
    await inSlices(found, isDone, (row) => {
      const key = observed.key(row)
      const own = identified(observed, row, key)
      listed.add(own)
      if (touched.rows.has(own)) return
      const known = rows.of(key).find((one) => identified(observed, one, key) === own)
      // An event about another one of this key may have put it into the place of this one.
      if (known === undefined && touched.keys.has(key)) isDoubtful = true
      const change = difference(observed, known, row)
      if (change !== undefined) changes.push(change)
    })
    const gone: Change<object>[] = []
    await inSlices(rows, isDone, (row) => {
      if (part !== undefined && !part.has(row)) return
      const own = identified(observed, row)
      if (!listed.has(own) && !touched.rows.has(own)) gone.push({ type: 'removed', row })
    })
    // Another loss meanwhile: the list is of no use.
    if (isDone()) return
    const wasKnown = sight.isKnown
    if (lost && wasKnown) this.#tell(observed.object, { type: 'resync' })
    const make = (change: Change<object>) => {
      // An event may have come meanwhile.
      if (!touched.rows.has(identified(observed, change.row))) this.#make(sight, change, wasKnown)
    }
    await inSlices(gone, isDone, make)
    await inSlices(changes, isDone, make)
    if (isDone()) return
    sight.isKnown = true
    sight.settle.resolve()
    for (const happening of touched.happened) this.#follow(sight, happening)
    if (!isDoubtful) return
    if (part === undefined) sight.all = true
    else sight.wanted.set(part.name, part)
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
    touch(sight, row)
    const effect =
      observed.effect === undefined
        ? simpleEffect(observed, rows, row, message.type)
        : observed.effect(rows, row, { type: message.type, flags: message.flags })
    this.#apply(sight, effect)
  }

  #apply(sight: Sight, { changes, unsure }: Effect<object>): void {
    for (const change of changes) {
      touch(sight, change.row)
      if (change.type === 'changed') touch(sight, change.previous)
      this.#make(sight, change, sight.isKnown)
    }
    if (unsure !== undefined) this.#want(sight, unsure)
  }

  /** Makes a change, and tells of it and of what follows from it. */
  #make(sight: Sight, change: Change<object>, tell: boolean): void {
    const { observed, rows } = sight
    const key = observed.key(change.row)
    if (change.type === 'removed') rows.delete(key, change.row)
    else rows.put(key, change.row, change.type === 'changed' ? change.previous : undefined)
    if (tell) this.#tell(observed.object, eventOf(observed.object, change))
    const happening = { object: observed.object, change, rowsOf: (object: ObjectName) => this.rows(object) }
    for (const other of this.#sights.values()) {
      if (other === sight || !other.observed.needs?.includes(observed.object)) continue
      this.#follow(other, happening)
      if (change.type !== 'added') other.touched?.happened.push(happening)
    }
  }

  /** Does what follows for an object from what happened to another. */
  #follow(sight: Sight, happening: Happening): void {
    const effect = sight.observed.after?.(sight.rows, happening)
    if (effect !== undefined) this.#apply(sight, effect)
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
    for (const listener of [...this.#listeners]) {
      // One may have been closed by what another did with the event.
      if (listener.objects.has(object) && this.#listeners.has(listener)) listener.onEvent(event)
    }
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

/** What tells a row from every other. */
function identified({ key, identity }: Observed, row: object, itsKey = key(row)): string {
  return identity === undefined ? itsKey : `${itsKey}\n${identity(row)}`
}

function touch({ touched, observed }: Sight, row: object): void {
  if (touched === undefined) return
  const key = observed.key(row)
  touched.keys.add(key)
  touched.rows.add(identified(observed, row, key))
}

/** Calls a function for each, some at a time, until it is done. */
async function inSlices<T>(all: Iterable<T>, isDone: () => boolean, each: (one: T) => void): Promise<void> {
  let end = performance.now() + SLICE
  let count = 0
  for (const one of all) {
    if (++count % CLOCK === 0 && performance.now() > end) {
      await new Promise(setImmediate)
      if (isDone()) return
      end = performance.now() + SLICE
    }
    each(one)
  }
}
