/** Which routes are listed: the part that the kernel filters by, and the test of each row for the rest. */
import type { Namespace } from '../namespace/namespace.js'
import type { Message } from '../netlink/message.js'
import { checkInteger, checkOneOf, checkOneOfOrNumber, checkOptions } from '../validate.js'
import { AF_INET, AF_INET6, AF_UNSPEC, checkIp, formatIp, parseIp } from '../values/ip.js'
import { type routeProtocols, type routeTables, routeTypes, rtnetlinkConstants, scopes } from './constants.js'
import { indexIfGiven } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { AF_MPLS } from './mpls-labels.js'
import { protocolWord, type Route, readRoute, routeMessage, scopeWord, tableWord, typeWord } from './route.js'
import {
  checkDestination,
  checkNetwork,
  checkProtocol,
  checkTable,
  type Destination,
  destinationText,
  protocolNumber,
  tableNumber,
} from './route-options.js'
import { readCommonRoute } from './route-reader.js'
import type { RouteAsk } from './route-request.js'

const { RTM_F_CLONED } = rtnetlinkConstants

/** Which routes are meant. The kernel filters by family, table, link, protocol and type; netkit by the rest. */
export interface RouteFilter {
  /** Default: IPv4 and IPv6. Those of MPLS must be asked for. */
  family?: 'inet' | 'inet6' | 'mpls'
  /** A table, or 'all'. Default: 'main' whatever the type, as `ip route` has it. */
  table?: keyof typeof routeTables | 'all' | number
  link?: LinkReference
  /** The destination, exactly. 'default' alone is that of both families. */
  to?: string | number
  /** Destinations in this network (`ip route show root`). */
  within?: string
  /** Destinations that this network or address is in (`ip route show match`). */
  contains?: string
  via?: string
  protocol?: keyof typeof routeProtocols | number
  type?: keyof typeof routeTypes | number
  scope?: keyof typeof scopes | number
  metric?: number
  /** IPv6: the network that the packets come from, exactly. */
  from?: string
  tos?: number
  nexthopId?: number
}

const filterKeys = [
  ...(['family', 'table', 'link', 'to', 'within', 'contains', 'via', 'protocol', 'type', 'scope'] as const),
  ...(['metric', 'from', 'tos', 'nexthopId'] as const),
] as const satisfies readonly (keyof RouteFilter)[]

/** A filter that was checked; `index` is of its link, when one was given. */
export interface CheckedFilter {
  header: { family: number; protocol: number; type: number }
  attributes: { table: number | undefined; outputLink: number | undefined }
  matches(route: Route): boolean
}

const families = { inet: AF_INET, inet6: AF_INET6, mpls: AF_MPLS } as const

/** Checks a filter. A promise only when a link's name must be looked up. */
export function checkFilter(namespace: Namespace, filter: RouteFilter): CheckedFilter | Promise<CheckedFilter> {
  checkOptions(filter, 'filter', filterKeys)
  const { family, table, via, protocol, type, scope, metric, tos, nexthopId } = filter
  if (family !== undefined) checkOneOf(family, 'filter.family', Object.keys(families))
  if (table !== 'all') checkTable(table, 'filter.table')
  if (protocol !== undefined) checkProtocol(protocol, 'filter.protocol')
  checkNumberOrWord(type, 'filter.type', routeTypes)
  checkNumberOrWord(scope, 'filter.scope', scopes)
  if (metric !== undefined) checkInteger(metric, 'filter.metric', 0, 0xffff_ffff)
  if (tos !== undefined) checkInteger(tos, 'filter.tos', 0, 255)
  if (nexthopId !== undefined) checkInteger(nexthopId, 'filter.nexthopId', 1, 0xffff_ffff)
  const address = via === undefined ? undefined : formatIp(checkIp(via, 'filter.via'))
  const to = filter.to === undefined ? undefined : checkDestination(filter.to, [via], 'filter.to', family)
  const from = filter.from === undefined ? undefined : checkNetwork(filter.from, 'filter.from')
  const within = filter.within === undefined ? undefined : checkNetwork(filter.within, 'filter.within')
  const contains = filter.contains === undefined ? undefined : checkNetwork(filter.contains, 'filter.contains')
  const found = indexIfGiven(namespace, filter.link, 'filter.link')
  const hinted = filter.to === 'default' && via === undefined ? undefined : to?.family
  const tests = rowTests({ ...filter, via: address, to: undefined, from: undefined })
  if (to !== undefined) tests.push((route) => route.to === destinationText(to))
  if (from !== undefined) tests.push((route) => (route.from ?? 'default') === destinationText(from))
  if (within !== undefined) tests.push((route) => includes(within, networkOf(route)))
  if (contains !== undefined) tests.push((route) => includes(networkOf(route), contains))
  const inFamily =
    family === undefined ? (hinted ?? within?.family ?? contains?.family ?? from?.family) : families[family]
  const complete = (index: number | undefined): CheckedFilter => ({
    header: {
      family: inFamily ?? AF_UNSPEC,
      protocol: protocol === undefined ? 0 : protocolNumber(protocol),
      type: typeof type === 'string' ? routeTypes[type] : (type ?? 0),
    },
    attributes: { table: table === 'all' ? undefined : tableNumber(table), outputLink: index },
    matches: (route) =>
      (inFamily === undefined ? route.family !== 'mpls' : families[route.family] === inFamily) &&
      leads(route, index, address) &&
      passes(tests, route),
  })
  return typeof found === 'object' ? found.then(complete) : complete(found)
}

