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
  ip,
  words,
} from '../../netlink/attribute.js'
import { Struct, u32 } from '../../netlink/struct.js'
import { type AnyTable, type AttributesOf, attributes, nested } from '../../netlink/table.js'
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

/** The querier that is heard, of IGMP and of MLD (linux/if_bridge.h). */
export const querierAttributes = attributes({
  address: [1, 'BRIDGE_QUERIER_IP_ADDRESS', ip],
  /** The index of the port that it is behind. */
  port: [2, 'BRIDGE_QUERIER_IP_PORT', attributeU32],
  /** How long it still counts, in milliseconds. */
  timer: [3, 'BRIDGE_QUERIER_IP_OTHER_TIMER', clock64],
  padding: [4, 'BRIDGE_QUERIER_PAD', binary],
  address6: [5, 'BRIDGE_QUERIER_IPV6_ADDRESS', ip],
  port6: [6, 'BRIDGE_QUERIER_IPV6_PORT', attributeU32],
  timer6: [7, 'BRIDGE_QUERIER_IPV6_OTHER_TIMER', clock64],
})

export const bridgeAttributes = attributes({
  /** How long a port listens and learns before it forwards, 2000 to 30000 ms with STP. Default 15,000; without STP it is 0 in effect. */
  forwardDelay: [1, 'IFLA_BR_FORWARD_DELAY', clock32],
  /** Between the bridge's spanning-tree frames, 1000 to 10000 ms. Default 2000. */
  helloTime: [2, 'IFLA_BR_HELLO_TIME', clock32],
  /** How long a spanning-tree frame counts, 6000 to 40000 ms. Default 20,000. */
  maxAge: [3, 'IFLA_BR_MAX_AGE', clock32],
  /** How long a learnt address is kept without being seen, in milliseconds; 0 floods everything. Default 300,000. */
  ageingTime: [4, 'IFLA_BR_AGEING_TIME', clock32],
  /** The spanning tree protocol (802.1D). Default false. */
  stp: [5, 'IFLA_BR_STP_STATE', boolean32],
  /** For the choice of the spanning tree's root: 0 to 65535, lower wins. Default 32,768. */
  priority: [6, 'IFLA_BR_PRIORITY', attributeU16],
  /** Whether ports and bridge have VLANs of their own. Default false. */
  vlanFiltering: [7, 'IFLA_BR_VLAN_FILTERING', boolean8],
  /** The tags that filtering looks at. Default '802.1q'. */
  vlanProtocol: [8, 'IFLA_BR_VLAN_PROTOCOL', words(attributeBe16, vlanProtocols)],
  /** Bits n for the link-local addresses 01:80:c2:00:00:0n that are forwarded; 0 to 2 never are (EINVAL). Default 0. */
  groupForwardMask: [9, 'IFLA_BR_GROUP_FWD_MASK', attributeU16],
  /** The spanning tree's root: '8000.02:00:00:00:00:01'. */
  rootId: [10, 'IFLA_BR_ROOT_ID', bridgeId],
  /** The bridge's own id in the spanning tree. */
  bridgeId: [11, 'IFLA_BR_BRIDGE_ID', bridgeId],
  /** The number of the port that leads to the root; 0 when this is it. */
  rootPort: [12, 'IFLA_BR_ROOT_PORT', attributeU16],
  rootPathCost: [13, 'IFLA_BR_ROOT_PATH_COST', attributeU32],
  topologyChange: [14, 'IFLA_BR_TOPOLOGY_CHANGE', boolean8],
  topologyChangeDetected: [15, 'IFLA_BR_TOPOLOGY_CHANGE_DETECTED', boolean8],
  /** What is left of timers, in milliseconds; 0 when one does not run. */
  helloTimer: [16, 'IFLA_BR_HELLO_TIMER', clock64],
  topologyChangeNotificationTimer: [17, 'IFLA_BR_TCN_TIMER', clock64],
  topologyChangeTimer: [18, 'IFLA_BR_TOPOLOGY_CHANGE_TIMER', clock64],
  garbageCollectionTimer: [19, 'IFLA_BR_GC_TIMER', clock64],
  /** Where spanning-tree frames go: a link-local multicast MAC. Default 01:80:c2:00:00:00. */
  groupAddress: [20, 'IFLA_BR_GROUP_ADDR', hardwareAddress],
  /** Whether the machine itself is a multicast router: 'query' (default) finds out, 'enabled', 'disabled'. */
  multicastRouter: [22, 'IFLA_BR_MCAST_ROUTER', words(attributeU8, multicastRouters)],
  /** Sends multicast only where members of the group are (IGMP, MLD). Default true. */
  multicastSnooping: [23, 'IFLA_BR_MCAST_SNOOPING', boolean8],
  /** Queries come from the bridge's own IPv4 address, not from 0.0.0.0. Default false. */
  multicastQueryUseIfaddr: [24, 'IFLA_BR_MCAST_QUERY_USE_IFADDR', boolean8],
  /** Asks for members, where no router does. Default false. */
  multicastQuerier: [25, 'IFLA_BR_MCAST_QUERIER', boolean8],
  /** Without effect since Linux 4.20: the kernel says 16. */
  multicastHashElasticity: [26, 'IFLA_BR_MCAST_HASH_ELASTICITY', attributeU32],
  /** Most groups that are followed. Default 4096. */
  multicastHashMax: [27, 'IFLA_BR_MCAST_HASH_MAX', attributeU32],
  /** Queries without an answer before a group that somebody left is dropped. Default 2. */
  multicastLastMemberCount: [28, 'IFLA_BR_MCAST_LAST_MEMBER_CNT', attributeU32],
  /** Queries in a row when the bridge begins to ask. Default 2. */
  multicastStartupQueryCount: [29, 'IFLA_BR_MCAST_STARTUP_QUERY_CNT', attributeU32],
  /** Between queries after somebody left a group, in milliseconds, as all that follow. Default 1000. */
  multicastLastMemberInterval: [30, 'IFLA_BR_MCAST_LAST_MEMBER_INTVL', clock64],
  /** How long a member counts without an answer. Default 260,000. */
  multicastMembershipInterval: [31, 'IFLA_BR_MCAST_MEMBERSHIP_INTVL', clock64],
  /** How long another querier is waited for. Default 255,000. */
  multicastQuerierInterval: [32, 'IFLA_BR_MCAST_QUERIER_INTVL', clock64],
  /** Between queries. Default 125,000. */
  multicastQueryInterval: [33, 'IFLA_BR_MCAST_QUERY_INTVL', clock64],
  /** How long answers may take. Default 10,000. */
  multicastQueryResponseInterval: [34, 'IFLA_BR_MCAST_QUERY_RESPONSE_INTVL', clock64],
  /** Between the first queries. Default 31,250, which the kernel tells as 31,240. */
  multicastStartupQueryInterval: [35, 'IFLA_BR_MCAST_STARTUP_QUERY_INTVL', clock64],
  /** Bridged IPv4 passes iptables (module br_netfilter). Default false; the sysctl of that name is for all bridges. */
  callIptables: [36, 'IFLA_BR_NF_CALL_IPTABLES', boolean8],
  /** The same of IPv6. */
  callIp6tables: [37, 'IFLA_BR_NF_CALL_IP6TABLES', boolean8],
  /** The same of ARP. */
  callArptables: [38, 'IFLA_BR_NF_CALL_ARPTABLES', boolean8],
  /** The VLAN that new ports are in, 0 for none. Changes only while `vlanFiltering` is off. Default 1. */
  defaultPvid: [39, 'IFLA_BR_VLAN_DEFAULT_PVID', attributeU16],
  padding: [40, 'IFLA_BR_PAD', binary],
  /** Counts what passes in each VLAN. Default false. */
  vlanStatistics: [41, 'IFLA_BR_VLAN_STATS_ENABLED', boolean8],
  /** Counts IGMP and MLD. Default false. */
  multicastStatistics: [42, 'IFLA_BR_MCAST_STATS_ENABLED', boolean8],
  /** 2 (default) or 3: what the querier speaks. */
  igmpVersion: [43, 'IFLA_BR_MCAST_IGMP_VERSION', attributeU8],
  /** 1 (default) or 2. */
  mldVersion: [44, 'IFLA_BR_MCAST_MLD_VERSION', attributeU8],
  /** Counts each port's VLANs apart; changes only without ports that are in any. Default false. */
  vlanStatisticsPerPort: [45, 'IFLA_BR_VLAN_STATS_PER_PORT', boolean8],
  /** Switches that the kernel keeps as bits; what is not given stays as it is. */
  booleanOptions: [46, 'IFLA_BR_MULTI_BOOLOPT', booleans],
  /** Which querier is heard, by family. */
  querierState: [47, 'IFLA_BR_MCAST_QUERIER_STATE', nested(querierAttributes)],
  /** How many addresses have been learnt. Linux 6.7. */
  fdbLearned: [48, 'IFLA_BR_FDB_N_LEARNED', attributeU32],
  /** Most addresses that may be learnt; 0 for no limit. Linux 6.7. Default 0. */
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
  needs: { vlanFiltering: 'CONFIG_BRIDGE_VLAN_FILTERING' },
  port: { ...bridgePorts, options: bridgePorts.options as unknown as AnyTable },
})
