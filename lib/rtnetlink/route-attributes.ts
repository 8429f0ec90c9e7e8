/** The tables of a route's attributes: its message, its metrics, its next hops (linux/rtnetlink.h, rtnetlink(7)). */
import {
  type AttributeType,
  attributeBe16,
  attributeU8,
  attributeU32,
  binary,
  boolean8,
  boolean32,
  ip,
  Malformed,
  mapped,
  structure,
  text,
  words,
} from '../netlink/attribute.js'
import { align4, LITTLE_ENDIAN } from '../netlink/bytes.js'
import { headerWords } from '../netlink/header-words.js'
import { MessageDefinition } from '../netlink/message.js'
import { Struct, s32, u8, u16, u32 } from '../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../netlink/table.js'
import { AF_INET, AF_INET6, formatIp, parseIp } from '../values/ip.js'
import { formatMac, parseMac } from '../values/mac.js'
import { encapsulation, encapsulationType } from './encapsulation-tables.js'
import { AF_MPLS, labelStack } from './mpls-labels.js'

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

/** What RTA_VIA's next hop of MPLS may be, beside IPv4 and IPv6: a MAC address (AF_PACKET of linux/socket.h's users). */
const AF_PACKET = 17

/**
 * A next hop of another address family than the route's (struct rtvia): 'fe80::1' for an IPv4 route, either for one of MPLS, which
 * takes a MAC address too.
 */
const via: AttributeType<string> = {
  decode(source, offset, length) {
    const family = length < 2 ? 0 : source.view.getUint16(offset, LITTLE_ENDIAN)
    if (family === AF_PACKET) return formatMac(source.bytes.subarray(offset + 2, offset + length))
    const size = family === AF_INET ? 4 : family === AF_INET6 ? 16 : 0
    if (size === 0 || length < 2 + size) throw new Malformed('is not an address with its family')
    return formatIp(source.bytes, offset + 2, size)
  },
  encode(writer, value, name, context) {
    const ipOctets = parseIp(value)
    const octets = ipOctets ?? parseMac(value)
    if (octets === undefined) return ip.encode(writer, value, name, context)
    const family = ipOctets === undefined ? AF_PACKET : octets.length === 4 ? AF_INET : AF_INET6
    writer.view.setUint16(writer.reserve(2), family, LITTLE_ENDIAN)
    writer.append(octets)
  },
}

/** RTA_DST: an address, or for MPLS a label in decimal. */
const destination: AttributeType<string> = {
  decode(source, offset, length, context) {
    if (context.header.family !== AF_MPLS) return ip.decode(source, offset, length, context)
    return String(labelStack.decode(source, offset, length, context)[0] ?? 0)
  },
  encode(writer, value, name, context) {
    if (context.header.family !== AF_MPLS) ip.encode(writer, value, name, context)
    else labelStack.encode(writer, [Number(value)], name, context)
  },
}

/** Metrics whose bits RTAX_LOCK has, by their number. */
const lockable = {
  mtu: 2,
  window: 3,
  rtt: 4,
  rttVariance: 5,
  slowStartThreshold: 6,
  congestionWindow: 7,
  advertisedMss: 8,
  reordering: 9,
  hopLimit: 10,
  initialCongestionWindow: 11,
  features: 12,
  minimumRto: 13,
  initialReceiveWindow: 14,
  quickAck: 15,
  congestionControl: 16,
  fastOpenNoCookie: 17,
} as const

/** What a route says about TCP's features, RTAX_FEATURE_…: bits. */
export const routeFeatures = headerWords('RTAX_FEATURE_', { ecn: 1, sack: 2, timestamp: 4, allfrag: 8 })

/** Bits by words; those without a word are lost on reading. */
function bitWords<N extends string>(bits: Readonly<Record<N, number>>): AttributeType<readonly N[]> {
  const all = Object.keys(bits) as N[]
  return mapped(
    attributeU32,
    (value) => all.filter((name) => (value & bits[name]) !== 0),
    (names) => names.reduce((sum, name) => sum | bits[name], 0),
  )
}

