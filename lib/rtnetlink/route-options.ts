/** What a caller says about a route, and its checks. */
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOneOfOrNumber,
  checkOptions,
  checkString,
  typeError,
  valueError,
} from '../validate.js'
import { AF_INET, AF_INET6, checkIp, checkPrefix, familyOf, formatIp, formatPrefix, maskOctets } from '../values/ip.js'
import { parseMac } from '../values/mac.js'
import { routeProtocols, routeTables, routeTypes, scopes } from './constants.js'
import type { Encapsulation, EncapsulationRow } from './encapsulation.js'
import { checkEncapsulation } from './encapsulation-options.js'
import { checkLinkReference, type LinkReference } from './link-options.js'
import { AF_MPLS, checkLabel, checkLabels, LABEL_BITS } from './mpls-labels.js'
import type { Route, RouteMetrics } from './route.js'
import { routerPreferences } from './route-attributes.js'
import { checkMetrics, MOST_MTU } from './route-metrics.js'

/** One of the ways of a new multipath route. */
export interface NewNexthop {
  via?: string
  link?: LinkReference
  /** Its share among the others, from 1 to 256. Default: 1. */
  weight?: number
  /** As of NewRoute. */
  onlink?: boolean
  /** As of NewRoute. */
  flow?: number
  /** As of NewRoute. */
  encapsulation?: Encapsulation | EncapsulationRow
  /** As of NewRoute. */
  as?: readonly number[]
}

/** A new route (ip-route(8)). `add`, `append`, `replace` and `ensure` take a row of `list` too, as it is. */
export interface NewRoute {
  /** The destination: '10.0.2.0/24', one address, or 'default'; for MPLS the label that packets come with, from 0 to 1,048,575. */
  to: string | number
  /** Default: that of `to`; for 'default' that of `via` or `source`, and IPv4 without them. 'mpls' must be said. */
  family?: 'inet' | 'inet6' | 'mpls'
  /** The next hop's address. An IPv4 route may lead via an IPv6 one; one of MPLS via either, or a MAC address. */
  via?: string
  /** The link that it leads out of; the kernel finds it by `via` when it is not given. */
  link?: LinkReference
  /** The ways of a multipath route, in place of `via` and `link`. */
  nexthops?: readonly NewNexthop[]
  /** The nexthop object (`namespace.nexthops`) that says where the route leads, in place of `via`, `link` and `nexthops`. */
  nexthopId?: number
  /** Default: 'main'; 'local' for the types 'local', 'broadcast', 'anycast' and 'nat', as `ip route` has it. */
  table?: keyof typeof routeTables | number
  /** Default: 'unicast'. Those of 'blackhole', 'unreachable', 'prohibit' and 'throw' have neither `via` nor `link`. */
  type?: keyof typeof routeTypes | number
  /** Default: 'link' without `via`, 'global' with it, 'host' for local routes (IPv4). */
  scope?: keyof typeof scopes | number
  /** Who made it. Default: 'static', where `ip route add` has 'boot'. */
  protocol?: keyof typeof routeProtocols | number
  /** The smaller goes first. Default: 0 for IPv4, 1024 for IPv6. */
  metric?: number
  /** The address to send from. */
  source?: string
  /** IPv6: only for packets from this network (the kernel needs CONFIG_IPV6_SUBTREES). */
  from?: string
  /** IPv4: only for packets with this type of service; a multiple of 4, as its lowest two bits are not for routing. */
  tos?: number
  /** Maximum transmission unit in bytes, at most 65,520: short for `metrics: { mtu }`. */
  mtu?: number
  /** What else holds for packets that take the route. */
  metrics?: RouteMetrics
  /** IPv4: the realm, for classifying packets; that of the source in the upper 16 bits (`realms` of ip-route(8)). */
  flow?: number
  /** IPv6: which of equally good routes is preferred (RFC 4191). Default: 'medium'. */
  preference?: keyof typeof routerPreferences | number
  /** IPv6: the route goes away by itself after as many milliseconds; whole seconds. Default: never. */
  expires?: number
  /** Take the next hop to be on the link, whatever the addresses say. */
  onlink?: boolean
  /** What packets are wrapped in. */
  encapsulation?: Encapsulation | EncapsulationRow
  /** MPLS: the labels that take the place of `to`, the outermost first. Default: none, the label is taken off. */
  as?: readonly number[]
  /** MPLS: whether the TTL of the label is put into the packet. Default: the sysctl net.mpls.ip_ttl_propagate. */
  ttlPropagate?: boolean
}

/** Which route to look for. The table's default is that of a new route; without `type`, any type matches. */
export interface RouteMatch
  extends Pick<NewRoute, 'to' | 'family' | 'via' | 'link' | 'table' | 'metric' | 'type' | 'tos' | 'from'> {}

