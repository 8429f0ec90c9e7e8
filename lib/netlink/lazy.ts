/** Attributes that are read one by one, when they are asked for: of a link's forty most callers look at three. */
import { Malformed } from './attribute.js'
import { align4, LITTLE_ENDIAN, type Source } from './bytes.js'
import { type AnyTable, type AttributesOf, NLA_TYPE_MASK } from './table.js'

/** How a message lies in its bytes. */
interface Place {
  readonly source: Source
  readonly start: number
  readonly end: number
  readonly header: Readonly<Record<string, unknown>>
}

class Lazy {
  readonly place: Place
  /** Those that were asked for. */
  readonly known = new Map<string, unknown>()

  constructor(place: Place) {
    this.place = place
  }
}

type Attribute = AnyTable['attributes'][number]

const nothing: Readonly<Record<string, unknown>> = {}

const classes = new WeakMap<AnyTable, typeof Lazy>()

/** A class with a getter for each of the table's keys. */
function classOf(table: AnyTable): typeof Lazy {
  const made = classes.get(table)
  if (made !== undefined) return made
  const own = class extends Lazy {}
  for (const attribute of table.attributes) {
    const { key } = attribute
    Object.defineProperty(own.prototype, key, {
      get(this: Lazy): unknown {
        const known = this.known.get(key)
        if (known !== undefined) return known
        const value = readOne(table, attribute, this.place)
        if (value !== undefined) this.known.set(key, value)
        return value
      },
    })
  }
  classes.set(table, own)
  return own
}

function readOne(table: AnyTable, attribute: Attribute, { source, start, end, header }: Place): unknown {
  const { key, number, name, type } = attribute
  const { view } = source
  let found = -1
  let size = 0
  let at = start
  for (; end - at >= 4; at += align4(size)) {
    size = view.getUint16(at, LITTLE_ENDIAN)
    if (size < 4 || size > end - at) break
    if ((view.getUint16(at + 2, LITTLE_ENDIAN) & NLA_TYPE_MASK) !== number) continue
    // One that comes again is for the table to make sense of.
    if (found >= 0) return table.decode(source, start, end, header)[key as never]
    found = at
  }
  // So is what is malformed.
  if (at < end) return table.decode(source, start, end, header)[key as never]
  if (found < 0) return undefined
  size = view.getUint16(found, LITTLE_ENDIAN)
  if (type.repeated === true) return table.decode(source, found, found + size, header)[key as never]
  try {
    return type.decode(source, found + 4, size - 4, { header, siblings: nothing })
  } catch (error) {
    if (error instanceof Malformed) error.path.unshift(name)
    throw error
  }
}

/**
 * What `table.decode` would give, but for unknown attributes, and that each is read at its first use: throws Malformed then.
 * Types must not depend on siblings at the same level.
 */
export function lazyAttributes<T extends AnyTable>(
  table: T,
  source: Source,
  start: number,
  end: number,
  header: Place['header'],
): Readonly<AttributesOf<T>> {
  return new (classOf(table))({ source, start, end, header }) as unknown as Readonly<AttributesOf<T>>
}
