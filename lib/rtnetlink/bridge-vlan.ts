/**
 * VLANs of bridges and their ports: messages (struct br_vlan_msg, and IFLA_AF_SPEC of a bridge's RTM_SETLINK; linux/if_bridge.h),
 * and what they are read as.
 */
import {
  attributeU8,
  attributeU16,
  attributeU32,
  binary,
  boolean8,
  clock64,
  repeated,
  structure,
  words,
} from '../netlink/attribute.js'
import { headerConstants } from '../netlink/header-words.js'
import { ifinfomsg } from '../netlink/ifinfomsg.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { Struct, u8, u16, u32 } from '../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../netlink/table.js'
import { counter64Attribute } from './bridge-counters.js'
import { multicastRouters, portStates } from './kinds/bridge-port.js'

export const bridgeVlanConstants = headerConstants({
  BRIDGE_FLAGS_SELF: 2,
  BRIDGE_VLAN_INFO_PVID: 1 << 1,
  BRIDGE_VLAN_INFO_UNTAGGED: 1 << 2,
  BRIDGE_VLAN_INFO_RANGE_BEGIN: 1 << 3,
  BRIDGE_VLAN_INFO_RANGE_END: 1 << 4,
  BRIDGE_VLAN_INFO_ONLY_OPTS: 1 << 6,
  BRIDGE_VLANDB_DUMPF_STATS: 1 << 0,
  BRIDGE_VLANDB_DUMPF_GLOBAL: 1 << 1,
})

export const bridgeVlanInfo = new Struct('bridge_vlan_info', {
  flags: ['flags', u16],
  id: ['vid', u16],
})

/** IFLA_BRIDGE_VLAN_TUNNEL_INFO: the VXLAN network that a VLAN is carried in. */
export const vlanTunnelAttributes = attributes({
  tunnelId: [1, 'IFLA_BRIDGE_VLAN_TUNNEL_ID', attributeU32],
  id: [2, 'IFLA_BRIDGE_VLAN_TUNNEL_VID', attributeU16],
  flags: [3, 'IFLA_BRIDGE_VLAN_TUNNEL_FLAGS', attributeU16],
})

/** IFLA_AF_SPEC in messages of AF_BRIDGE. */
export const bridgeSpecAttributes = attributes({
  flags: [0, 'IFLA_BRIDGE_FLAGS', attributeU16],
  mode: [1, 'IFLA_BRIDGE_MODE', attributeU16],
  vlans: [2, 'IFLA_BRIDGE_VLAN_INFO', repeated(structure(bridgeVlanInfo))],
  tunnels: [3, 'IFLA_BRIDGE_VLAN_TUNNEL_INFO', repeated(nested(vlanTunnelAttributes))],
  mrp: [4, 'IFLA_BRIDGE_MRP', binary],
  cfm: [5, 'IFLA_BRIDGE_CFM', binary],
  mst: [6, 'IFLA_BRIDGE_MST', binary],
})

const bridgeLinkAttributes = attributes({
  spec: [26, 'IFLA_AF_SPEC', nested(bridgeSpecAttributes)],
})

/** RTM_SETLINK and RTM_DELLINK with AF_BRIDGE. */
export const bridgeLinkMessage = new MessageDefinition(ifinfomsg, bridgeLinkAttributes)

export const vlanMessageHeader = new Struct('br_vlan_msg', {
  family: ['family', u8],
  reserved1: ['reserved1', u8],
  reserved2: ['reserved2', u16],
  index: ['ifindex', u32],
})

export const vlanTunnelInfoAttributes = attributes({
  tunnelId: [1, 'BRIDGE_VLANDB_TINFO_ID', attributeU32],
  command: [2, 'BRIDGE_VLANDB_TINFO_CMD', attributeU32],
})

export const vlanStatisticsAttributes = attributes({
  receivedBytes: [1, 'BRIDGE_VLANDB_STATS_RX_BYTES', counter64Attribute],
  receivedPackets: [2, 'BRIDGE_VLANDB_STATS_RX_PACKETS', counter64Attribute],
  sentBytes: [3, 'BRIDGE_VLANDB_STATS_TX_BYTES', counter64Attribute],
  sentPackets: [4, 'BRIDGE_VLANDB_STATS_TX_PACKETS', counter64Attribute],
  padding: [5, 'BRIDGE_VLANDB_STATS_PAD', binary],
})

