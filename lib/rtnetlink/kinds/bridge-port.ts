/** Ports of a bridge (ip-link(8), "Bridge Slave Support"; bridge(8), "bridge link set"; linux/if_link.h, IFLA_BRPORT_…). */
import {
  type AttributeType,
  attributeU8,
  attributeU16,
  attributeU32,
  binary,
  boolean8,
  clock64,
  mapped,
  words,
} from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AttributesOf, attributes } from '../../netlink/table.js'
import { formatMac } from '../../values/mac.js'
import type { LinksIn } from './registry.js'

/** struct ifla_bridge_id, as `ip -d link` shows it: a priority and a MAC, '8000.02:00:00:00:00:01'. */
export const bridgeId: AttributeType<string> = mapped(
  binary,
  (octets) => `${formatMac(octets, 0, 2).replace(':', '')}.${formatMac(octets, 2)}`,
  (text) => Uint8Array.from(text.replace(/[.:]/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
)

/** Where multicast routers are: MDB_RTR_TYPE_… (linux/if_bridge.h). */
export const multicastRouters = headerWords(
  'MDB_RTR_TYPE_',
  { disabled: 0, query: 1, enabled: 2, temporary: 3 },
  { query: 'MDB_RTR_TYPE_TEMP_QUERY', enabled: 'MDB_RTR_TYPE_PERM', temporary: 'MDB_RTR_TYPE_TEMP' },
)

/** States of a port in the spanning tree (802.1D), BR_STATE_… (linux/if_bridge.h). */
export const portStates = headerWords('BR_STATE_', {
  disabled: 0,
  listening: 1,
  learning: 2,
  forwarding: 3,
  blocking: 4,
})

export const bridgePortAttributes = attributes({
  /**
   * State in the spanning tree. The bridge sets it itself, unless a program runs the spanning tree. With the kernel's STP it
   * cannot be set (EBUSY), and on a port without a carrier it can only be 'disabled' (ENETDOWN).
   */
  state: [1, 'IFLA_BRPORT_STATE', words(attributeU8, portStates)],
  /** For the choice of a root port: 0 to 63, lower wins. Default 32. */
  priority: [2, 'IFLA_BRPORT_PRIORITY', attributeU16],
  /** Cost of the path through the port, 1 to 65535. Default: by the link's speed, 100 at 10 Mbit/s, 2 at 10 Gbit/s. */
  cost: [3, 'IFLA_BRPORT_COST', attributeU32],
  /** Sends frames back through the port that they came in by, as VEPA switches do. Default false. */
  hairpin: [4, 'IFLA_BRPORT_MODE', boolean8],
  /** BPDU guard: the port is disabled when a spanning-tree frame arrives. Default false. */
  guard: [5, 'IFLA_BRPORT_GUARD', boolean8],
  /** The port never becomes the root port. Default false. */
  rootBlock: [6, 'IFLA_BRPORT_PROTECT', boolean8],
  /** Drops a multicast group at once when a member leaves, without asking for others. Default false. */
  fastLeave: [7, 'IFLA_BRPORT_FAST_LEAVE', boolean8],
  /** Learns where senders are from what they send. Default true. */
  learning: [8, 'IFLA_BRPORT_LEARNING', boolean8],
  /** Unicast frames to an unknown address go out here. Default true. */
  flood: [9, 'IFLA_BRPORT_UNICAST_FLOOD', boolean8],
  /** Answers ARP for others from the bridge's neighbors, and does not send the question out here. Default false. */
  proxyArp: [10, 'IFLA_BRPORT_PROXYARP', boolean8],
  learningSync: [11, 'IFLA_BRPORT_LEARNING_SYNC', boolean8],
  /** The same, for Wi-Fi stations that are kept from each other (IEEE 802.11 proxy ARP, Hotspot 2.0). Default false. */
  proxyArpWifi: [12, 'IFLA_BRPORT_PROXYARP_WIFI', boolean8],
  /** The spanning tree's root, as the port heard of it. */
  rootId: [13, 'IFLA_BRPORT_ROOT_ID', bridgeId],
  /** The bridge that leads from the port's segment to the root. */
  bridgeId: [14, 'IFLA_BRPORT_BRIDGE_ID', bridgeId],
  designatedPort: [15, 'IFLA_BRPORT_DESIGNATED_PORT', attributeU16],
  designatedCost: [16, 'IFLA_BRPORT_DESIGNATED_COST', attributeU16],
  /** The port's id in the spanning tree: its priority and its number. */
  id: [17, 'IFLA_BRPORT_ID', attributeU16],
  /** The port's number within its bridge, from 1. */
  number: [18, 'IFLA_BRPORT_NO', attributeU16],
  topologyChangeAcknowledge: [19, 'IFLA_BRPORT_TOPOLOGY_CHANGE_ACK', boolean8],
  configurationPending: [20, 'IFLA_BRPORT_CONFIG_PENDING', boolean8],
  /** What is left of timers, in milliseconds; 0 when one does not run. */
  messageAgeTimer: [21, 'IFLA_BRPORT_MESSAGE_AGE_TIMER', clock64],
  forwardDelayTimer: [22, 'IFLA_BRPORT_FORWARD_DELAY_TIMER', clock64],
  holdTimer: [23, 'IFLA_BRPORT_HOLD_TIMER', clock64],
  /** Whether multicast goes out here for a router: 'query' (default) finds out, 'enabled' always, 'disabled' never. */
  multicastRouter: [25, 'IFLA_BRPORT_MULTICAST_ROUTER', words(attributeU8, multicastRouters)],
  padding: [26, 'IFLA_BRPORT_PAD', binary],
  /** Multicast to a group that nobody is known to have joined goes out here. Default true. */
  multicastFlood: [27, 'IFLA_BRPORT_MCAST_FLOOD', boolean8],
  /** Sends multicast as unicast to each member behind the port. Default false. */
  multicastToUnicast: [28, 'IFLA_BRPORT_MCAST_TO_UCAST', boolean8],
  /** Maps VLANs to tunnels' ids; the port is a VXLAN that takes them from outside (`external`). Default false. */
  vlanTunnel: [29, 'IFLA_BRPORT_VLAN_TUNNEL', boolean8],
  /** Broadcasts go out here. Default true. */
  broadcastFlood: [30, 'IFLA_BRPORT_BCAST_FLOOD', boolean8],
  /** Bits n for the link-local addresses 01:80:c2:00:00:0n that are forwarded and not kept by the bridge. Default 0. */
  groupForwardMask: [31, 'IFLA_BRPORT_GROUP_FWD_MASK', attributeU16],
  /** Answers ARP and neighbor solicitations from the neighbors that are known, and does not flood them here. Default false. */
  neighborSuppression: [32, 'IFLA_BRPORT_NEIGH_SUPPRESS', boolean8],
  /** Exchanges frames with ports that are not isolated only. Default false. */
  isolated: [33, 'IFLA_BRPORT_ISOLATED', boolean8],
  /** The port of the same bridge that takes over when this one loses its carrier; null for none. Read as its index. */
  backupPort: [34, 'IFLA_BRPORT_BACKUP_PORT', attributeU32],
  ringOpen: [35, 'IFLA_BRPORT_MRP_RING_OPEN', boolean8],
  interconnectOpen: [36, 'IFLA_BRPORT_MRP_IN_OPEN', boolean8],
  /** Most hosts of multicast groups that are followed one by one (IGMPv3, MLDv2). Default 512. */
  multicastHostsLimit: [37, 'IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT', attributeU32],
  /** How many of them there are. */
  multicastHostsCount: [38, 'IFLA_BRPORT_MCAST_EHT_HOSTS_CNT', attributeU32],
  /** Takes frames only from addresses that the forwarding database has here (802.1X). Default false. */
  locked: [39, 'IFLA_BRPORT_LOCKED', boolean8],
  /** Of a locked port: unknown senders are noted as locked entries, for a program to let in. Linux 6.2. Default false. */
  macAuthenticationBypass: [40, 'IFLA_BRPORT_MAB', boolean8],
  /** How many multicast groups have been joined here. Linux 6.3. */
  multicastGroups: [41, 'IFLA_BRPORT_MCAST_N_GROUPS', attributeU32],
  /** Most groups that may be joined here; 0 for no limit. Linux 6.3. Default 0. */
  multicastMaxGroups: [42, 'IFLA_BRPORT_MCAST_MAX_GROUPS', attributeU32],
  /** `neighborSuppression` for each VLAN by itself, as the bridge's VLANs say. Linux 6.4. Default false. */
  neighborVlanSuppression: [43, 'IFLA_BRPORT_NEIGH_VLAN_SUPPRESS', boolean8],
  /** The id of a next hop that frames for the backup port, a VXLAN, go to; 0 for none. Linux 6.6. Default 0. */
  backupNexthopId: [44, 'IFLA_BRPORT_BACKUP_NHID', attributeU32],
})

const readOnly = [
  'learningSync',
  'rootId',
  'bridgeId',
  'designatedPort',
  'designatedCost',
  'id',
  'number',
  'topologyChangeAcknowledge',
  'configurationPending',
  'messageAgeTimer',
  'forwardDelayTimer',
  'holdTimer',
  'padding',
  'ringOpen',
  'interconnectOpen',
  'multicastHostsCount',
  'multicastGroups',
] as const

/** What a bridge tells of a port. */
export type BridgePortState = AttributesOf<typeof bridgePortAttributes>

/** What can be asked of a bridge's port. What is not given is the kernel's default, which each option names. */
export type BridgePortOptions = LinksIn<Omit<BridgePortState, (typeof readOnly)[number]>, 'backupPort'>

declare module './registry.js' {
  interface PortKinds {
    bridge: BridgePortOptions
  }
  interface PortKindStates {
    bridge: BridgePortState
  }
}

export const bridgePorts = { options: bridgePortAttributes, readOnly, links: ['backupPort'] } as const
