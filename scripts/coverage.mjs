/** What instrumented modules count into (scripts/instrument.mjs), and what of it is new. */

/** How often something ran, in classes: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, 128 and more, each a bit. */
const classes = Uint8Array.from({ length: 256 }, (_, count) => {
  const bounds = [1, 2, 3, 4, 8, 16, 32, 128]
  const found = bounds.filter((bound) => count >= bound).length
  return found === 0 ? 0 : 1 << (found - 1)
})

/** Places for the counters of one process, a multiple of 4. */
const SIZE = 64 * 1024

export class Coverage {
  #counts = new Uint8Array(SIZE)
  #words = new Uint32Array(this.#counts.buffer)
  #seen = new Uint8Array(SIZE)
  #used = 0
  /** For each comparison of numbers: the smallest difference that was ever seen, as a number of bits. */
  #nearest = []
  #nearer = false

  /** Called by each instrumented module: its counters, and the function that compares for it. */
  forModule(counters, comparisons) {
    const first = this.#used
    this.#used += counters
    if (this.#used > SIZE) throw new Error(`more than ${SIZE} counters`)
    const base = this.#nearest.length
    for (let i = 0; i < comparisons; i++) this.#nearest.push(33)
    return [this.#counts.subarray(first, this.#used), (site, a, b) => this.#compare(base + site, a, b)]
  }

  #compare(site, a, b) {
    if (a === b) return true
    if (typeof a === 'number' && typeof b === 'number') {
      const distance = 32 - Math.clz32(Math.abs(a - b))
      if (distance < this.#nearest[site]) {
        this.#nearest[site] = distance
        this.#nearer = true
      }
    }
    return false
  }

  /** Forgets what ran since the last call of `isNew`. */
  clear() {
    this.#counts.fill(0, 0, this.#used)
    this.#nearer = false
  }

  /** Whether something ran, or ran more often, or came nearer, than ever before; and remembers it. */
  isNew() {
    let found = this.#nearer
    this.#nearer = false
    const words = (this.#used + 3) >> 2
    for (let w = 0; w < words; w++) {
      if (this.#words[w] === 0) continue
      for (let i = 4 * w; i < 4 * w + 4; i++) {
        const bit = classes[this.#counts[i]]
        if ((this.#seen[i] & bit) === bit) continue
        this.#seen[i] |= bit
        found = true
      }
      this.#words[w] = 0
    }
    return found
  }

  /** How many of the counters have ever counted, and how many there are. */
  get reached() {
    let reached = 0
    for (let i = 0; i < this.#used; i++) if (this.#seen[i] !== 0) reached++
    return { reached, all: this.#used }
  }
}
