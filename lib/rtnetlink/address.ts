/** Addresses: their messages (linux/if_addr.h), and the plain objects they are read as. */
import { attributeS32, attributeU8, attributeU32, ip, structure, text, words } from '../netlink/attribute.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { Struct, u8, u32 } from '../netlink/struct.js'
import { attributes } from '../netlink/table.js'
import { AF_INET } from '../values/ip.js'
import type { AddressProtocol, ScopeName } from './address-options.js'
import { addressFlags, addressProtocols, flagNames, scopes } from './constants.js'

export const ifaddrmsg = new Struct('ifaddrmsg', {
  family: ['ifa_family', u8],
  prefixLength: ['ifa_prefixlen', u8],
  flags: ['ifa_flags', u8],
  scope: ['ifa_scope', u8],
  index: ['ifa_index', u32],
})

/** Lifetimes in seconds, 0xffffffff for ever; times in hundredths of a second since boot. */
export const addressCacheInfo = new Struct('ifa_cacheinfo', {
  preferred: ['ifa_prefered', u32],
  valid: ['ifa_valid', u32],
  created: ['cstamp', u32],
  updated: ['tstamp', u32],
})

export const addressAttributes = attributes({
  address: [1, 'IFA_ADDRESS', ip],
  local: [2, 'IFA_LOCAL', ip],
  label: [3, 'IFA_LABEL', text],
  broadcast: [4, 'IFA_BROADCAST', ip],
  anycast: [5, 'IFA_ANYCAST', ip],
  cacheInfo: [6, 'IFA_CACHEINFO', structure(addressCacheInfo)],
  multicast: [7, 'IFA_MULTICAST', ip],
  flags: [8, 'IFA_FLAGS', attributeU32],
  metric: [9, 'IFA_RT_PRIORITY', attributeU32],
  targetNamespaceId: [10, 'IFA_TARGET_NETNSID', attributeS32],
  protocol: [11, 'IFA_PROTO', words(attributeU8, addressProtocols)],
})

/** RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR. */
export const addressMessage = new MessageDefinition(ifaddrmsg, addressAttributes)

export type AddressFlag = keyof typeof addressFlags

/** An address of a link, as read from the kernel. */
export interface Address {
  family: 'inet' | 'inet6'
  /** With the prefix length: '10.0.1.1/24'. */
  address: string
  /** The index of the link that has it. */
  index: number
  scope: ScopeName | number
  flags: AddressFlag[]
  /** IPv4: its name, which begins with the link's. */
  label?: string
  broadcast?: string
  /** The other end of a point-to-point link, with the prefix length. */
  peer?: string
  metric?: number
  /** Who made it: a word, or a number that programs agree on; missing when nobody said (and before Linux 5.18). */
  protocol?: AddressProtocol | number
  /** Milliseconds left until it is removed; Infinity for never. */
  validLifetime: number
  /** Milliseconds left until it is deprecated. */
  preferredLifetime: number
}

const scopeNames = new Map<number, ScopeName>(
  Object.entries(scopes).map(([name, number]) => [number, name as ScopeName]),
)

const INFINITE = 0xffff_ffff

function lifetime(seconds: number | undefined): number {
  return seconds === undefined || seconds === INFINITE ? Number.POSITIVE_INFINITY : seconds * 1000
}

/** A kernel's message as an Address. */
export function readAddress({ header, attributes }: Decoded<typeof ifaddrmsg, typeof addressAttributes>): Address {
  const { prefixLength } = header
  const own = attributes.local ?? attributes.address ?? attributes.multicast ?? attributes.anycast ?? ''
  const result: Address = {
    family: header.family === AF_INET ? 'inet' : 'inet6',
    address: `${own}/${pointToPoint(attributes) ? (header.family === AF_INET ? 32 : 128) : prefixLength}`,
    index: header.index,
    scope: scopeNames.get(header.scope) ?? header.scope,
    flags: flagNames(addressFlags, attributes.flags ?? header.flags),
    validLifetime: lifetime(attributes.cacheInfo?.valid),
    preferredLifetime: lifetime(attributes.cacheInfo?.preferred),
  }
  if (attributes.label !== undefined) result.label = attributes.label
  if (attributes.broadcast !== undefined) result.broadcast = attributes.broadcast
  if (pointToPoint(attributes)) result.peer = `${attributes.address}/${prefixLength}`
  if (attributes.metric !== undefined) result.metric = attributes.metric
  if (attributes.protocol !== undefined) result.protocol = attributes.protocol
  return result
}

/** On a point-to-point link IFA_ADDRESS is the other end's, and the prefix length belongs to it (linux/if_addr.h). */
function pointToPoint(attributes: { local?: string; address?: string }): boolean {
  return attributes.local !== undefined && attributes.address !== undefined && attributes.local !== attributes.address
}
