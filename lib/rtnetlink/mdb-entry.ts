/**
 * Multicast databases: their messages (struct br_port_msg and br_mdb_entry, linux/if_bridge.h; bridge(8), "mdb"), and what they are
 * read as.
 */
import {
  type AttributeType,
  attributeU8,
  attributeU16,
  attributeU32,
  clock32,
  ip,
  Malformed,
  repeated,
  structure,
  words,
} from '../netlink/attribute.js'
import { align4 } from '../netlink/bytes.js'
import { headerConstants, headerWords } from '../netlink/header-words.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { be16, octets, Struct, type StructOf, u8, u16, u32 } from '../netlink/struct.js'
import { type AnyTable, type AttributesOf, attributes, nested } from '../netlink/table.js'
import { formatIp, parseIp } from '../values/ip.js'
import { formatMac, parseMac } from '../values/mac.js'
import { flagNames, routeProtocols, wordOf } from './constants.js'
import { multicastRouters } from './kinds/bridge-port.js'

const { ETH_P_IP, ETH_P_IPV6 } = headerConstants({ ETH_P_IP: 0x0800, ETH_P_IPV6: 0x86dd })

export const mdbStates = headerWords('MDB_', { temporary: 0, permanent: 1 })

const mdbFlags = headerWords(
  'MDB_FLAGS_',
  { offloaded: 1, fastLeave: 2, starExclude: 4, blocked: 8 },
  { offloaded: 'MDB_FLAGS_OFFLOAD', fastLeave: 'MDB_FLAGS_FAST_LEAVE', starExclude: 'MDB_FLAGS_STAR_EXCL' },
)

/** Whether the sources of a group are those that are let through or those that are not (linux/in.h). */
const filterModes = headerWords('MCAST_', { exclude: 0, include: 1 })

export const mdbHeader = new Struct('br_port_msg', {
  family: ['family', u8],
  index: ['ifindex', u32],
})

export const mdbEntryStruct = new Struct('br_mdb_entry', {
  index: ['ifindex', u32],
  state: ['state', u8],
  flags: ['flags', u8],
  vlan: ['vid', u16],
  address: ['addr.u', octets(16)],
  protocol: ['addr.proto', be16],
})

export const mdbSourceAttributes = attributes({
  address: [1, 'MDBA_MDB_SRCATTR_ADDRESS', ip],
  timer: [2, 'MDBA_MDB_SRCATTR_TIMER', clock32],
})

export const mdbSourceListAttributes = attributes({
  entries: [1, 'MDBA_MDB_SRCLIST_ENTRY', repeated(nested(mdbSourceAttributes))],
})

/** What follows the struct in MDBA_MDB_ENTRY_INFO. */
export const mdbDetailAttributes = attributes({
  timer: [1, 'MDBA_MDB_EATTR_TIMER', clock32],
  sources: [2, 'MDBA_MDB_EATTR_SRC_LIST', nested(mdbSourceListAttributes)],
  filterMode: [3, 'MDBA_MDB_EATTR_GROUP_MODE', words(attributeU8, filterModes)],
  source: [4, 'MDBA_MDB_EATTR_SOURCE', ip],
  protocol: [5, 'MDBA_MDB_EATTR_RTPROT', attributeU8],
  destination: [6, 'MDBA_MDB_EATTR_DST', ip],
  destinationPort: [7, 'MDBA_MDB_EATTR_DST_PORT', attributeU16],
  vni: [8, 'MDBA_MDB_EATTR_VNI', attributeU32],
  link: [9, 'MDBA_MDB_EATTR_IFINDEX', attributeU32],
  sourceVni: [10, 'MDBA_MDB_EATTR_SRC_VNI', attributeU32],
})

export const mdbRouterAttributes = attributes({
  timer: [1, 'MDBA_ROUTER_PATTR_TIMER', clock32],
  type: [2, 'MDBA_ROUTER_PATTR_TYPE', words(attributeU8, multicastRouters)],
  inetTimer: [3, 'MDBA_ROUTER_PATTR_INET_TIMER', clock32],
  inet6Timer: [4, 'MDBA_ROUTER_PATTR_INET6_TIMER', clock32],
  vlan: [5, 'MDBA_ROUTER_PATTR_VID', attributeU16],
})

/** A struct with attributes behind it, in one attribute. The kernel writes them; netkit only reads them. */
function followed<S extends Struct, T extends AnyTable>(
  struct: S,
  table: T,
): AttributeType<{ head: StructOf<S>; attributes: AttributesOf<T> }> {
  return {
    decode(source, offset, length) {
      if (length < struct.size) throw new Malformed(`has ${length} bytes where ${struct.size} are needed`)
      const head = struct.decode(source, offset, length) as StructOf<S>
      const first = Math.min(offset + length, offset + align4(struct.size))
      return { head, attributes: table.decode(source, first, offset + length) as AttributesOf<T> }
    },
    encode(writer, value) {
      struct.encode(writer, value.head as Parameters<S['encode']>[1])
      table.encode(writer, value.attributes as never)
    },
    nested: () => ({ table, skip: align4(struct.size) }),
  }
}

/** The index of a port, before what is said of it: the headers have no name for it. */
const routerPort = new Struct('{ __u32 ifindex; }', { index: ['ifindex', u32] })

export const mdbGroupAttributes = attributes({
  entries: [1, 'MDBA_MDB_ENTRY_INFO', repeated(followed(mdbEntryStruct, mdbDetailAttributes))],
})

export const mdbListAttributes = attributes({
  groups: [1, 'MDBA_MDB_ENTRY', repeated(nested(mdbGroupAttributes))],
})

export const mdbRouterListAttributes = attributes({
  ports: [1, 'MDBA_ROUTER_PORT', repeated(followed(routerPort, mdbRouterAttributes))],
})