export const routeKeys = [
  ...([
    'to',
    'family',
    'via',
    'link',
    'nexthops',
    'nexthopId',
    'table',
    'type',
    'scope',
    'protocol',
    'metric',
  ] as const),
  ...(['source', 'from', 'tos', 'mtu', 'metrics', 'flow', 'preference', 'expires', 'onlink'] as const),
  ...(['encapsulation', 'as', 'ttlPropagate'] as const),
] as const satisfies readonly (keyof NewRoute)[]

export const matchKeys = [
  ...(['to', 'family', 'via', 'link', 'table', 'metric', 'type', 'tos', 'from'] as const),
] as const satisfies readonly (keyof RouteMatch)[]

/** Where a route leads to. */
export interface Destination {
  family: number
  /** The address, or the MPLS label; undefined for the default route. */
  text: string | undefined
  prefixLength: number
}

/** Route types that have no next hop. */
const withoutNexthop = ['blackhole', 'unreachable', 'prohibit', 'throw']

/** Route types that go into the table 'local' unless another is named (iproute_modify in iproute2's ip/iproute.c). */
const inLocalTable = ['local', 'broadcast', 'anycast', 'nat']

const U32 = 0xffff_ffff

/** 'default' needs its family, or another address to tell it; alone it is IPv4's. */
export function checkDestination(
  to: unknown,
  hints: (string | undefined)[],
  name: string,
  family?: NewRoute['family'],
): Destination {
  if (family === 'mpls') {
    const label = typeof to === 'string' && /^\d{1,7}$/.test(to) ? Number(to) : to
    checkLabel(label, name)
    return { family: AF_MPLS, text: String(label), prefixLength: LABEL_BITS }
  }
  checkString(to, name)
  if (to === 'default') {
    const isSix = family === undefined ? hints.find((text) => text !== undefined)?.includes(':') : family === 'inet6'
    return { family: isSix ? AF_INET6 : AF_INET, text: undefined, prefixLength: 0 }
  }
  return checkNetwork(to, name)
}

/** A network, or one address; the default route's has no address. */
export function checkNetwork(text: unknown, name: string): Destination {
  const { family, octets, prefixLength } = checkPrefix(text, name, true)
  const masked = maskOctets(octets, prefixLength)
  if (masked.some((octet, i) => octet !== octets[i])) {
    const network = formatPrefix(masked, prefixLength)
    throw valueError(name, text, `has bits set after its prefix; the network is '${network}'`)
  }
  return { family, text: prefixLength === 0 ? undefined : formatIp(octets), prefixLength }
}

export function familyName({ family }: Destination): 'inet' | 'inet6' | 'mpls' {
  return family === AF_INET ? 'inet' : family === AF_INET6 ? 'inet6' : 'mpls'
}

/** A destination as a row has it. */
export function destinationText({ family, text, prefixLength }: Destination): string {
  if (text === undefined) return 'default'
  return family === AF_MPLS ? text : `${text}/${prefixLength}`
}

/** Checks a route, or with the keys of one what tells a route from others. */
export function checkRoute(route: NewRoute, name: string, keys: readonly string[] = routeKeys): Destination {
  checkOptions(route, name, keys)
  const { family, via, source } = route
  if (via !== undefined) checkGateway(via, `${name}.via`, family)
  if (source !== undefined) checkIp(source, `${name}.source`)
  if (family !== undefined) checkOneOf(family, `${name}.family`, ['inet', 'inet6', 'mpls'])
  const destination = checkDestination(route.to, [via, source], `${name}.to`, family)
  if (family !== undefined && family !== familyName(destination)) {
    throw valueError(`${name}.family`, family, "is not the destination's")
  }
  checkAddresses(route, destination, name)
  checkWay(route, name)
  checkNumbers(route, name)
  checkFamily(route, familyName(destination), name)
  return destination
}

/** Addresses of the families that the destination allows. */
function checkAddresses({ via, source, from }: NewRoute, { family }: Destination, name: string): void {
  if (via !== undefined) checkLeadsTo(via, family, `${name}.via`)
  if (source !== undefined && familyOf(checkIp(source, `${name}.source`)) !== family) {
    throw valueError(`${name}.source`, source, "is not of the destination's family")
  }
  if (from !== undefined && family === AF_INET6 && checkNetwork(from, `${name}.from`).family !== AF_INET6) {
    throw valueError(`${name}.from`, from, "is not of the destination's family")
  }
}

function checkGateway(via: unknown, name: string, family: NewRoute['family']): void {
  if (family !== 'mpls' || typeof via !== 'string' || parseMac(via) === undefined) checkIp(via, name)
}

function checkLeadsTo(via: string, family: number, name: string): void {
  if (family === AF_INET6 && familyOf(checkIp(via, name)) === AF_INET) {
    throw valueError(name, via, 'is IPv4, and leads to no IPv6 destination')
  }
}

