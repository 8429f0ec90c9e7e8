/** Netlink messages: the common header, walking a buffer of them, and definitions that join a header with a table. */
import type { Context } from './attribute.js'
import { Malformed } from './attribute.js'
import { align4, LITTLE_ENDIAN, type Source, Writer } from './bytes.js'
import { headerConstants } from './header-words.js'
import { lazyAttributes } from './lazy.js'
import type { Struct, StructOf } from './struct.js'
import { type AnyTable, type AttributesOf, forEachAttribute, NLA_TYPE_MASK } from './table.js'

/** Numbers of linux/netlink.h. */
export const netlinkConstants = headerConstants({
  NETLINK_ROUTE: 0,
  NETLINK_SOCK_DIAG: 4,
  NETLINK_NETFILTER: 12,
  NETLINK_GENERIC: 16,
  NLM_F_REQUEST: 0x01,
  NLM_F_MULTI: 0x02,
  NLM_F_ACK: 0x04,
  NLM_F_ECHO: 0x08,
  NLM_F_DUMP_INTR: 0x10,
  NLM_F_DUMP_FILTERED: 0x20,
  NLM_F_DUMP: 0x300,
  NLM_F_REPLACE: 0x100,
  NLM_F_EXCL: 0x200,
  NLM_F_CREATE: 0x400,
  NLM_F_APPEND: 0x800,
  NLM_F_BULK: 0x200,
  NLM_F_CAPPED: 0x100,
  NLM_F_ACK_TLVS: 0x200,
  NLMSG_NOOP: 1,
  NLMSG_ERROR: 2,
  NLMSG_DONE: 3,
  NLMSG_OVERRUN: 4,
  SOL_NETLINK: 270,
  NETLINK_ADD_MEMBERSHIP: 1,
  NETLINK_DROP_MEMBERSHIP: 2,
  NETLINK_CAP_ACK: 10,
  NETLINK_EXT_ACK: 11,
  NETLINK_GET_STRICT_CHK: 12,
})

/** The size of struct nlmsghdr. */
export const HEADER_SIZE = 16

/** A message as it lies in a buffer: the parts of struct nlmsghdr, and where its payload is. */
export interface Message {
  source: Source
  type: number
  flags: number
  sequence: number
  /** The payload's first byte, and the byte after its last. */
  start: number
  end: number
}

/** The message at an offset of a buffer, of which `length` bytes count. Throws Malformed when a length lies. */
export function messageAt(source: Source, offset: number, length: number): Message {
  const { view } = source
  const left = length - offset
  if (left < HEADER_SIZE) throw new Malformed(`ends with ${left} bytes that are no netlink message`)
  const size = view.getUint32(offset, LITTLE_ENDIAN)
  if (size < HEADER_SIZE || size > left) {
    throw new Malformed(`holds a netlink message that claims ${size} bytes where ${left} are left`)
  }
  return {
    source,
    type: view.getUint16(offset + 4, LITTLE_ENDIAN),
    flags: view.getUint16(offset + 6, LITTLE_ENDIAN),
    sequence: view.getUint32(offset + 8, LITTLE_ENDIAN),
    start: offset + HEADER_SIZE,
    end: offset + size,
  }
}

/** Calls back with each message of a buffer. Throws Malformed when a length lies. */
export function forEachMessage(source: Source, length: number, each: (message: Message) => void): void {
  for (let offset = 0; offset < length; ) {
    const message = messageAt(source, offset, length)
    each(message)
    offset = align4(message.end)
  }
}

/** A decoded message: the members of its fixed header, and its attributes. */
export interface Decoded<S, T> {
  header: StructOf<S>
  attributes: AttributesOf<T>
}

// Requests are built one at a time, synchronously: one buffer serves them all.
const scratch = new Writer(16_384)

/** A family of messages that share a header and a table of attributes, as RTM_NEWLINK, RTM_DELLINK and RTM_GETLINK do. */
export class MessageDefinition<S extends Struct, T extends AnyTable> {
  constructor(
    readonly header: S,
    readonly table: T,
  ) {
    allDefinitions.push(this)
  }

