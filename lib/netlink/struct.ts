/**
 * C structs of the kernel's headers, described once: the layout, the decoder, the encoder and the TypeScript type all come
 * from a table of fields. The layout follows C's rules of natural alignment; a test compiles it against the headers.
 */
import { checkInteger, rangeError, typeError } from '../validate.js'
import { copyOf, LITTLE_ENDIAN, type Source, type Writer } from './bytes.js'

/** A type that a struct's field may have. */
export interface FieldType<T> {
  readonly size: number
  readonly alignment: number
  /** What a field is that lies beyond the end of a shorter struct. */
  readonly absent: T
  read(source: Source, offset: number): T
  write(writer: Writer, offset: number, value: T, name: string): void
}

function integer(
  size: number,
  signed: boolean,
  read: (view: DataView, offset: number) => number,
  write: (view: DataView, offset: number, value: number) => void,
): FieldType<number> {
  const minimum = signed ? -(2 ** (8 * size - 1)) : 0
  const maximum = 2 ** (8 * size - (signed ? 1 : 0)) - 1
  return {
    size,
    alignment: size,
    absent: 0,
    read: (source, offset) => read(source.view, offset),
    write(writer, offset, value, name) {
      checkInteger(value, name, minimum, maximum)
      write(writer.view, offset, value)
    },
  }
}

const LE = LITTLE_ENDIAN

export const u8 = integer(
  1,
  false,
  (view, offset) => view.getUint8(offset),
  (view, offset, value) => view.setUint8(offset, value),
)
export const u16 = integer(
  2,
  false,
  (view, offset) => view.getUint16(offset, LE),
  (view, offset, value) => view.setUint16(offset, value, LE),
)
export const u32 = integer(
  4,
  false,
  (view, offset) => view.getUint32(offset, LE),
  (view, offset, value) => view.setUint32(offset, value, LE),
)
export const s16 = integer(
  2,
  true,
  (view, offset) => view.getInt16(offset, LE),
  (view, offset, value) => view.setInt16(offset, value, LE),
)
export const s32 = integer(
  4,
  true,
  (view, offset) => view.getInt32(offset, LE),
  (view, offset, value) => view.setInt32(offset, value, LE),
)
/** An unsigned 16-bit integer in network byte order. */
export const be16 = integer(
  2,
  false,
  (view, offset) => view.getUint16(offset, false),
  (view, offset, value) => view.setUint16(offset, value, false),
)
/** An unsigned 32-bit integer in network byte order. */
export const be32 = integer(
  4,
  false,
  (view, offset) => view.getUint32(offset, false),
  (view, offset, value) => view.setUint32(offset, value, false),
)

/** An unsigned 64-bit integer, exact. */
export const u64: FieldType<bigint> = {
  size: 8,
  alignment: 8,
  absent: 0n,
  read: (source, offset) => source.view.getBigUint64(offset, LE),
  write(writer, offset, value, name) {
    if (typeof value !== 'bigint') throw typeError(name, 'a bigint', value)
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw rangeError(name, 0n, 0xffff_ffff_ffff_ffffn, value)
    writer.view.setBigUint64(offset, value, LE)
  },
}

/** The same in network byte order. */
export const be64: FieldType<bigint> = {
  ...u64,
  read: (source, offset) => source.view.getBigUint64(offset, false),
  write(writer, offset, value, name) {
    u64.write(writer, offset, value, name)
    writer.view.setBigUint64(offset, value, false)
  },
}

/** An unsigned 64-bit counter as a number, exact up to 2^53. */
export const counter64: FieldType<number> = {
  size: 8,
  alignment: 8,
  absent: 0,
  read(source, offset) {
    const low = source.view.getUint32(LE ? offset : offset + 4, LE)
    const high = source.view.getUint32(LE ? offset + 4 : offset, LE)
    return high * 0x1_0000_0000 + low
  },
  write(writer, offset, value, name) {
    checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER)
    writer.view.setBigUint64(offset, BigInt(value), LE)
  },
}

