/** The rows of one sort of object, by key. Only routes ever share a key: several to one destination, which their identity tells apart. */
export class Rows<R extends object> {
  readonly #rows = new Map<string, R | R[]>()
  /** How many rows there are at each link, by its index. */
  readonly #atLink = new Map<number, number>()
  readonly #linksOf: (row: R) => readonly number[]
  #size = 0

  /** @param linksOf the indexes of the links that a row is at: it goes when they do */
  constructor(linksOf: (row: R) => readonly number[] = () => []) {
    this.#linksOf = linksOf
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

  /** The rows that are at a link. */
  atLink(index: number): R[] {
    if (!this.#atLink.has(index)) return []
    return [...this].filter((row) => this.#linksOf(row).includes(index))
  }

  #count(row: R, by: number): void {
    for (const index of this.#linksOf(row)) {
      const count = (this.#atLink.get(index) ?? 0) + by
      if (count === 0) this.#atLink.delete(index)
      else this.#atLink.set(index, count)
    }
  }

  clear(): void {
    this.#rows.clear()
    this.#atLink.clear()
    this.#size = 0
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
