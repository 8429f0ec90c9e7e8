/** What a connection has sent and not settled, by sequence number. */
import { BatchChunk } from './batch.js'
import type { Pending } from './request.js'

/** A request, or the requests of a batch that travelled together. */
export type Entry = Pending | BatchChunk

const LARGEST = 0xffff_ffff
/** So many that were removed are kept before they are cut off. */
const KEPT = 16

export class UnderWay {
  /** In the order of sending, by sequence number; a chunk by that of its last request. */
  readonly #entries = new Map<number, Entry>()
  /** The same, from `#front` on, with those that were removed: the first is looked for often. */
  readonly #order: Entry[] = []
  #front = 0
  readonly #chunks = new Set<BatchChunk>()
  #sequence: number

  /** Requests are numbered from `sequence` + 1. */
  constructor(sequence: number) {
    this.#sequence = sequence
  }

  get size(): number {
    return this.#entries.size
  }

  /** In the order of sending. */
  all(): Entry[] {
    return [...this.#entries.values()]
  }

  clear(): void {
    this.#order.length = this.#front = 0
    this.#entries.clear()
    this.#chunks.clear()
  }

  /** Numbers a request, and takes it in. */
  add(pending: Pending): number {
    const sequence = this.reserve(1)
    this.#sequence = sequence
    pending.sequence = sequence
    this.#entries.set(sequence, pending)
    this.#order.push(pending)
    return sequence
  }

  /** The first of `count` numbers in a row that are not in use. */
  reserve(count: number): number {
    // 0 is what the kernel's own notifications carry.
    let first = this.#sequence >= LARGEST ? 1 : this.#sequence + 1
    if (first > LARGEST - count + 1) first = 1
    for (let free = 0; free < count; free++) {
      if (this.find(first + free) === undefined) continue
      first += free + 1
      if (first > LARGEST - count + 1) first = 1
      free = -1
    }
    return first
  }

  /** Takes in a chunk, which has numbers that were reserved. */
  addChunk(chunk: BatchChunk): void {
    this.#sequence = chunk.last
    this.#entries.set(chunk.last, chunk)
    this.#order.push(chunk)
    this.#chunks.add(chunk)
  }

  /** Whose number this is. */
  find(sequence: number): Entry | undefined {
    const entry = this.#entries.get(sequence)
    if (entry !== undefined || this.#chunks.size === 0) return entry
    for (const chunk of this.#chunks) if (chunk.has(sequence)) return chunk
    return undefined
  }

  /** The one that was sent first, unless it is this one. */
  before(entry: Entry): Entry | undefined {
    while (this.#front < this.#order.length) {
      const first = this.#order[this.#front] as Entry
      if (this.#entries.get(numberOf(first)) === first) return first === entry ? undefined : first
      // What is behind must not be kept from the garbage collector for long.
      if (++this.#front >= KEPT) this.#front -= this.#order.splice(0, this.#front).length
    }
    return undefined
  }

  /** Takes one out. False when it was out already. */
  remove(entry: Entry): boolean {
    if (!this.#entries.delete(numberOf(entry))) return false
    if (entry instanceof BatchChunk) this.#chunks.delete(entry)
    if (this.#entries.size === 0) this.#order.length = this.#front = 0
    return true
  }
}

function numberOf(entry: Entry): number {
  return entry instanceof BatchChunk ? entry.last : entry.sequence
}
