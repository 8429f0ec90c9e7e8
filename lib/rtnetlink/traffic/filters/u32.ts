/** u32: looks at any bytes of a packet (tc-u32(8); linux/pkt_cls.h, TCA_U32_…). */
import { type AttributeType, attributeU32, binary, Malformed, structure, text } from '../../../netlink/attribute.js'
import { headerConstants } from '../../../netlink/header-words.js'
import { be16, be32, Struct, type StructOf, s16, s32, u8, u16, u32 } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { checkInteger, checkOptions, typeError, valueError } from '../../../validate.js'
import { AF_INET, checkPrefix } from '../../../values/ip.js'
import { actionList } from '../action.js'
import { formatU32Handle, protocols } from '../filter.js'
import { checkU32Handle } from '../handles.js'
import { checkIpProtocol, type IpProtocol } from '../ip-protocols.js'
import { filterKinds } from '../kinds.js'
import { checkCount } from '../units.js'
import { type WorkPlace, workPlaceFromWire, workPlaceKeys, workPlaceToWire } from './flags.js'

export const u32Key = new Struct('tc_u32_key', {
  mask: ['mask', be32],
  value: ['val', be32],
  offset: ['off', s32],
  offsetMask: ['offmask', s32],
})

export const u32Selector = new Struct('tc_u32_sel', {
  flags: ['flags', u8],
  offsetShift: ['offshift', u8],
  keyCount: ['nkeys', u8],
  offsetMask: ['offmask', be16],
  offset: ['off', u16],
  offsetOffset: ['offoff', s16],
  hashOffset: ['hoff', s16],
  hashMask: ['hmask', be32],
})

export const u32Mark = new Struct('tc_u32_mark', {
  value: ['val', u32],
  mask: ['mask', u32],
  success: ['success', u32],
})

interface Selector extends Omit<StructOf<typeof u32Selector>, 'keyCount'> {
  keys: StructOf<typeof u32Key>[]
}

/** The selector, and its keys after it. */
const selector: AttributeType<Selector> = {
  decode(source, offset, length) {
    const { keyCount, ...rest } = u32Selector.decode(source, offset, length)
    const end = u32Selector.size + keyCount * u32Key.size
    if (end > length) throw new Malformed(`has ${length} bytes where ${keyCount} keys need ${end}`)
    const keys = Array.from({ length: keyCount }, (_, i) =>
      u32Key.decode(source, offset + u32Selector.size + i * u32Key.size, u32Key.size),
    )
    return { ...rest, keys }
  },
  encode(writer, { keys, ...rest }) {
    u32Selector.encode(writer, { ...rest, keyCount: keys.length })
    for (const key of keys) u32Key.encode(writer, key)
  },
}

export const u32Attributes = attributes({
  classId: [1, 'TCA_U32_CLASSID', attributeU32],
  table: [2, 'TCA_U32_HASH', attributeU32],
  link: [3, 'TCA_U32_LINK', attributeU32],
  divisor: [4, 'TCA_U32_DIVISOR', attributeU32],
  selector: [5, 'TCA_U32_SEL', selector],
  police: [6, 'TCA_U32_POLICE', binary],
  actions: [7, 'TCA_U32_ACT', actionList],
  inputLink: [8, 'TCA_U32_INDEV', text],
  counts: [9, 'TCA_U32_PCNT', binary],
  mark: [10, 'TCA_U32_MARK', structure(u32Mark)],
  flags: [11, 'TCA_U32_FLAGS', attributeU32],
  padding: [12, 'TCA_U32_PAD', binary],
})

const { TC_U32_TERMINAL } = headerConstants({ TC_U32_TERMINAL: 1 })

/** 32 bits of a packet, as one number in network byte order. */
export interface U32Key {
  /** What the bits under the mask must be. */
  value: number
  mask: number
  /** Bytes from the beginning of the network header; a multiple of 4. */
  offset: number
  /** With -1, `offset` counts from where an earlier table's link has moved it. Default: 0. */
  offsetMask?: number
}

/** What is looked for in IPv4 or IPv6; which, `protocol` of the filter or the addresses say. */
export interface U32Match {
  /** A network or an address. */
  source?: string
  destination?: string
  /** 'tcp', 'udp', 'icmp' … or a number. */
  protocol?: IpProtocol
  /** Type of service; traffic class of IPv6. */
  tos?: number
  /** Of TCP, UDP …, where the IP header has no options and no extension: u32 looks at fixed places. */
  sourcePort?: number
  destinationPort?: number
}

