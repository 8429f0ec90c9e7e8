/** The collection `namespace.nexthops`. */
import { isDeepStrictEqual } from 'node:util'
import { hasCode } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { sourceOf } from '../netlink/bytes.js'
import { HEADER_SIZE, type Message, netlinkConstants } from '../netlink/message.js'
import { checkBoolean, checkOneOf, checkOptions } from '../validate.js'
import { AF_INET, AF_INET6, AF_UNSPEC } from '../values/ip.js'
import { type routeProtocols, rtnetlinkConstants } from './constants.js'
import { indexIfGiven } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { type NexthopBucket, type NexthopObject, nexthopMessage, readBucket, readNexthopObject } from './nexthop.js'
import {
  checkNexthop,
  checkNexthopId,
  type NewNexthopObject,
  type NexthopAsk,
  nexthopRequest,
  nexthopWithIndexes,
  objectOf,
} from './nexthop-options.js'
import { protocolWord } from './route.js'
import { checkProtocol, protocolNumber } from './route-options.js'
import { checkSaysSomething } from './says-nothing.js'
import { allOrFirstError, ask, change, dump, dumpEach } from './talk.js'
import { inTurn } from './turns.js'

export type { NewNexthopObject } from './nexthop-options.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants
const { RTM_NEWNEXTHOP } = rtnetlinkConstants

/** Which nexthop objects are meant. The kernel filters by all but `protocol`. */
export interface NexthopFilter {
  family?: 'inet' | 'inet6'
  link?: LinkReference
  /** Those that lead out of a link of this bridge or VRF. */
  master?: LinkReference
  /** Groups only. */
  groups?: boolean
  /** Those for forwarding databases only. */
  fdb?: boolean
  protocol?: keyof typeof routeProtocols | number
}

/** What `ensure` found or did. */
export interface EnsuredNexthop {
  nexthop: NexthopObject
  /** Whether anything had to be done. */
  changed: boolean
}

/** The nexthop objects of a namespace: `red.nexthops` (ip-nexthop(8)). Routes name them by `nexthopId`. */
export class Nexthops {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter. */
  async list(filter: NexthopFilter = {}): Promise<NexthopObject[]> {
    const found = this.#listing(filter)
    const { question, read } = found instanceof Promise ? await found : found
    return dump(this.#namespace, question, read)
  }

  /** The same, one after another. */
  async *stream(filter: NexthopFilter = {}): AsyncGenerator<NexthopObject, void, undefined> {
    const { question, read } = await this.#listing(filter)
    yield* dumpEach(this.#namespace, question, read)
  }

  /** The one with an id, or undefined. A row has one, too. */
  async find(nexthop: number | NexthopObject): Promise<NexthopObject | undefined> {
    return this.get(nexthop).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    })
  }

