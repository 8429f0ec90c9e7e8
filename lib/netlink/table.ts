/**
 * Tables of attributes: each attribute's number, kernel name and type stand once, in a `const` table. Decoder, encoder,
 * TypeScript type, and the names in errors all come from it.
 */
import { typeError, valueError } from '../validate.js'
import { type AttributeType, binary, type Context, Malformed } from './attribute.js'
import { align4, copyOf, LITTLE_ENDIAN, type Source, type Writer } from './bytes.js'

/** NLA_F_NESTED and NLA_F_NET_BYTEORDER, the two flags in an attribute's type, and the bits that are left (linux/netlink.h). */
const NLA_F_NESTED = 0x8000
export const NLA_TYPE_MASK = 0x3fff

// biome-ignore lint/suspicious/noExplicitAny: a table's attributes have any type; AttributesOf gives each its own back
type Entry = readonly [number: number, name: string, type: AttributeType<any>]
export type Definition = Readonly<Record<string, Entry>>

/** Attributes that no table knows, by number (flags included), as they came: `'#61': Uint8Array`. Kept on reading, sent on writing. */
export interface UnknownAttributes {
  [number: `#${number}`]: Uint8Array
}

/** The values of a table's attributes, by our keys. */
export type Values<D extends Definition> = {
  -readonly [K in keyof D]?: D[K][2] extends AttributeType<infer V> ? V : never
} & UnknownAttributes

/** The object of attributes that a table describes, inferred from it. */
export type AttributesOf<T> = T extends AttributeTable<infer D> ? Values<D> : never

interface Attribute {
  readonly key: string
  readonly number: number
  readonly name: string
  readonly type: AttributeType<unknown>
}

/** A table of any attributes. */
export type AnyTable = AttributeTable<Definition>

const noContext: Context = { header: {}, siblings: {} }

export class AttributeTable<D extends Definition> {
  readonly attributes: readonly Attribute[]
  readonly #byNumber: (Attribute | undefined)[] = []
  readonly #byKey = new Map<string, Attribute>()

  constructor(definition: D) {
    this.attributes = Object.entries(definition).map(([key, [number, name, type]]) => ({ key, number, name, type }))
    for (const attribute of this.attributes) {
      this.#byNumber[attribute.number] = attribute
      this.#byKey.set(attribute.key, attribute)
    }
    allTables.push(this as unknown as AnyTable)
  }

  /** The keys that values have. */
  get keys(): readonly string[] {
    return this.attributes.map(({ key }) => key)
  }

  /** The attribute with a number (flags ignored). */
  attribute(number: number): Attribute | undefined {
    return this.#byNumber[number & NLA_TYPE_MASK]
  }

  /** The kernel's name of one of our keys. */
  nameOf(key: keyof D & string): string {
    return this.#byKey.get(key)?.name ?? key
  }

  /**
   * Reads all attributes from `start` to `end`. Throws Malformed when a length lies; never reads beyond `end`. Attributes keep
   * the order they came in.
   */
  decode(source: Source, start: number, end: number, header: Context['header'] = noContext.header): Values<D> {
    const values: Record<string, unknown> = {}
    const context: Context = { header, siblings: values }
    forEachAttribute(source, start, end, (type, offset, length) => {
      const attribute = this.#byNumber[type & NLA_TYPE_MASK]
      if (attribute === undefined) {
        values[unknownKey(type)] = copyOf(source.bytes, offset, offset + length)
        return
      }
      try {
        const value = attribute.type.decode(source, offset, length, context)
        if (attribute.type.repeated !== true) values[attribute.key] = value
        else if (values[attribute.key] === undefined) values[attribute.key] = [value]
        else (values[attribute.key] as unknown[]).push(value)
      } catch (error) {
        if (error instanceof Malformed) error.path.unshift(attribute.name)
        throw error
      }
    })
    return values as Values<D>
  }

  /**
   * Appends the attributes in the object's own order. A key that is undefined is left out; an unknown key is an error. Errors
   * name a value by `path` and its key, where the caller knows it under that, and by the attribute's name otherwise.
   */
  encode(writer: Writer, values: Values<D>, header: Context['header'] = noContext.header, path?: string): void {
    const context: Context = { header, siblings: values as Record<string, unknown> }
    // Not Object.entries: it makes an array for each.
    for (const key in values) {
      const value: unknown = values[key as keyof typeof values]
      if (value === undefined || !Object.hasOwn(values, key)) continue
      const attribute = this.#byKey.get(key)
      const name = path === undefined ? (attribute?.name ?? key) : `${path}.${key}`
      if (attribute === undefined) {
        writeAttribute(writer, unknownNumber(key), binary, value as Uint8Array, name, context)
        continue
      }
      const number = attribute.type.nestedFlag === true ? attribute.number | NLA_F_NESTED : attribute.number
      if (attribute.type.repeated !== true) writeAttribute(writer, number, attribute.type, value, name, context)
      else for (const one of arrayOf(value, name)) writeAttribute(writer, number, attribute.type, one, name, context)
    }
  }
}