export const vlanEntryAttributes = attributes({
  info: [1, 'BRIDGE_VLANDB_ENTRY_INFO', structure(bridgeVlanInfo)],
  to: [2, 'BRIDGE_VLANDB_ENTRY_RANGE', attributeU16],
  state: [3, 'BRIDGE_VLANDB_ENTRY_STATE', words(attributeU8, portStates)],
  tunnel: [4, 'BRIDGE_VLANDB_ENTRY_TUNNEL_INFO', nested(vlanTunnelInfoAttributes, { flag: true })],
  statistics: [5, 'BRIDGE_VLANDB_ENTRY_STATS', nested(vlanStatisticsAttributes, { flag: true })],
  multicastRouter: [6, 'BRIDGE_VLANDB_ENTRY_MCAST_ROUTER', words(attributeU8, multicastRouters)],
  multicastGroups: [7, 'BRIDGE_VLANDB_ENTRY_MCAST_N_GROUPS', attributeU32],
  multicastMaxGroups: [8, 'BRIDGE_VLANDB_ENTRY_MCAST_MAX_GROUPS', attributeU32],
  neighborSuppression: [9, 'BRIDGE_VLANDB_ENTRY_NEIGH_SUPPRESS', boolean8],
})

/** Options of a VLAN for the whole bridge. */
export const vlanGlobalAttributes = attributes({
  id: [1, 'BRIDGE_VLANDB_GOPTS_ID', attributeU16],
  to: [2, 'BRIDGE_VLANDB_GOPTS_RANGE', attributeU16],
  multicastSnooping: [3, 'BRIDGE_VLANDB_GOPTS_MCAST_SNOOPING', boolean8],
  igmpVersion: [4, 'BRIDGE_VLANDB_GOPTS_MCAST_IGMP_VERSION', attributeU8],
  mldVersion: [5, 'BRIDGE_VLANDB_GOPTS_MCAST_MLD_VERSION', attributeU8],
  multicastLastMemberCount: [6, 'BRIDGE_VLANDB_GOPTS_MCAST_LAST_MEMBER_CNT', attributeU32],
  multicastStartupQueryCount: [7, 'BRIDGE_VLANDB_GOPTS_MCAST_STARTUP_QUERY_CNT', attributeU32],
  multicastLastMemberInterval: [8, 'BRIDGE_VLANDB_GOPTS_MCAST_LAST_MEMBER_INTVL', clock64],
  padding: [9, 'BRIDGE_VLANDB_GOPTS_PAD', binary],
  multicastMembershipInterval: [10, 'BRIDGE_VLANDB_GOPTS_MCAST_MEMBERSHIP_INTVL', clock64],
  multicastQuerierInterval: [11, 'BRIDGE_VLANDB_GOPTS_MCAST_QUERIER_INTVL', clock64],
  multicastQueryInterval: [12, 'BRIDGE_VLANDB_GOPTS_MCAST_QUERY_INTVL', clock64],
  multicastQueryResponseInterval: [13, 'BRIDGE_VLANDB_GOPTS_MCAST_QUERY_RESPONSE_INTVL', clock64],
  multicastStartupQueryInterval: [14, 'BRIDGE_VLANDB_GOPTS_MCAST_STARTUP_QUERY_INTVL', clock64],
  multicastQuerier: [15, 'BRIDGE_VLANDB_GOPTS_MCAST_QUERIER', boolean8],
  routerPorts: [16, 'BRIDGE_VLANDB_GOPTS_MCAST_ROUTER_PORTS', binary],
  querierState: [17, 'BRIDGE_VLANDB_GOPTS_MCAST_QUERIER_STATE', binary],
  instance: [18, 'BRIDGE_VLANDB_GOPTS_MSTI', attributeU16],
})

