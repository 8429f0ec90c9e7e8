/** The messages of links: struct ifinfomsg and the attributes of linux/if_link.h (rtnetlink(7)). */
import {
  type AttributeType,
  attributeS32,
  attributeU8,
  attributeU32,
  bareText,
  binary,
  boolean8,
  type Context,
  hardwareAddress,
  ip,
  repeated,
  structure,
  text,
  words,
} from '../netlink/attribute.js'
import { align4, sourceOf } from '../netlink/bytes.js'
import { headerWords } from '../netlink/header-words.js'
import { ifinfomsg } from '../netlink/ifinfomsg.js'
import { type Message, MessageDefinition } from '../netlink/message.js'
import { counter64, Struct, type StructOf } from '../netlink/struct.js'
import { type AnyTable, type AttributesOf, attributes, dependent, nested } from '../netlink/table.js'
import { AF_INET, AF_INET6 } from '../values/ip.js'
import { operationalStates } from './constants.js'
import { ipv4Configuration } from './device-configuration.js'
import { dataTableOf, portTableOf } from './kinds/registry.js'
import { virtualFunctionAttributes } from './virtual-functions.js'
import { xdpAttributes } from './xdp.js'

const AF_BRIDGE = 7

/** Counters of a link since it was made: packets and bytes in both directions, and what went wrong (struct rtnl_link_stats64). */
export const linkStatistics = new Struct('rtnl_link_stats64', {
  receivedPackets: ['rx_packets', counter64],
  sentPackets: ['tx_packets', counter64],
  receivedBytes: ['rx_bytes', counter64],
  sentBytes: ['tx_bytes', counter64],
  receiveErrors: ['rx_errors', counter64],
  sendErrors: ['tx_errors', counter64],
  receiveDropped: ['rx_dropped', counter64],
  sendDropped: ['tx_dropped', counter64],
  multicast: ['multicast', counter64],
  collisions: ['collisions', counter64],
  receiveLengthErrors: ['rx_length_errors', counter64],
  receiveOverErrors: ['rx_over_errors', counter64],
  receiveCrcErrors: ['rx_crc_errors', counter64],
  receiveFrameErrors: ['rx_frame_errors', counter64],
  receiveFifoErrors: ['rx_fifo_errors', counter64],
  receiveMissedErrors: ['rx_missed_errors', counter64],
  sendAbortedErrors: ['tx_aborted_errors', counter64],
  sendCarrierErrors: ['tx_carrier_errors', counter64],
  sendFifoErrors: ['tx_fifo_errors', counter64],
  sendHeartbeatErrors: ['tx_heartbeat_errors', counter64],
  sendWindowErrors: ['tx_window_errors', counter64],
  receiveCompressed: ['rx_compressed', counter64],
  sendCompressed: ['tx_compressed', counter64],
  receiveNoHandler: ['rx_nohandler', counter64],
  receiveOtherHostDropped: ['rx_otherhost_dropped', counter64],
})

/** A link's counters, by our names. */
export type LinkStatistics = StructOf<typeof linkStatistics>

/** How a link makes its IPv6 addresses, IN6_ADDR_GEN_MODE_… */
export const addressGenerationModes = headerWords('IN6_ADDR_GEN_MODE_', {
  eui64: 0,
  none: 1,
  'stable-privacy': 2,
  random: 3,
})

/** Where a link that comes up stops, IF_LINK_MODE_… (linux/if.h). */
export const linkModes = headerWords('IF_LINK_MODE_', { default: 0, dormant: 1, testing: 2 })

export type LinkMode = keyof typeof linkModes

/** Bits of reasons to hold a link down: which are meant, and their values. */
export const protocolDownReasonAttributes = attributes({
  mask: [1, 'IFLA_PROTO_DOWN_REASON_MASK', attributeU32],
  value: [2, 'IFLA_PROTO_DOWN_REASON_VALUE', attributeU32],
})