export interface U32Options extends WorkPlace {
  match?: U32Match
  /** Any other bits. Without these and `match`, everything matches. */
  keys?: readonly U32Key[]
  /** Makes a table of so many places, a power of two, in place of a filter; `handle` is its name: '1:'. */
  divisor?: number
  /** The place that the filter is in: '1:5:'. Default: the kernel's own table, '800:'. */
  table?: string
  /** The table to go on with: '1:'. */
  link?: string
  /** With `link`: which bits choose the place in the table. */
  hashMask?: number
  /** With `link`: where these are, in bytes. */
  hashOffset?: number
  /** The packet's mark. */
  mark?: { value: number; mask: number }
}

const matchKeys = ['source', 'destination', 'protocol', 'tos', 'sourcePort', 'destinationPort']

/** Collects bits by the 32-bit word that they are in. */
class Keys {
  readonly #words = new Map<number, { value: number; mask: number }>()

  /** `bits` at most 32, whose lowest is `shift` above the word's lowest. */
  add(offset: number, shift: number, value: number, mask: number): void {
    const word = this.#words.get(offset) ?? { value: 0, mask: 0 }
    word.value = (word.value | (value << shift)) >>> 0
    word.mask = (word.mask | (mask << shift)) >>> 0
    this.#words.set(offset, word)
  }

  addPrefix(offset: number, octets: Uint8Array, prefixLength: number): void {
    const view = new DataView(octets.buffer, octets.byteOffset)
    for (let at = 0; at < octets.length && at * 8 < prefixLength; at += 4) {
      const bits = Math.min(32, prefixLength - at * 8)
      const mask = bits === 32 ? 0xffff_ffff : (0xffff_ffff << (32 - bits)) >>> 0
      this.add(offset + at, 0, (view.getUint32(at) & mask) >>> 0, mask)
    }
  }

