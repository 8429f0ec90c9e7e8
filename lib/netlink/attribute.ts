/**
 * The types that netlink attributes have: how each is read from bytes and written to them. Which attribute has which type is
 * said in tables (table.ts). Reading accepts payloads longer than the type (a newer kernel's) and refuses shorter ones.
 */
import { checkBoolean, checkString, rangeError, typeError, valueError } from '../validate.js'
import { formatIp, parseIp } from '../values/ip.js'
import { formatMac, parseMac } from '../values/mac.js'
import { copyOf, type Source, type Writer } from './bytes.js'
import { be16, be32, be64, type FieldType, type Struct, type StructOf, s32, u8, u16, u32, u64 } from './struct.js'
import type { AnyTable } from './table.js'

/** What is known about a message when one of its attributes is read or written. */
export interface Context {
  /** The message's fixed header, decoded. */
  readonly header: Readonly<Record<string, unknown>>
  /** The attributes beside this one that came before it. */
  readonly siblings: Readonly<Record<string, unknown>>
}

export interface AttributeType<T> {
  /** Reads a value from `length` bytes at `offset`. */
  decode(source: Source, offset: number, length: number, context: Context): T
  /** Appends a value; `name` is the attribute's name for errors. */
  encode(writer: Writer, value: T, name: string, context: Context): void
  /** The attribute holds attributes itself: their table and where they start, for naming what an offset points at. */
  nested?(context: Context): { table: AnyTable; skip: number } | undefined
  /** Occurs several times; the value is an array. */
  readonly repeated?: boolean
  /** Written with the flag NLA_F_NESTED, which strictly checked messages ask for. */
  readonly nestedFlag?: boolean
}

/** Thrown inside a decoder; the table adds the attribute's name. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
  readonly path: string[] = []
}

export function needs(bytes: number, length: number): void {
  if (length < bytes) throw new Malformed(`has ${length} bytes where ${bytes} are needed`)
}

/** An attribute type from a struct field's type. */
function scalar<T>(field: FieldType<T>): AttributeType<T> {
  return {
    decode(source, offset, length) {
      needs(field.size, length)
      return field.read(source, offset)
    },
    encode(writer, value, name) {
      field.write(writer, writer.reserve(field.size), value, name)
    },
  }
}

export const attributeU8 = scalar(u8)
export const attributeU16 = scalar(u16)
export const attributeU32 = scalar(u32)
export const attributeS32 = scalar(s32)
export const attributeU64 = scalar(u64)
export const attributeBe16 = scalar(be16)
export const attributeBe32 = scalar(be32)
export const attributeBe64 = scalar(be64)

/** A value that is another type's on the wire. */
export function mapped<W, T>(
  wire: AttributeType<W>,
  from: (value: W) => T,
  to: (value: T, name: string) => W,
): AttributeType<T> {
  return {
    decode: (source, offset, length, context) => from(wire.decode(source, offset, length, context)),
    encode: (writer, value, name, context) => wire.encode(writer, to(value, name), name, context),
  }
}

function truth(wire: AttributeType<number>): AttributeType<boolean> {
  return mapped(
    wire,
    (value) => value !== 0,
    (value, name) => {
      checkBoolean(value, name)
      return value ? 1 : 0
    },
  )
}

export const boolean8 = truth(attributeU8)
export const boolean32 = truth(attributeU32)

/** Milliseconds; on the wire hundredths of a second (clock_t at USER_HZ 100, as in the bridge's and neighbors' timers). */
export function clockTicks<W extends number | bigint>(wire: AttributeType<W>, wide: boolean): AttributeType<number> {
  const most = wide ? Number.MAX_SAFE_INTEGER : 0xffff_ffff * 10
  return mapped(
    wire,
    (value) => Number(value) * 10,
    (value, name) => {
      if (typeof value !== 'number' || !Number.isFinite(value)) throw typeError(name, 'a number of milliseconds', value)
      if (value < 0 || value > most) throw rangeError(name, 0, most, value)
      if (value % 10 !== 0) throw valueError(name, value, 'must be a multiple of 10 milliseconds')
      return (wide ? BigInt(value / 10) : value / 10) as W
    },
  )
}

export const clock32 = clockTicks(attributeU32, false)
export const clock64 = clockTicks(attributeU64, true)

