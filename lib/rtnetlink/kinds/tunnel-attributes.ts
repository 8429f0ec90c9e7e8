/** Types of attributes that several tunnels share (linux/if_tunnel.h, linux/ip6_tunnel.h), and what their options are made of. */
import {
  type AttributeType,
  attributeBe16,
  attributeU8,
  attributeU16,
  ip,
  Malformed,
  mapped,
  words,
} from '../../netlink/attribute.js'
import type { Loose } from '../../netlink/converted.js'
import { headerWords } from '../../netlink/header-words.js'
import { checkBoolean, checkInteger, checkOptions, typeError, valueError } from '../../validate.js'
import { checkIp } from '../../values/ip.js'
import type { LinkReference } from '../link-options.js'

/** An address of one family; the kernel's attribute has room for no other. */
function ipOf(family: 4 | 6): AttributeType<string> {
  const size = family === 4 ? 4 : 16
  return {
    decode(source, offset, length, context) {
      if (length !== size) throw new Malformed(`has ${length} bytes where ${size} make an IPv${family} address`)
      return ip.decode(source, offset, length, context)
    },
    encode(writer, value, name) {
      const octets = checkIp(value, name)
      if (octets.length !== size) throw valueError(name, value, `is not an IPv${family} address`)
      writer.append(octets)
    },
  }
}

export const ipv4 = ipOf(4)
export const ipv6 = ipOf(6)

/** Time to live of tunnels over IPv4 and IPv6 (gre, ipip, ip6tnl …), where 0 takes the inner packet's. */
export const inheritedTtl = words(attributeU8, { inherit: 0 })

/** Type of service, where the lowest bit takes the inner packet's. */
export const typeOfService = words(attributeU8, { inherit: 1 })

/** Checks numbers against what the kernel takes, where that is less than their attribute has room for. */
export function checkAtMost(options: Readonly<Loose>, path: string, most: Readonly<Record<string, number>>): void {
  for (const [key, maximum] of Object.entries(most)) {
    if (options[key] !== undefined) checkInteger(options[key], `${path}.${key}`, 0, maximum)
  }
}

/** Times in the kernel's whole seconds, as milliseconds. */
export function wholeSeconds(wire: AttributeType<number>): AttributeType<number> {
  return mapped(
    wire,
    (value) => value * 1000,
    (value, name) => {
      checkInteger(value, name, 0, 0xffff_ffff * 1000)
      if (value % 1000 !== 0) throw valueError(name, value, 'must be whole seconds, as a multiple of 1000 milliseconds')
      return value / 1000
    },
  )
}

/**
 * True and false, where the kernel takes an attribute's presence for true. Not every attribute that is written so is read so:
 * one with a payload is read as its payload says. False has to be left out before writing.
 */
export const presence: AttributeType<boolean> = {
  decode: (source, offset, length) => length === 0 || source.bytes[offset] !== 0,
  encode(_writer, value, name) {
    checkBoolean(value, name)
    if (!value) throw valueError(name, value, 'cannot be written')
  },
}

/** Bits of one number, as an object of true and false. Bits without a name are not shown. */
export function bits<const M extends Readonly<Record<string, number>>>(
  wire: AttributeType<number>,
  map: M,
): AttributeType<{ [K in keyof M]?: boolean }> {
  return mapped(
    wire,
    (value) =>
      Object.fromEntries(Object.entries(map).map(([word, bit]) => [word, (value & bit) !== 0])) as {
        [K in keyof M]: boolean
      },
    (wanted, name) => {
      checkOptions(wanted, name, Object.keys(map))
      let value = 0
      for (const [word, bit] of Object.entries(map)) {
        const one: unknown = wanted[word]
        if (one === undefined) continue
        checkBoolean(one, `${name}.${word}`)
        if (one) value |= bit
      }
      return value
    },
  )
}

/** TUNNEL_ENCAP_…: what UDP header goes around the tunnel's packets. */
export const encapsulationTypes = headerWords('TUNNEL_ENCAP_', { none: 0, fou: 1, gue: 2, mpls: 3 })

/** TUNNEL_ENCAP_FLAG_… */
const encapsulationBits = headerWords(
  'TUNNEL_ENCAP_FLAG_',
  { checksum: 1, checksum6: 2, remoteChecksum: 4 },
  {
    checksum: 'TUNNEL_ENCAP_FLAG_CSUM',
    checksum6: 'TUNNEL_ENCAP_FLAG_CSUM6',
    remoteChecksum: 'TUNNEL_ENCAP_FLAG_REMCSUM',
  },
)

/** The four attributes of a second UDP header: of `prefix`, from the number `first` on. */
export function encapsulationWire<P extends string>(prefix: P, first: number) {
  return {
    encapsulationType: [first, `${prefix}_ENCAP_TYPE`, words(attributeU16, encapsulationTypes)],
    encapsulationFlags: [first + 1, `${prefix}_ENCAP_FLAGS`, bits(attributeU16, encapsulationBits)],
    encapsulationSourcePort: [first + 2, `${prefix}_ENCAP_SPORT`, attributeBe16],
    encapsulationDestinationPort: [first + 3, `${prefix}_ENCAP_DPORT`, attributeBe16],
  } as const
}

