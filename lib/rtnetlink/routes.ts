/** The collection `namespace.routes`. */
import { hasCode, NetkitError, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, checkString, valueError } from '../validate.js'
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  checkIp,
  checkPrefix,
  familyOf,
  formatIp,
  type IpPrefix,
  maskOctets,
} from '../values/ip.js'
import { nexthopFlags, routeProtocols, routeTables, routeTypes, rtnetlinkConstants, scopes } from './constants.js'
import { indexIfGiven } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { type Route, readRoute, routeMessage } from './route.js'
import { type Ask, ask, change, dump } from './talk.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants
const { RTM_F_CLONED, RT_TABLE_COMPAT } = rtnetlinkConstants

export interface NewRoute {
  /** The destination: '10.0.2.0/24', one address, or 'default'. */
  to: string
  /** The next hop's address. */
  via?: string
  /** The link that it leads out of; the kernel finds it by `via` when it is not given. */
  link?: LinkReference
  /** Default: 'main'. */
  table?: keyof typeof routeTables | number
  /** Default: 'unicast'. */
  type?: keyof typeof routeTypes
  /** Default: 'link' without `via`, 'global' with it, 'host' for local routes (IPv4). */
  scope?: keyof typeof scopes
  /** Default: 'static'. */
  protocol?: keyof typeof routeProtocols | number
  /** The smaller goes first. Default: 0 for IPv4, 1024 for IPv6. */
  metric?: number
  /** The address to send from. */
  source?: string
  /** Maximum transmission unit in bytes. */
  mtu?: number
  /** Take the next hop to be on the link, whatever the addresses say. */
  onlink?: boolean
}

/** Which route to remove or to look for. */
export type RouteMatch = Pick<NewRoute, 'to'> & Partial<Pick<NewRoute, 'via' | 'link' | 'table' | 'metric' | 'type'>>

export interface RouteFilter {
  family?: 'inet' | 'inet6'
  /** A table, or 'all'. Default: 'main', as `ip route` has it. */
  table?: keyof typeof routeTables | 'all' | number
  link?: LinkReference
  /** The destination, exactly. */
  to?: string
  via?: string
  protocol?: keyof typeof routeProtocols | number
  type?: keyof typeof routeTypes
}

/** What `ensure` found or did. */
export interface EnsuredRoute {
  route: Route
  /** Whether anything had to be done. */
  changed: boolean
}

const routeKeys = [
  'to',
  'via',
  'link',
  'table',
  'type',
  'scope',
  'protocol',
  'metric',
  'source',
  'mtu',
  'onlink',
] as const satisfies readonly (keyof NewRoute)[]

type RouteAsk = Ask<typeof routeMessage.header, typeof routeMessage.table>

/** Route types that have no next hop. */
const withoutNexthop = ['blackhole', 'unreachable', 'prohibit', 'throw']

interface CheckedRoute {
  prefix: IpPrefix
  route: NewRoute
}

/** 'default' needs another address to tell its family; alone it is IPv4's. */
function checkDestination(to: unknown, hints: (string | undefined)[], name: string): IpPrefix {
  checkString(to, name)
  if (to !== 'default') return checkPrefix(to, name, true)
  const hint = hints.find((text) => text !== undefined)
  const family = hint?.includes(':') ? AF_INET6 : AF_INET
  return { family, octets: new Uint8Array(family === AF_INET ? 4 : 16), prefixLength: 0 }
}

function checkRoute(route: NewRoute, name: string): CheckedRoute {
  checkOptions(route, name, routeKeys)
  const { via, source, table, type, scope, protocol, metric, mtu, onlink } = route
  const gateway = via === undefined ? undefined : checkIp(via, `${name}.via`)
  const from = source === undefined ? undefined : checkIp(source, `${name}.source`)
  const prefix = checkDestination(route.to, [via, source], `${name}.to`)
  const masked = maskOctets(prefix.octets, prefix.prefixLength)
  if (masked.some((octet, i) => octet !== prefix.octets[i])) {
    const network = `${formatIp(masked)}/${prefix.prefixLength}`
    throw valueError(`${name}.to`, route.to, `has bits set after its prefix; the network is '${network}'`)
  }
  if (gateway !== undefined && gateway.length < prefix.octets.length) {
    throw valueError(`${name}.via`, via, 'is IPv4, and leads to no IPv6 destination')
  }
  if (from !== undefined && familyOf(from) !== prefix.family) {
    throw valueError(`${name}.source`, source, "is not of the destination's family")
  }
  checkTable(table, `${name}.table`)
  if (type !== undefined) checkOneOf(type, `${name}.type`, Object.keys(routeTypes))
  if (scope !== undefined) checkOneOf(scope, `${name}.scope`, Object.keys(scopes))
  if (protocol !== undefined) checkProtocol(protocol, `${name}.protocol`)
  if (metric !== undefined) checkInteger(metric, `${name}.metric`, 0, 0xffff_ffff)
  if (mtu !== undefined) checkInteger(mtu, `${name}.mtu`, 1, 0xffff_ffff)
  if (onlink !== undefined) checkBoolean(onlink, `${name}.onlink`)
  return { prefix, route }
}

