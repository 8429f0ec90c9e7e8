/** Adding of many routes, in few messages and with one promise. */
import { AbortError, hasCode } from '../errors.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { typeError } from '../validate.js'
import { indexOfLink } from './link-lookup.js'
import { isLink } from './link-options.js'
import type { Route } from './route.js'
import { checkLeadsSomewhere, checkRoute, type NewRoute, wishOf } from './route-options.js'
import { type RouteAsk, routeRequest, withIndexes } from './route-request.js'
import { CommonRouteAsk } from './route-writer.js'
import { changeMany, type ManyOptions } from './talk.js'

const { NLM_F_CREATE, NLM_F_EXCL } = netlinkConstants
const FLAGS = NLM_F_CREATE | NLM_F_EXCL
const MOST_INDEX = 0x7fff_ffff

/** See Routes.addMany. */
export async function addManyRoutes(
  namespace: Namespace,
  routes: Iterable<NewRoute | Route>,
  { signal, onProgress }: ManyOptions,
): Promise<void> {
  if (typeof (routes as Iterable<unknown> | undefined)?.[Symbol.iterator] !== 'function') {
    throw typeError('routes', 'an iterable of routes', routes)
  }
  const source = new Source(namespace, routes[Symbol.iterator]())
  let failure: { error: unknown } | undefined
  let before = 0
  try {
    // In one go, but for links that are named: what stands before such a route is sent, and then the name is looked up.
    for (;;) {
      const progress = (done: number) => {
        try {
          onProgress?.(before + done)
        } catch (error) {
          source.failed = true
          throw error
        }
      }
      try {
        await changeMany(namespace, source.asks(), { signal, onProgress: progress })
      } catch (error) {
        failure ??= { error }
        if (source.failed || error instanceof AbortError || hasCode(error, 'EBADF')) break
      }
      before = source.count
      try {
        if (!(await source.more())) break
      } catch (error) {
        failure ??= { error }
        break
      }
    }
  } finally {
    source.close()
  }
  if (failure !== undefined) throw failure.error
}

class Source {
  readonly #namespace: Namespace
  readonly #routes: Iterator<NewRoute | Route>
  readonly #indexes = new Map<string, number>()
  /** The route whose link's name has to be looked up. */
  #waiting: (() => Promise<RouteAsk>) | undefined
  #ready: RouteAsk | undefined
  #ended = false
  failed = false
  count = 0

  constructor(namespace: Namespace, routes: Iterator<NewRoute | Route>) {
    this.#namespace = namespace
    this.#routes = routes
  }

  /** The requests up to one that has to wait. */
  *asks(): Generator<RouteAsk> {
    if (this.#ready !== undefined) {
      const ready = this.#ready
      this.#ready = undefined
      yield ready
    }
    try {
      for (;;) {
        const { done, value } = this.#routes.next()
        if (done === true) {
          this.#ended = true
          return
        }
        const ask = this.#ask(value)
        this.count++
        if (ask === undefined) return
        yield ask
      }
    } catch (error) {
      this.failed = true
      throw error
    }
  }

  /** The request for a route; undefined when it has to wait. */
  #ask(given: NewRoute | Route): RouteAsk | undefined {
    const route = wishOf(given)
    const common = this.#common(route)
    if (common !== undefined) return common
    const name = `routes[${this.count}]`
    const destination = checkRoute(route, name)
    checkLeadsSomewhere(route, name)
    const found = withIndexes(this.#namespace, route, name)
    const request = (indexed: NewRoute) =>
      routeRequest('RTM_NEWROUTE', destination, indexed, `cannot add the route to ${route.to}`, FLAGS)
    if (!(found instanceof Promise)) return request(found)
    // Whoever waits for it does so later.
    found.catch(() => {})
    this.#waiting = async () => {
      const indexed = await found
      if (typeof route.link === 'string') this.#indexes.set(route.link, indexed.link as number)
      return request(indexed)
    }
    return undefined
  }

  #common(route: NewRoute): RouteAsk | undefined {
    if (typeof route !== 'object' || route === null) return undefined
    const { link } = route
    if (link === undefined) return CommonRouteAsk.of(route, FLAGS, undefined)
    const index =
      typeof link === 'string'
        ? this.#indexes.get(link)
        : isLink(link)
          ? indexOfLink(this.#namespace, link, `routes[${this.count}].link`)
          : link
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 1 || index > MOST_INDEX) return undefined
    return CommonRouteAsk.of(route, FLAGS, index)
  }

  /** Looks up what was waited for. False when there are no more routes. */
  async more(): Promise<boolean> {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) this.#ready = await waiting()
    return !this.#ended
  }

  close(): void {
    if (!this.#ended) this.#routes.return?.()
  }
}
