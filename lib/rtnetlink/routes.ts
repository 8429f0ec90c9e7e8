/** The collection `namespace.routes`. */
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { checkOneOf, checkOptions } from '../validate.js'
import { AF_INET, AF_INET6, AF_UNSPEC, checkIp, familyOf, formatIp, formatPrefix, type IpPrefix } from '../values/ip.js'
import { nexthopFlags, routeProtocols, routeTypes, rtnetlinkConstants, scopes } from './constants.js'
import { indexIfGiven } from './link-lookup.js'
import { removalError } from './missing.js'
import { type Route, readRoute, routeMessage } from './route.js'
import {
  type CheckedRoute,
  checkDestination,
  checkProtocol,
  checkRoute,
  checkTable,
  defaultScope,
  familyName,
  matchKeys,
  type NewRoute,
  protocolNumber,
  type RouteFilter,
  type RouteMatch,
  routeKeys,
  tableNumber,
  tableOf,
} from './route-options.js'
import { type Ask, ask, change, dump } from './talk.js'

export type { NewRoute, RouteFilter, RouteMatch } from './route-options.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants
const { RTM_F_CLONED, RTM_F_LOOKUP_TABLE, RT_TABLE_COMPAT } = rtnetlinkConstants

/** What `ensure` found or did. */
export interface EnsuredRoute {
  route: Route
  /** Whether anything had to be done. */
  changed: boolean
}

type RouteAsk = Ask<typeof routeMessage.header, typeof routeMessage.table>

