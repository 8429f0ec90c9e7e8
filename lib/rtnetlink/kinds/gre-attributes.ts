/**
 * What the kinds of GRE share (RFC 2784, RFC 2890; ip-link(8), "GRE, IPIP, SIT Type Support" and its like; linux/if_tunnel.h,
 * IFLA_GRE_…): gre, gretap and erspan over IPv4; ip6gre, ip6gretap and ip6erspan over IPv6.
 */
import {
  attributeBe16,
  attributeBe32,
  attributeU8,
  attributeU16,
  attributeU32,
  boolean8,
  words,
} from '../../netlink/attribute.js'
import { convertedAttributes, type Loose } from '../../netlink/converted.js'
import { headerWords } from '../../netlink/header-words.js'
import { checkBoolean, valueError } from '../../validate.js'
import type { LinkReference } from '../link-options.js'
import {
  checkAtMost,
  encapsulationWire,
  type Ipv4TunnelOptions,
  type Ipv6TunnelOptions,
  inheritedTtl,
  ipv4,
  ipv6,
  ipv6FromAttributes,
  ipv6Keys,
  ipv6ToAttributes,
  isIpv6AsAsked,
  presence,
  type StateOf,
  tunnelKind,
  typeOfService,
  withoutFalse,
} from './tunnel-attributes.js'

/** Bits of a GRE header's first 16. */
const greBits = headerWords(
  '',
  { checksum: 0x8000, key: 0x2000, sequence: 0x1000 },
  { checksum: '__be16_to_cpu(GRE_CSUM)', key: '__be16_to_cpu(GRE_KEY)', sequence: '__be16_to_cpu(GRE_SEQ)' },
)

const both = {
  device: [1, 'IFLA_GRE_LINK', attributeU32],
  inputFlags: [2, 'IFLA_GRE_IFLAGS', attributeBe16],
  outputFlags: [3, 'IFLA_GRE_OFLAGS', attributeBe16],
  inputKey: [4, 'IFLA_GRE_IKEY', attributeBe32],
  outputKey: [5, 'IFLA_GRE_OKEY', attributeBe32],
  ttl: [8, 'IFLA_GRE_TTL', inheritedTtl],
  ...encapsulationWire('IFLA_GRE', 14),
  external: [18, 'IFLA_GRE_COLLECT_METADATA', presence],
  fwmark: [20, 'IFLA_GRE_FWMARK', attributeU32],
  erspanIndex: [21, 'IFLA_GRE_ERSPAN_INDEX', attributeU32],
  erspanVersion: [22, 'IFLA_GRE_ERSPAN_VER', attributeU8],
  erspanDirection: [23, 'IFLA_GRE_ERSPAN_DIR', words(attributeU8, { ingress: 0, egress: 1 })],
  erspanHardwareId: [24, 'IFLA_GRE_ERSPAN_HWID', attributeU16],
} as const

const wire4 = {
  ...both,
  local: [6, 'IFLA_GRE_LOCAL', ipv4],
  remote: [7, 'IFLA_GRE_REMOTE', ipv4],
  tos: [9, 'IFLA_GRE_TOS', typeOfService],
  pmtuDiscovery: [10, 'IFLA_GRE_PMTUDISC', boolean8],
  ignoreDf: [19, 'IFLA_GRE_IGNORE_DF', boolean8],
} as const

const wire6 = {
  ...both,
  local: [6, 'IFLA_GRE_LOCAL', ipv6],
  remote: [7, 'IFLA_GRE_REMOTE', ipv6],
  encapsulationLimit: [11, 'IFLA_GRE_ENCAP_LIMIT', attributeU8],
  flowInformation: [12, 'IFLA_GRE_FLOWINFO', attributeBe32],
  flags: [13, 'IFLA_GRE_FLAGS', attributeU32],
} as const

/** What a GRE header carries. A change of one of these leaves the others. */
export interface GreHeaderOptions {
  /** The link under this one, which packets leave through: a Link, its name or index; null for none. Read back as its index. */
  device?: LinkReference | null
  /** The key that packets must have on coming in, a number of 32 bits; null for none, the default. */
  inputKey?: number | null
  /** The key that packets get on going out; null for none, the default. */
  outputKey?: number | null
  /** Both keys. Not read back. */
  key?: number | null
  /** Packets must have a sequence number on coming in, or are dropped when late. Default: false. */
  inputSequence?: boolean
  /** Packets get a sequence number on going out. Default: false. */
  outputSequence?: boolean
  /** Both of them. Not read back. */
  sequence?: boolean
  /** Packets must have a checksum on coming in. Default: false. */
  inputChecksum?: boolean
  /** Packets get a checksum on going out. Default: false. */
  outputChecksum?: boolean
  /** Both of them. Not read back. */
  checksum?: boolean
}

/** Options of gre and gretap. */
export interface GreOptions extends GreHeaderOptions, Ipv4TunnelOptions {
  /** Fragment the outer packet even when the inner one's DF bit is set; needs `pmtuDiscovery: false`. Default: false. */
  ignoreDf?: boolean
}

/** Options of ip6gre and ip6gretap. */
export interface Ip6GreOptions extends GreHeaderOptions, Ipv6TunnelOptions {}

