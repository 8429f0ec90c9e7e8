/** What a row hangs on: a link, by its index, or whatever else its object has a text for. */
export type Place = number | string

/** The rows of one sort of object, by key. Only routes ever share a key: several to one destination, which their identity tells apart. */
export class Rows<R extends object> {
  readonly #rows = new Map<string, R | R[]>()
  /** How many rows there are at each place. */
  readonly #counts = new Map<Place, number>()
  /** The rows at each place, from the time when somebody has asked. */
  #places: Map<Place, Set<R>> | undefined
  readonly #placesOf: (row: R) => readonly Place[]
  #size = 0

  constructor(placesOf: (row: R) => readonly Place[] = () => []) {
    this.#placesOf = placesOf
  }

  get size(): number {
    return this.#size
  }

  /** Those with a key: nearly always one, or none. */
  of(key: string): readonly R[] {
    const found = this.#rows.get(key)
    return found === undefined ? [] : Array.isArray(found) ? found : [found]
  }

  /** Puts a row in the place of another with its key, or beside what is there. */
  put(key: string, row: R, previous?: R): void {
    const found = this.#rows.get(key)
    this.#count(row, 1)
    if (previous !== undefined) this.#count(previous, -1)
    if (previous === undefined) {
      this.#size++
      this.#rows.set(key, found === undefined ? row : Array.isArray(found) ? [...found, row] : [found, row])
    } else if (Array.isArray(found)) {
      this.#rows.set(
        key,
        found.map((one) => (one === previous ? row : one)),
      )
    } else this.#rows.set(key, row)
  }

  delete(key: string, row: R): void {
    const found = this.#rows.get(key)
    if (found === undefined || !(found === row || (Array.isArray(found) && found.includes(row)))) return
    const left = Array.isArray(found) ? found.filter((one) => one !== row) : []
    const [first] = left
    this.#count(row, -1)
    this.#size -= (Array.isArray(found) ? found.length : 1) - left.length
    if (first === undefined) this.#rows.delete(key)
    else this.#rows.set(key, left.length === 1 ? first : left)
  }

  /** Whether there is a row at a place. */
  has(place: Place): boolean {
    return this.#counts.has(place)
  }

  /** The rows at a place. */
  at(place: Place): R[] {
    if (!this.#counts.has(place)) return []
    if (this.#places === undefined) {
      this.#places = new Map()
      for (const row of this) this.#settle(this.#places, row)
    }
    return [...(this.#places.get(place) ?? [])]
  }

  #settle(places: Map<Place, Set<R>>, row: R): void {
    for (const place of this.#placesOf(row)) {
      const there = places.get(place)
      if (there === undefined) places.set(place, new Set([row]))
      else there.add(row)
    }
  }

  #count(row: R, by: number): void {
    for (const place of this.#placesOf(row)) {
      const count = (this.#counts.get(place) ?? 0) + by
      if (count === 0) this.#counts.delete(place)
      else this.#counts.set(place, count)
      if (by > 0) continue
      const there = this.#places?.get(place)
      there?.delete(row)
      if (there?.size === 0) this.#places?.delete(place)
    }
    if (by > 0 && this.#places !== undefined) this.#settle(this.#places, row)
  }

  keys(): IterableIterator<string> {
    return this.#rows.keys()
  }

  *[Symbol.iterator](): IterableIterator<R> {
    for (const found of this.#rows.values()) {
      if (Array.isArray(found)) yield* found
      else yield found
    }
  }
}