/** A second UDP header around the tunnel's packets (ip-fou(8)). A socket that takes them off has to be made at the other end. */
export interface EncapsulationOptions {
  /** 'fou' (foo over UDP) or 'gue' (generic UDP encapsulation). Default: 'none'. */
  encapsulationType?: keyof typeof encapsulationTypes | number
  /** UDP checksums over IPv4 and over IPv6, and remote checksum offload (gue alone). Default: none. */
  encapsulationFlags?: { checksum?: boolean; checksum6?: boolean; remoteChecksum?: boolean }
  /** UDP source port; 0, the default, makes one of the flow's hash. */
  encapsulationSourcePort?: number
  /** UDP destination port. Default: 0, which no 'fou' or 'gue' can do with. */
  encapsulationDestinationPort?: number
}

/** Where a tunnel over IPv4 begins and ends, and what its packets look like. */
export interface Ipv4TunnelOptions extends EncapsulationOptions {
  /** The tunnel's own end, an IPv4 address. '0.0.0.0', the default, is any. */
  local?: string
  /** The other end: an IPv4 address, a multicast group for a tunnel with many ends; '0.0.0.0', the default, is any. */
  remote?: string
  /** Time to live, 1 to 255, or 'inherit' (0, the default): the inner packet's. A number needs `pmtuDiscovery`. */
  ttl?: 'inherit' | number
  /** Type of service, or 'inherit' (1): the inner packet's. Default: 0. */
  tos?: 'inherit' | number
  /** Path MTU discovery: packets are not fragmented on their way. Default: true. */
  pmtuDiscovery?: boolean
  /** Firewall mark that packets are routed by. Default: 0, none. */
  fwmark?: number
  /** Ends come with each packet (from a route or from tc), or with each program's. Default: false; cannot be changed. */
  external?: boolean
}

/** Where a tunnel over IPv6 begins and ends, and what its packets look like. */
export interface Ipv6TunnelOptions extends EncapsulationOptions {
  /** The tunnel's own end, an IPv6 address. '::', the default, is any. */
  local?: string
  /** The other end, an IPv6 address; '::', the default, is any. */
  remote?: string
  /** Hop limit, 1 to 255, or 'inherit' (0, the kernel's default; iproute2 says 64): the inner packet's. */
  ttl?: 'inherit' | number
  /** How often a packet may be tunnelled again (RFC 2473 section 4.1.1), 0 to 255, or 'none'. Default: 0, not at all. */
  encapsulationLimit?: 'none' | number
  /** Traffic class, 0 to 255, or 'inherit': the inner packet's. Default: 0. */
  trafficClass?: 'inherit' | number
  /** Flow label, 0 to 0xfffff, or 'inherit': the inner packet's. Default: 0. */
  flowLabel?: 'inherit' | number
  /** Copy the traffic class's DSCP to the inner packet when one is received ('dscp inherit' of iproute2). Default: false. */
  copyDscp?: boolean
  /** The other end may be an address of this host. Default: false. */
  allowLocalRemote?: boolean
  /** Firewall mark that packets are routed by, or 'inherit': the inner packet's. Default: 0, none. */
  fwmark?: 'inherit' | number
  /** Ends come with each packet (from a route or from tc). Default: false; cannot be changed. */
  external?: boolean
}

/** Flags of a tunnel over IPv6, IP6_TNL_F_…; those above are the kernel's own. */
export const ipv6TunnelFlags = headerWords(
  'IP6_TNL_F_',
  {
    ignoreLimit: 0x1,
    inheritClass: 0x2,
    inheritLabel: 0x4,
    mobility: 0x8,
    copyDscp: 0x10,
    inheritMark: 0x20,
    allowLocalRemote: 0x40,
  },
  {
    ignoreLimit: 'IP6_TNL_F_IGN_ENCAP_LIMIT',
    inheritClass: 'IP6_TNL_F_USE_ORIG_TCLASS',
    inheritLabel: 'IP6_TNL_F_USE_ORIG_FLOWLABEL',
    mobility: 'IP6_TNL_F_MIP6_DEV',
    copyDscp: 'IP6_TNL_F_RCV_DSCP_COPY',
    inheritMark: 'IP6_TNL_F_USE_ORIG_FWMARK',
    allowLocalRemote: 'IP6_TNL_F_ALLOW_LOCAL_REMOTE',
  },
)

const ipv6Words = ['encapsulationLimit', 'trafficClass', 'flowLabel', 'copyDscp', 'allowLocalRemote', 'fwmark'] as const

/** The keys of a tunnel over IPv6 that are no attributes. */
export const ipv6Keys = ['trafficClass', 'flowLabel', 'copyDscp', 'allowLocalRemote'] as const