/** A mirror session's header, in erspan and ip6erspan. */
export interface ErspanHeaderOptions {
  /** 1 for type II, 2 for type III; 0 for type I, without a header, of erspan (kernel 5.8). Default: 1. */
  erspanVersion?: 0 | 1 | 2
  /** The port that was mirrored, 20 bits, of version 1. Default: 0. */
  erspanIndex?: number
  /** Which way the mirrored frames went, of version 2. Default: 'ingress'. */
  erspanDirection?: 'ingress' | 'egress' | number
  /** The device that mirrored, 6 bits, of version 2. Default: 0. */
  erspanHardwareId?: number
}

type Short = 'key' | 'sequence' | 'checksum'
/** What is read of the kinds of GRE. */
export type GreState<O extends GreHeaderOptions> = Omit<StateOf<O>, Short | 'inputKey' | 'outputKey'> & {
  inputKey?: number
  outputKey?: number
}

const pairs = {
  key: ['inputKey', 'outputKey'],
  sequence: ['inputSequence', 'outputSequence'],
  checksum: ['inputChecksum', 'outputChecksum'],
} as const

const headerKeys = Object.entries(pairs).flatMap(([short, long]) => [short, ...long])

/** Options with those of each direction in place of those of both; what is said of one direction goes first. */
function eachWay(options: Loose): Loose {
  const long = { ...options }
  for (const [short, directions] of Object.entries(pairs)) {
    const value = options[short]
    delete long[short]
    if (value !== undefined) for (const key of directions) long[key] ??= value
  }
  return long
}

function headerToAttributes(options: Loose, path: string): Loose {
  const rest = eachWay(options)
  for (const direction of ['input', 'output'] as const) {
    const said = [`${direction}Key`, `${direction}Sequence`, `${direction}Checksum`] as const
    if (said.every((name) => rest[name] === undefined)) continue
    const [key, sequence, checksum] = said.map((name) => rest[name])
    for (const [i, value] of [sequence, checksum].entries()) {
      if (value !== undefined) checkBoolean(value, `${path}.${said[i + 1]}`)
    }
    for (const name of said) delete rest[name]
    const hasKey = key !== undefined && key !== null
    if (hasKey) rest[said[0]] = key
    rest[`${direction}Flags`] =
      (hasKey ? greBits.key : 0) +
      (sequence === true ? greBits.sequence : 0) +
      (checksum === true ? greBits.checksum : 0)
  }
  return rest
}

function headerFromAttributes(attributes: Loose): Loose {
  const { inputFlags, outputFlags, inputKey, outputKey, ...rest } = withoutFalse(attributes, ['external'])
  const ways = [
    ['input', inputFlags, inputKey],
    ['output', outputFlags, outputKey],
  ] as const
  for (const [direction, flags, key] of ways) {
    if (typeof flags !== 'number') continue
    // Without the flag there is a zero where the key would be.
    if ((flags & greBits.key) !== 0) rest[`${direction}Key`] = key ?? 0
    rest[`${direction}Sequence`] = (flags & greBits.sequence) !== 0
    rest[`${direction}Checksum`] = (flags & greBits.checksum) !== 0
  }
  return rest
}

const optionKeys = (wire: object, ...more: string[]) => [
  ...Object.keys(wire).filter((key) => !/Flags$|^flags$|^flowInformation$/.test(key) || key === 'encapsulationFlags'),
  ...headerKeys.filter((key) => !(key in wire)),
  ...more,
]

const to4 = (options: Loose, path: string) => headerToAttributes(withoutFalse(options, ['external']), path)
const to6 = (options: Loose, path: string) =>
  headerToAttributes(ipv6ToAttributes(withoutFalse(options, ['external']), path), path)
const from6 = (attributes: Loose) => headerFromAttributes(ipv6FromAttributes(attributes))

export const greAttributes = convertedAttributes(wire4, {
  keys: optionKeys(wire4),
  write: to4,
  read: headerFromAttributes,
})

export const ip6greAttributes = convertedAttributes(wire6, {
  keys: optionKeys(wire6, ...ipv6Keys),
  write: to6,
  read: from6,
})

/** Options that only mirror sessions have. */
export const erspanKeys = ['erspanIndex', 'erspanVersion', 'erspanDirection', 'erspanHardwareId'] as const

/** Compares what is said of both directions, and what reads otherwise than it is written. */
function isAsAsked(key: string, wanted: unknown, known: Readonly<Loose>): boolean | undefined {
  if (key === 'external') return (known.external ?? false) === wanted
  if (!headerKeys.includes(key)) return isIpv6AsAsked(key, wanted, known)
  const names = key in pairs ? pairs[key as Short] : [key]
  return names.every((name) => (known[name] ?? null) === wanted)
}

/** What is said of every kind of GRE. */
export const greKind = {
  ...tunnelKind,
  isAsAsked,
  merge: (known: Loose, changes: Loose): Loose => ({ ...known, ...eachWay(changes) }),
  check(options: Readonly<Loose>, path: string, creating: boolean): void {
    checkAtMost(options, path, { erspanIndex: 0xf_ffff, erspanVersion: 2, erspanHardwareId: 0x3f })
    if (creating && options.ignoreDf === true && options.pmtuDiscovery !== false)
      throw valueError(`${path}.ignoreDf`, true, 'needs pmtuDiscovery: false beside it')
  },
}

/** And of mirror sessions: the kernel refuses a key without sequence numbers, so who gives a key need not ask for them. */
export const erspanKind = {
  ...greKind,
  complete: (options: Readonly<Loose>): Loose =>
    ['key', 'inputKey', 'outputKey'].some((key) => options[key] !== undefined && options[key] !== null)
      ? { sequence: true, ...options }
      : { ...options },
}
