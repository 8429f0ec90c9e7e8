/** bridge: a switch in the kernel (ip-link(8), "Bridge Type Support"; linux/if_link.h, IFLA_BR_…). */
import {
  type AttributeType,
  attributeBe16,
  attributeU8,
  attributeU16,
  attributeU32,
  binary,
  boolean8,
  boolean32,
  clock32,
  clock64,
  hardwareAddress,
  words,
} from '../../netlink/attribute.js'
import { Struct, u32 } from '../../netlink/struct.js'
import { type AnyTable, type AttributesOf, attributes } from '../../netlink/table.js'
import { bridgeId, bridgePorts, multicastRouters } from './bridge-port.js'
import { maskedFlags } from './flags.js'
import { defineKind } from './registry.js'
import { vlanProtocols } from './vlan.js'

/** struct br_boolopt_multi: values, and which of them are meant. */
export const bridgeBooleans = new Struct('br_boolopt_multi', {
  values: ['optval', u32],
  mask: ['optmask', u32],
})

/** Bits of its members, BR_BOOLOPT_… */
const booleanBits = { noLinkLocalLearn: 1, multicastVlanSnooping: 2, mst: 4 } as const

/** Options of a bridge that the kernel keeps as bits of one number. */
export interface BridgeBooleans {
  /** Learn no addresses from frames that are for the link alone (LLDP, 802.1X). */
  noLinkLocalLearn?: boolean
  /** Multicast snooping for each VLAN; needs `vlanFiltering`. */
  multicastVlanSnooping?: boolean
  /** Multiple spanning trees (802.1s); needs `vlanFiltering`. */
  mst?: boolean
}

const booleans: AttributeType<BridgeBooleans> = maskedFlags(bridgeBooleans, booleanBits)