  /** The one with an id. Rejects with ENOENT when there is none. */
  async get(nexthop: number | NexthopObject): Promise<NexthopObject> {
    const id = idOf(nexthop)
    checkNexthopId(id, 'id')
    const what = `no nexthop object ${id} in ${labelOf(this.#namespace)}`
    const question: NexthopAsk = {
      definition: nexthopMessage,
      request: 'RTM_GETNEXTHOP',
      header: {},
      attributes: { id },
      what,
    }
    return ask(this.#namespace, question, (message) => readNexthopObject(nexthopMessage.decode(message)))
  }

  /** Adds a nexthop object, and resolves to its id. Rejects with EEXIST when there is one with the id. */
  async add(object: NewNexthopObject | NexthopObject): Promise<number> {
    return this.#make(object, NLM_F_CREATE | NLM_F_EXCL, 'add')
  }

  /**
   * Adds a nexthop object, in place of the one with the same id, for all routes that use it; resolves to the id. A group cannot take
   * the place of what is none, nor the other way round (EINVAL).
   */
  async replace(object: NewNexthopObject | NexthopObject): Promise<number> {
    return this.#make(object, NLM_F_CREATE | NLM_F_REPLACE, 'replace')
  }

  /**
   * Makes sure that there is such a nexthop object, and touches nothing when there is. With `id`, the one with the id is made so;
   * what was not asked for gets its default, but the timers of a resilient group. Without, any that is as asked will do.
   */
  async ensure(object: NewNexthopObject | NexthopObject): Promise<EnsuredNexthop> {
    const wish = objectOf(object)
    const family = checkNexthop(wish, 'nexthop')
    const found = nexthopWithIndexes(this.#namespace, wish, 'nexthop')
    const indexed = found instanceof Promise ? await found : found
    return inTurn(this.#namespace, `nexthop ${indexed.id ?? ''}`, async () => {
      const { id } = indexed
      const asked = rowOf(nexthopRequest(family, indexed, '', 0))
      const search = async () =>
        id === undefined ? this.list().then((all) => all.find((one) => isAsAsked(one, asked, indexed))) : this.find(id)
      const known = await search()
      if (known !== undefined && isAsAsked(known, asked, indexed)) return { nexthop: known, changed: false }
      const made = known === undefined ? await this.add(indexed) : await this.replace(indexed)
      return { nexthop: await this.get(made), changed: true }
    })
  }

  /** Removes a nexthop object, and the routes that use it. Rejects with ENOENT when there is none. */
  async remove(nexthop: number | NexthopObject): Promise<void> {
    const id = idOf(nexthop)
    checkNexthopId(id, 'id')
    const what = `cannot remove the nexthop object ${id}`
    await change(this.#namespace, {
      definition: nexthopMessage,
      request: 'RTM_DELNEXTHOP',
      header: {},
      attributes: { id },
      what,
    })
  }

  /**
   * Removes all that match, and resolves to them, with the routes that use them. What goes with another one (a group with its last
   * member) is among them. The filter must say something.
   */
  async flush(filter: NexthopFilter): Promise<NexthopObject[]> {
    checkSaysSomething(filter, '{ groups: false } is all but groups, which go with their members')
    const objects = await this.list(filter)
    await allOrFirstError(
      objects.map((object) =>
        this.remove(object).catch((error: unknown) => {
          if (!hasCode(error, 'ENOENT')) throw error
        }),
      ),
    )
    return objects
  }

