/** Routes: their messages (linux/rtnetlink.h, rtnetlink(7)), and the plain objects they are read as. */
import {
  type AttributeType,
  attributeS32,
  attributeU8,
  attributeU16,
  attributeU32,
  binary,
  ip,
  Malformed,
  structure,
  text,
} from '../netlink/attribute.js'
import { align4, LITTLE_ENDIAN } from '../netlink/bytes.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { Struct, s32, u8, u16, u32 } from '../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../netlink/table.js'
import { AF_INET, AF_INET6, formatIp, parseIp } from '../values/ip.js'
import { flagNames, nexthopFlags, routeProtocols, routeTables, routeTypes, scopes } from './constants.js'

export const rtmsg = new Struct('rtmsg', {
  family: ['rtm_family', u8],
  destinationLength: ['rtm_dst_len', u8],
  sourceLength: ['rtm_src_len', u8],
  tos: ['rtm_tos', u8],
  table: ['rtm_table', u8],
  protocol: ['rtm_protocol', u8],
  scope: ['rtm_scope', u8],
  type: ['rtm_type', u8],
  flags: ['rtm_flags', u32],
})

export const rtnexthop = new Struct('rtnexthop', {
  length: ['rtnh_len', u16],
  flags: ['rtnh_flags', u8],
  hops: ['rtnh_hops', u8],
  index: ['rtnh_ifindex', s32],
})

export const routeCacheInfo = new Struct('rta_cacheinfo', {
  clients: ['rta_clntref', u32],
  lastUse: ['rta_lastuse', u32],
  expires: ['rta_expires', s32],
  error: ['rta_error', u32],
  used: ['rta_used', u32],
  id: ['rta_id', u32],
  timestamp: ['rta_ts', u32],
  timestampAge: ['rta_tsage', u32],
})

/** A next hop of another address family than the route's (struct rtvia): 'fe80::1' for an IPv4 route. */
const via: AttributeType<string> = {
  decode(source, offset, length) {
    const family = length < 2 ? 0 : source.view.getUint16(offset, LITTLE_ENDIAN)
    const size = family === AF_INET ? 4 : family === AF_INET6 ? 16 : 0
    if (size === 0 || length < 2 + size) throw new Malformed('is not an address with its family')
    return formatIp(source.bytes, offset + 2, size)
  },
  encode(writer, value, name, context) {
    const octets = parseIp(value)
    if (octets === undefined) return ip.encode(writer, value, name, context)
    const start = writer.reserve(2)
    writer.view.setUint16(start, octets.length === 4 ? AF_INET : AF_INET6, LITTLE_ENDIAN)
    writer.append(octets)
  },
}

export const metricAttributes = attributes({
  lock: [1, 'RTAX_LOCK', attributeU32],
  mtu: [2, 'RTAX_MTU', attributeU32],
  window: [3, 'RTAX_WINDOW', attributeU32],
  rtt: [4, 'RTAX_RTT', attributeU32],
  rttVariance: [5, 'RTAX_RTTVAR', attributeU32],
  slowStartThreshold: [6, 'RTAX_SSTHRESH', attributeU32],
  congestionWindow: [7, 'RTAX_CWND', attributeU32],
  advertisedMss: [8, 'RTAX_ADVMSS', attributeU32],
  reordering: [9, 'RTAX_REORDERING', attributeU32],
  hopLimit: [10, 'RTAX_HOPLIMIT', attributeU32],
  initialCongestionWindow: [11, 'RTAX_INITCWND', attributeU32],
  features: [12, 'RTAX_FEATURES', attributeU32],
  minimumRto: [13, 'RTAX_RTO_MIN', attributeU32],
  initialReceiveWindow: [14, 'RTAX_INITRWND', attributeU32],
  quickAck: [15, 'RTAX_QUICKACK', attributeU32],
  congestionControl: [16, 'RTAX_CC_ALGO', text],
})

/** What a next hop of a multipath route may have beside its link. */
export const nexthopAttributes = attributes({
  gateway: [5, 'RTA_GATEWAY', ip],
  flow: [11, 'RTA_FLOW', attributeU32],
  via: [18, 'RTA_VIA', via],
  newDestination: [19, 'RTA_NEWDST', binary],
  encapsulationType: [21, 'RTA_ENCAP_TYPE', attributeU16],
  encapsulation: [22, 'RTA_ENCAP', binary],
})

interface RawNexthop {
  flags: number
  hops: number
  index: number
  attributes: AttributesOf<typeof nexthopAttributes>
}

/** RTA_MULTIPATH: struct rtnexthop after struct rtnexthop, each followed by attributes. */
const multipath: AttributeType<RawNexthop[]> = {
  decode(source, offset, length) {
    const hops: RawNexthop[] = []
    const end = offset + length
    for (let at = offset; at < end; ) {
      const { length: size, ...hop } = rtnexthop.decode(source, at, end - at)
      if (size < rtnexthop.size || size > end - at)
        throw new Malformed(`has a next hop that claims ${size} bytes where ${end - at} are left`)
      hops.push({ ...hop, attributes: nexthopAttributes.decode(source, at + rtnexthop.size, at + size) })
      at += align4(size)
    }
    return hops
  },
  encode(writer, hops) {
    for (const { attributes: own, ...hop } of hops) {
      const start = writer.length
      rtnexthop.encode(writer, hop)
      nexthopAttributes.encode(writer, own)
      writer.view.setUint16(start, writer.length - start, LITTLE_ENDIAN)
      writer.align()
    }
  },
}

