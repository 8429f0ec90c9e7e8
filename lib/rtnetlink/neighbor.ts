/**
 * Neighbors and forwarding databases: their common message (struct ndmsg, linux/neighbour.h), and the plain objects that
 * neighbors are read as. fdb-entry.ts reads those of forwarding databases.
 */
import {
  attributeBe16,
  attributeS32,
  attributeU8,
  attributeU16,
  attributeU32,
  flag,
  hardwareAddress,
  ip,
  structure,
} from '../netlink/attribute.js'
import { headerConstants, headerWords } from '../netlink/header-words.js'
import { type Decoded, type Message, MessageDefinition } from '../netlink/message.js'
import { Struct, s32, u8, u16, u32 } from '../netlink/struct.js'
import { attributes, nested } from '../netlink/table.js'
import { AF_INET, AF_INET6 } from '../values/ip.js'
import { flagNames, routeProtocols, routeTypes, wordOf } from './constants.js'

/** The family of messages that are about bridges (sys/socket.h). */
export const { AF_BRIDGE } = headerConstants({ AF_BRIDGE: 7 })

export const ndmsg = new Struct('ndmsg', {
  family: ['ndm_family', u8],
  pad1: ['ndm_pad1', u8],
  pad2: ['ndm_pad2', u16],
  index: ['ndm_ifindex', s32],
  state: ['ndm_state', u16],
  flags: ['ndm_flags', u8],
  type: ['ndm_type', u8],
})

export const neighborCacheInfo = new Struct('nda_cacheinfo', {
  confirmed: ['ndm_confirmed', u32],
  used: ['ndm_used', u32],
  updated: ['ndm_updated', u32],
  references: ['ndm_refcnt', u32],
})

/** States, NUD_… (linux/neighbour.h, arp(7)). */
export const neighborStates = headerWords('NUD_', {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
})

/** Flags of neighbors and of entries of forwarding databases, NTF_… */
export const neighborFlags = headerWords(
  'NTF_',
  {
    use: 0x01,
    self: 0x02,
    master: 0x04,
    proxy: 0x08,
    externallyLearned: 0x10,
    offloaded: 0x20,
    sticky: 0x40,
    router: 0x80,
  },
  { externallyLearned: 'NTF_EXT_LEARNED' },
)

/** Flags that did not fit: NDA_FLAGS_EXT, NTF_EXT_… */
export const neighborMoreFlags = headerWords(
  'NTF_EXT_',
  { managed: 1, locked: 2, externallyValidated: 4 },
  { externallyValidated: 'NTF_EXT_EXT_VALIDATED' },
)

/** NFEA_…, in NDA_FDB_EXT_ATTRS. */
export const fdbExtraAttributes = attributes({
  activityNotify: [1, 'NFEA_ACTIVITY_NOTIFY', attributeU8],
  dontRefresh: [2, 'NFEA_DONT_REFRESH', flag],
})

export const neighborAttributes = attributes({
  destination: [1, 'NDA_DST', ip],
  mac: [2, 'NDA_LLADDR', hardwareAddress],
  cacheInfo: [3, 'NDA_CACHEINFO', structure(neighborCacheInfo)],
  probes: [4, 'NDA_PROBES', attributeU32],
  vlan: [5, 'NDA_VLAN', attributeU16],
  destinationPort: [6, 'NDA_PORT', attributeBe16],
  vni: [7, 'NDA_VNI', attributeU32],
  link: [8, 'NDA_IFINDEX', attributeU32],
  master: [9, 'NDA_MASTER', attributeU32],
  linkNamespaceId: [10, 'NDA_LINK_NETNSID', attributeS32],
  sourceVni: [11, 'NDA_SRC_VNI', attributeU32],
  protocol: [12, 'NDA_PROTOCOL', attributeU8],
  nexthopId: [13, 'NDA_NH_ID', attributeU32],
  fdbExtra: [14, 'NDA_FDB_EXT_ATTRS', nested(fdbExtraAttributes, { flag: true })],
  moreFlags: [15, 'NDA_FLAGS_EXT', attributeU32],
  stateMask: [16, 'NDA_NDM_STATE_MASK', attributeU16],
  flagsMask: [17, 'NDA_NDM_FLAGS_MASK', attributeU8],
})

/** RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH: of neighbors, and with AF_BRIDGE of forwarding databases. */
export const neighborMessage = new MessageDefinition(ndmsg, neighborAttributes)

export type DecodedNeighbor = Decoded<typeof ndmsg, typeof neighborAttributes>

export type NeighborState = keyof typeof neighborStates

export type NeighborFlag = keyof typeof neighborFlags | keyof typeof neighborMoreFlags

/** A neighbor, as read from the kernel: an IP address, and the MAC address that it is reached at. */
export interface Neighbor {
  family: 'inet' | 'inet6'
  address: string
  /** The index of the link that it is on; 0 for a proxy of all links. */
  index: number
  /** The hardware address; a tunnel's neighbor has an IP address's octets here. Absent while nobody knows it. */
  mac?: string
  /** Several words when the kernel has several bits set, which only a program that asks for it brings about. */
  state: NeighborState | NeighborState[] | number
  flags: NeighborFlag[]
  type: keyof typeof routeTypes | number
  /** Who made it, as of routes. */
  protocol?: keyof typeof routeProtocols | number
  /** How often it was asked for without an answer. */
  probes?: number
  /** Milliseconds since it was last confirmed, used and updated, and how many use it. */
  cacheInfo?: { confirmed: number; used: number; updated: number; references: number }
}

/** One word, or several when several bits are set; the number when a bit has no word. */
export function stateWords(bits: number): NeighborState | NeighborState[] | number {
  const words = flagNames(neighborStates, bits)
  if (bits === 0) return 'none'
  if (words.reduce((sum, word) => sum | neighborStates[word], 0) !== bits) return bits
  return words.length === 1 ? (words[0] as NeighborState) : words
}

/** The words of ndm_flags and NDA_FLAGS_EXT. */
export function neighborFlagNames({ header, attributes: own }: DecodedNeighbor): NeighborFlag[] {
  const flags: NeighborFlag[] = flagNames(neighborFlags, header.flags)
  return own.moreFlags === undefined ? flags : [...flags, ...flagNames(neighborMoreFlags, own.moreFlags)]
}

/** Whether a message is about a neighbor of IPv4 or IPv6: only then are its addresses of a known kind. */
export function isIpNeighbor({ source, start }: Message): boolean {
  const family = source.view.getUint8(start)
  return family === AF_INET || family === AF_INET6
}

/** A kernel's message as a Neighbor. */
export function readNeighbor(decoded: DecodedNeighbor): Neighbor {
  const { header, attributes: own } = decoded
  const neighbor: Neighbor = {
    family: header.family === AF_INET ? 'inet' : 'inet6',
    address: own.destination ?? '',
    index: header.index,
    state: stateWords(header.state),
    flags: neighborFlagNames(decoded),
    type: wordOf(routeTypes, header.type),
  }
  if (own.mac !== undefined) neighbor.mac = own.mac
  if (own.protocol !== undefined) neighbor.protocol = wordOf(routeProtocols, own.protocol)
  if (own.probes !== undefined) neighbor.probes = own.probes
  if (own.cacheInfo !== undefined) neighbor.cacheInfo = ages(own.cacheInfo)
  return neighbor
}

/** The kernel counts in hundredths of a second (clock_t). */
export function ages(info: {
  confirmed: number
  used: number
  updated: number
  references: number
}): NonNullable<Neighbor['cacheInfo']> {
  const { confirmed, used, updated, references } = info
  return { confirmed: confirmed * 10, used: used * 10, updated: updated * 10, references }
}