/** Milliseconds; on the wire eighths or quarters of one, as TCP keeps them. */
const fractions = (parts: number): AttributeType<number> =>
  mapped(
    attributeU32,
    (value) => value / parts,
    (value) => Math.round(value * parts),
  )

export type LockableMetric = keyof typeof lockable

/** The metrics that can be locked, and the bits that say so. */
export const lockBits = Object.fromEntries(Object.entries(lockable).map(([name, n]) => [name, 2 ** n])) as Readonly<
  Record<LockableMetric, number>
>

export const metricAttributes = attributes({
  lock: [1, 'RTAX_LOCK', bitWords(lockBits)],
  mtu: [lockable.mtu, 'RTAX_MTU', attributeU32],
  window: [lockable.window, 'RTAX_WINDOW', attributeU32],
  rtt: [lockable.rtt, 'RTAX_RTT', fractions(8)],
  rttVariance: [lockable.rttVariance, 'RTAX_RTTVAR', fractions(4)],
  slowStartThreshold: [lockable.slowStartThreshold, 'RTAX_SSTHRESH', attributeU32],
  congestionWindow: [lockable.congestionWindow, 'RTAX_CWND', attributeU32],
  advertisedMss: [lockable.advertisedMss, 'RTAX_ADVMSS', attributeU32],
  reordering: [lockable.reordering, 'RTAX_REORDERING', attributeU32],
  hopLimit: [lockable.hopLimit, 'RTAX_HOPLIMIT', attributeU32],
  initialCongestionWindow: [lockable.initialCongestionWindow, 'RTAX_INITCWND', attributeU32],
  features: [lockable.features, 'RTAX_FEATURES', bitWords(routeFeatures)],
  minimumRto: [lockable.minimumRto, 'RTAX_RTO_MIN', attributeU32],
  initialReceiveWindow: [lockable.initialReceiveWindow, 'RTAX_INITRWND', attributeU32],
  quickAck: [lockable.quickAck, 'RTAX_QUICKACK', boolean32],
  congestionControl: [lockable.congestionControl, 'RTAX_CC_ALGO', text],
  fastOpenNoCookie: [lockable.fastOpenNoCookie, 'RTAX_FASTOPEN_NO_COOKIE', boolean32],
})

/** RTA_PREF: the router preference of RFC 4191 (linux/icmpv6.h). */
export const routerPreferences = headerWords('ICMPV6_ROUTER_PREF_', { medium: 0, high: 1, low: 3 })

/** What a next hop of a multipath route may have beside its link. */
export const nexthopAttributes = attributes({
  gateway: [5, 'RTA_GATEWAY', ip],
  flow: [11, 'RTA_FLOW', attributeU32],
  via: [18, 'RTA_VIA', via],
  newDestination: [19, 'RTA_NEWDST', labelStack],
  encapsulationType: [21, 'RTA_ENCAP_TYPE', encapsulationType],
  encapsulation: [22, 'RTA_ENCAP', encapsulation],
})

export interface RawNexthop {
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
  destination: [1, 'RTA_DST', destination],
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
  newDestination: [19, 'RTA_NEWDST', labelStack],
  preference: [20, 'RTA_PREF', words(attributeU8, routerPreferences)],
  encapsulationType: [21, 'RTA_ENCAP_TYPE', encapsulationType],
  encapsulation: [22, 'RTA_ENCAP', encapsulation],
  expires: [23, 'RTA_EXPIRES', attributeU32],
  padding: [24, 'RTA_PAD', binary],
  uid: [25, 'RTA_UID', attributeU32],
  ttlPropagate: [26, 'RTA_TTL_PROPAGATE', boolean8],
  ipProtocol: [27, 'RTA_IP_PROTO', attributeU8],
  sourcePort: [28, 'RTA_SPORT', attributeBe16],
  destinationPort: [29, 'RTA_DPORT', attributeBe16],
  nexthopId: [30, 'RTA_NH_ID', attributeU32],
})

/** RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE. */
export const routeMessage = new MessageDefinition(rtmsg, routeAttributes)