/** One of a list of words; on the wire the word's number. Numbers without a word are kept as numbers. */
export function words<const M extends Readonly<Record<string, number>>>(
  wire: AttributeType<number>,
  map: M,
): AttributeType<(keyof M & string) | number> {
  const byNumber = new Map(Object.entries(map).map(([word, number]) => [number, word]))
  return mapped(
    wire,
    (value) => (byNumber.get(value) as (keyof M & string) | undefined) ?? value,
    (value, name) => {
      if (typeof value === 'number') return value
      checkString(value, name)
      const number = Object.hasOwn(map, value) ? map[value] : undefined
      if (number === undefined)
        throw valueError(name, value, `expected one of ${Object.keys(map).join(', ')}, or a number`)
      return number
    },
  )
}

/** A flag without payload: present is true. */
export const flag: AttributeType<true> = {
  decode: () => true,
  encode: () => {},
}

// A name may begin with what a document's byte order mark is.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const encoder = new TextEncoder()

/** A string with a NUL at its end (NLA_NUL_STRING); one without is read too. */
export const text: AttributeType<string> = {
  decode(source, offset, length) {
    let end = offset
    while (end < offset + length && source.bytes[end] !== 0) end++
    return decodeText(source.bytes, offset, end)
  },
  encode(writer, value, name) {
    writeText(writer, value, name)
    writer.reserve(1)
  },
}

/** A string sent without a NUL, where the kernel counts it among the bytes that it takes (NLA_STRING with a limit). */
export const bareText: AttributeType<string> = { decode: text.decode, encode: writeText }

/** Names are short and ASCII nearly always: a loop beats TextDecoder's call by far. */
function decodeText(bytes: Uint8Array, start: number, end: number): string {
  let ascii = ''
  for (let i = start; i < end; i++) {
    const code = bytes[i] ?? 0
    if (code > 127) return decoder.decode(bytes.subarray(start, end))
    ascii += String.fromCharCode(code)
  }
  return ascii
}

function writeText(writer: Writer, value: string, name: string): void {
  checkString(value, name)
  if (value.includes('\0')) throw valueError(name, value, 'has a NUL character')
  // At most three bytes of UTF-8 a UTF-16 unit; what is too much is given back.
  const start = writer.reserve(3 * value.length)
  writer.length = start + encoder.encodeInto(value, writer.bytes.subarray(start)).written
}

/** Octets as they are. */
export const binary: AttributeType<Uint8Array> = {
  decode: (source, offset, length) => copyOf(source.bytes, offset, offset + length),
  encode(writer, value, name) {
    if (!(value instanceof Uint8Array)) throw typeError(name, 'a Uint8Array', value)
    writer.append(value)
  },
}

/** A hardware address of whatever length the link has, as text; empty when it has none. */
export const hardwareAddress: AttributeType<string> = {
  decode: (source, offset, length) => formatMac(source.bytes, offset, length),
  encode(writer, value, name) {
    checkString(value, name)
    // Tunnels have an IP address's octets here, InfiniBand 20: any number of hexadecimal pairs is written back as read.
    const octets = parseMac(value) ?? (/^([0-9a-f]{2}(:[0-9a-f]{2})*)?$/.test(value) ? pairs(value) : undefined)
    if (octets === undefined) throw valueError(name, value, 'is not a hardware address')
    writer.append(octets)
  },
}

function pairs(value: string): Uint8Array {
  return Uint8Array.from(value === '' ? [] : value.split(':'), (pair) => Number.parseInt(pair, 16))
}

/** An IPv4 or IPv6 address, told apart by its length. */
export const ip: AttributeType<string> = {
  decode(source, offset, length) {
    if (length !== 4 && length !== 16) throw new Malformed(`has ${length} bytes where 4 or 16 make an address`)
    return formatIp(source.bytes, offset, length)
  },
  encode(writer, value, name) {
    checkString(value, name)
    const octets = parseIp(value)
    if (octets === undefined) throw valueError(name, value, 'is not an IPv4 or IPv6 address')
    writer.append(octets)
  },
}

/** A C struct as the whole payload. */
export function structure<S extends Struct>(struct: S): AttributeType<StructOf<S>> {
  return {
    decode: (source, offset, length) => struct.decode(source, offset, length) as StructOf<S>,
    encode(writer, value, name) {
      // Bytes would be taken for a struct without members, and become zeros.
      if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value))
        throw typeError(name, 'an object', value)
      struct.encode(writer, value as Parameters<S['encode']>[1])
    },
  }
}

/** An attribute that may occur several times. */
export function repeated<T>(type: AttributeType<T>): AttributeType<T[]> {
  return { ...(type as unknown as AttributeType<T[]>), repeated: true }
}