export const vlanAttributes = attributes({
  entries: [1, 'BRIDGE_VLANDB_ENTRY', repeated(nested(vlanEntryAttributes, { flag: true }))],
  globals: [2, 'BRIDGE_VLANDB_GLOBAL_OPTIONS', repeated(nested(vlanGlobalAttributes, { flag: true }))],
})

/** RTM_NEWVLAN, RTM_DELVLAN, and the answers to RTM_GETVLAN. */
export const vlanMessage = new MessageDefinition(vlanMessageHeader, vlanAttributes)

const vlanDumpAttributes = attributes({
  flags: [1, 'BRIDGE_VLANDB_DUMP_FLAGS', attributeU32],
})

/** The question RTM_GETVLAN. */
export const vlanDumpMessage = new MessageDefinition(vlanMessageHeader, vlanDumpAttributes)

/** A VLAN, or a range of VLANs that are alike, of a bridge's port or of the bridge itself, as read from the kernel. */
export interface BridgeVlan {
  /** The index of the port, or of the bridge. */
  index: number
  id: number
  /** The last of a range; absent for one VLAN. */
  to?: number
  /** Frames that come without a tag belong to it. */
  pvid: boolean
  /** Its frames leave without a tag. */
  untagged: boolean
  /** Its state in the spanning tree. */
  state?: keyof typeof portStates | number
  /** The VXLAN network that it is carried in; of a range, that of its first VLAN: the others follow. */
  tunnelId?: number
  multicastRouter?: keyof typeof multicastRouters | number
  /** Multicast groups that it has and may have (0: any number); Linux 6.3. */
  multicastGroups?: number
  multicastMaxGroups?: number
  /** ARP and neighbor discovery are answered by the bridge; Linux 6.4. */
  neighborSuppression?: boolean
  /** When asked for: what went through the port in it. */
  statistics?: { receivedBytes: number; receivedPackets: number; sentBytes: number; sentPackets: number }
}

/** Options of a VLAN, or of a range that are alike, for the whole bridge. Intervals in milliseconds. */
export type BridgeVlanGlobals = { id: number; to?: number } & Omit<
  AttributesOf<typeof vlanGlobalAttributes>,
  'id' | 'to' | 'padding' | 'routerPorts' | 'querierState' | `#${number}`
>

type DecodedVlans = Decoded<typeof vlanMessageHeader, typeof vlanAttributes>

const copied = [
  'state',
  'multicastRouter',
  'multicastGroups',
  'multicastMaxGroups',
  'neighborSuppression',
] as const satisfies readonly (keyof BridgeVlan)[]

/** The VLANs of a kernel's message. */
export function readBridgeVlans({ header, attributes: own }: DecodedVlans): BridgeVlan[] {
  return (own.entries ?? []).flatMap((entry) => {
    const { info, to, tunnel, statistics } = entry
    if (info === undefined) return []
    const vlan: BridgeVlan = {
      index: header.index,
      id: info.id,
      pvid: (info.flags & bridgeVlanConstants.BRIDGE_VLAN_INFO_PVID) !== 0,
      untagged: (info.flags & bridgeVlanConstants.BRIDGE_VLAN_INFO_UNTAGGED) !== 0,
    }
    if (to !== undefined && to !== info.id) vlan.to = to
    for (const key of copied) if (entry[key] !== undefined) Object.assign(vlan, { [key]: entry[key] })
    if (tunnel?.tunnelId !== undefined) vlan.tunnelId = tunnel.tunnelId
    if (statistics !== undefined) {
      const { receivedBytes = 0, receivedPackets = 0, sentBytes = 0, sentPackets = 0 } = statistics
      vlan.statistics = { receivedBytes, receivedPackets, sentBytes, sentPackets }
    }
    return [vlan]
  })
}

/** The options for the whole bridge of a kernel's message. */
export function readBridgeVlanGlobals({ attributes: own }: DecodedVlans): BridgeVlanGlobals[] {
  return (own.globals ?? []).map((entry) => {
    const { padding: _, routerPorts: _ports, querierState: _state, id = 0, to, ...options } = entry
    return { id, ...(to === undefined || to === id ? {} : { to }), ...options }
  })
}
