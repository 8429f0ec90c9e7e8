/**
 * A fuzzer that is led by coverage: it changes inputs, and keeps those that run something new. The changes know how netlink
 * messages are made (attributes of a length and a type, on 4-byte boundaries), beside those that know nothing.
 */

/** Random numbers that the same seed repeats (xorshift32). */
export class Random {
  #state

  constructor(seed) {
    this.#state = seed >>> 0 || 1
  }

  /** From 0 to `bound` - 1. */
  below(bound) {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x >>> 0
    return this.#state % bound
  }

  one(of) {
    return of[this.below(of.length)]
  }
}

const LONGEST = 4096
const interesting = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 17, 20, 31, 32, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0xfffc, 0xffff,
]

/** Where attributes begin, as far as lengths make sense, also within attributes: from any 4-byte boundary. */
function attributesOf(bytes, random) {
  const starts = []
  let at = 4 * random.below((bytes.length >> 2) + 1)
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > bytes.length) break
    starts.push(at)
    at += (length + 3) & ~3
  }
  return starts
}

const sizes = [0, 1, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32]

function octets(random, length) {
  return Buffer.from(Array.from({ length }, () => random.below(256)))
}

function attributeOf(number, contents) {
  const attribute = Buffer.alloc(4 + ((contents.length + 3) & ~3))
  attribute.writeUInt16LE(4 + contents.length, 0)
  attribute.writeUInt16LE(number, 2)
  attribute.set(contents, 4)
  return attribute
}

/** An attribute and those that it is in, outermost first: what looks like attributes within attributes. */
function randomPath(bytes, random) {
  const path = []
  // Headers have 4 to 20 bytes, and sometimes attributes before the first that is looked for.
  let start = 4 * random.below(6)
  let end = bytes.length
  while (true) {
    const found = []
    for (let at = start; at + 4 <= end; ) {
      const length = bytes.readUInt16LE(at)
      if (length < 4 || at + length > end) break
      found.push({ start: at, end: at + length })
      at += (length + 3) & ~3
    }
    if (found.length === 0) return path
    const one = random.one(found)
    path.push(one)
    if (random.below(3) === 0) return path
    start = one.start + 4
    end = one.end
  }
}

/** Puts a piece in the place of some bytes, and makes the attributes of the path around it as much longer or shorter. */
function replaced(bytes, path, from, length, piece) {
  const padding = Buffer.alloc(-piece.length & 3)
  const tail = bytes.subarray(Math.min(bytes.length, (from + length + 3) & ~3))
  const result = Buffer.concat([bytes.subarray(0, from), piece, padding, tail])
  const more = result.length - bytes.length
  for (const [i, { start, end }] of path.entries()) {
    const exact = i === path.length - 1 ? from + piece.length - start : end - start + more
    if (exact >= 4 && exact <= 0xffff) result.writeUInt16LE(exact, start)
  }
  return result
}

