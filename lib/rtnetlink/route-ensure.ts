/** A route that is asked for beside those that are there: whether it is as asked, and what is sent to make it so. */
import { isDeepStrictEqual } from 'node:util'
import { sourceOf } from '../netlink/bytes.js'
import { HEADER_SIZE } from '../netlink/message.js'
import { rtnetlinkConstants } from './constants.js'
import { type Nexthop, type Route, type RouteMetrics, readRoute, routeMessage } from './route.js'
import { type Destination, type NewRoute, wishOf } from './route-options.js'
import { routeRequest } from './route-request.js'

/** A route that is asked for, whose links are indexes, and the row that it would be. */
export interface Wanted {
  destination: Destination
  wish: NewRoute
  row: Route
}

/** The row comes from the request itself: so every value is written as the kernel's rows have it. */
export function wantedRoute(destination: Destination, wish: NewRoute): Wanted {
  const { header, attributes } = routeRequest('RTM_NEWROUTE', destination, wish, '', 0)
  const bytes = routeMessage.encode(rtnetlinkConstants.RTM_NEWROUTE, 0, header, attributes)
  const message = { type: 0, flags: 0, sequence: 0, start: HEADER_SIZE, end: bytes.length }
  return { destination, wish, row: readRoute(routeMessage.decode({ source: sourceOf(bytes), ...message })) }
}

/** The metric that a route without one gets: IPv6's is IP6_RT_PRIO_USER, and 0 stands for it too (ip6_route_info_create). */
const metricOf = ({ family, metric = 0 }: Route) => (family === 'inet6' && metric === 0 ? 1024 : metric)

/** What belongs to where a route leads: when one of it is not as asked, none of the old is kept. */
const wayKeys = [
  ...(['type', 'scope', 'via', 'link', 'nexthops', 'nexthopId', 'onlink', 'encapsulation', 'flow', 'as'] as const),
] as const satisfies readonly (keyof NewRoute)[]

const restKeys = ['protocol', 'source', 'preference', 'ttlPropagate'] as const

/** The same destination, for the same packets: of those, the metric tells one from another. */
function isRival(known: Route, { row }: Wanted): boolean {
  return known.to === row.to && (known.tos ?? 0) === (row.tos ?? 0) && known.from === row.from
}

/** The route that is as asked, among those of the table. */
export function asAsked(routes: readonly Route[], wanted: Wanted): Route | undefined {
  return routes.find(
    (known) =>
      isRival(known, wanted) &&
      (wanted.wish.metric === undefined || metricOf(known) === metricOf(wanted.row)) &&
      leadsAsAsked(known, wanted) &&
      hasTheRest(known, wanted),
  )
}

/** What is to be sent in place of the route that has its metric: that one, with what was asked. Undefined when there is none. */
export function completed(routes: readonly Route[], wanted: Wanted): NewRoute | undefined {
  const { wish } = wanted
  const known = routes.find((one) => isRival(one, wanted) && metricOf(one) === metricOf(wanted.row))
  if (known === undefined) return undefined
  const kept = wishOf(known)
  const leads = leadsAsAsked(known, wanted)
  const way = leads ? kept : wish
  const other = { ...kept, ...given(wish) }
  for (const key of wayKeys) delete other[key]
  delete other.mtu
  const metrics = { ...known.metrics, ...given(wish.metrics ?? {}), ...given({ mtu: wish.mtu }) }
  if (Object.keys(metrics).length > 0) other.metrics = metrics
  const parts = Object.fromEntries(wayKeys.map((key) => [key, way[key]]))
  return { ...other, ...given(parts), to: wish.to }
}

function given<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

function leadsAsAsked(known: Route, { row, wish }: Wanted): boolean {
  // Who says nothing of where it leads takes the one that is there.
  if (wayKeys.every((key) => wish[key] === undefined)) return true
  // The type of a route is that of the nexthop object that it uses.
  const isOfType = known.type === row.type
  if (wish.nexthopId !== undefined) return known.nexthopId === wish.nexthopId && (wish.type === undefined || isOfType)
  if (!isOfType) return false
  // IPv6 has no scopes.
  if (wish.scope !== undefined && known.family === 'inet' && known.scope !== row.scope) return false
  const wishes = wish.nexthops ?? [wish]
  const asked = row.nexthops ?? [hopOf(row)]
  const left = known.nexthops === undefined ? [hopOf(known)] : [...known.nexthops]
  if (left.length !== asked.length) return false
  return asked.every((hop, i) => {
    const found = left.findIndex((one) => hopIsAsAsked(one, hop, wishes[i] ?? {}))
    if (found >= 0) left.splice(found, 1)
    return found >= 0
  })
}

/** The one next hop of a route. */
function hopOf({ via, index, flags, flow, encapsulation, as }: Route): Partial<Nexthop> {
  return { via, index, weight: 1, flags: flags as Nexthop['flags'], flow, encapsulation, as }
}

type HopWish = Pick<NewRoute, 'via' | 'link' | 'onlink' | 'flow' | 'encapsulation' | 'as'>

function hopIsAsAsked(known: Partial<Nexthop>, asked: Partial<Nexthop>, wish: HopWish): boolean {
  return (
    (wish.via === undefined || known.via === asked.via) &&
    (wish.link === undefined || known.index === asked.index) &&
    known.weight === asked.weight &&
    (wish.onlink === undefined || (known.flags ?? []).includes('onlink') === wish.onlink) &&
    (wish.flow === undefined || (known.flow ?? 0) === wish.flow) &&
    (wish.encapsulation === undefined || isDeepStrictEqual(bare(known.encapsulation), bare(asked.encapsulation))) &&
    (wish.as === undefined || isDeepStrictEqual(known.as, asked.as))
  )
}

/** Counters count, and raw bytes are a Buffer or not. */
function bare(encapsulation: Nexthop['encapsulation']): object {
  const { counters: _, data, ...rest } = { ...encapsulation } as Record<string, unknown>
  return data instanceof Uint8Array ? { ...rest, data: Array.from(data) } : rest
}

function hasTheRest(known: Route, { row, wish }: Wanted): boolean {
  // One that runs is never as asked.
  if (wish.expires !== undefined && wish.expires !== known.expires) return false
  if (restKeys.some((key) => wish[key] !== undefined && known[key] !== row[key])) return false
  return metricsAreAsAsked(known.metrics ?? {}, row.metrics ?? {})
}

/** The kernel tells nothing of metrics that are zero: of what is not so, of no word. */
function metricsAreAsAsked(known: RouteMetrics, asked: RouteMetrics): boolean {
  return Object.entries(asked).every(([key, value]) => {
    const has = known[key as keyof RouteMetrics]
    return (
      isDeepStrictEqual(has, value) ||
      (has === undefined && (value === false || (Array.isArray(value) && value.length === 0)))
    )
  })
}