/** The routes of a namespace: `red.routes`. */
export class Routes {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter, of the main table unless it names another. The kernel filters by table and link. */
  async list(filter: RouteFilter = {}): Promise<Route[]> {
    checkOptions(filter, 'filter', ['family', 'table', 'link', 'to', 'via', 'protocol', 'type'])
    if (filter.family !== undefined) checkOneOf(filter.family, 'filter.family', ['inet', 'inet6'])
    if (filter.table !== 'all') checkTable(filter.table, 'filter.table')
    if (filter.protocol !== undefined) checkProtocol(filter.protocol, 'filter.protocol')
    if (filter.type !== undefined) checkOneOf(filter.type, 'filter.type', Object.keys(routeTypes))
    const via = filter.via === undefined ? undefined : formatIp(checkIp(filter.via, 'filter.via'))
    const protocol = filter.protocol === undefined ? undefined : protocolNumber(filter.protocol)
    const to = filter.to === undefined ? undefined : checkDestination(filter.to, [filter.via], 'filter.to')
    const found = indexIfGiven(this.#namespace, filter.link, 'filter.link')
    const index = typeof found === 'object' ? await found : found
    const hinted = filter.to === 'default' && filter.via === undefined ? undefined : to?.family
    const family = filter.family === undefined ? hinted : filter.family === 'inet' ? AF_INET : AF_INET6
    const table = filter.table === 'all' ? undefined : tableNumber(filter.table)
    const destination =
      to === undefined ? undefined : to.prefixLength === 0 ? 'default' : formatPrefix(to.octets, to.prefixLength)
    const listing = dump(
      this.#namespace,
      {
        definition: routeMessage,
        request: 'RTM_GETROUTE',
        header: { family: family ?? AF_UNSPEC },
        attributes: { table, outputLink: index },
        what: `cannot list the routes of ${labelOf(this.#namespace)}`,
      },
      (message) => {
        const decoded = routeMessage.decode(message)
        const { flags, family: had } = decoded.header
        // Cached routes are no routes of a table, and a dump of all families has those of bridges and multicast too.
        if ((flags & RTM_F_CLONED) !== 0 || (had !== AF_INET && had !== AF_INET6)) return undefined
        const route = readRoute(decoded)
        const found =
          (table === undefined || (decoded.attributes.table ?? decoded.header.table) === table) &&
          (family === undefined || had === family) &&
          (destination === undefined || route.to === destination) &&
          (route.nexthops ?? [route]).some(
            (hop) => (index === undefined || hop.index === index) && (via === undefined || hop.via === via),
          ) &&
          (protocol === undefined || decoded.header.protocol === protocol) &&
          (filter.type === undefined || route.type === filter.type)
        return found ? route : undefined
      },
    )
    return listing.catch((error: unknown) => {
      // A table that was never used does not exist.
      if (table !== undefined && hasCode(error, 'ENOENT')) return []
      throw error
    })
  }

  /** The first that matches, or undefined. */
  async find(match: RouteMatch): Promise<Route | undefined> {
    const { prefix } = checkRoute(match, 'match', matchKeys)
    const { metric, ...filter } = match
    const found = indexIfGiven(this.#namespace, match.link, 'match.link')
    const link = typeof found === 'object' ? await found : found
    const routes = await this.list({ ...filter, link, table: tableOf(match), family: familyName(prefix) })
    return routes.find((route) => metric === undefined || (route.metric ?? 0) === metric)
  }

  /** The first that matches. Rejects with ENOENT when none does. */
  async get(match: RouteMatch): Promise<Route> {
    const route = await this.find(match)
    if (route === undefined)
      throw namedError('ENOENT', 'RTM_GETROUTE', `no route to ${match.to} in ${labelOf(this.#namespace)}`)
    return route
  }

  /** Adds a route. Rejects with EEXIST when there is one to the same destination with the same metric. */
  async add(route: NewRoute): Promise<void> {
    const checked = checkRoute(route, 'route')
    await this.#change('RTM_NEWROUTE', checked, NLM_F_CREATE | NLM_F_EXCL, `cannot add the route to ${route.to}`)
  }

  /** Adds a route, in place of one to the same destination with the same metric. */
  async replace(route: NewRoute): Promise<void> {
    const checked = checkRoute(route, 'route')
    await this.#change('RTM_NEWROUTE', checked, NLM_F_CREATE | NLM_F_REPLACE, `cannot replace the route to ${route.to}`)
  }

  /** Makes sure that there is such a route, and touches nothing when there is. */
  async ensure(route: NewRoute): Promise<EnsuredRoute> {
    const { prefix } = checkRoute(route, 'route')
    const { link, onlink, scope, source: from, mtu, metric, ...match } = route
    const filter = { ...match, type: match.type ?? 'unicast', table: tableOf(route), family: familyName(prefix) }
    const source = from === undefined ? undefined : formatIp(checkIp(from, 'route.source'))
    const index = await indexIfGiven(this.#namespace, link, 'route.link')
    const search = async () => {
      const routes = await this.list({ ...filter, link: index })
      return routes.find(
        (known) =>
          known.nexthops === undefined &&
          (metric === undefined || (known.metric ?? 0) === metric) &&
          (source === undefined || known.source === source) &&
          (mtu === undefined || known.mtu === mtu) &&
          (scope === undefined || known.family === 'inet6' || known.scope === scope) &&
          (onlink !== true || known.flags.includes('onlink')),
      )
    }
    const known = await search()
    if (known !== undefined) return { route: known, changed: false }
    await this.replace(route)
    const made = await search()
    if (made === undefined) throw namedError('ENOENT', 'RTM_GETROUTE', `the route to ${route.to} was removed at once`)
    return { route: made, changed: true }
  }

  /** Removes a route. Rejects with ENOENT when there is none that matches. */
  async remove(match: RouteMatch): Promise<void> {
    const { prefix } = checkRoute(match, 'route', [...routeKeys, 'family'])
    const what = `cannot remove the route to ${match.to}`
    try {
      await this.#change('RTM_DELROUTE', { prefix, route: await this.#typed(match, what) }, 0, what)
    } catch (error) {
      throw removalError(error, 'RTM_DELROUTE', what)
    }
  }

  /** IPv6 removes without a look at the type: there, the route is looked up, and what tells it from others is added. */
  async #typed(match: RouteMatch, what: string): Promise<RouteMatch> {
    if (match.type === undefined) return match
    const { to, via, link, table, metric, type, family } = match
    const found = await this.find({ to, via, link, table, metric, type, family })
    if (found === undefined) throw namedError('ENOENT', 'RTM_DELROUTE', what)
    return { ...match, metric: found.metric }
  }

  /**
   * The route that the kernel would take to an address (RTM_GETROUTE). Rejects with ENETUNREACH when there is none. While a
   * namespace has no rules but those it began with, Linux keeps IPv4's local routes with the main ones: `table` is 'main' then.
   */
  async lookup(address: string): Promise<Route> {
    const octets = checkIp(address, 'address')
    return ask(
      this.#namespace,
      {
        definition: routeMessage,
        request: 'RTM_GETROUTE',
        header: {
          family: familyOf(octets),
          destinationLength: octets.length * 8,
          // IPv6 tells the table anyway, and refuses the flag.
          flags: octets.length === 4 ? RTM_F_LOOKUP_TABLE : 0,
        },
        attributes: { destination: formatIp(octets) },
        what: `no route to ${address} in ${labelOf(this.#namespace)}`,
      },
      (message) => readRoute(routeMessage.decode(message)),
    )
  }

  async #change(
    request: 'RTM_NEWROUTE' | 'RTM_DELROUTE',
    { prefix, route }: CheckedRoute,
    flags: number,
    what: string,
  ): Promise<void> {
    const found = indexIfGiven(this.#namespace, route.link, 'route.link')
    const index = typeof found === 'object' ? await found : found
    await change(this.#namespace, { ...routeRequest(request, prefix, route, index, what), flags })
  }
}

function routeRequest(
  request: 'RTM_NEWROUTE' | 'RTM_DELROUTE',
  { family, octets, prefixLength }: IpPrefix,
  route: NewRoute,
  index: number | undefined,
  what: string,
): RouteAsk {
  const table = tableNumber(tableOf(route))
  const adds = request === 'RTM_NEWROUTE'
  // When removing, what is not said matches anything: RT_SCOPE_NOWHERE, RTPROT_UNSPEC, RTN_UNSPEC.
  const scope = route.scope ?? (adds ? defaultScope(route, family) : 'nowhere')
  const otherFamily = route.via !== undefined && familyOf(checkIp(route.via, 'route.via')) !== family
  return {
    definition: routeMessage,
    request,
    header: {
      family,
      destinationLength: prefixLength,
      table: table < 256 ? table : RT_TABLE_COMPAT,
      protocol: adds || route.protocol !== undefined ? protocolNumber(route.protocol) : routeProtocols.unspec,
      scope: scopes[scope],
      type: routeTypes[route.type ?? (adds ? 'unicast' : 'unspec')],
      flags: route.onlink === true ? nexthopFlags.onlink : 0,
    },
    attributes: {
      destination: prefixLength === 0 ? undefined : formatIp(octets),
      gateway: otherFamily ? undefined : route.via,
      via: otherFamily ? route.via : undefined,
      outputLink: index,
      priority: route.metric,
      preferredSource: route.source,
      metrics: route.mtu === undefined ? undefined : { mtu: route.mtu },
      table,
    },
    what,
  }
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The namespace's routes. */
    readonly routes: Routes
  }
}

defineFacet('routes', (namespace) => new Routes(namespace))