export const inet6LinkAttributes = attributes({
  flags: [1, 'IFLA_INET6_FLAGS', attributeU32],
  configuration: [2, 'IFLA_INET6_CONF', binary],
  // Kernels do not agree on what stands where in it: it is left as it comes.
  statistics: [3, 'IFLA_INET6_STATS', binary],
  cacheInfo: [5, 'IFLA_INET6_CACHEINFO', binary],
  icmpStatistics: [6, 'IFLA_INET6_ICMP6STATS', binary],
  token: [7, 'IFLA_INET6_TOKEN', ip],
  addressGeneration: [8, 'IFLA_INET6_ADDR_GEN_MODE', words(attributeU8, addressGenerationModes)],
})

export const inetLinkAttributes = attributes({
  configuration: [1, 'IFLA_INET_CONF', ipv4Configuration],
})

/** IFLA_AF_SPEC of a link: one entry for each address family, by the family's number. */
export const familyAttributes = attributes({
  inet: [AF_INET, 'AF_INET', nested(inetLinkAttributes)],
  inet6: [AF_INET6, 'AF_INET6', nested(inet6LinkAttributes)],
})

export const linkInfoAttributes = attributes({
  kind: [1, 'IFLA_INFO_KIND', text],
  data: [2, 'IFLA_INFO_DATA', dependent(({ siblings }) => dataTableOf(siblings.kind))],
  statistics: [3, 'IFLA_INFO_XSTATS', binary],
  portKind: [4, 'IFLA_INFO_SLAVE_KIND', text],
  portData: [5, 'IFLA_INFO_SLAVE_DATA', dependent(({ siblings }) => portTableOf(siblings.portKind))],
})

export const propertyAttributes = attributes({
  alternativeNames: [53, 'IFLA_ALT_IFNAME', repeated(text)],
})

/** A bridge's own messages (AF_BRIDGE) have other contents in IFLA_AF_SPEC: read as unknown attributes. */
function familyTable({ header }: Context): AnyTable | undefined {
  return header.family === AF_BRIDGE ? undefined : (familyAttributes as unknown as AnyTable)
}