  /** The buckets of a resilient group (`ip nexthop bucket list`). Rejects with ENOENT or EINVAL when it is none. */
  async buckets(id: number): Promise<NexthopBucket[]> {
    checkNexthopId(id, 'id')
    const what = `cannot list the buckets of the nexthop object ${id}`
    const question: NexthopAsk = {
      definition: nexthopMessage,
      request: 'RTM_GETNEXTHOPBUCKET',
      header: {},
      attributes: { id },
      what,
    }
    return dump(this.#namespace, question, (message) => {
      const decoded = nexthopMessage.decode(message)
      return decoded.attributes.id === id ? readBucket(decoded) : undefined
    })
  }

  async #make(object: NewNexthopObject | NexthopObject, flags: number, verb: string): Promise<number> {
    const wish = objectOf(object)
    const family = checkNexthop(wish, 'nexthop')
    const found = nexthopWithIndexes(this.#namespace, wish, 'nexthop')
    const indexed = found instanceof Promise ? await found : found
    const send = async (id: number) => {
      const what = `cannot ${verb} the nexthop object ${id}`
      await change(this.#namespace, nexthopRequest(family, { ...indexed, id }, what, flags))
      return id
    }
    if (indexed.id !== undefined) return send(indexed.id)
    return inTurn(this.#namespace, 'nexthop ids', async () => {
      for (let attempt = 1; ; attempt++) {
        const ids = (await this.list()).map(({ id }) => id)
        try {
          // Never in place of another.
          return await send(Math.max(0, ...ids) + 1)
        } catch (error) {
          if (!hasCode(error, 'EEXIST') || attempt === ATTEMPTS) throw error
        }
      }
    })
  }

  #listing(filter: NexthopFilter): Listing | Promise<Listing> {
    checkOptions(filter, 'filter', ['family', 'link', 'master', 'groups', 'fdb', 'protocol'])
    const { family, link, master, groups, fdb, protocol } = filter
    if (family !== undefined) checkOneOf(family, 'filter.family', ['inet', 'inet6'])
    if (groups !== undefined) checkBoolean(groups, 'filter.groups')
    if (fdb !== undefined) checkBoolean(fdb, 'filter.fdb')
    if (protocol !== undefined) checkProtocol(protocol, 'filter.protocol')
    const by = protocol === undefined ? undefined : protocolWord(protocolNumber(protocol))
    const own = indexIfGiven(this.#namespace, link, 'filter.link')
    const above = indexIfGiven(this.#namespace, master, 'filter.master')
    const complete = (index: number | undefined, over: number | undefined): Listing => ({
      question: {
        definition: nexthopMessage,
        request: 'RTM_GETNEXTHOP',
        header: { family: family === undefined ? AF_UNSPEC : family === 'inet' ? AF_INET : AF_INET6 },
        attributes: {
          link: index,
          groups: groups === true ? true : undefined,
          master: over,
          fdb: fdb === true ? true : undefined,
        },
        what: `cannot list the nexthop objects of ${labelOf(this.#namespace)}`,
      },
      read(message) {
        const object = readNexthopObject(nexthopMessage.decode(message))
        const isMeant =
          (family === undefined || object.family === family) &&
          (index === undefined || object.index === index) &&
          (groups === undefined || (object.group !== undefined) === groups) &&
          (fdb === undefined || (object.fdb === true) === fdb) &&
          (by === undefined || object.protocol === by)
        return isMeant ? object : undefined
      },
    })
    if (typeof own !== 'object' && typeof above !== 'object') return complete(own, above)
    return Promise.all([own, above]).then(([index, over]) => complete(index, over))
  }
}

const idOf = (nexthop: number | NexthopObject) =>
  typeof nexthop === 'object' && nexthop !== null ? nexthop.id : nexthop

/** How often an id is chosen anew when somebody else took it meanwhile. */
const ATTEMPTS = 10

interface Listing {
  question: NexthopAsk
  read(message: Message): NexthopObject | undefined
}

/** The row that a request would make. */
function rowOf({ header, attributes }: NexthopAsk): NexthopObject {
  const bytes = nexthopMessage.encode(RTM_NEWNEXTHOP, 0, header, attributes)
  const message = { type: 0, flags: 0, sequence: 0, start: HEADER_SIZE, end: bytes.length }
  return readNexthopObject(nexthopMessage.decode({ source: sourceOf(bytes), ...message }))
}

const definite = ['via', 'blackhole', 'groupType', 'fdb'] as const
const asGiven = ['link', 'buckets', 'idleTimer', 'unbalancedTimer', 'protocol'] as const

function isAsAsked(known: NexthopObject, asked: NexthopObject, wish: NewNexthopObject): boolean {
  const same = (key: keyof NexthopObject) => isDeepStrictEqual(known[key], asked[key])
  return (
    definite.every(same) &&
    asGiven.every((key) => wish[key] === undefined || same(key === 'link' ? 'index' : key)) &&
    (asked.group !== undefined || asked.family === undefined || known.family === asked.family) &&
    isDeepStrictEqual(ordered(known), ordered(asked)) &&
    known.flags.includes('onlink') === asked.flags.includes('onlink') &&
    isDeepStrictEqual(bare(known), bare(asked))
  )
}

/** The members, whatever the order that they were named in. */
const ordered = ({ group = [] }: NexthopObject) => [...group].sort((a, b) => a.id - b.id)

/** Counters count. */
function bare({ encapsulation }: NexthopObject): object {
  const { counters: _, data, ...rest } = { ...encapsulation } as Record<string, unknown>
  return data instanceof Uint8Array ? { ...rest, data: Array.from(data) } : rest
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The namespace's nexthop objects. */
    readonly nexthops: Nexthops
  }
}

defineFacet('nexthops', (namespace) => new Nexthops(namespace))
