/**
 * Events that wait for a consumer. Up to a limit they wait as they came; beyond it they are put together to the difference that
 * they make, one for each object: however slow the consumer is, no more waits than there are objects.
 */
import { changeOf, eventOf, type NetworkEvent, type ObjectEvent } from './events.js'

/** So many events that were taken are kept before they are cut off. */
const KEPT = 1024

/** What tells the objects of an event apart: the same text for each event about one object. */
export type Identify = (event: ObjectEvent, which: 'row' | 'previous') => string

export class EventQueue {
  readonly #limit: number
  readonly #identify: Identify
  #events: NetworkEvent[] = []
  /** Those before it were taken. */
  #head = 0
  /** The difference for each object, when there were too many. */
  readonly #difference = new Map<string, ObjectEvent>()
  /** Goes through it. A new one would have to pass all that was deleted: time without end, when there is much. */
  #rest: IterableIterator<[string, ObjectEvent]> | undefined
  /** The next thing to tell is that events were put together. */
  #resync = false

  constructor(limit: number, identify: Identify) {
    this.#limit = limit
    this.#identify = identify
  }

  get length(): number {
    return this.#events.length - this.#head + this.#difference.size + (this.#resync ? 1 : 0)
  }

  push(event: NetworkEvent): void {
    if (this.#difference.size > 0 || this.#resync) this.#fold(event)
    else {
      this.#events.push(event)
      if (this.#events.length - this.#head > this.#limit) this.#collapse()
    }
  }

  /** The next event; undefined when none waits. */
  shift(): NetworkEvent | undefined {
    if (this.#head < this.#events.length) {
      const event = this.#events[this.#head]
      this.#head++
      if (this.#head === this.#events.length) this.clear()
      else if (this.#head >= KEPT && 2 * this.#head >= this.#events.length) {
        // A consumer who is always a little behind must not keep all that ever was.
        this.#events.splice(0, this.#head)
        this.#head = 0
      }
      return event
    }
    if (this.#resync) {
      this.#resync = false
      return { type: 'resync' }
    }
    if (this.#difference.size === 0) return undefined
    // What is added while it goes comes at the end of it.
    this.#rest ??= this.#difference.entries()
    const { value } = this.#rest.next() as { value: [string, ObjectEvent] }
    this.#difference.delete(value[0])
    if (this.#difference.size === 0) this.#rest = undefined
    return value[1]
  }

  clear(): void {
    this.#events = []
    this.#head = 0
    this.#resync = false
    this.#difference.clear()
    this.#rest = undefined
  }

  #collapse(): void {
    const events = this.#events.slice(this.#head)
    this.#events = []
    this.#head = 0
    this.#resync = true
    for (const event of events) this.#fold(event)
  }

  #fold(event: NetworkEvent): void {
    // The difference that follows a resync is folded like everything else.
    if (event.type === 'resync') this.#resync = true
    else if (event.type === 'changed' && this.#identify(event, 'previous') !== this.#identify(event, 'row')) {
      const { row, previous } = changeOf(event) as { row: object; previous: object }
      this.#put(this.#identify(event, 'previous'), eventOf(event.object, { type: 'removed', row: previous }))
      this.#put(this.#identify(event, 'row'), eventOf(event.object, { type: 'added', row }))
    } else this.#put(this.#identify(event, 'row'), event)
  }

  #put(key: string, event: ObjectEvent): void {
    const waiting = this.#difference.get(key)
    if (waiting === undefined) {
      this.#difference.set(key, event)
      return
    }
    const { row } = changeOf(event)
    const before = changeOf(waiting)
    if (before.type === 'added') {
      // The consumer has never heard of it.
      if (event.type === 'removed') this.#difference.delete(key)
      else this.#difference.set(key, eventOf(event.object, { type: 'added', row }))
      return
    }
    const previous = before.type === 'changed' ? before.previous : before.row
    if (event.type === 'removed') this.#difference.set(key, eventOf(event.object, { type: 'removed', row: previous }))
    else this.#difference.set(key, eventOf(event.object, { type: 'changed', row, previous }))
  }
}