  /** Reads a message's payload. Throws Malformed. */
  decode(message: Message): Decoded<S, T> {
    const { source, start, end } = message
    const header = this.header.decode(source, start, end - start)
    const first = Math.min(end, start + align4(this.header.size))
    const attributes = this.table.decode(source, first, end, header as Context['header'])
    return { header: header as StructOf<S>, attributes: attributes as AttributesOf<T> }
  }

  /** The same attributes, each read when it is asked for, at its first use: what most of them say is of no interest to most. */
  decodeLazily({ source, start, end }: Message): Readonly<AttributesOf<T>> {
    const header = this.header.decode(source, start, end - start)
    const first = Math.min(end, start + align4(this.header.size))
    return lazyAttributes(this.table, source, first, end, header as Context['header'])
  }

  /** The bytes of a request. Its sequence number is filled in when it is sent. */
  encode(type: number, flags: number, header: Partial<StructOf<S>>, attributes: AttributesOf<T>): Uint8Array {
    scratch.length = 0
    this.write(scratch, type, flags, header, attributes)
    return scratch.take()
  }

  /** Appends a request to what was written before. */
  write(writer: Writer, type: number, flags: number, header: Partial<StructOf<S>>, attributes: AttributesOf<T>): void {
    const start = writer.reserve(HEADER_SIZE)
    this.header.encode(writer, header)
    writer.align()
    this.table.encode(writer, attributes as never, header as Context['header'])
    writer.view.setUint32(start, writer.length - start, LITTLE_ENDIAN)
    writer.view.setUint16(start + 4, type, LITTLE_ENDIAN)
    writer.view.setUint16(start + 6, flags | netlinkConstants.NLM_F_REQUEST, LITTLE_ENDIAN)
  }

  /** The attribute at a byte offset of a request: what an extended acknowledgement's NLMSGERR_ATTR_OFFS points at. */
  attributeAt(request: Source, offset: number): Place {
    const header = this.header.decode(request, HEADER_SIZE, request.bytes.length - HEADER_SIZE)
    const first = HEADER_SIZE + align4(this.header.size)
    try {
      return placeOf(this.table, request, first, request.bytes.length, offset, header as Context['header'])
    } catch (error) {
      // Only a request that a caller put together from raw bytes can be malformed.
      if (error instanceof Malformed) return { path: [], contents: undefined }
      throw error
    }
  }
}

/** Where in a request an offset is. */
export interface Place {
  /** The attribute's kernel name after those of what it is in, outermost first; empty when the offset is in no attribute. */
  path: string[]
  /** The table of the attributes in it, when it has any. */
  contents: AnyTable | undefined
}

// biome-ignore lint/suspicious/noExplicitAny: any definition
export type AnyDefinition = MessageDefinition<any, any>

/** Every definition made, for the test that looks whether all of them are fuzzed. */
export const allDefinitions: AnyDefinition[] = []

function placeOf(
  table: AnyTable,
  source: Source,
  start: number,
  end: number,
  target: number,
  header: Context['header'],
): Place {
  let place: Place = { path: [], contents: undefined }
  forEachAttribute(source, start, end, (type, offset, length) => {
    if (target < offset - 4 || target >= offset + length) return
    const attribute = table.attribute(type)
    const name = attribute?.name ?? `attribute ${type & NLA_TYPE_MASK}`
    place.path.push(name)
    if (attribute?.type.nested === undefined) return
    // What stands before this attribute may decide which table its contents have.
    const siblings = table.decode(source, start, offset - 4, header)
    const inner = attribute.type.nested({ header, siblings })
    if (inner === undefined) return
    place.contents = inner.table
    // The attribute's own header is the attribute.
    if (target < offset) return
    const { path, contents } = placeOf(inner.table, source, offset + inner.skip, offset + length, target, header)
    if (path.length > 0) place = { path: [name, ...path], contents }
  })
  return place
}