/** Each takes an input of its own, and gives one that is changed. */
const changes = [
  function flipBit(bytes, random) {
    if (bytes.length > 0) bytes[random.below(bytes.length)] ^= 1 << random.below(8)
    return bytes
  },
  function setOctet(bytes, random) {
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.one(interesting)
    return bytes
  },
  function addToNumber(bytes, random) {
    if (bytes.length < 4) return bytes
    const at = 2 * random.below((bytes.length - 2) >> 1)
    bytes.writeUInt16LE((bytes.readUInt16LE(at) + random.below(35) - 17) & 0xffff, at)
    return bytes
  },
  function setNumber(bytes, random) {
    if (bytes.length < 4) return bytes
    const at = 4 * random.below(bytes.length >> 2)
    bytes.writeUInt32LE(random.below(2) === 0 ? random.one(interesting) : random.below(0x1_0000_0000), at)
    return bytes
  },
  function truncate(bytes, random) {
    return bytes.subarray(0, random.below(bytes.length + 1))
  },
  function extend(bytes, random) {
    return Buffer.concat([bytes, octets(random, 1 + random.below(16))])
  },
  function remove(bytes, random) {
    if (bytes.length === 0) return bytes
    const at = random.below(bytes.length)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(8))])
  },
  function repeat(bytes, random) {
    if (bytes.length === 0) return bytes
    const at = random.below(bytes.length)
    const part = bytes.subarray(at, at + 1 + random.below(64))
    return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)])
  },
  function splice(bytes, random, { corpus }) {
    const other = random.one(corpus)
    const at = 4 * random.below((bytes.length >> 2) + 1)
    const from = 4 * random.below((other.length >> 2) + 1)
    return Buffer.concat([bytes.subarray(0, at), other.subarray(from)])
  },
  function changeLength(bytes, random) {
    const starts = attributesOf(bytes, random)
    if (starts.length === 0) return bytes
    const at = random.one(starts)
    const length = bytes.readUInt16LE(at)
    bytes.writeUInt16LE(random.below(2) === 0 ? (length + random.below(17) - 8) & 0xffff : random.one(interesting), at)
    return bytes
  },
  function changeType(bytes, random, { numbers }) {
    const starts = attributesOf(bytes, random)
    if (starts.length > 0) bytes.writeUInt16LE(random.one(numbers), random.one(starts) + 2)
    return bytes
  },
  function insertAttribute(bytes, random, { numbers, words }) {
    const starts = attributesOf(bytes, random)
    const at = starts.length === 0 ? 4 * random.below((bytes.length >> 2) + 1) : random.one(starts)
    const contents = random.below(3) === 0 ? random.one(words) : octets(random, random.one(sizes))
    return Buffer.concat([bytes.subarray(0, at), attributeOf(random.one(numbers), contents), bytes.subarray(at)])
  },
  function wrapAttributes(bytes, random, { numbers }) {
    const starts = attributesOf(bytes, random)
    if (starts.length === 0) return bytes
    const at = random.one(starts)
    const header = Buffer.alloc(4)
    header.writeUInt16LE(Math.min(0xffff, bytes.length - at + 4), 0)
    header.writeUInt16LE(random.one(numbers), 2)
    return Buffer.concat([bytes.subarray(0, at), header, bytes.subarray(at)])
  },
  function changeWithin(bytes, random, { numbers, words }) {
    const path = randomPath(bytes, random)
    if (path.length === 0) return bytes
    const { start, end } = path[path.length - 1]
    const contents = random.below(3) === 0 ? random.one(words) : octets(random, random.one(sizes))
    // Other contents; or one more attribute at their end.
    const replaces = random.below(2) === 0
    const piece = replaces ? contents : attributeOf(random.one(numbers), contents)
    const from = replaces ? start + 4 : Math.min(bytes.length, (end + 3) & ~3)
    const gone = replaces ? end - from : Math.max(0, end - from)
    return replaced(bytes, path, from, gone, piece)
  },
  function dropWithin(bytes, random) {
    const path = randomPath(bytes, random)
    const last = path.pop()
    return last === undefined
      ? bytes
      : replaced(bytes, path, last.start, ((last.end + 3) & ~3) - last.start, Buffer.alloc(0))
  },
]

function changed(input, random, material) {
  let bytes = Buffer.from(input)
  for (let times = 1 << random.below(4); times > 0; times--)
    bytes = Buffer.from(random.one(changes)(bytes, random, material))
  return bytes.subarray(0, LONGEST)
}

/** A run that failed: what was fed, and what was thrown. */
export class Finding extends Error {
  constructor(target, input, cause, runs) {
    super(`${target} fails after ${runs} runs: ${cause?.stack ?? cause}`, { cause })
    this.target = target
    this.input = input
    this.runs = runs
  }
}

/** How long one run may take, in milliseconds: nothing in 4 KiB is worth more. */
const PATIENCE = 500

async function run(target, input) {
  // What a target changes in its input must not change the corpus.
  const result = target.run(Buffer.from(input))
  if (result !== undefined) await result
}

/** The machine may have had something else to do: slow is what is slow each time. */
async function checkTime(target, input) {
  let least = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 5 && least > PATIENCE; attempt++) {
    const begun = performance.now()
    await run(target, input)
    least = Math.min(least, performance.now() - begun)
  }
  if (least > PATIENCE) throw new Error(`it takes ${Math.round(least)} ms`)
}

/**
 * Runs a target on its seeds, then on what becomes of them, until `runs` or `seconds` are over. Returns what happened; throws a
 * Finding when the target throws, or takes too long.
 */
export async function fuzz(
  target,
  coverage,
  { runs = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY, seed },
) {
  const random = new Random(seed)
  const corpus = target.seeds.length > 0 ? target.seeds.map((bytes) => Buffer.from(bytes)) : [Buffer.alloc(0)]
  const seeds = corpus.length
  const material = { corpus, numbers: target.numbers ?? [1], words: target.words ?? [Buffer.from('x\0')] }
  const end = performance.now() + 1000 * seconds
  const start = performance.now()
  let done = 0
  while (done < runs && (done % 64 !== 0 || performance.now() < end)) {
    const input = done < seeds ? corpus[done] : changed(pick(corpus, random), random, material)
    coverage.clear()
    const begun = performance.now()
    try {
      await run(target, input)
      if (performance.now() - begun > PATIENCE) await checkTime(target, input)
    } catch (error) {
      throw new Finding(target.name, input, error, done)
    }
    done++
    if (coverage.isNew() && done > seeds) corpus.push(input)
    // A target that does not wait for anything would keep signals and timers from being heard.
    if (done % 4096 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    name: target.name,
    runs: done,
    seeds,
    kept: corpus.length - seeds,
    seconds: (performance.now() - start) / 1000,
    corpus,
  }
}

/** The newest are the most promising. */
function pick(corpus, random) {
  return random.below(2) === 0
    ? corpus[corpus.length - 1 - random.below(Math.min(16, corpus.length))]
    : random.one(corpus)
}
