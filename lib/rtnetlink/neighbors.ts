/** The collection `namespace.neighbors`. */
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { indexOfLink } from './link-lookup.js'
import { type Neighbor, neighborMessage, readNeighbor } from './neighbor.js'
import { type NeighborAsk, neighborListing } from './neighbor-listing.js'
import {
  checkNeighbor,
  checkNeighborMatch,
  isNeighborAsAsked,
  type NeighborFilter,
  type NeighborMatch,
  type NewNeighbor,
  neighborMatchOf,
  neighborOf,
} from './neighbor-options.js'
import { NeighborProxies } from './neighbor-proxies.js'
import { checkSaysSomething } from './says-nothing.js'
import { allOrFirstError, ask, change, dump, dumpEach } from './talk.js'
import { inTurn } from './turns.js'

export type { NeighborFilter, NeighborMatch, NewNeighbor } from './neighbor-options.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants

/** What `ensure` found or did. */
export interface EnsuredNeighbor {
  neighbor: Neighbor
  /** Whether anything had to be done. */
  changed: boolean
}

/**
 * The neighbors of a namespace: `red.neighbors` (ARP's and IPv6 neighbor discovery's; arp(7), ip-neighbour(8)). A row of `list` is
 * taken for a neighbor as it is.
 */
export class Neighbors {
  readonly #namespace: Namespace
  /** Addresses that the namespace answers for in another's stead (ARP and NDP proxies). */
  readonly proxies: NeighborProxies

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
    this.proxies = new NeighborProxies(namespace)
  }

  /**
   * Those that match the filter; all without one, also multicast addresses, which `ip neigh` hides ('noarp'). The kernel filters
   * by family, link and master.
   */
  async list(filter: NeighborFilter = {}): Promise<Neighbor[]> {
    const { question, read } = await neighborListing(this.#namespace, filter, 0, 'neighbors')
    return dump(this.#namespace, question, read)
  }

  /** The same, one by one. */
  async *stream(filter: NeighborFilter = {}): AsyncGenerator<Neighbor, void, undefined> {
    const { question, read } = await neighborListing(this.#namespace, filter, 0, 'neighbors')
    yield* dumpEach(this.#namespace, question, read)
  }

  /** The neighbor with this address on this link, or undefined. */
  async find(match: NeighborMatch | Neighbor): Promise<Neighbor | undefined> {
    const what = `no neighbor ${match?.address} in ${labelOf(this.#namespace)}`
    const asked = this.#question('RTM_GETNEIGH', match, 'match', what)
    const question = asked instanceof Promise ? await asked : asked
    try {
      return await ask(this.#namespace, question, (message) => readNeighbor(neighborMessage.decode(message)))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** The neighbor with this address on this link. Rejects with ENOENT when there is none. */
  async get(match: NeighborMatch | Neighbor): Promise<Neighbor> {
    const neighbor = await this.find(match)
    if (neighbor === undefined)
      throw namedError('ENOENT', 'RTM_GETNEIGH', `no neighbor ${match.address} in ${labelOf(this.#namespace)}`)
    return neighbor
  }

  /**
   * Adds a neighbor. Rejects with EEXIST when the link has one with this address, also one that the kernel found out or failed to.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError EEXIST, ENODEV, EINVAL for a state that takes a `mac`
   */
  async add(neighbor: NewNeighbor | Neighbor): Promise<void> {
    await this.#set(neighbor, NLM_F_CREATE | NLM_F_EXCL, 'add')
  }

  /** Adds a neighbor, in place of one with the same address on the link. */
  async replace(neighbor: NewNeighbor | Neighbor): Promise<void> {
    await this.#set(neighbor, NLM_F_CREATE | NLM_F_REPLACE, 'replace')
  }

  /**
   * Makes sure that there is such a neighbor, and touches nothing when there is. What the kernel looks after ('reachable', 'stale',
   * 'delay', 'probe') is as asked in any of those states.
   */
  async ensure(given: NewNeighbor | Neighbor): Promise<EnsuredNeighbor> {
    const neighbor = neighborOf(given)
    const checked = checkNeighbor(neighbor, 'neighbor')
    const link = await indexOfLink(this.#namespace, neighbor.link, 'neighbor.link')
    const match = { address: checked.address, link }
    return inTurn(this.#namespace, `neighbor ${link} ${checked.address}`, async () => {
      const known = await this.find(match)
      if (known !== undefined && isNeighborAsAsked(known, neighbor, checked)) return { neighbor: known, changed: false }
      const replacing = this.replace({ ...neighbor, link })
      const [, made] = await allOrFirstError([replacing, this.get(match)])
      return { neighbor: made, changed: true }
    })
  }

  /**
   * Removes a neighbor. Rejects with ENOENT when there is none. One that is in use stays as 'failed' until nobody uses it.
   */
  async remove(match: NeighborMatch | Neighbor): Promise<void> {
    const what = `cannot remove the neighbor ${match?.address}`
    const asked = this.#question('RTM_DELNEIGH', match, 'neighbor', what)
    await change(this.#namespace, asked instanceof Promise ? await asked : asked)
  }

  /**
   * Removes those that match the filter, and resolves to them. Without a state in the filter, 'permanent' and 'noarp' ones stay,
   * as with `ip neigh flush`. The filter must say something.
   */
  async flush(filter: NeighborFilter): Promise<Neighbor[]> {
    checkSaysSomething(filter, "{ family: 'inet' } is all of IPv4")
    const listed = await this.list(filter)
    const stays = (state: Neighbor['state']) => [state].flat().some((word) => word === 'permanent' || word === 'noarp')
    const meant = filter.state === undefined ? listed.filter(({ state }) => !stays(state)) : listed
    const gone = await allOrFirstError(
      meant.map((neighbor) =>
        this.remove({ address: neighbor.address, link: neighbor.index }).then(
          () => true,
          (error) => {
            if (hasCode(error, 'ENOENT')) return false
            throw error
          },
        ),
      ),
    )
    return meant.filter((_, i) => gone[i])
  }

  async #set(given: NewNeighbor | Neighbor, flags: number, verb: string): Promise<void> {
    const neighbor = neighborOf(given)
    const { family, address, mac, state, flags: bits, moreFlags, protocol } = checkNeighbor(neighbor, 'neighbor')
    const found = indexOfLink(this.#namespace, neighbor.link, 'neighbor.link')
    const index = typeof found === 'object' ? await found : found
    await change(this.#namespace, {
      definition: neighborMessage,
      request: 'RTM_NEWNEIGH',
      flags,
      header: { family, index, state, flags: bits },
      attributes: { destination: address, mac, protocol, moreFlags },
      what: `cannot ${verb} the neighbor ${address}`,
    })
  }

  /** A question or removal of one neighbor. Not a promise without need: requests keep the order of the calls. */
  #question(
    request: 'RTM_GETNEIGH' | 'RTM_DELNEIGH',
    given: NeighborMatch | Neighbor,
    name: string,
    what: string,
  ): NeighborAsk | Promise<NeighborAsk> {
    const match = neighborMatchOf(given)
    const { family, address } = checkNeighborMatch(match, name, ['address', 'link'])
    const found = indexOfLink(this.#namespace, match.link, `${name}.link`)
    const question = (index: number): NeighborAsk => ({
      definition: neighborMessage,
      request,
      header: { family, index },
      attributes: { destination: address },
      what,
    })
    return typeof found === 'object' ? found.then(question) : question(found)
  }
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The namespace's neighbors. */
    readonly neighbors: Neighbors
  }
}

defineFacet('neighbors', (namespace) => new Neighbors(namespace))
