/** The collection `namespace.links`. */
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { sameNamespace } from '../namespace/identity.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { copyOf } from '../netlink/bytes.js'
import type { Message } from '../netlink/message.js'
import { checkBoolean, checkInteger, checkOptions, checkString, typeError, valueError } from '../validate.js'
import { checkAddressInput } from './address-options.js'
import { ensureAddress, listAddresses } from './addresses.js'
import { isAsAsked } from './as-asked.js'
import { rtnetlinkConstants } from './constants.js'
import { checkNewRawLink, createLink, type NewLinkOfKind, type NewRawLink, nameAgain } from './create-link.js'
import { type OwnOptions, withIndexes } from './kind-options.js'
import { kindOf, type LinkKinds } from './kinds/registry.js'
import { Link } from './link.js'
import { type LinkAttributes, linkMessage } from './link-attributes.js'
import { fetchLink, indexIfGiven, indexOfLink, indexOfMaster } from './link-lookup.js'
import { checkLinkReference, checkNamespace, isLink, type LinkReference } from './link-options.js'
import { checkLinkName } from './names.js'
import { NO_NAMESPACE_ID } from './namespace-ids.js'
import { masterFor } from './port-options.js'
import { checkLinksToRemove, type LinksToRemove, removeLinks } from './remove-links.js'
import { type Ask, allOrFirstError, dump, dumpEach } from './talk.js'

const { RTEXT_FILTER_VF } = rtnetlinkConstants

export interface LinkFilter {
  kind?: string
  /** Only ports of this link; null for links that are nobody's port. */
  master?: LinkReference | null
  up?: boolean
  group?: number
}

/** What to read of links, and where. */
export interface LinkReading {
  /**
   * The links of this other namespace in place of the collection's own, read through the collection's socket. For this the other
   * one needs an id here (`namespaceIds.assign`; a veth between the two gives it one): ENOENT. Needs CAP_NET_ADMIN over it.
   */
  target?: Namespace
  /** SR-IOV: also the virtual functions of cards (`link.virtualFunctions`). Default: false. */
  virtualFunctions?: boolean
}

/** What `ensure` found or did. */
export interface EnsuredLink<K extends string = string> {
  link: Link<K>
  /** Whether anything had to be done. */
  changed: boolean
  /** Whether there was no such link. */
  created: boolean
  /** Of one that was there: the options that were not as asked, and now are; 'addresses' and 'alternativeNames' when one was missing. */
  changes: string[]
}

type WithoutNamespace<T> = Omit<T, 'namespace'>

