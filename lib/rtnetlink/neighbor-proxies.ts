/** The collection `namespace.neighbors.proxies`. */
import { hasCode, namedError } from '../errors.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { checkBoolean } from '../validate.js'
import { indexIfGiven } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { type Neighbor, neighborFlags, neighborMessage, readNeighbor } from './neighbor.js'
import { type NeighborAsk, neighborListing } from './neighbor-listing.js'
import { checkNeighborMatch, isNeighborRow, type NeighborFilter, type NewNeighbor } from './neighbor-options.js'
import { checkProtocol, protocolNumber } from './route-options.js'
import { allOrFirstError, ask, change, dump, dumpEach } from './talk.js'
import { inTurn } from './turns.js'

const { NLM_F_CREATE, NLM_F_REPLACE } = netlinkConstants

/** A new proxy (`ip neigh add proxy`). */
export interface NewProxy extends Pick<NewNeighbor, 'address' | 'router' | 'protocol'> {
  /** The link that is answered on; all of them without one. */
  link?: LinkReference
}

export type ProxyMatch = Pick<NewProxy, 'address' | 'link'>

const matchKeys = ['address', 'link'] as const
const newKeys = [...matchKeys, 'router', 'protocol'] as const

/** Which one a row of `list` is. */
function proxyMatchOf(given: ProxyMatch | Neighbor): ProxyMatch {
  return isNeighborRow(given) ? { address: given.address, link: given.index || undefined } : given
}

/** What makes a proxy as a row of `list` has it. */
function proxyOf(given: NewProxy | Neighbor): NewProxy {
  if (!isNeighborRow(given)) return given
  return { ...proxyMatchOf(given), router: given.flags.includes('router'), protocol: given.protocol }
}

/** What `ensure` found or did. */
export interface EnsuredProxy {
  proxy: Neighbor
  /** Whether anything had to be done. */
  changed: boolean
}