export const routeAttributes = attributes({
  destination: [1, 'RTA_DST', ip],
  source: [2, 'RTA_SRC', ip],
  inputLink: [3, 'RTA_IIF', attributeU32],
  outputLink: [4, 'RTA_OIF', attributeU32],
  gateway: [5, 'RTA_GATEWAY', ip],
  priority: [6, 'RTA_PRIORITY', attributeU32],
  preferredSource: [7, 'RTA_PREFSRC', ip],
  metrics: [8, 'RTA_METRICS', nested(metricAttributes)],
  multipath: [9, 'RTA_MULTIPATH', multipath],
  flow: [11, 'RTA_FLOW', attributeU32],
  cacheInfo: [12, 'RTA_CACHEINFO', structure(routeCacheInfo)],
  table: [15, 'RTA_TABLE', attributeU32],
  mark: [16, 'RTA_MARK', attributeU32],
  multicastStatistics: [17, 'RTA_MFC_STATS', binary],
  via: [18, 'RTA_VIA', via],
  newDestination: [19, 'RTA_NEWDST', binary],
  preference: [20, 'RTA_PREF', attributeU8],
  encapsulationType: [21, 'RTA_ENCAP_TYPE', attributeU16],
  encapsulation: [22, 'RTA_ENCAP', binary],
  expires: [23, 'RTA_EXPIRES', attributeU32],
  padding: [24, 'RTA_PAD', binary],
  uid: [25, 'RTA_UID', attributeU32],
  ttlPropagate: [26, 'RTA_TTL_PROPAGATE', attributeU8],
  ipProtocol: [27, 'RTA_IP_PROTO', attributeU8],
  sourcePort: [28, 'RTA_SPORT', attributeU16],
  destinationPort: [29, 'RTA_DPORT', attributeU16],
  nexthopId: [30, 'RTA_NH_ID', attributeS32],
})

/** RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE. */
export const routeMessage = new MessageDefinition(rtmsg, routeAttributes)

/** One of the ways of a multipath route. */
export interface Nexthop {
  via?: string
  /** The index of the link. */
  index: number
  /** Its share among the others, from 1 to 256. */
  weight: number
  flags: (keyof typeof nexthopFlags)[]
}

/** A route, as read from the kernel. */
export interface Route {
  family: 'inet' | 'inet6'
  /** The destination: '10.0.2.0/24', or 'default'. */
  to: string
  /** The next hop's address. */
  via?: string
  /** The index of the link that it leads out of. */
  index?: number
  /** The table's name ('main', 'local', 'default') or number. */
  table: keyof typeof routeTables | number
  type: keyof typeof routeTypes | number
  scope: keyof typeof scopes | number
  protocol: keyof typeof routeProtocols | number
  /** The smaller goes first. */
  metric?: number
  /** The address that packets are sent from. */
  source?: string
  /** IPv6: only for packets from this network. */
  from?: string
  /** Maximum transmission unit in bytes, where the route limits it. */
  mtu?: number
  flags: (keyof typeof nexthopFlags)[]
  /** The ways of a multipath route. */
  nexthops?: Nexthop[]
}

function word<N extends string>(table: Readonly<Record<N, number>>, number: number): N | number {
  return (Object.keys(table) as N[]).find((name) => table[name] === number) ?? number
}

/** A kernel's message as a Route. */
export function readRoute({ header, attributes: own }: Decoded<typeof rtmsg, typeof routeAttributes>): Route {
  const { destination, source } = own
  const route: Route = {
    family: header.family === AF_INET ? 'inet' : 'inet6',
    to: destination === undefined ? 'default' : `${destination}/${header.destinationLength}`,
    table: word(routeTables, own.table ?? header.table),
    type: word(routeTypes, header.type),
    scope: word(scopes, header.scope),
    protocol: word(routeProtocols, header.protocol),
    flags: flagNames(nexthopFlags, header.flags & 0xff),
  }
  const gateway = own.gateway ?? own.via
  if (gateway !== undefined) route.via = gateway
  if (own.outputLink !== undefined) route.index = own.outputLink
  if (own.priority !== undefined) route.metric = own.priority
  if (own.preferredSource !== undefined) route.source = own.preferredSource
  if (source !== undefined) route.from = `${source}/${header.sourceLength}`
  if (own.metrics?.mtu !== undefined) route.mtu = own.metrics.mtu
  if (own.multipath !== undefined) route.nexthops = own.multipath.map(readNexthop)
  return route
}

function readNexthop({ flags, hops, index, attributes: own }: RawNexthop): Nexthop {
  const nexthop: Nexthop = { index, weight: hops + 1, flags: flagNames(nexthopFlags, flags) }
  const gateway = own.gateway ?? own.via
  if (gateway !== undefined) nexthop.via = gateway
  return nexthop
}