/** A signed 64-bit integer as a number, exact up to 2^53. */
export const s64: FieldType<number> = {
  size: 8,
  alignment: 8,
  absent: 0,
  read: (source, offset) => Number(source.view.getBigInt64(offset, LE)),
  write(writer, offset, value, name) {
    checkInteger(value, name, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    writer.view.setBigInt64(offset, BigInt(value), LE)
  },
}

/** A fixed number of octets. */
export function octets(size: number): FieldType<Uint8Array> {
  return {
    size,
    alignment: 1,
    absent: Buffer.alloc(size),
    read: (source, offset) => copyOf(source.bytes, offset, offset + size),
    write(writer, offset, value, name) {
      if (!(value instanceof Uint8Array) || value.length !== size) throw typeError(name, `${size} octets`, value)
      writer.bytes.set(value, offset)
    },
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a table's fields have any type; StructOf gives each its own back
type Fields = Record<string, readonly [name: string, type: FieldType<any>]>

/** The value of a struct, inferred from its table. */
export type StructOf<S> =
  S extends Struct<infer F> ? { [K in keyof F]: F[K][1] extends FieldType<infer T> ? T : never } : never

export interface PlacedField {
  key: string
  /** The member's name in C. */
  name: string
  offset: number
  // biome-ignore lint/suspicious/noExplicitAny: as above
  type: FieldType<any>
}

export class Struct<F extends Fields = Fields> {
  readonly fields: readonly PlacedField[]
  /** sizeof the struct, with C's padding at its end. */
  readonly size: number
  readonly alignment: number
  /** All members as they are in a struct that has none. */
  readonly #absent: Readonly<Record<string, unknown>>

  /** `name` is the struct's name in C; `table` maps our names to [the member's name in C, its type], in the order of C. */
  constructor(
    readonly name: string,
    table: F,
  ) {
    let offset = 0
    let alignment = 1
    this.fields = Object.entries(table).map(([key, [member, type]]) => {
      offset = Math.ceil(offset / type.alignment) * type.alignment
      alignment = Math.max(alignment, type.alignment)
      const field = { key, name: member, offset, type }
      offset += type.size
      return field
    })
    this.size = Math.ceil(offset / alignment) * alignment
    this.alignment = alignment
    this.#absent = Object.fromEntries(this.fields.map(({ key, type }) => [key, type.absent]))
    allStructs.push(this as unknown as Struct)
  }

  /**
   * Reads the struct from `length` bytes at `offset`. An older kernel's shorter struct gives zeros for what it lacks, a newer
   * one's longer struct is read as far as this one goes.
   */
  decode(source: Source, offset: number, length: number): StructOf<Struct<F>> {
    // A copy of one that has all members is made faster than one to which they are added.
    const value: Record<string, unknown> = { ...this.#absent }
    for (const field of this.fields) {
      if (field.offset + field.type.size <= length) value[field.key] = field.type.read(source, offset + field.offset)
    }
    return value as StructOf<Struct<F>>
  }

  /** Appends the struct; members that are not given are zero. */
  encode(writer: Writer, value: Partial<StructOf<Struct<F>>>): void {
    this.write(writer, writer.reserve(this.size), value)
  }

  /** Writes the struct's members to zeroed bytes at `start`. */
  write(writer: Writer, start: number, value: Partial<StructOf<Struct<F>>>): void {
    const given = value as Record<string, unknown>
    for (const field of this.fields) {
      const member = given[field.key]
      if (member !== undefined) field.type.write(writer, start + field.offset, member, `${this.name}.${field.name}`)
    }
  }
}

/** A struct as a member of another. */
export function member<S extends Struct>(struct: S): FieldType<StructOf<S>> {
  return {
    size: struct.size,
    alignment: struct.alignment,
    absent: struct.decode({ bytes: new Uint8Array(0), view: new DataView(new ArrayBuffer(0)) }, 0, 0) as StructOf<S>,
    read: (source, offset) => struct.decode(source, offset, struct.size) as StructOf<S>,
    write: (writer, offset, value) => struct.write(writer, offset, value as Parameters<S['encode']>[1]),
  }
}

/** Every struct described, for the test that compiles them against the kernel's headers. */
export const allStructs: Struct[] = []