/** The links of a namespace: `red.links`. */
export class Links {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter; all without one. The kernel filters by kind and master. */
  async list(filter: LinkFilter & LinkReading = {}): Promise<Link[]> {
    const { question, read } = await this.#listing(filter)
    return dump(this.#namespace, question, read)
  }

  /** The same, one by one. */
  async *stream(filter: LinkFilter & LinkReading = {}): AsyncGenerator<Link, void, undefined> {
    const { question, read } = await this.#listing(filter)
    yield* dumpEach(this.#namespace, question, read)
  }

  async #listing(filter: LinkFilter & LinkReading) {
    checkOptions(filter, 'filter', ['kind', 'master', 'up', 'group', ...readingKeys])
    checkReading(filter, 'filter')
    if (filter.group !== undefined) checkInteger(filter.group, 'filter.group', 0, 0xffff_ffff)
    if (filter.kind !== undefined) checkString(filter.kind, 'filter.kind')
    if (filter.up !== undefined) checkBoolean(filter.up, 'filter.up')
    const where = filter.target ?? this.#namespace
    const found = indexOfMaster(where, filter.master, 'filter.master')
    const master = typeof found === 'object' ? await found : found
    const reading = filter.target === undefined ? wanted(filter) : await this.#wantedOf(filter.target, filter)
    const question: Ask<typeof linkMessage.header, typeof linkMessage.table> = {
      definition: linkMessage,
      request: 'RTM_GETLINK',
      header: {},
      attributes: {
        ...reading,
        master: master === 0 ? undefined : master,
        info: filter.kind === undefined ? undefined : { kind: filter.kind },
      },
      what: `cannot list the links of ${labelOf(where)}`,
    }
    const read = ({ source, start, end }: Message) => {
      const link = new Link(where, copyOf(source.bytes, start, end), false, reading.filterMask)
      // The kernel does not filter by a kind whose module it has not loaded.
      const matches =
        (filter.kind === undefined || link.kind === filter.kind) &&
        (master === undefined || (link.master ?? 0) === master) &&
        (filter.group === undefined || link.group === filter.group) &&
        (filter.up === undefined || link.up === filter.up)
      return matches ? link : undefined
    }
    return { question, read }
  }

  /** The same with the id of the namespace that is read. */
  async #wantedOf(target: Namespace, reading: LinkReading): Promise<LinkAttributes> {
    return { ...wanted(reading), targetNamespaceId: await this.#namespace.namespaceIds.get(target) }
  }

  /** The link of this name, alternative name or index. Rejects with ENODEV when there is none. */
  async get(link: LinkReference, options: LinkReading = {}): Promise<Link> {
    checkLinkReference(link, 'link')
    checkOptions(options, 'options', readingKeys)
    checkReading(options, 'options')
    const { target } = options
    const where = target ?? this.#namespace
    const key = isLink(link) ? await indexOfLink(where, link, 'link') : link
    const what = `no link ${typeof key === 'number' ? `with index ${key}` : key} in ${labelOf(where)}`
    const reading = target === undefined ? wanted(options) : await this.#wantedOf(target, options)
    return new Link(where, await fetchLink(this.#namespace, key, what, reading), false, reading.filterMask)
  }

  /** The link of this name, alternative name or index, or undefined. */
  async find(link: LinkReference, options: LinkReading = {}): Promise<Link | undefined> {
    try {
      return await this.get(link, options)
    } catch (error) {
      if (hasCode(error, 'ENODEV')) return undefined
      throw error
    }
  }

  /** Creates a link here, as `createLink` does. Rejects with EEXIST when the name is taken. */
  add<K extends keyof LinkKinds>(options: WithoutNamespace<NewLinkOfKind<K>>): Promise<Link<K>>
  add(options: WithoutNamespace<NewRawLink>): Promise<Link>
  async add(options: WithoutNamespace<NewRawLink>): Promise<Link> {
    return createLink({ ...this.#here(options), namespace: this.#namespace })
  }

  /**
   * Creates a link in place of one that has the name, if there is one: what the kernel refuses is found out by a rehearsal under
   * another name, and costs nobody a link. (The old link's routes and ports go with it; `ensure` keeps what can stay.)
   */
  replace<K extends keyof LinkKinds>(options: WithoutNamespace<NewLinkOfKind<K>>): Promise<Link<K>>
  replace(options: WithoutNamespace<NewRawLink>): Promise<Link>
  async replace(options: WithoutNamespace<NewRawLink>): Promise<Link> {
    const name = named(this.#here(options))
    const { common } = checkNewRawLink(options)
    const old = await this.find(name)
    for (const one of common.alternativeNames ?? []) {
      const holder = await this.find(one)
      if (holder === undefined || (holder.index === old?.index && old.name === name)) continue
      throw namedError('EEXIST', 'RTM_NEWLINKPROP', `cannot replace ${name}: ${holder.name} has the name ${one}`)
    }
    if (old?.name === name) {
      // A label begins with the name, and does not fit another.
      const addresses = common.addresses?.map((input) =>
        typeof input === 'string' ? input : { ...input, label: undefined },
      )
      const fresh = { name: undefined, alternativeNames: undefined, index: undefined, up: undefined }
      try {
        const rehearsal = await this.add({ ...options, ...fresh, addresses })
        await rehearsal.delete()
      } catch (error) {
        // Of some there cannot be two: a VLAN of a link, a VXLAN of a number.
        if (!hasCode(error, 'EEXIST', 'EBUSY', 'EADDRINUSE') || error.syscall !== 'RTM_NEWLINK') throw error
      }
      await old.delete()
    }
    return this.add(options)
  }

  /**
   * Makes sure that there is a link of this name and kind, with these options and addresses, and touches nothing that is as
   * asked. What is not asked for is left alone, and so are the queues of a link that exists. Rejects with EEXIST when the name
   * belongs to a link of another kind, index or parent, or to one that has an address with another label, broadcast address or scope.
   */
  ensure<K extends keyof LinkKinds>(options: WithoutNamespace<NewLinkOfKind<K>>): Promise<EnsuredLink<K>>
  ensure(options: WithoutNamespace<NewRawLink>): Promise<EnsuredLink>
  async ensure(options: WithoutNamespace<NewRawLink>): Promise<EnsuredLink> {
    const name = named(this.#here(options))
    const { kind, parent, common, own } = checkNewRawLink(options)
    let link = await this.find(name)
    if (link === undefined) {
      try {
        return { link: await this.add(options), changed: true, created: true, changes: [] }
      } catch (error) {
        // Somebody may have been faster.
        if (!hasCode(error, 'EEXIST')) throw error
        link = await this.find(name)
        if (link === undefined) throw error
      }
    }
    // Links that the kind is told of are where its parent is.
    const from = isLink(parent) ? parent.namespace : this.#namespace
    const { name: _, addresses = [], alternativeNames = [], index, txQueues: __, rxQueues: ___, ...settings } = common
    const below = await indexIfGiven(from, parent, 'options.parent')
    const isNear = sameNamespace(from, this.#namespace)
    const fromId = isNear ? undefined : ((await this.#namespace.namespaceIds.find(from)) ?? NO_NAMESPACE_ID)
    const wrong = [
      link.kind === kind ? undefined : `kind ${link.kind ?? '(none)'}`,
      index === undefined || link.index === index ? undefined : `index ${link.index}`,
      below === undefined || (link.parent === below && link.attributes.parentNamespaceId === fromId)
        ? undefined
        : `parent ${link.parent ?? '(none)'}`,
    ]
    const is = wrong.find((one) => one !== undefined)
    if (is !== undefined) {
      throw namedError('EEXIST', 'RTM_NEWLINK', `cannot make ${name} a ${kind}: a link of that name has ${is}`)
    }
    const master = await masterFor(this.#namespace, settings, 'options')
    const indexed = await withIndexes(from, kindOf(kind), own, 'options')
    const portKind = kindOf(link.attributes.info?.portKind)?.port
    const port = await withIndexes(this.#namespace, portKind, settings.port as OwnOptions | undefined, 'options.port')
    const wanted = Object.entries({ ...settings, port, ...indexed }).filter(
      ([key, value]) => value !== undefined && !isAsAsked(link, key, value, master),
    )
    const changes = wanted.map(([key]) => key)
    const fixed = changes.find((key) => kindOf(kind)?.fixed?.includes(key))
    if (fixed !== undefined) {
      const has = `${fixed} ${(link.options as Record<string, unknown>)[fixed] ?? '(none)'}`
      throw namedError('EEXIST', 'RTM_NEWLINK', `cannot make ${name} such a ${kind}: a link of that name has ${has}`)
    }
    if (wanted.length > 0) {
      const raw = wanted.filter(([key]) => key.startsWith('#'))
      const named = wanted.filter(([key]) => !key.startsWith('#'))
      await link.set({ ...Object.fromEntries(named), data: Object.fromEntries(raw) })
    }
    const nameless = alternativeNames.filter((one) => one !== name && !link.alternativeNames.includes(one))
    if (nameless.length > 0) {
      await Promise.all(nameAgain(link, nameless))
      changes.push('alternativeNames')
    }
    if (addresses.length > 0) {
      const present = await listAddresses(this.#namespace, link.index, {})
      const done = await allOrFirstError(
        addresses.map((address, i) => {
          const wanted = checkAddressInput(address, `options.addresses[${i}]`)
          return ensureAddress(this.#namespace, link.index, wanted, () => name, present)
        }),
      )
      if (done.some((one) => one.created || one.changes.length > 0)) changes.push('addresses')
    }
    return { link, changed: changes.length > 0, created: false, changes }
  }

  /** Deletes a link. Rejects with ENOENT when there is none. */
  async remove(link: LinkReference): Promise<void> {
    const found = await this.find(link)
    if (found === undefined) {
      const name = typeof link === 'object' ? link.name : String(link)
      throw namedError('ENOENT', 'RTM_DELLINK', `no link ${name} in ${labelOf(this.#namespace)}`)
    }
    await found.delete()
  }

  /**
   * Deletes many links at once, much faster than one by one: 200 veth pairs in 50 ms instead of 3 s. A filter, as
   * `{ group }`, `{ kind }` or `{ master }`, deletes all that match. Links that are not there (any more) are passed over. Resolves to those that were deleted, without what
   * goes with them, as the other end of a veth. Before that, links of a list are put into a group of their own; watchers see it.
   * @throws ERR_INVALID_ARG_… for wrong input; NetkitError EOPNOTSUPP when one cannot be deleted (the loopback, hardware), EPERM
   * without CAP_NET_ADMIN: nothing is deleted then, and all have the group that they had
   */
  async removeMany(links: LinksToRemove): Promise<Link[]> {
    checkLinksToRemove(this.#namespace, links)
    return removeLinks(this.#namespace, links, await this.list())
  }

  #here<T extends object>(options: T): T {
    if (typeof options !== 'object' || options === null) throw typeError('options', 'an object', options)
    if ('namespace' in options) throw valueError('options.namespace', options.namespace, 'is this one: leave it out')
    return options
  }
}

const readingKeys = ['target', 'virtualFunctions'] as const satisfies readonly (keyof LinkReading)[]

function checkReading(options: LinkReading, path: string): void {
  checkNamespace(options.target, `${path}.target`)
  if (options.virtualFunctions !== undefined) checkBoolean(options.virtualFunctions, `${path}.virtualFunctions`)
}

/** The attributes that say what is to be read. */
function wanted({ virtualFunctions }: LinkReading): LinkAttributes {
  return virtualFunctions ? { filterMask: RTEXT_FILTER_VF } : {}
}

/** What `replace` and `ensure` find a link by. */
function named(options: { name?: string }): string {
  checkLinkName(options.name, 'options.name')
  return options.name
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The namespace's links. */
    readonly links: Links
  }
}

defineFacet('links', (namespace) => new Links(namespace))