  list(): StructOf<typeof u32Key>[] {
    return [...this.#words].map(([offset, { value, mask }]) => ({ value, mask, offset, offsetMask: 0 }))
  }
}

function keysOfMatch(match: U32Match, name: string, filterProtocol: number | undefined): StructOf<typeof u32Key>[] {
  checkOptions(match, name, matchKeys)
  const prefixOf = (key: 'source' | 'destination') => {
    const value = match[key]
    return value === undefined ? undefined : checkPrefix(value, `${name}.${key}`, true)
  }
  const source = prefixOf('source')
  const destination = prefixOf('destination')
  const said = filterProtocol === protocols.ip ? 4 : filterProtocol === protocols.ipv6 ? 6 : undefined
  const families = [source, destination].flatMap((one) => (one === undefined ? [] : [one.family === AF_INET ? 4 : 6]))
  const version = said ?? families[0]
  if (version === undefined) {
    throw valueError(name, match, "is of IPv4 or IPv6: give the filter's protocol, 'ip' or 'ipv6'")
  }
  if (families.some((family) => family !== version))
    throw valueError(name, match, `has an address that is not of IPv${version}`)
  const keys = new Keys()
  const isFour = version === 4
  if (match.tos !== undefined) keys.add(0, isFour ? 16 : 20, checkCount(match.tos, `${name}.tos`, 0, 255), 0xff)
  if (match.protocol !== undefined) {
    keys.add(isFour ? 8 : 4, isFour ? 16 : 8, checkIpProtocol(match.protocol, `${name}.protocol`), 0xff)
  }
  if (source !== undefined) keys.addPrefix(isFour ? 12 : 8, source.octets, source.prefixLength)
  if (destination !== undefined) keys.addPrefix(isFour ? 16 : 24, destination.octets, destination.prefixLength)
  const ports = isFour ? 20 : 40
  const { sourcePort, destinationPort } = match
  if (sourcePort !== undefined) keys.add(ports, 16, checkCount(sourcePort, `${name}.sourcePort`, 0, 0xffff), 0xffff)
  if (destinationPort !== undefined)
    keys.add(ports, 0, checkCount(destinationPort, `${name}.destinationPort`, 0, 0xffff), 0xffff)
  return keys.list()
}

function checkKey(key: U32Key, name: string): StructOf<typeof u32Key> {
  checkOptions(key, name, ['value', 'mask', 'offset', 'offsetMask'])
  checkInteger(key.offset, `${name}.offset`, -(2 ** 31), 2 ** 31 - 1)
  const { offset, offsetMask = 0 } = key
  checkInteger(offsetMask, `${name}.offsetMask`, -(2 ** 31), 2 ** 31 - 1)
  if (offset % 4 !== 0) throw valueError(`${name}.offset`, offset, 'is not a multiple of 4')
  const mask = checkCount(key.mask, `${name}.mask`)
  return { value: (checkCount(key.value, `${name}.value`) & mask) >>> 0, mask, offset, offsetMask }
}

/** By their place: all of them must hold, so that their order says nothing, and filters can be compared. */
function inOrder(keys: readonly StructOf<typeof u32Key>[]): StructOf<typeof u32Key>[] {
  return [...keys].sort((a, b) => a.offsetMask - b.offsetMask || a.offset - b.offset || a.mask - b.mask)
}

const everything = { value: 0, mask: 0, offset: 0, offsetMask: 0 }

function toWire(options: U32Options, name: string, protocol: number | undefined): AttributesOf<typeof u32Attributes> {
  const { match, keys = [], divisor, mark } = options
  if (divisor !== undefined) {
    for (const key of ['match', 'keys', 'table', 'link', 'mark'] as const) {
      if (options[key] !== undefined)
        throw valueError(`${name}.${key}`, options[key], 'does not go with divisor: that makes a table')
    }
    return { divisor: checkCount(divisor, `${name}.divisor`, 1, 256) }
  }
  if (!Array.isArray(keys)) throw typeError(`${name}.keys`, 'an array', keys)
  const found = [
    ...(match === undefined ? [] : keysOfMatch(match, `${name}.match`, protocol)),
    ...keys.map((key, i) => checkKey(key, `${name}.keys[${i}]`)),
  ]
  if (found.length > 128) throw valueError(`${name}.keys`, keys, 'are more than 128')
  if (mark !== undefined) checkOptions(mark, `${name}.mark`, ['value', 'mask'])
  const { hashMask = 0, hashOffset = 0 } = options
  checkInteger(hashOffset, `${name}.hashOffset`, -32_768, 32_767)
  return {
    table: options.table === undefined ? undefined : checkU32Handle(options.table, `${name}.table`),
    link: options.link === undefined ? undefined : checkU32Handle(options.link, `${name}.link`),
    selector: {
      flags: options.link === undefined ? TC_U32_TERMINAL : 0,
      offsetShift: 0,
      offsetMask: 0,
      offset: 0,
      offsetOffset: 0,
      hashOffset,
      hashMask: checkCount(hashMask, `${name}.hashMask`),
      keys: found.length === 0 ? [everything] : inOrder(found),
    },
    mark:
      mark === undefined
        ? undefined
        : {
            value: checkCount(mark.value, `${name}.mark.value`),
            mask: checkCount(mark.mask, `${name}.mark.mask`),
            success: 0,
          },
    flags: workPlaceToWire(options, name),
  }
}

function fromWire(own: AttributesOf<typeof u32Attributes>): object {
  const { selector: chosen, divisor, table, link, mark, flags } = own
  if (chosen === undefined) return { divisor }
  return {
    keys: inOrder(chosen.keys),
    ...(table === undefined ? {} : { table: formatU32Handle(table) }),
    ...(link === undefined ? {} : { link: formatU32Handle(link) }),
    ...(link === undefined ? {} : { hashMask: chosen.hashMask, hashOffset: chosen.hashOffset }),
    ...(mark === undefined ? {} : { mark: { value: mark.value, mask: mark.mask } }),
    ...workPlaceFromWire(flags),
  }
}

declare module '../filter.js' {
  interface FilterKinds {
    u32: U32Options
  }
}

filterKinds.define({
  kind: 'u32',
  wire: nested(u32Attributes),
  keys: ['match', 'keys', 'divisor', 'table', 'link', 'hashMask', 'hashOffset', 'mark', ...workPlaceKeys],
  toWire: (options: U32Options, name, about) => toWire(options, name, about?.protocol),
  fromWire,
  chosen: ['table'],
  derived: { match: ['keys'] },
})