/** Every table made, for the test that holds their numbers against the kernel's headers. */
export const allTables: AnyTable[] = []

/** A table of attributes: `{ mtu: [4, 'IFLA_MTU', attributeU32], … }`. */
export function attributes<const D extends Definition>(definition: D): AttributeTable<D> {
  return new AttributeTable(definition)
}

/** Attributes within an attribute. Written without NLA_F_NESTED, as the older messages (link, address, route) have it. */
export function nested<D extends Definition>(
  table: AttributeTable<D>,
  options: { flag?: boolean } = {},
): AttributeType<Values<D>> {
  return {
    decode: (source, offset, length, context) => table.decode(source, offset, offset + length, context.header),
    encode(writer, value, name, context) {
      if (typeof value !== 'object' || value === null) throw typeError(name, 'an object of attributes', value)
      table.encode(writer, value, context.header)
    },
    nested: () => ({ table: table as unknown as AnyTable, skip: 0 }),
    nestedFlag: options.flag === true,
  }
}

/** A table without attributes: whatever is read with it is unknown, and kept. */
export const unknownTable = attributes({}) as unknown as AnyTable

/** Attributes whose table depends on what stands beside them, as IFLA_INFO_DATA's on IFLA_INFO_KIND. */
export function dependent(
  choose: (context: Context) => AnyTable | undefined,
): AttributeType<Record<string, unknown> | Uint8Array> {
  const tableFor = (context: Context) => choose(context) ?? unknownTable
  return {
    decode(source, offset, length, context) {
      const table = tableFor(context)
      if (table !== unknownTable) return table.decode(source, offset, offset + length, context.header)
      try {
        return table.decode(source, offset, offset + length, context.header)
      } catch (error) {
        // Nobody said that an unknown kind's data is made of attributes.
        if (error instanceof Malformed) return copyOf(source.bytes, offset, offset + length)
        throw error
      }
    },
    encode(writer, value, name, context) {
      if (value instanceof Uint8Array) writer.append(value)
      else if (typeof value === 'object' && value !== null) {
        tableFor(context).encode(writer, value as Values<Definition>, context.header)
      } else throw typeError(name, 'an object of attributes or a Uint8Array', value)
    },
    nested: (context) => ({ table: tableFor(context), skip: 0 }),
  }
}

/** Calls back with the type (flags included), payload offset and payload length of each attribute. */
export function forEachAttribute(
  source: Source,
  start: number,
  end: number,
  each: (type: number, offset: number, length: number) => void,
): void {
  let offset = start
  while (offset < end) {
    const left = end - offset
    if (left < 4) throw new Malformed(`ends with ${left} bytes that are no attribute`)
    const length = source.view.getUint16(offset, LITTLE_ENDIAN)
    const type = source.view.getUint16(offset + 2, LITTLE_ENDIAN)
    if (length < 4)
      throw new Malformed(`holds attribute ${type & NLA_TYPE_MASK} with an impossible length of ${length}`)
    if (length > left) {
      throw new Malformed(`holds attribute ${type & NLA_TYPE_MASK} that claims ${length} bytes where ${left} are left`)
    }
    each(type, offset + 4, length - 4)
    // The last attribute's padding may be missing.
    offset += align4(length)
  }
}

function writeAttribute<T>(
  writer: Writer,
  number: number,
  type: AttributeType<T>,
  value: T,
  name: string,
  context: Context,
): void {
  const start = writer.reserve(4)
  type.encode(writer, value, name, context)
  const length = writer.length - start
  if (length > 0xffff)
    throw valueError(name, `${length - 4} bytes`, 'is longer than the 65,531 bytes that an attribute can hold')
  writer.view.setUint16(start, length, LITTLE_ENDIAN)
  writer.view.setUint16(start + 2, number, LITTLE_ENDIAN)
  writer.align()
}

/** The keys of unknown attributes. They are few: putting one together anew each time costs more than reading the attribute. */
const unknownKeys = new Map<number, string>()

function unknownKey(type: number): string {
  let key = unknownKeys.get(type)
  if (key === undefined) {
    key = `#${type}`
    unknownKeys.set(type, key)
  }
  return key
}

/** The number in an unknown attribute's key. */
function unknownNumber(key: string): number {
  const number = /^#\d{1,5}$/.test(key) ? Number(key.slice(1)) : Number.NaN
  if (!(number <= 0xffff))
    throw valueError('attribute', key, "is not known; an attribute without a name is written '#' and its number")
  return number
}

function arrayOf(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw typeError(name, 'an array', value)
  return value
}