/** The parts that say where the route leads out, which exclude each other. */
function checkWay(route: NewRoute, name: string): void {
  const { type, via, link, nexthops, nexthopId } = route
  if (link !== undefined) checkLinkReference(link, `${name}.link`)
  if (type !== undefined) checkOneOfOrNumber(type, `${name}.type`, Object.keys(routeTypes), 0, 255)
  if (hasNoNexthop(type)) {
    const why = `a ${type} route has no next hop`
    if (via !== undefined) throw valueError(`${name}.via`, via, why)
    if (link !== undefined) throw valueError(`${name}.link`, typeof link === 'object' ? link?.name : link, why)
    if (nexthops !== undefined) throw valueError(`${name}.nexthops`, nexthops, why)
  }
  if (nexthopId !== undefined) checkInteger(nexthopId, `${name}.nexthopId`, 1, U32)
  for (const key of ['via', 'link', 'onlink', 'encapsulation', 'nexthops', 'flow'] as const) {
    if (route[key] === undefined) continue
    if (nexthopId !== undefined && key !== 'flow') {
      throw valueError(`${name}.${key}`, route[key], 'the nexthop object says where the route leads')
    }
    if (nexthops !== undefined && key !== 'nexthops') {
      throw valueError(`${name}.${key}`, route[key], 'each of the nexthops has its own')
    }
  }
  checkHop(route, name)
  if (nexthops === undefined) return
  if (!Array.isArray(nexthops)) throw typeError(`${name}.nexthops`, 'an array', nexthops)
  if (nexthops.length === 0) throw valueError(`${name}.nexthops`, nexthops, 'is empty')
  const hopKeys = ['via', 'link', 'weight', 'onlink', 'flow', 'encapsulation', 'as']
  nexthops.forEach((hop: NewNexthop, i) => {
    const path = `${name}.nexthops[${i}]`
    checkOptions(hop, path, hopKeys)
    if (hop.via !== undefined) {
      checkGateway(hop.via, `${path}.via`, route.family)
      if (typeof route.to === 'string' && route.to.includes(':')) checkLeadsTo(hop.via, AF_INET6, `${path}.via`)
    }
    if (hop.link !== undefined) checkLinkReference(hop.link, `${path}.link`)
    if (hop.weight !== undefined) checkInteger(hop.weight, `${path}.weight`, 1, 256)
    checkHop(hop, path)
  })
}

/** Of a route that is to be made. The kernel says of one without a way only that there is no such device. */
export function checkLeadsSomewhere(route: NewRoute, name: string): void {
  const { to, family, type = 'unicast', via, link, nexthops, nexthopId } = route
  if (type !== 'unicast' || family === 'mpls') return
  if ([via, link, nexthops, nexthopId].some((way) => way !== undefined)) return
  throw valueError(`${name}.to`, to, 'leads nowhere: give via, link, nexthops or nexthopId, or a type as blackhole')
}

/** What a route and each of its next hops may have. */
function checkHop({ onlink, flow, encapsulation, as }: NewNexthop, name: string): void {
  if (onlink !== undefined) checkBoolean(onlink, `${name}.onlink`)
  if (flow !== undefined) checkInteger(flow, `${name}.flow`, 0, U32)
  if (encapsulation !== undefined) checkEncapsulation(encapsulation, `${name}.encapsulation`)
  if (as !== undefined) checkLabels(as, `${name}.as`)
}

function checkNumbers(route: NewRoute, name: string): void {
  const { table, scope, protocol, metric, mtu, tos, preference, expires } = route
  checkTable(table, `${name}.table`)
  if (scope !== undefined) checkOneOfOrNumber(scope, `${name}.scope`, Object.keys(scopes), 0, 255)
  if (protocol !== undefined) checkProtocol(protocol, `${name}.protocol`)
  if (metric !== undefined) checkInteger(metric, `${name}.metric`, 0, U32)
  if (mtu !== undefined) checkInteger(mtu, `${name}.mtu`, 1, MOST_MTU)
  if (route.metrics !== undefined) checkMetrics(route.metrics, `${name}.metrics`)
  if (tos !== undefined) {
    checkInteger(tos, `${name}.tos`, 0, 255)
    if ((tos & 3) !== 0)
      throw valueError(`${name}.tos`, tos, 'must be a multiple of 4: its lowest two bits are for ECN')
  }
  if (preference !== undefined) {
    checkOneOfOrNumber(preference, `${name}.preference`, Object.keys(routerPreferences), 0, 3)
  }
  if (expires !== undefined) {
    checkInteger(expires, `${name}.expires`, 1000, (U32 >>> 1) * 10)
    if (expires % 1000 !== 0) throw valueError(`${name}.expires`, expires, 'must be whole seconds')
  }
  if (route.ttlPropagate !== undefined) checkBoolean(route.ttlPropagate, `${name}.ttlPropagate`)
}