export const linkAttributes = attributes({
  mac: [1, 'IFLA_ADDRESS', hardwareAddress],
  broadcast: [2, 'IFLA_BROADCAST', hardwareAddress],
  name: [3, 'IFLA_IFNAME', text],
  mtu: [4, 'IFLA_MTU', attributeU32],
  parent: [5, 'IFLA_LINK', attributeS32],
  queueingDiscipline: [6, 'IFLA_QDISC', text],
  statistics32: [7, 'IFLA_STATS', binary],
  master: [10, 'IFLA_MASTER', attributeU32],
  protocolInformation: [12, 'IFLA_PROTINFO', binary],
  txQueueLength: [13, 'IFLA_TXQLEN', attributeU32],
  map: [14, 'IFLA_MAP', binary],
  operationalState: [16, 'IFLA_OPERSTATE', words(attributeU8, operationalStates)],
  linkMode: [17, 'IFLA_LINKMODE', words(attributeU8, linkModes)],
  info: [18, 'IFLA_LINKINFO', nested(linkInfoAttributes)],
  namespacePid: [19, 'IFLA_NET_NS_PID', attributeU32],
  alias: [20, 'IFLA_IFALIAS', bareText],
  virtualFunctionCount: [21, 'IFLA_NUM_VF', attributeU32],
  virtualFunctions: [22, 'IFLA_VFINFO_LIST', nested(virtualFunctionAttributes)],
  statistics: [23, 'IFLA_STATS64', structure(linkStatistics)],
  families: [26, 'IFLA_AF_SPEC', dependent(familyTable)],
  group: [27, 'IFLA_GROUP', attributeU32],
  namespaceFd: [28, 'IFLA_NET_NS_FD', attributeU32],
  filterMask: [29, 'IFLA_EXT_MASK', attributeU32],
  promiscuity: [30, 'IFLA_PROMISCUITY', attributeU32],
  txQueues: [31, 'IFLA_NUM_TX_QUEUES', attributeU32],
  rxQueues: [32, 'IFLA_NUM_RX_QUEUES', attributeU32],
  carrier: [33, 'IFLA_CARRIER', boolean8],
  physicalPortId: [34, 'IFLA_PHYS_PORT_ID', binary],
  carrierChanges: [35, 'IFLA_CARRIER_CHANGES', attributeU32],
  physicalSwitchId: [36, 'IFLA_PHYS_SWITCH_ID', binary],
  parentNamespaceId: [37, 'IFLA_LINK_NETNSID', attributeS32],
  physicalPortName: [38, 'IFLA_PHYS_PORT_NAME', text],
  protocolDown: [39, 'IFLA_PROTO_DOWN', boolean8],
  gsoMaxSegments: [40, 'IFLA_GSO_MAX_SEGS', attributeU32],
  gsoMaxSize: [41, 'IFLA_GSO_MAX_SIZE', attributeU32],
  padding: [42, 'IFLA_PAD', binary],
  xdp: [43, 'IFLA_XDP', nested(xdpAttributes)],
  event: [44, 'IFLA_EVENT', attributeU32],
  newNamespaceId: [45, 'IFLA_NEW_NETNSID', attributeS32],
  targetNamespaceId: [46, 'IFLA_TARGET_NETNSID', attributeS32],
  carrierUpCount: [47, 'IFLA_CARRIER_UP_COUNT', attributeU32],
  carrierDownCount: [48, 'IFLA_CARRIER_DOWN_COUNT', attributeU32],
  newIndex: [49, 'IFLA_NEW_IFINDEX', attributeS32],
  minimumMtu: [50, 'IFLA_MIN_MTU', attributeU32],
  maximumMtu: [51, 'IFLA_MAX_MTU', attributeU32],
  properties: [52, 'IFLA_PROP_LIST', nested(propertyAttributes, { flag: true })],
  alternativeName: [53, 'IFLA_ALT_IFNAME', text],
  permanentMac: [54, 'IFLA_PERM_ADDRESS', hardwareAddress],
  protocolDownReason: [55, 'IFLA_PROTO_DOWN_REASON', nested(protocolDownReasonAttributes)],
  parentDevice: [56, 'IFLA_PARENT_DEV_NAME', text],
  parentBus: [57, 'IFLA_PARENT_DEV_BUS_NAME', text],
  groMaxSize: [58, 'IFLA_GRO_MAX_SIZE', attributeU32],
  tsoMaxSize: [59, 'IFLA_TSO_MAX_SIZE', attributeU32],
  tsoMaxSegments: [60, 'IFLA_TSO_MAX_SEGS', attributeU32],
  allMulticast: [61, 'IFLA_ALLMULTI', attributeU32],
  gsoIpv4MaxSize: [63, 'IFLA_GSO_IPV4_MAX_SIZE', attributeU32],
  groIpv4MaxSize: [64, 'IFLA_GRO_IPV4_MAX_SIZE', attributeU32],
})

export type LinkAttributes = AttributesOf<typeof linkAttributes>

/** RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK. */
export const linkMessage = new MessageDefinition(ifinfomsg, linkAttributes)

/** A link's payload, kept, as a message to decode. */
export function wholePayload(payload: Uint8Array): Message {
  return { source: sourceOf(payload), type: 0, flags: 0, sequence: 0, start: 0, end: payload.length }
}

/** A link message within an attribute: VETH_INFO_PEER has the peer's own header and attributes. */
export const nestedLink: AttributeType<{ header: Partial<StructOf<typeof ifinfomsg>>; attributes: LinkAttributes }> = {
  decode(source, offset, length) {
    const header = ifinfomsg.decode(source, offset, length)
    const first = Math.min(offset + length, offset + align4(ifinfomsg.size))
    return { header, attributes: linkAttributes.decode(source, first, offset + length, header) }
  },
  encode(writer, value) {
    ifinfomsg.encode(writer, value.header)
    linkAttributes.encode(writer, value.attributes, value.header)
  },
  nested: () => ({ table: linkAttributes as unknown as AnyTable, skip: align4(ifinfomsg.size) }),
}