/** Options of a tunnel over IPv6 as its attributes: several options share two of them. */
export function ipv6ToAttributes(options: Loose, path: string): Loose {
  const { encapsulationLimit, trafficClass, flowLabel, copyDscp, allowLocalRemote, fwmark, ...rest } = options
  if (ipv6Words.every((key) => options[key] === undefined)) return rest
  const numberOr = (word: string, key: string, maximum: number): number => {
    const value = options[key]
    if (value === undefined || value === word) return 0
    if (typeof value !== 'number') throw typeError(`${path}.${key}`, `a number or '${word}'`, value)
    checkInteger(value, `${path}.${key}`, 0, maximum)
    return value
  }
  if (copyDscp !== undefined) checkBoolean(copyDscp, `${path}.copyDscp`)
  if (allowLocalRemote !== undefined) checkBoolean(allowLocalRemote, `${path}.allowLocalRemote`)
  const said: [boolean, number][] = [
    [encapsulationLimit === 'none', ipv6TunnelFlags.ignoreLimit],
    [trafficClass === 'inherit', ipv6TunnelFlags.inheritClass],
    [flowLabel === 'inherit', ipv6TunnelFlags.inheritLabel],
    [copyDscp === true, ipv6TunnelFlags.copyDscp],
    [fwmark === 'inherit', ipv6TunnelFlags.inheritMark],
    [allowLocalRemote === true, ipv6TunnelFlags.allowLocalRemote],
  ]
  const [mark, limit] = [numberOr('inherit', 'fwmark', 0xffff_ffff), numberOr('none', 'encapsulationLimit', 0xff)]
  const [traffic, label] = [numberOr('inherit', 'trafficClass', 0xff), numberOr('inherit', 'flowLabel', 0xf_ffff)]
  const flags = said.reduce((sum, [value, bit]) => (value ? sum | bit : sum), 0)
  return {
    ...rest,
    ...(encapsulationLimit === undefined ? {} : { encapsulationLimit: limit }),
    // Numbers with attributes of their own need no flags.
    ...(flags !== 0 || ipv6Keys.some((key) => options[key] !== undefined)
      ? { flowInformation: traffic * 0x10_0000 + label, flags }
      : {}),
    ...(fwmark === undefined ? {} : { fwmark: mark }),
  }
}

/** The options that a tunnel's attributes say. */
export function ipv6FromAttributes(attributes: Loose): Loose {
  const { encapsulationLimit, flowInformation, flags, fwmark, ...rest } = attributes
  if (typeof flags !== 'number') return attributes
  const information = typeof flowInformation === 'number' ? flowInformation : 0
  const wordOr = (bit: number, word: string, value: unknown) => ((flags & bit) !== 0 ? word : value)
  return {
    ...rest,
    ...given('encapsulationLimit', wordOr(ipv6TunnelFlags.ignoreLimit, 'none', encapsulationLimit)),
    trafficClass: wordOr(ipv6TunnelFlags.inheritClass, 'inherit', (information >>> 20) & 0xff),
    flowLabel: wordOr(ipv6TunnelFlags.inheritLabel, 'inherit', information & 0xf_ffff),
    copyDscp: (flags & ipv6TunnelFlags.copyDscp) !== 0,
    allowLocalRemote: (flags & ipv6TunnelFlags.allowLocalRemote) !== 0,
    ...given('fwmark', wordOr(ipv6TunnelFlags.inheritMark, 'inherit', fwmark)),
  }
}

/** Compares those: each is told by more than one attribute, and a change of one is none of the others. */
export function isIpv6AsAsked(key: string, wanted: unknown, known: Readonly<Loose>): boolean | undefined {
  return (ipv6Words as readonly string[]).includes(key) ? known[key] === wanted : undefined
}

/** What is read of a kind's options: links are indexes. */
export type StateOf<O> = { [K in keyof O]: K extends 'device' ? number : O[K] }

/** The keys of a table, but for some. */
export function keysBut<T extends object, K extends keyof T>(
  table: T,
  but: readonly K[],
): (Exclude<keyof T, K> & string)[] {
  const left = Object.keys(table).filter((key) => !(but as readonly string[]).includes(key))
  return left as (Exclude<keyof T, K> & string)[]
}

/** A member that is there when its value is. */
export function given(key: string, value: unknown): Loose {
  return value === undefined ? {} : { [key]: value }
}

/** Leaves out what is false where the kernel takes presence for true. */
export function withoutFalse(options: Loose, keys: readonly string[]): Loose {
  return Object.fromEntries(Object.entries(options).filter(([key, value]) => value !== false || !keys.includes(key)))
}

/** Compares options whose attribute is absent when they are false. */
export function falseWhenAbsent(keys: readonly string[]) {
  return (key: string, wanted: unknown, known: Readonly<Loose>): boolean | undefined =>
    keys.includes(key) ? (known[key] ?? false) === wanted : undefined
}

/** The option that creating takes for `device`, as other kinds that stand on a link have it. */
export interface TunnelParent {
  /** The link under this one: what `device` says. */
  parent?: LinkReference
}

/**
 * What is said of every kind of tunnel over IP. The kernel takes a change for a complete description, and what is left out for
 * zero: so a change is sent together with what the link has.
 */
export const tunnelKind = {
  links: ['device'],
  parent: 'optional' as const,
  parentKey: 'device',
  merge: (known: Loose, changes: Loose): Loose => ({ ...known, ...changes }),
  isAsAsked: falseWhenAbsent(['external']),
}
