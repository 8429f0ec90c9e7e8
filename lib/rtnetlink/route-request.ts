/** A route as its message: RTM_NEWROUTE and RTM_DELROUTE. */
import type { Namespace } from '../namespace/namespace.js'
import { AF_INET, AF_INET6, parseIp } from '../values/ip.js'
import { nexthopFlags, routeProtocols, routeTypes, rtnetlinkConstants, scopes } from './constants.js'
import { type Encapsulation, type EncapsulationRow, encapsulationAttributes } from './encapsulation.js'
import { linksOfEncapsulation } from './encapsulation-options.js'
import { indexOfLink } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { AF_MPLS } from './mpls-labels.js'
import { routeMessage } from './route.js'
import type { RawNexthop } from './route-attributes.js'
import {
  checkNetwork,
  type Destination,
  defaultScope,
  type NewNexthop,
  type NewRoute,
  protocolNumber,
  tableNumber,
  tableOf,
} from './route-options.js'
import type { Ask } from './talk.js'

const { RT_TABLE_COMPAT } = rtnetlinkConstants

export type RouteAsk = Ask<typeof routeMessage.header, typeof routeMessage.table>

/** Puts in a link's index, as soon as it is known. */
type Found = (put: (index: number) => void, link: LinkReference, name: string) => void

/**
 * A copy of a route with indexes for its links, those of its next hops and encapsulations included. A promise only when a name
 * must be looked up, for the reason that indexOfLink has.
 */
export function withIndexes<R extends NewRoute>(namespace: Namespace, route: R, name: string): R | Promise<R> {
  const waiting: Promise<void>[] = []
  const find: Found = (put, link, path) => {
    const found = indexOfLink(namespace, link, path)
    if (typeof found === 'number') put(found)
    else waiting.push(found.then(put))
  }
  const copy = hopWithIndexes(route, name, find)
  if (route.nexthops !== undefined) {
    copy.nexthops = route.nexthops.map((hop, i) => hopWithIndexes(hop, `${name}.nexthops[${i}]`, find))
  }
  return waiting.length === 0 ? copy : Promise.all(waiting).then(() => copy)
}

function hopWithIndexes<H extends NewNexthop | NewRoute>(hop: H, name: string, find: Found): H {
  const copy = { ...hop }
  if (hop.link !== undefined) {
    find(
      (index) => {
        copy.link = index
      },
      hop.link,
      `${name}.link`,
    )
  }
  if (hop.encapsulation !== undefined) {
    const own: Record<string, unknown> = { ...hop.encapsulation }
    copy.encapsulation = own as unknown as Encapsulation
    for (const [key, link] of Object.entries(linksOfEncapsulation(hop.encapsulation))) {
      find(
        (index) => {
          own[key] = index
        },
        link,
        `${name}.encapsulation.${key}`,
      )
    }
  }
  return copy
}

/** The attributes of a next hop's address. */
function gatewayOf(via: string | undefined, family: number): { gateway?: string; via?: string } {
  if (via === undefined) return {}
  const octets = parseIp(via)
  const ownFamily = octets === undefined ? AF_MPLS : octets.length === 4 ? AF_INET : AF_INET6
  return family !== AF_MPLS && ownFamily === family ? { gateway: via } : { via }
}

function encapsulated(encapsulation: NewNexthop['encapsulation'], name: string) {
  return encapsulation === undefined
    ? undefined
    : encapsulationAttributes(encapsulation as EncapsulationRow, `${name}.encapsulation`)
}

function nexthopOf(hop: NewNexthop, family: number, name: string): RawNexthop {
  return {
    flags: hop.onlink === true ? nexthopFlags.onlink : 0,
    hops: (hop.weight ?? 1) - 1,
    index: (hop.link as number | undefined) ?? 0,
    attributes: {
      ...gatewayOf(hop.via, family),
      flow: hop.flow,
      newDestination: hop.as,
      ...encapsulated(hop.encapsulation, name),
    },
  }
}

/** The request for a checked route, whose links are indexes. */
export function routeRequest(
  request: 'RTM_NEWROUTE' | 'RTM_DELROUTE',
  { family, text, prefixLength }: Destination,
  route: NewRoute,
  what: string,
  flags: number,
): RouteAsk {
  const table = tableNumber(tableOf(route))
  const adds = request === 'RTM_NEWROUTE'
  const isMpls = family === AF_MPLS
  // When removing, what is not said matches anything: RT_SCOPE_NOWHERE, RTPROT_UNSPEC, RTN_UNSPEC. MPLS has one of each only.
  const scope = route.scope ?? (adds || isMpls ? defaultScope(route, family) : 'nowhere')
  const type = route.type ?? (adds || isMpls ? 'unicast' : 'unspec')
  const from = route.from === undefined ? undefined : checkNetwork(route.from, 'route.from')
  const metrics = route.mtu === undefined ? route.metrics : { ...route.metrics, mtu: route.mtu }
  return {
    definition: routeMessage,
    request,
    flags,
    header: {
      family,
      destinationLength: prefixLength,
      sourceLength: from?.prefixLength ?? 0,
      tos: route.tos ?? 0,
      table: table < 256 ? table : RT_TABLE_COMPAT,
      protocol: adds || route.protocol !== undefined ? protocolNumber(route.protocol) : routeProtocols.unspec,
      scope: typeof scope === 'number' ? scope : scopes[scope],
      type: typeof type === 'number' ? type : routeTypes[type],
      flags: route.onlink === true ? nexthopFlags.onlink : 0,
    },
    attributes: {
      destination: text,
      ...gatewayOf(route.via, family),
      outputLink: route.link as number | undefined,
      source: from?.text,
      priority: route.metric,
      preferredSource: route.source,
      metrics,
      multipath: route.nexthops?.map((hop, i) => nexthopOf(hop, family, `route.nexthops[${i}]`)),
      flow: route.flow,
      newDestination: route.as,
      preference: route.preference,
      ...encapsulated(route.encapsulation, 'route'),
      expires: route.expires === undefined ? undefined : route.expires / 1000,
      ttlPropagate: route.ttlPropagate,
      nexthopId: route.nexthopId,
      // MPLS has one table, and refuses to be told.
      table: isMpls ? undefined : table,
    },
    what,
  }
}
