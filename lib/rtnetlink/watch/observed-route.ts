/**
 * Routes, as a watch sees them. The kernel tells of a route that is added, replaced or removed by name, and not of those that go
 * because something else did: IPv4's of a link that goes down or away, of an address that they send from, of a next hop object;
 * nor of flags that follow a link's carrier. Those are read anew (net/ipv4/fib_semantics.c, fib_sync_down_dev and its like).
 */
import { hasCode } from '../../errors.js'
import type { Namespace } from '../../namespace/namespace.js'
import { netlinkConstants } from '../../netlink/message.js'
import type { Address } from '../address.js'
import { rtnetlinkConstants } from '../constants.js'
import type { Link } from '../link.js'
import type { NexthopObject } from '../nexthop.js'
import type { Route } from '../route.js'
import { readListed } from '../route-filter.js'
import type { Change } from './events.js'
import { difference, type Effect, type Happening, type Observed, type Part, sameBut } from './observed.js'
import { linkState } from './observed-link.js'
import type { Place, Rows } from './rows.js'

const { NLM_F_REPLACE } = netlinkConstants
const { RTM_NEWROUTE, RTM_DELROUTE, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_MPLS_ROUTE } = rtnetlinkConstants

/** Reads the routes of tables, and of no bridge or multicast router. */
const readAny = readListed({ matches: () => true })

/** What the kernel finds the routes to one destination by: several may share it. */
function routeKey({ family, table, to, from, tos, metric }: Route): string {
  return `${family} ${table} ${to} ${from ?? ''} ${tos ?? ''} ${metric ?? ''}`
}

interface Hop {
  via?: string
  index?: number
  weight?: number
  encapsulation?: unknown
  as?: unknown
}

const hopText = ({ via, index, weight, encapsulation, as }: Hop) =>
  `${via ?? ''} ${index ?? ''} ${weight ?? 1} ${JSON.stringify([encapsulation, as])}`

/** The ways of a route, in an order of their own: the kernel's is not always the same. */
function hopsOf(route: Route): string[] {
  return (route.nexthops ?? [route]).map(hopText).sort()
}

function identity(route: Route): string {
  const { type, protocol, scope, source, nexthopId } = route
  return `${type} ${protocol} ${scope} ${source ?? ''} ${nexthopId ?? ''} ${hopsOf(route).join(',')}`
}

const linksOf = ({ index, nexthops }: Route) =>
  nexthops === undefined ? (index === undefined ? [] : [index]) : nexthops.map((hop) => hop.index)

const severalAt = (index: number) => `several ${index}`
const bySource = (source: string) => `source ${source}`
const byNexthop = (id: number) => `nexthop ${id}`

function placesOf(route: Route): Place[] {
  const { source, protocol, nexthopId, nexthops } = route
  const places: Place[] = linksOf(route).slice()
  for (const { index } of nexthops ?? []) places.push(severalAt(index))
  // Those of the kernel go with events.
  if (source !== undefined && protocol !== 'kernel') places.push(bySource(source))
  if (nexthopId !== undefined) places.push(byNexthop(nexthopId))
  return places
}

/** Routes of a table, or of a link, to be read anew. */
function ofTable({ table, family }: Route): Part<Route> {
  return {
    name: `table ${table} ${family}`,
    has: (route) => route.table === table && route.family === family,
    list: (namespace) => namespace.routes.stream({ table, family }),
  }
}

function ofLink(rows: Rows<Route>, index: number): Part<Route> | undefined {
  if (!rows.has(index)) return undefined
  return {
    name: `link ${index}`,
    has: (route) => linksOf(route).includes(index),
    // A route of several ways may live on without this one, which the kernel's filter would hide.
    list: rows.has(severalAt(index)) ? undefined : (namespace) => listed(namespace, index),
  }
}

/** Routes that a nexthop object led, or leads elsewhere now. */
function ofNexthop(rows: Rows<Route>, id: number): Part<Route> | undefined {
  return rows.has(byNexthop(id)) ? { name: byNexthop(id), has: (route) => route.nexthopId === id } : undefined
}

