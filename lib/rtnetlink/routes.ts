/** The collection `namespace.routes`. */
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { checkOptions } from '../validate.js'
import { AF_INET6 } from '../values/ip.js'
import { indexIfGiven } from './link-lookup.js'
import { removalError } from './missing.js'
import { AF_MPLS } from './mpls-labels.js'
import type { Route } from './route.js'
import { asAsked, completed, wantedRoute } from './route-ensure.js'
import { checkFilter, listing, type RouteFilter, readListed } from './route-filter.js'
import { type LookedUpRoute, type LookupOptions, lookupAsk, readLookup } from './route-lookup.js'
import { addManyRoutes } from './route-many.js'
import {
  checkLeadsSomewhere,
  checkRoute,
  type Destination,
  destinationText,
  familyName,
  isRow,
  matchKeys,
  type NewRoute,
  type RouteMatch,
  routeMatchOf,
  tableOf,
  wishOf,
} from './route-options.js'
import { routeRequest, withIndexes } from './route-request.js'
import { checkSaysSomething } from './says-nothing.js'
import { allOrFirstError, ask, change, dump, dumpEach, type ManyOptions } from './talk.js'
import { inTurn } from './turns.js'

export type { RouteFilter } from './route-filter.js'
export type { LookedUpRoute, LookupOptions } from './route-lookup.js'
export type { NewNexthop, NewRoute, RouteMatch } from './route-options.js'

const { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants

/** What `ensure` found or did. */
export interface EnsuredRoute {
  route: Route
  /** Whether anything had to be done. */
  changed: boolean
}

/** The routes of a namespace: `red.routes`. */
export class Routes {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter, of the main table unless it names another. */
  async list(filter: RouteFilter = {}): Promise<Route[]> {
    const found = checkFilter(this.#namespace, filter)
    const checked = found instanceof Promise ? await found : found
    const listed = dump(this.#namespace, listing(checked, this.#cannotList()), readListed(checked))
    return listed.catch((error: unknown) => {
      if (isMissingTable(filter, error)) return []
      throw error
    })
  }

  /**
   * The same, one after another, in constant memory however many there are. What changes while they are read may be missing or
   * come twice.
   */
  async *stream(filter: RouteFilter = {}): AsyncGenerator<Route, void, undefined> {
    const checked = await checkFilter(this.#namespace, filter)
    try {
      yield* dumpEach(this.#namespace, listing(checked, this.#cannotList()), readListed(checked))
    } catch (error) {
      if (!isMissingTable(filter, error)) throw error
    }
  }

  /** The first that matches, or undefined. */
  async find(given: RouteMatch | Route): Promise<Route | undefined> {
    const match = routeMatchOf(given)
    const destination = checkRoute(match, 'match', matchKeys)
    const found = indexIfGiven(this.#namespace, match.link, 'match.link')
    const link = typeof found === 'object' ? await found : found
    const [route] = await this.list({ ...match, link, table: tableOf(match), family: familyName(destination) })
    return route
  }

  /** The first that matches. Rejects with ENOENT when none does. */
  async get(match: RouteMatch | Route): Promise<Route> {
    const route = await this.find(match)
    if (route === undefined)
      throw namedError('ENOENT', 'RTM_GETROUTE', `no route to ${match.to} in ${labelOf(this.#namespace)}`)
    return route
  }

  /** Adds a route. Rejects with EEXIST when there is one to the same destination with the same metric. */
  async add(route: NewRoute | Route): Promise<void> {
    await this.#make(route, NLM_F_CREATE | NLM_F_EXCL, 'add')
  }

  /**
   * Adds many routes, in few messages and without holding up the event loop: they are pulled from the iterable as the kernel
   * takes them. All are sent whatever becomes of the others; rejects with the first error, whose `errors` has the first hundred
   * and whose `failed` is how many there were. A route that is wrong in itself ends it there, as an error of the iterable does:
   * those before it are added. Links by their names are looked up once.
   */
  async addMany(routes: Iterable<NewRoute | Route>, options: ManyOptions = {}): Promise<void> {
    checkOptions(options, 'options', ['signal', 'onProgress'])
    await addManyRoutes(this.#namespace, routes, options)
  }

  /**
   * Adds a route beside those to the same destination with the same metric (`ip route append`). IPv4 takes the first of them; IPv6
   * makes them one multipath route, if they have next hops. Rejects with EEXIST when there is the very same.
   */
  async append(route: NewRoute | Route): Promise<void> {
    await this.#make(route, NLM_F_CREATE | NLM_F_APPEND, 'append')
  }

  /** Adds a route, in place of one to the same destination with the same metric. */
  async replace(route: NewRoute | Route): Promise<void> {
    await this.#make(route, NLM_F_CREATE | NLM_F_REPLACE, 'replace')
  }

  /**
   * Makes sure that there is such a route, and touches nothing when there is. One that differs is replaced; what was not asked for
   * stays as it is. With `expires`, the time begins anew.
   */
  async ensure(route: NewRoute | Route): Promise<EnsuredRoute> {
    const wish = wishOf(route)
    const destination = checkRoute(wish, 'route')
    const found = withIndexes(this.#namespace, wish, 'route')
    const indexed = found instanceof Promise ? await found : found
    const key = `route ${familyName(destination)} ${destinationText(destination)}`
    return inTurn(this.#namespace, key, () => this.#ensure(destination, indexed))
  }

  async #ensure(destination: Destination, wish: NewRoute): Promise<EnsuredRoute> {
    const wanted = wantedRoute(destination, wish)
    const filter = { to: wish.to, table: tableOf(wish), family: familyName(destination) }
    const before = await this.list(filter)
    const known = asAsked(before, wanted)
    if (known !== undefined) return { route: known, changed: false }
    const whole = completed(before, wanted)
    try {
      if (whole === undefined) await this.add(wish)
      else await this.replace(whole)
    } catch (error) {
      // Somebody else was faster: as asked, perhaps.
      const theirs = hasCode(error, 'EEXIST') ? asAsked(await this.list(filter), wanted) : undefined
      if (theirs === undefined) throw error
      return { route: theirs, changed: false }
    }
    const after = await this.list(filter)
    const made = asAsked(after, { ...wanted, wish: { ...wish, expires: undefined } })
    if (made === undefined) throw namedError('ENOENT', 'RTM_GETROUTE', `the route to ${wish.to} was removed at once`)
    return { route: made, changed: true }
  }

  /** Removes a route; all that is given must be so. Rejects with ENOENT when there is none that matches. */
  async remove(route: NewRoute | RouteMatch | Route): Promise<void> {
    const wish = wishOf(route)
    const destination = checkRoute(wish, 'route')
    const what = `cannot remove the route to ${wish.to}`
    const found = withIndexes(this.#namespace, wish, 'route')
    const indexed = found instanceof Promise ? await found : found
    // IPv6 removes without a look at the type: there, the route is looked up, and what tells it from others is added.
    const isTyped = wish.type !== undefined && destination.family === AF_INET6
    if (destination.family === AF_MPLS) await this.#findLabel(destination, indexed, what)
    const typed = isRow(route) ? sameWay(route, indexed) : isTyped ? await this.#typed(indexed, what) : indexed
    try {
      await change(this.#namespace, routeRequest('RTM_DELROUTE', destination, typed, what, 0))
    } catch (error) {
      throw removalError(error, 'RTM_DELROUTE', what)
    }
  }

  /** MPLS removes what a label has, whatever it is, and does not say that there is nothing: the kernel's mpls_route_del. */
  async #findLabel(destination: Destination, match: NewRoute, what: string): Promise<void> {
    const known = await this.list({ family: 'mpls', to: match.to })
    if (asAsked(known, wantedRoute(destination, match)) === undefined) {
      throw namedError('ENOENT', 'RTM_DELROUTE', what)
    }
  }

  /** A route of IPv6 with a type, and the metric that it has. */
  async #typed(match: NewRoute, what: string): Promise<NewRoute> {
    const { to, via, link, table, metric, type, family, from } = match
    const found = await this.find({ to, via, link, table, metric, type, family, from })
    if (found === undefined) throw namedError('ENOENT', 'RTM_DELROUTE', what)
    return { ...match, metric: found.metric }
  }

  /**
   * Removes all that match, and resolves to them. What somebody else removes meanwhile is not among them. The filter must say
   * something: `{ table: 'main' }` for all of the main table.
   */
  async flush(filter: RouteFilter): Promise<Route[]> {
    checkSaysSomething(filter, "{ table: 'main' } is all of the main table")
    await checkFilter(this.#namespace, filter)
    const routes = await this.list(filter)
    const removed = await allOrFirstError(
      routes.map((route) =>
        this.remove(route).then(
          () => true,
          (error: unknown) => {
            if (hasCode(error, 'ENOENT')) return false
            throw error
          },
        ),
      ),
    )
    return routes.filter((_, i) => removed[i])
  }

  /**
   * The route that the kernel would take to an address (RTM_GETROUTE). Rejects with ENETUNREACH when there is none, with EACCES,
   * EHOSTUNREACH or EINVAL for the types 'prohibit', 'unreachable' and 'blackhole'. While a namespace has no rules but those it
   * began with, Linux keeps IPv4's local routes with the main ones: `table` is 'main' then.
   */
  async lookup(address: string, options: LookupOptions = {}): Promise<LookedUpRoute> {
    const what = `no route to ${address} in ${labelOf(this.#namespace)}`
    const found = lookupAsk(this.#namespace, address, options, what)
    const question = found instanceof Promise ? await found : found
    return ask(this.#namespace, question, readLookup)
  }

  async #make(route: NewRoute | Route, flags: number, verb: string): Promise<void> {
    const wish = wishOf(route)
    const destination = checkRoute(wish, 'route')
    checkLeadsSomewhere(wish, 'route')
    const found = withIndexes(this.#namespace, wish, 'route')
    const indexed = found instanceof Promise ? await found : found
    const what = `cannot ${verb} the route to ${wish.to}`
    await change(this.#namespace, routeRequest('RTM_NEWROUTE', destination, indexed, what, flags))
  }

  #cannotList(): string {
    return `cannot list the routes of ${labelOf(this.#namespace)}`
  }
}

/** A table that was never used does not exist. */
function isMissingTable({ table }: RouteFilter, error: unknown): boolean {
  return table !== 'all' && hasCode(error, 'ENOENT')
}

/** A row of a route without a next hop: IPv6 tells it from others by the link, which it names nevertheless. */
function sameWay({ family, index }: Route, wish: NewRoute): NewRoute {
  return family === 'inet6' && wish.link === undefined && wish.nexthops === undefined && wish.nexthopId === undefined
    ? { ...wish, link: index }
    : wish
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The namespace's routes. */
    readonly routes: Routes
  }
}

defineFacet('routes', (namespace) => new Routes(namespace))