function passes(tests: readonly ((route: Route) => boolean)[], route: Route): boolean {
  for (const test of tests) if (!test(route)) return false
  return true
}

function checkNumberOrWord(value: unknown, name: string, words: Readonly<Record<string, number>>): void {
  if (value !== undefined) checkOneOfOrNumber(value, name, Object.keys(words), 0, 255)
}

/** One next hop has both. */
function leads(route: Route, index: number | undefined, via: string | undefined): boolean {
  if (index === undefined && via === undefined) return true
  return (route.nexthops ?? [route]).some(
    (hop) => (index === undefined || hop.index === index) && (via === undefined || hop.via === via),
  )
}

function rowTests(filter: RouteFilter): ((route: Route) => boolean)[] {
  const tests: ((route: Route) => boolean)[] = []
  const { table, protocol, type, scope, metric, tos, nexthopId } = filter
  if (table !== 'all') {
    const name = tableWord(tableNumber(table))
    tests.push((route) => route.table === name)
  }
  if (protocol !== undefined) {
    const name = protocolWord(protocolNumber(protocol))
    tests.push((route) => route.protocol === name)
  }
  if (type !== undefined) {
    const name = typeof type === 'number' ? typeWord(type) : type
    tests.push((route) => route.type === name)
  }
  if (scope !== undefined) {
    const name = typeof scope === 'number' ? scopeWord(scope) : scope
    tests.push((route) => route.scope === name)
  }
  if (metric !== undefined) tests.push((route) => (route.metric ?? 0) === metric)
  if (tos !== undefined) tests.push((route) => (route.tos ?? 0) === tos)
  if (nexthopId !== undefined) tests.push((route) => route.nexthopId === nexthopId)
  return tests
}

/** The destination of a row. */
function networkOf({ family, to }: Route): Destination {
  const [text, length] = to.split('/')
  return { family: families[family], text: to === 'default' ? undefined : text, prefixLength: Number(length ?? 0) }
}

/** Whether one network has the other in it, or is it. */
function includes(outer: Destination, inner: Destination): boolean {
  if (outer.family !== inner.family || outer.prefixLength > inner.prefixLength) return false
  if (outer.text === undefined) return true
  const [a, b] = [parseIp(outer.text), parseIp(inner.text ?? '')]
  if (a === undefined || b === undefined) return false
  for (let bit = 0; bit < outer.prefixLength; bit += 8) {
    const mask = 0xff00 >> Math.min(8, outer.prefixLength - bit)
    if ((((a[bit / 8] ?? 0) ^ (b[bit / 8] ?? 0)) & mask & 0xff) !== 0) return false
  }
  return true
}

/** The question for a list of routes. */
export function listing({ header, attributes }: CheckedFilter, what: string): RouteAsk {
  return { definition: routeMessage, request: 'RTM_GETROUTE', header, attributes, what }
}

/** Reads what a dump says, if it is meant: of cached routes and those of bridges and multicast, which it has too, nothing. */
export function readListed(filter: Pick<CheckedFilter, 'matches'>): (message: Message) => Route | undefined {
  return (message) => {
    const common = readCommonRoute(message)
    if (common !== undefined) return filter.matches(common) ? common : undefined
    const decoded = routeMessage.decode(message)
    const { flags, family } = decoded.header
    if ((flags & RTM_F_CLONED) !== 0 || (family !== AF_INET && family !== AF_INET6 && family !== AF_MPLS)) {
      return undefined
    }
    const route = readRoute(decoded)
    return filter.matches(route) ? route : undefined
  }
}