/** The proxies of a namespace. They answer once the link has `proxy_arp` or `proxy_ndp` (sysctl) and there is a route. */
export class NeighborProxies {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter; all without one. The kernel filters by family, link and master. */
  async list(
    filter: Pick<NeighborFilter, 'family' | 'link' | 'master' | 'address' | 'protocol'> = {},
  ): Promise<Neighbor[]> {
    const { question, read } = await neighborListing(this.#namespace, filter, neighborFlags.proxy, 'proxies')
    return dump(this.#namespace, question, read)
  }

  /** The same, one by one. */
  async *stream(filter: Parameters<NeighborProxies['list']>[0] = {}): AsyncGenerator<Neighbor, void, undefined> {
    const { question, read } = await neighborListing(this.#namespace, filter, neighborFlags.proxy, 'proxies')
    yield* dumpEach(this.#namespace, question, read)
  }

  /** The proxy for this address on this link (without `link`: on all), or undefined. */
  async find(match: ProxyMatch | Neighbor): Promise<Neighbor | undefined> {
    const what = `no proxy for ${match?.address} in ${labelOf(this.#namespace)}`
    const asked = this.#question('RTM_GETNEIGH', proxyMatchOf(match), 'match', matchKeys, what)
    const question = asked instanceof Promise ? await asked : asked
    try {
      return await ask(this.#namespace, question, (message) => readNeighbor(neighborMessage.decode(message)))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** The same. Rejects with ENOENT when there is none. */
  async get(match: ProxyMatch | Neighbor): Promise<Neighbor> {
    const proxy = await this.find(match)
    if (proxy === undefined)
      throw namedError('ENOENT', 'RTM_GETNEIGH', `no proxy for ${match.address} in ${labelOf(this.#namespace)}`)
    return proxy
  }

  /** Adds a proxy. Rejects with EEXIST when there is one: the kernel would pass over that, so netkit looks first. */
  async add(given: NewProxy | Neighbor): Promise<void> {
    const proxy = proxyOf(given)
    await this.#inTurn(proxy, newKeys, async () => {
      const asked = this.#request(proxy, 'add')
      const request = asked instanceof Promise ? await asked : asked
      const { address } = proxy
      if ((await this.find({ address, link: request.header.index || undefined })) !== undefined)
        throw namedError('EEXIST', 'RTM_NEWNEIGH', `cannot add the proxy for ${address}`)
      await change(this.#namespace, request)
    })
  }

  /** Adds a proxy, in place of the one for the same address on the link. */
  async replace(given: NewProxy | Neighbor): Promise<void> {
    const proxy = proxyOf(given)
    await this.#inTurn(proxy, newKeys, async () => {
      const asked = this.#request(proxy, 'replace')
      await change(this.#namespace, asked instanceof Promise ? await asked : asked)
    })
  }

  /** Makes sure that there is such a proxy, and touches nothing when there is. */
  async ensure(given: NewProxy | Neighbor): Promise<EnsuredProxy> {
    const proxy = proxyOf(given)
    return this.#inTurn(proxy, newKeys, async () => {
      const request = await this.#request(proxy, 'replace')
      const match = { address: proxy.address, link: request.header.index || undefined }
      const known = await this.find(match)
      const isAsAsked =
        known !== undefined &&
        (proxy.router === undefined || known.flags.includes('router') === proxy.router) &&
        (proxy.protocol === undefined || protocolNumber(known.protocol ?? 0) === protocolNumber(proxy.protocol))
      if (isAsAsked) return { proxy: known, changed: false }
      const [, made] = await allOrFirstError([change(this.#namespace, request), this.get(match)])
      return { proxy: made, changed: true }
    })
  }

  /** Removes a proxy. Rejects with ENOENT when there is none. */
  async remove(given: ProxyMatch | Neighbor): Promise<void> {
    const match = proxyMatchOf(given)
    await this.#inTurn(match, matchKeys, async () => {
      const what = `cannot remove the proxy for ${match.address}`
      const asked = this.#question('RTM_DELNEIGH', match, 'proxy', matchKeys, what)
      await change(this.#namespace, asked instanceof Promise ? await asked : asked)
    })
  }

  /** Since `add` looks first: what comes after it in the same tick must not overtake it. */
  #inTurn<T>(proxy: NewProxy, keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const { address } = checkNeighborMatch(proxy, 'proxy', keys)
    return inTurn(this.#namespace, `proxy ${address}`, work)
  }

  #request(proxy: NewProxy, verb: string): NeighborAsk | Promise<NeighborAsk> {
    const what = `cannot ${verb} the proxy for ${proxy.address}`
    const asked = this.#question('RTM_NEWNEIGH', proxy, 'proxy', newKeys, what)
    const { router, protocol } = proxy
    if (router !== undefined) checkBoolean(router, 'proxy.router')
    if (protocol !== undefined) checkProtocol(protocol, 'proxy.protocol')
    const complete = (question: NeighborAsk): NeighborAsk => ({
      ...question,
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      header: { ...question.header, flags: neighborFlags.proxy | (router === true ? neighborFlags.router : 0) },
      attributes: {
        ...question.attributes,
        protocol: protocol === undefined ? undefined : protocolNumber(protocol),
      },
    })
    return asked instanceof Promise ? asked.then(complete) : complete(asked)
  }

  #question(
    request: 'RTM_NEWNEIGH' | 'RTM_GETNEIGH' | 'RTM_DELNEIGH',
    match: ProxyMatch,
    name: string,
    keys: readonly string[],
    what: string,
  ): NeighborAsk | Promise<NeighborAsk> {
    const { family, address } = checkNeighborMatch(match, name, keys)
    const found = indexIfGiven(this.#namespace, match.link, `${name}.link`)
    const question = (index = 0): NeighborAsk => ({
      definition: neighborMessage,
      request,
      header: { family, index, flags: neighborFlags.proxy },
      attributes: { destination: address },
      what,
    })
    return typeof found === 'object' ? found.then(question) : question(found)
  }
}
