/** Routes: the plain objects that their messages (route-attributes.ts) are read as. */
import type { Decoded } from '../netlink/message.js'
import type { AttributesOf } from '../netlink/table.js'
import { AF_INET } from '../values/ip.js'
import { flagNames, nexthopFlags, routeFlags, routeProtocols, routeTables, routeTypes, scopes } from './constants.js'
import { type EncapsulationRow, readEncapsulation } from './encapsulation.js'
import { AF_MPLS } from './mpls-labels.js'
import type {
  metricAttributes,
  nexthopAttributes,
  RawNexthop,
  routeAttributes,
  routerPreferences,
  rtmsg,
} from './route-attributes.js'

export { routeAttributes, routeMessage, rtmsg } from './route-attributes.js'

/**
 * What a route says about its packets (the metrics of ip-route(8), RTAX_… of linux/rtnetlink.h), as it is read. Times in
 * milliseconds, sizes in bytes, windows of congestion in packets.
 */
export type RouteMetrics = AttributesOf<typeof metricAttributes>

export type NexthopFlag = keyof typeof nexthopFlags

/** One of the ways of a multipath route. */
export interface Nexthop {
  via?: string
  /** The index of the link. */
  index: number
  /** Its share among the others, from 1 to 256. */
  weight: number
  flags: NexthopFlag[]
  /** As of Route. */
  flow?: number
  /** As of Route. */
  encapsulation?: EncapsulationRow
  /** As of Route. */
  as?: readonly number[]
}

/** A route, as read from the kernel. `add`, `replace`, `ensure` and `remove` take it as it is. */
export interface Route {
  family: 'inet' | 'inet6' | 'mpls'
  /** The destination: '10.0.2.0/24', or 'default'; for MPLS the label that packets come with: '100'. */
  to: string
  /** The next hop's address; for MPLS it may be a MAC address. */
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
  /** IPv4: only for packets with this type of service (the upper six bits of it, DSCP). */
  tos?: number
  /** Maximum transmission unit in bytes, where the route limits it: the one of `metrics`. */
  mtu?: number
  /** All of the route's metrics, when there are any. */
  metrics?: RouteMetrics
  /** IPv4: the realm, for classifying packets; that of the source in the upper 16 bits (`realms` of ip-route(8)). */
  flow?: number
  /** IPv6: which of equally good routes is preferred (RFC 4191). */
  preference?: keyof typeof routerPreferences | number
  /** IPv6: milliseconds until the route goes away by itself. */
  expires?: number
  /** The nexthop object (`namespace.nexthops`) that says where the route leads. */
  nexthopId?: number
  /** What packets are wrapped in. */
  encapsulation?: EncapsulationRow
  /** MPLS: the labels that take the place of `to`. */
  as?: readonly number[]
  /** MPLS: whether the TTL of the label is put into the packet when the last label is taken off. */
  ttlPropagate?: boolean
  /** What holds for its next hop, and for itself. */
  flags: (NexthopFlag | keyof typeof routeFlags)[]
  /** The ways of a multipath route. */
  nexthops?: Nexthop[]
}

/** The words of a table, by number; made once, as routes are read by the thousand. */
function wordsOf<N extends string>(table: Readonly<Record<N, number>>): (number: number) => N | number {
  const words = new Map((Object.keys(table) as N[]).map((name) => [table[name], name]))
  return (number) => words.get(number) ?? number
}

export const tableWord = wordsOf(routeTables)
export const typeWord = wordsOf(routeTypes)
export const scopeWord = wordsOf(scopes)
export const protocolWord = wordsOf(routeProtocols)

/** RTNH_F_… in the low byte, RTM_F_… in the next. Most routes have none. */
function flagsOf(bits: number): Route['flags'] {
  if ((bits & 0xffff) === 0) return []
  const own: Route['flags'] = flagNames(nexthopFlags, bits & 0xff)
  return own.concat(flagNames(routeFlags, bits))
}

/** A kernel's message as a Route. */
export function readRoute({ header, attributes: own }: Decoded<typeof rtmsg, typeof routeAttributes>): Route {
  const { destination, source } = own
  const isMpls = header.family === AF_MPLS
  const route: Route = {
    family: header.family === AF_INET ? 'inet' : isMpls ? 'mpls' : 'inet6',
    to: destination === undefined ? 'default' : isMpls ? destination : `${destination}/${header.destinationLength}`,
    table: tableWord(own.table ?? header.table),
    type: typeWord(header.type),
    scope: scopeWord(header.scope),
    protocol: protocolWord(header.protocol),
    flags: flagsOf(header.flags),
  }
  const gateway = own.gateway ?? own.via
  if (gateway !== undefined) route.via = gateway
  if (own.outputLink !== undefined) route.index = own.outputLink
  if (own.priority !== undefined) route.metric = own.priority
  if (own.preferredSource !== undefined) route.source = own.preferredSource
  if (source !== undefined) route.from = `${source}/${header.sourceLength}`
  if (header.tos !== 0) route.tos = header.tos
  if (own.metrics !== undefined) {
    route.metrics = own.metrics
    if (own.metrics.mtu !== undefined) route.mtu = own.metrics.mtu
  }
  if (own.preference !== undefined) route.preference = own.preference
  // Hundredths of a second (clock_t).
  if (own.cacheInfo !== undefined && own.cacheInfo.expires > 0) route.expires = own.cacheInfo.expires * 10
  if (own.nexthopId !== undefined) route.nexthopId = own.nexthopId
  if (own.ttlPropagate !== undefined) route.ttlPropagate = own.ttlPropagate
  readWay(own, route)
  if (own.multipath !== undefined) route.nexthops = own.multipath.map(readNexthop)
  return route
}

type Way = Pick<
  AttributesOf<typeof nexthopAttributes>,
  'flow' | 'newDestination' | 'encapsulation' | 'encapsulationType'
>

/** What a route and a next hop of a multipath route have alike. */
function readWay(own: Way, row: Pick<Nexthop, 'flow' | 'as' | 'encapsulation'>): void {
  if (own.flow !== undefined) row.flow = own.flow
  if (own.newDestination !== undefined) row.as = own.newDestination
  if (own.encapsulationType !== undefined && own.encapsulation !== undefined) {
    row.encapsulation = readEncapsulation(own.encapsulationType, own.encapsulation)
  }
}

function readNexthop({ flags, hops, index, attributes: own }: RawNexthop): Nexthop {
  const nexthop: Nexthop = { index, weight: hops + 1, flags: flagNames(nexthopFlags, flags) }
  const gateway = own.gateway ?? own.via
  if (gateway !== undefined) nexthop.via = gateway
  readWay(own, nexthop)
  return nexthop
}