/** Routes that send from an address that is gone. Those of the kernel go with events, a moment before or after. */
function ofSource(rows: Rows<Route>, source: string): Part<Route> | undefined {
  return rows.has(bySource(source)) ? { name: bySource(source), has: (route) => route.source === source } : undefined
}

async function* listed(namespace: Namespace, link: number): AsyncIterable<Route> {
  try {
    yield* namespace.routes.stream({ table: 'all', link })
  } catch (error) {
    // The link is gone, and its routes with it.
    if (!hasCode(error, 'ENODEV')) throw error
  }
}

function effect(rows: Rows<Route>, row: Route, { type, flags }: { type: number; flags: number }): Effect<Route> {
  const key = routeKey(row)
  const there = rows.of(key)
  const same = there.find((route) => identity(route) === identity(row))
  if (type === RTM_DELROUTE) {
    if (same !== undefined) return { changes: [{ type: 'removed', row: same }] }
    // One of several ways of an IPv6 route was removed: what is left is not told.
    return { changes: [], unsure: there.length === 0 ? undefined : ofTable(row) }
  }
  if (same !== undefined) return made(difference(observedRoute, same, row))
  if (there.length === 0) return made({ type: 'added', row })
  if ((flags & NLM_F_REPLACE) !== 0) {
    const [only] = there
    return there.length === 1 && only !== undefined
      ? made({ type: 'changed', row, previous: only })
      : { changes: [], unsure: ofTable(row) }
  }
  // A way that was added to an IPv6 route: the event has all of them.
  const hops = row.family === 'inet6' && row.nexthops !== undefined ? hopsOf(row) : undefined
  const part = hops === undefined ? undefined : there.find((route) => hopsOf(route).every((hop) => hops.includes(hop)))
  return made(part === undefined ? { type: 'added', row } : { type: 'changed', row, previous: part })
}

function made(change: Change<Route> | undefined): Effect<Route> {
  return { changes: change === undefined ? [] : [change] }
}

function after(rows: Rows<Route>, { object, change, rowsOf }: Happening): Effect<Route> | undefined {
  if (object === 'link' && change.type !== 'added') {
    const link = change.row as Link
    if (change.type === 'changed' && linkState(link) === linkState(change.previous)) return undefined
    return { changes: [], unsure: ofLink(rows, link.index) }
  }
  if (object === 'address' && change.type === 'removed') {
    const { family, index, address } = change.row as Address
    const isLast = rowsOf('address')?.has(`${index} ${family}`) !== true
    // With its last IPv4 address a link loses all of IPv4 (fib_inetaddr_event in net/ipv4/fib_frontend.c).
    if (isLast && family === 'inet') return { changes: [], unsure: ofLink(rows, index) }
    return { changes: [], unsure: ofSource(rows, address.replace(/\/.*/, '')) }
  }
  if (object === 'nexthop' && change.type !== 'added')
    return { changes: [], unsure: ofNexthop(rows, (change.row as NexthopObject).id) }
  return undefined
}

export const observedRoute: Observed<Route> = {
  object: 'route',
  groups: [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_MPLS_ROUTE],
  there: RTM_NEWROUTE,
  gone: RTM_DELROUTE,
  needs: ['link', 'address', 'nexthop'],
  list: (namespace) => namespace.routes.stream({ table: 'all' }),
  read: (_, message) => readAny(message),
  placesOf,
  key: routeKey,
  identity,
  same: (a, b) =>
    sameBut(a, b, ['expires', 'cacheInfo', 'nexthops'] as never) &&
    hopsOf(a).join() === hopsOf(b).join() &&
    sameFlags(a, b),
  effect,
  after,
}

function sameFlags(a: Route, b: Route): boolean {
  const flags = ({ nexthops }: Route) =>
    nexthops
      ?.map((hop) => `${hopText(hop)} ${hop.flags}`)
      .sort()
      .join()
  return flags(a) === flags(b)
}