/** Options that the kernel knows for one family only; it ignores them silently for others. */
const onlyFor = {
  inet: ['tos', 'flow'],
  inet6: ['from', 'preference', 'expires'],
  mpls: ['as', 'ttlPropagate'],
} as const satisfies Record<string, readonly (keyof NewRoute)[]>

const familyTitles = { inet: 'IPv4', inet6: 'IPv6', mpls: 'MPLS' } as const

/** What a route of MPLS may have. */
const ofMpls: readonly string[] = [
  ...['to', 'family', 'via', 'link', 'nexthops', 'table', 'type', 'scope', 'protocol', 'as', 'ttlPropagate'],
]

function checkFamily(route: NewRoute, family: keyof typeof onlyFor, name: string): void {
  for (const owner of ['inet', 'inet6', 'mpls'] as const) {
    for (const key of owner === family ? [] : onlyFor[owner]) {
      const ignored = key === 'tos' && route.tos === 0
      if (route[key] !== undefined && !ignored)
        throw valueError(`${name}.${key}`, route[key], `only ${familyTitles[owner]} routes have one`)
    }
  }
  if (family !== 'mpls') return
  for (const key of routeKeys) {
    if (route[key] !== undefined && !ofMpls.includes(key)) {
      throw valueError(`${name}.${key}`, route[key], 'routes of MPLS have none')
    }
  }
}

export function checkProtocol(protocol: unknown, name: string): void {
  checkOneOfOrNumber(protocol, name, Object.keys(routeProtocols), 0, 255)
}

export function checkTable(table: unknown, name: string): void {
  if (table !== undefined) checkOneOfOrNumber(table, name, Object.keys(routeTables), 0, U32)
}

export function tableNumber(table: keyof typeof routeTables | number | undefined): number {
  return typeof table === 'number' ? table : routeTables[table ?? 'main']
}

export function tableOf({ table, type }: Pick<NewRoute, 'table' | 'type'>): keyof typeof routeTables | number {
  return table ?? (typeof type === 'string' && inLocalTable.includes(type) ? 'local' : 'main')
}

export function protocolNumber(protocol: NewRoute['protocol']): number {
  return typeof protocol === 'number' ? protocol : routeProtocols[protocol ?? 'static']
}

export function hasNoNexthop(type: NewRoute['type']): boolean {
  return typeof type === 'string' && withoutNexthop.includes(type)
}

/** The scope that `ip route add` chooses. */
export function defaultScope(
  { type = 'unicast', via, nexthops, nexthopId }: NewRoute,
  family: number,
): keyof typeof scopes {
  if (family !== AF_INET) return 'global'
  if (type === 'local' || type === 'nat') return 'host'
  if (type === 'broadcast' || type === 'multicast' || type === 'anycast') return 'link'
  const leadsOn = via !== undefined || nexthops !== undefined || nexthopId !== undefined
  return type === 'unicast' && !leadsOn ? 'link' : 'global'
}

/** A row of `list`, by what only rows have. */
export function isRow(given: NewRoute | Route | RouteMatch): given is Route {
  return typeof given === 'object' && given !== null && 'flags' in given && Array.isArray(given.flags)
}

/** What makes a route as a row has it. */
export function wishOf(given: NewRoute | Route): NewRoute {
  if (!isRow(given)) return given
  const { index, flags, mtu, expires, nexthops, via, encapsulation, flow, ...rest } = given
  const wish: NewRoute = rest
  if (given.metrics === undefined && mtu !== undefined) wish.mtu = mtu
  if (expires !== undefined) wish.expires = Math.ceil(expires / 1000) * 1000
  if (given.nexthopId !== undefined) {
    // The kernel tells beside the id what the object leads to, and that it throws packets away.
    if (given.type === 'blackhole') delete wish.type
    return wish
  }
  // The kernel tells that routes without a next hop lead to the loopback interface.
  if (hasNoNexthop(given.type)) return wish
  if (nexthops !== undefined) {
    wish.nexthops = nexthops.map(({ index: at, flags: own, ...hop }) => ({
      ...hop,
      link: at,
      onlink: own.includes('onlink') ? true : undefined,
    })) as NewNexthop[]
    return wish
  }
  if (via !== undefined) wish.via = via
  if (index !== undefined) wish.link = index
  if (flags.includes('onlink')) wish.onlink = true
  if (encapsulation !== undefined) wish.encapsulation = encapsulation
  if (flow !== undefined) wish.flow = flow
  return wish
}

/** What finds the route of a row again. */
export function routeMatchOf(given: RouteMatch | Route): RouteMatch {
  if (!isRow(given)) return given
  const wish = wishOf(given)
  return Object.fromEntries(matchKeys.map((key) => [key, wish[key]])) as unknown as RouteMatch
}