export const bridgeAttributes = attributes({
  forwardDelay: [1, 'IFLA_BR_FORWARD_DELAY', clock32],
  helloTime: [2, 'IFLA_BR_HELLO_TIME', clock32],
  maxAge: [3, 'IFLA_BR_MAX_AGE', clock32],
  ageingTime: [4, 'IFLA_BR_AGEING_TIME', clock32],
  stp: [5, 'IFLA_BR_STP_STATE', boolean32],
  priority: [6, 'IFLA_BR_PRIORITY', attributeU16],
  vlanFiltering: [7, 'IFLA_BR_VLAN_FILTERING', boolean8],
  vlanProtocol: [8, 'IFLA_BR_VLAN_PROTOCOL', words(attributeBe16, vlanProtocols)],
  groupForwardMask: [9, 'IFLA_BR_GROUP_FWD_MASK', attributeU16],
  rootId: [10, 'IFLA_BR_ROOT_ID', bridgeId],
  bridgeId: [11, 'IFLA_BR_BRIDGE_ID', bridgeId],
  rootPort: [12, 'IFLA_BR_ROOT_PORT', attributeU16],
  rootPathCost: [13, 'IFLA_BR_ROOT_PATH_COST', attributeU32],
  topologyChange: [14, 'IFLA_BR_TOPOLOGY_CHANGE', boolean8],
  topologyChangeDetected: [15, 'IFLA_BR_TOPOLOGY_CHANGE_DETECTED', boolean8],
  helloTimer: [16, 'IFLA_BR_HELLO_TIMER', clock64],
  topologyChangeNotificationTimer: [17, 'IFLA_BR_TCN_TIMER', clock64],
  topologyChangeTimer: [18, 'IFLA_BR_TOPOLOGY_CHANGE_TIMER', clock64],
  garbageCollectionTimer: [19, 'IFLA_BR_GC_TIMER', clock64],
  groupAddress: [20, 'IFLA_BR_GROUP_ADDR', hardwareAddress],
  multicastRouter: [22, 'IFLA_BR_MCAST_ROUTER', words(attributeU8, multicastRouters)],
  multicastSnooping: [23, 'IFLA_BR_MCAST_SNOOPING', boolean8],
  multicastQueryUseIfaddr: [24, 'IFLA_BR_MCAST_QUERY_USE_IFADDR', boolean8],
  multicastQuerier: [25, 'IFLA_BR_MCAST_QUERIER', boolean8],
  multicastHashElasticity: [26, 'IFLA_BR_MCAST_HASH_ELASTICITY', attributeU32],
  multicastHashMax: [27, 'IFLA_BR_MCAST_HASH_MAX', attributeU32],
  multicastLastMemberCount: [28, 'IFLA_BR_MCAST_LAST_MEMBER_CNT', attributeU32],
  multicastStartupQueryCount: [29, 'IFLA_BR_MCAST_STARTUP_QUERY_CNT', attributeU32],
  multicastLastMemberInterval: [30, 'IFLA_BR_MCAST_LAST_MEMBER_INTVL', clock64],
  multicastMembershipInterval: [31, 'IFLA_BR_MCAST_MEMBERSHIP_INTVL', clock64],
  multicastQuerierInterval: [32, 'IFLA_BR_MCAST_QUERIER_INTVL', clock64],
  multicastQueryInterval: [33, 'IFLA_BR_MCAST_QUERY_INTVL', clock64],
  multicastQueryResponseInterval: [34, 'IFLA_BR_MCAST_QUERY_RESPONSE_INTVL', clock64],
  multicastStartupQueryInterval: [35, 'IFLA_BR_MCAST_STARTUP_QUERY_INTVL', clock64],
  callIptables: [36, 'IFLA_BR_NF_CALL_IPTABLES', boolean8],
  callIp6tables: [37, 'IFLA_BR_NF_CALL_IP6TABLES', boolean8],
  callArptables: [38, 'IFLA_BR_NF_CALL_ARPTABLES', boolean8],
  defaultPvid: [39, 'IFLA_BR_VLAN_DEFAULT_PVID', attributeU16],
  padding: [40, 'IFLA_BR_PAD', binary],
  vlanStatistics: [41, 'IFLA_BR_VLAN_STATS_ENABLED', boolean8],
  multicastStatistics: [42, 'IFLA_BR_MCAST_STATS_ENABLED', boolean8],
  igmpVersion: [43, 'IFLA_BR_MCAST_IGMP_VERSION', attributeU8],
  mldVersion: [44, 'IFLA_BR_MCAST_MLD_VERSION', attributeU8],
  vlanStatisticsPerPort: [45, 'IFLA_BR_VLAN_STATS_PER_PORT', boolean8],
  booleanOptions: [46, 'IFLA_BR_MULTI_BOOLOPT', booleans],
  querierState: [47, 'IFLA_BR_MCAST_QUERIER_STATE', binary],
  fdbLearned: [48, 'IFLA_BR_FDB_N_LEARNED', attributeU32],
  fdbMaxLearned: [49, 'IFLA_BR_FDB_MAX_LEARNED', attributeU32],
})

const readOnly = [
  'rootId',
  'bridgeId',
  'rootPort',
  'rootPathCost',
  'topologyChange',
  'topologyChangeDetected',
  'helloTimer',
  'topologyChangeNotificationTimer',
  'topologyChangeTimer',
  'garbageCollectionTimer',
  'padding',
  'querierState',
  'fdbLearned',
] as const

/** What a bridge tells of itself. */
export type BridgeState = AttributesOf<typeof bridgeAttributes>

/**
 * A bridge's own options: times in milliseconds. What is not given is the kernel's default (STP off, ageing 300,000 ms,
 * forward delay 15,000 ms, VLAN filtering off, multicast snooping on).
 */
export type BridgeOptions = Omit<BridgeState, (typeof readOnly)[number]>

declare module './registry.js' {
  interface LinkKinds {
    bridge: BridgeOptions
  }
  interface LinkKindStates {
    bridge: BridgeState
  }
}

defineKind({
  kind: 'bridge',
  options: bridgeAttributes as unknown as AnyTable,
  readOnly,
  kernel: { config: 'CONFIG_BRIDGE', module: 'bridge' },
  port: { ...bridgePorts, options: bridgePorts.options as unknown as AnyTable },
})