function checkProtocol(protocol: unknown, name: string): void {
  if (typeof protocol === 'number') checkInteger(protocol, name, 0, 255)
  else checkOneOf(protocol, name, Object.keys(routeProtocols))
}

function checkTable(table: unknown, name: string): void {
  if (typeof table === 'number') checkInteger(table, name, 0, 0xffff_ffff)
  else if (table !== undefined) checkOneOf(table, name, Object.keys(routeTables))
}

function tableNumber(table: keyof typeof routeTables | number | undefined): number {
  return typeof table === 'number' ? table : routeTables[table ?? 'main']
}

function protocolNumber(protocol: NewRoute['protocol']): number {
  return typeof protocol === 'number' ? protocol : routeProtocols[protocol ?? 'static']
}

/** The scope that `ip route add` chooses. */
function defaultScope({ type = 'unicast', via }: NewRoute, family: number): keyof typeof scopes {
  if (family === AF_INET6) return 'global'
  if (type === 'local' || type === 'nat') return 'host'
  if (type === 'broadcast' || type === 'multicast' || type === 'anycast') return 'link'
  return type === 'unicast' && via === undefined ? 'link' : 'global'
}

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
      to === undefined
        ? undefined
        : filter.to === 'default' || to.prefixLength === 0
          ? 'default'
          : `${formatIp(to.octets)}/${to.prefixLength}`
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
          (index === undefined || route.index === index || route.nexthops?.some((hop) => hop.index === index)) &&
          (destination === undefined || route.to === destination) &&
          (via === undefined || route.via === via) &&
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
    const { metric, ...filter } = match
    const routes = await this.list(filter)
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
    await this.#change('RTM_NEWROUTE', route, NLM_F_CREATE | NLM_F_EXCL, `cannot add the route to ${route?.to}`)
  }

  /** Adds a route, in place of one to the same destination with the same metric. */
  async replace(route: NewRoute): Promise<void> {
    await this.#change('RTM_NEWROUTE', route, NLM_F_CREATE | NLM_F_REPLACE, `cannot replace the route to ${route?.to}`)
  }

  /** Makes sure that there is such a route, and touches nothing when there is. */
  async ensure(route: NewRoute): Promise<EnsuredRoute> {
    checkRoute(route, 'route')
    const { link, onlink, scope, source: from, mtu, metric, ...match } = route
    const source = from === undefined ? undefined : formatIp(checkIp(from, 'route.source'))
    const index = await indexIfGiven(this.#namespace, link, 'route.link')
    const search = async () => {
      const routes = await this.list({ ...match, type: match.type ?? 'unicast', link: index })
      return routes.find(
        (known) =>
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
    const what = `cannot remove the route to ${match?.to}`
    checkRoute(match, 'route')
    try {
      await this.#change('RTM_DELROUTE', await this.#typed(match, what), 0, what)
    } catch (error) {
      if (!hasCode(error, 'ESRCH')) throw error
      throw new NetkitError({
        message: what,
        errno: 2,
        syscall: 'RTM_DELROUTE',
        kernelMessage: 'no such route',
        cause: error,
      })
    }
  }

  /** IPv6 removes without a look at the type: there, the route is looked up, and what tells it from others is added. */
  async #typed(match: RouteMatch, what: string): Promise<RouteMatch> {
    if (match.type === undefined) return match
    const found = await this.find(match)
    if (found === undefined) throw namedError('ENOENT', 'RTM_DELROUTE', what)
    return { ...match, metric: found.metric }
  }

  /** The route that the kernel would take to an address (RTM_GETROUTE). Rejects with ENETUNREACH when there is none. */
  async lookup(address: string): Promise<Route> {
    const octets = checkIp(address, 'address')
    return ask(
      this.#namespace,
      {
        definition: routeMessage,
        request: 'RTM_GETROUTE',
        header: { family: familyOf(octets), destinationLength: octets.length * 8 },
        attributes: { destination: formatIp(octets) },
        what: `no route to ${address} in ${labelOf(this.#namespace)}`,
      },
      (message) => readRoute(routeMessage.decode(message)),
    )
  }

  async #change(request: 'RTM_NEWROUTE' | 'RTM_DELROUTE', route: NewRoute, flags: number, what: string): Promise<void> {
    const { prefix } = checkRoute(route, 'route')
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
  const table = tableNumber(route.table)
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
      outputLink: withoutNexthop.includes(route.type ?? '') ? undefined : index,
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