export const mdbAttributes = attributes({
  database: [1, 'MDBA_MDB', nested(mdbListAttributes)],
  routers: [2, 'MDBA_ROUTER', nested(mdbRouterListAttributes)],
})

/** The question RTM_GETMDB, its answers, and what is told of changes. */
export const mdbMessage = new MessageDefinition(mdbHeader, mdbAttributes)

export const mdbNewSourceAttributes = attributes({
  address: [1, 'MDBE_SRCATTR_ADDRESS', ip],
})

export const mdbNewSourceListAttributes = attributes({
  entries: [1, 'MDBE_SRC_LIST_ENTRY', repeated(nested(mdbNewSourceAttributes, { flag: true }))],
})

export const mdbNewDetailAttributes = attributes({
  source: [1, 'MDBE_ATTR_SOURCE', ip],
  sources: [2, 'MDBE_ATTR_SRC_LIST', nested(mdbNewSourceListAttributes, { flag: true })],
  filterMode: [3, 'MDBE_ATTR_GROUP_MODE', words(attributeU8, filterModes)],
  protocol: [4, 'MDBE_ATTR_RTPROT', attributeU8],
  destination: [5, 'MDBE_ATTR_DST', ip],
  destinationPort: [6, 'MDBE_ATTR_DST_PORT', attributeU16],
  vni: [7, 'MDBE_ATTR_VNI', attributeU32],
  link: [8, 'MDBE_ATTR_IFINDEX', attributeU32],
  sourceVni: [9, 'MDBE_ATTR_SRC_VNI', attributeU32],
})

export const mdbChangeAttributes = attributes({
  entry: [1, 'MDBA_SET_ENTRY', structure(mdbEntryStruct)],
  details: [2, 'MDBA_SET_ENTRY_ATTRS', nested(mdbNewDetailAttributes, { flag: true })],
})

/** RTM_NEWMDB and RTM_DELMDB. */
export const mdbChangeMessage = new MessageDefinition(mdbHeader, mdbChangeAttributes)

/** An entry of a multicast database: a port, and a group that it is sent. */
export interface MdbEntry {
  /** The index of the bridge (or VXLAN) whose database it is in. */
  bridge: number
  /** The index of the port; the bridge's own for its host. */
  index: number
  /** An IPv4 or IPv6 group, or a MAC address. */
  group: string
  /** Only what comes from this address. */
  source?: string
  vlan?: number
  state: keyof typeof mdbStates | number
  flags: (keyof typeof mdbFlags)[]
  filterMode?: keyof typeof filterModes | number
  /** The sources that the filter is about, and the milliseconds that they have left. */
  sources?: { address: string; timer: number }[]
  /** Who made it, as of routes. */
  protocol?: keyof typeof routeProtocols | number
  /** Milliseconds that it has left; 0 for a permanent one. */
  timer?: number
  /** VXLAN: where it is sent to. */
  destination?: string
  destinationPort?: number
  vni?: number
  sourceVni?: number
  via?: number
}

/** A port behind which multicast routers are. */
export interface MdbRouter {
  bridge: number
  index: number
  type?: keyof typeof multicastRouters | number
  vlan?: number
  /** Milliseconds that a router that was heard of has left. */
  timer?: number
}

type DecodedMdb = Decoded<typeof mdbHeader, typeof mdbAttributes>

/** The address of a group in the struct: octets, and what kind they are. */
export function groupMembers(group: string): { address: Uint8Array; protocol: number } | undefined {
  const found = parseIp(group) ?? parseMac(group)
  if (found === undefined) return undefined
  const address = new Uint8Array(16)
  address.set(found)
  return { address, protocol: found.length === 4 ? ETH_P_IP : found.length === 16 ? ETH_P_IPV6 : 0 }
}

function groupText({ address, protocol }: StructOf<typeof mdbEntryStruct>): string {
  if (protocol === ETH_P_IP) return formatIp(address, 0, 4)
  return protocol === ETH_P_IPV6 ? formatIp(address, 0, 16) : formatMac(address, 0, 6)
}

const copied = ['source', 'filterMode', 'timer', 'destination', 'destinationPort', 'vni', 'sourceVni'] as const

/** The entries of a kernel's message. */
export function readMdbEntries({ header, attributes: own }: DecodedMdb): MdbEntry[] {
  const infos = (own.database?.groups ?? []).flatMap(({ entries = [] }) => entries)
  return infos.map(({ head, attributes: details }) => {
    const entry: MdbEntry = {
      bridge: header.index,
      index: head.index,
      group: groupText(head),
      state: wordOf(mdbStates, head.state),
      flags: flagNames(mdbFlags, head.flags),
    }
    if (head.vlan !== 0) entry.vlan = head.vlan
    for (const key of copied) if (details[key] !== undefined) Object.assign(entry, { [key]: details[key] })
    const sources = details.sources?.entries
    if (sources !== undefined) {
      entry.sources = sources.map(({ address = '', timer = 0 }) => ({ address, timer }))
    }
    if (details.protocol !== undefined) entry.protocol = wordOf(routeProtocols, details.protocol)
    if (details.link !== undefined) entry.via = details.link
    return entry
  })
}

/** The ports with routers of a kernel's message. */
export function readMdbRouters({ header, attributes: own }: DecodedMdb): MdbRouter[] {
  return (own.routers?.ports ?? []).map(({ head, attributes: details }) => {
    const router: MdbRouter = { bridge: header.index, index: head.index }
    for (const key of ['type', 'vlan', 'timer'] as const) {
      if (details[key] !== undefined) Object.assign(router, { [key]: details[key] })
    }
    return router
  })
}
