/** Forwarding databases: `link.fdb` of a bridge, a VXLAN or another link, and `namespace.fdb` for all of them together. */
import { hasCode, namedError, undoOnFailure } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { checkIp, formatIp } from '../values/ip.js'
import { normalMac } from '../values/mac.js'
import { type FdbEntry, readFdbEntry } from './fdb-entry.js'
import { flushFdb } from './fdb-flush.js'
import { linkFdbListing, type NamespaceFdbFilter, namespaceFdbListing } from './fdb-listing.js'
import {
  checkFdbEntry,
  checkFdbMatch,
  type FdbFilter,
  type FdbMatch,
  fdbEntryOf,
  fdbMatchIn,
  fdbMatchOf,
  hasManyDestinations,
  isFdbAsAsked,
  isForTunnel,
  type NewFdbEntry,
} from './fdb-options.js'
import { fdbRemovals, kindOf, newFdbRequests, type Place, placeOf } from './fdb-place.js'
import type { Link } from './link.js'
import { defineLinkFacet } from './link-facet.js'
import { indexIfGiven } from './link-lookup.js'
import { isLink } from './link-options.js'
import { AF_BRIDGE, neighborFlags, neighborMessage } from './neighbor.js'
import { allOrFirstError, ask, change, dump, dumpEach } from './talk.js'
import { inTurn } from './turns.js'

export type { FdbEntry, FdbState } from './fdb-entry.js'
export type { NamespaceFdbFilter } from './fdb-listing.js'
export type { FdbFilter, FdbMatch, NewFdbEntry } from './fdb-options.js'

const { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants

/** What `ensure` found or did. */
export interface EnsuredFdbEntry {
  entry: FdbEntry
  /** Whether anything had to be done. */
  changed: boolean
}

/**
 * The forwarding database of a link (bridge(8), "fdb").
 *
 * - Of a bridge, `br0.fdb`: entries are at a `port`, and in the bridge's own database (`master`); without a port they are
 *   addresses of the bridge itself. At a port that is a VXLAN, what only that understands (`destination`, `vni` …) makes an entry in
 *   the VXLAN's database too, for the same address. A port of another kind has no place for it, and nothing comes of it.
 * - Of a VXLAN or any other link, `vx.fdb`: entries are in its own database (`self`).
 *
 * `self` and `master` say otherwise. A row of the link's `list` is taken for an entry as it is.
 */
export class LinkFdb {
  readonly #link: Link

  /** @internal */
  constructor(link: Link) {
    this.#link = link
  }

  /**
   * Those that match the filter. Of a bridge: those of the bridge and its ports, their own databases included; of another link:
   * those of its own, and at it in its bridge's. The kernel filters by link.
   */
  async list(filter: FdbFilter = {}): Promise<FdbEntry[]> {
    const { question, read } = await linkFdbListing(this.#link, filter)
    return dump(this.#namespace, question, read)
  }

  /** The same, one by one. */
  async *stream(filter: FdbFilter = {}): AsyncGenerator<FdbEntry, void, undefined> {
    const { question, read } = await linkFdbListing(this.#link, filter)
    yield* dumpEach(this.#namespace, question, read)
  }

  /** The entry that matches, the first of several; undefined when there is none. */
  async find(given: FdbMatch | FdbEntry): Promise<FdbEntry | undefined> {
    const match = fdbMatchOf(given, this.#link.index, this.#isBridge)
    checkFdbMatch(match, 'match')
    const { mac, port, vlan, destination, destinationPort, vni, sourceVni, nexthopId } = match
    const inBridge = this.#isBridge && match.self !== true && !isForTunnel(match)
    if (inBridge) {
      const found = indexIfGiven(this.#namespace, port, 'match.port')
      const index = typeof found === 'object' ? await found : found
      const entry = await this.#lookUp({ master: this.#link.index, mac: normalMac(mac), vlan })
      if (entry !== undefined) return index === undefined || entry.index === index ? entry : undefined
      // Without a VLAN the kernel looks only at entries that are in none.
      if (vlan !== undefined) return undefined
    }
    const foundVia = indexIfGiven(this.#namespace, match.via, 'match.via')
    const via = typeof foundVia === 'object' ? await foundVia : foundVia
    const self = !inBridge && (match.self ?? match.master !== true)
    const own = this.#link.options as { id?: number; port?: number; external?: boolean }
    // The kernel does not say what is the link's own.
    const isSame = (said: number | undefined, linksOwn: number | undefined, wish: number | undefined) =>
      wish === undefined || (said ?? linksOwn ?? wish) === wish
    const address = destination === undefined ? undefined : formatIp(checkIp(destination, 'match.destination'))
    const isMeant = (entry: FdbEntry) =>
      (via === undefined || entry.via === via) &&
      (address === undefined || entry.destination === address) &&
      (nexthopId === undefined || entry.nexthopId === nexthopId) &&
      (sourceVni === undefined || entry.sourceVni === sourceVni) &&
      isSame(entry.vni, own.id, vni) &&
      isSame(entry.destinationPort, own.port, destinationPort)
    if (self && this.#link.kind === 'vxlan' && sourceVni === undefined) {
      // The kernel tells the first of several destinations, and of a VXLAN for many networks only its own.
      const first = await this.#lookUp({ mac: normalMac(mac) }, { index: this.#link.index, flags: neighborFlags.self })
      if (first !== undefined && isMeant(first)) return first
      if (first === undefined && own.external === false) return undefined
    }
    const entries = await this.list({ mac, port, vlan: self ? undefined : vlan, self })
    return entries.find(isMeant)
  }

  /** The same. Rejects with ENOENT when there is none. */
  async get(match: FdbMatch | FdbEntry): Promise<FdbEntry> {
    const entry = await this.find(match)
    if (entry === undefined) {
      throw namedError('ENOENT', 'RTM_GETNEIGH', `no forwarding entry for ${match.mac} in ${this.#link.name}`)
    }
    return entry
  }

  /**
   * Adds an entry. Rejects with EEXIST when there is one for this address (and VLAN), at whichever port. What is to be in two
   * databases is in both or none.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError EEXIST, EINVAL when `port` is no port of the bridge, EOPNOTSUPP
   */
  async add(given: NewFdbEntry | FdbEntry): Promise<void> {
    const entry = fdbEntryOf(given, this.#link.index, this.#isBridge)
    checkFdbEntry(entry, 'entry')
    await this.#inTurn(entry, () => this.#add(entry))
  }

  async #add(entry: NewFdbEntry): Promise<void> {
    const what = this.#what('add', entry)
    const found = placeOf(this.#link, entry, 'entry')
    const place = found instanceof Promise ? await found : found
    // A bridge takes what a program learned in place of another entry without a word.
    const mayReplace = entry.externallyLearned === true && place.master && this.#isBridge
    if (mayReplace && (await this.find({ mac: entry.mac, vlan: entry.vlan })) !== undefined)
      throw namedError('EEXIST', 'RTM_NEWNEIGH', what)
    const asks = newFdbRequests(entry, place, () => NLM_F_CREATE | NLM_F_EXCL, what)
    const sent = asks.map((one) => change(this.#namespace, one))
    const results = await Promise.allSettled(sent)
    const made = fdbRemovals(entry, place, what).filter((_, i) => results[i]?.status === 'fulfilled')
    await undoOnFailure(
      () => allOrFirstError(sent),
      () => allOrFirstError(made.map((one) => change(this.#namespace, one))),
    )
  }

  /** Adds an entry, in place of those for the same address (and VLAN). A VXLAN has no replacing of its all-zeros and multicast entries. */
  async replace(given: NewFdbEntry | FdbEntry): Promise<void> {
    const entry = fdbEntryOf(given, this.#link.index, this.#isBridge)
    checkFdbEntry(entry, 'entry')
    await this.#inTurn(entry, () => this.#put(entry, NLM_F_REPLACE, 'replace'))
  }

  /** VXLAN: one more destination for the same address. Nothing happens when it is there already. */
  async append(given: NewFdbEntry | FdbEntry): Promise<void> {
    const entry = fdbEntryOf(given, this.#link.index, this.#isBridge)
    checkFdbEntry(entry, 'entry')
    await this.#inTurn(entry, () => this.#put(entry, NLM_F_APPEND, 'append'))
  }

  /** Makes sure that there is such an entry, and touches nothing when there is. */
  async ensure(given: NewFdbEntry | FdbEntry): Promise<EnsuredFdbEntry> {
    const entry = fdbEntryOf(given, this.#link.index, this.#isBridge)
    checkFdbEntry(entry, 'entry')
    return this.#inTurn(entry, () => this.#ensure(entry))
  }

  async #ensure(entry: NewFdbEntry): Promise<EnsuredFdbEntry> {
    const place = await placeOf(this.#link, entry, 'entry')
    // A bridge has its own addresses in the same database as those of its ports.
    const isBridgesOwn = this.#isBridge && place.index === this.#link.index
    const port = this.#isBridge ? place.index : undefined
    const databases = [...(place.master ? [false] : []), ...(place.self ? [true] : [])]
    const looks = databases.map((self) => fdbMatchIn(entry, port, self && !isBridgesOwn))
    const search = () => Promise.all(looks.map((look) => this.find(look)))
    const known = await search()
    const last = known.at(-1)
    const isAsAsked = known.every((one, i) => one !== undefined && isFdbAsAsked(one, entry, databases[i] === true))
    if (last !== undefined && isAsAsked) return { entry: last, changed: false }
    const appends = place.self && isForTunnel(entry) && hasManyDestinations(entry.mac)
    await (appends ? this.#put(entry, NLM_F_APPEND, 'append') : this.#put(entry, NLM_F_REPLACE, 'replace'))
    const made = (await search()).at(-1)
    if (made === undefined)
      throw namedError('ENOENT', 'RTM_GETNEIGH', `the forwarding entry for ${entry.mac} was removed at once`)
    return { entry: made, changed: true }
  }

  /**
   * Removes an entry. Rejects with ENOENT when there is none that matches. Of a VXLAN's entry with several destinations, one that is
   * given goes; without `destination` all go. Without `port` a bridge's entry is removed wherever it is. At a port that is a VXLAN
   * the VXLAN's own entry for the address goes too, unless the bridge has the address there in another VLAN.
   */
  async remove(given: FdbMatch | FdbEntry): Promise<void> {
    const match = fdbMatchOf(given, this.#link.index, this.#isBridge)
    checkFdbMatch(match, 'entry')
    await this.#inTurn(match, () => this.#remove(match))
  }

  async #remove(match: FdbMatch): Promise<void> {
    const what = this.#what('remove', match)
    let { port } = match
    const isAnywhere = this.#isBridge && port === undefined
    // A VXLAN's entry has several destinations: the kernel has nothing to say against removing one that it has not.
    if (isAnywhere || isForTunnel(match)) {
      const known = await this.find(match)
      if (known === undefined) throw namedError('ENOENT', 'RTM_DELNEIGH', what)
      if (isAnywhere) port = known.index
    }
    const wanted = { ...match, port }
    const found = placeOf(this.#link, wanted, 'entry')
    const place = found instanceof Promise ? await found : found
    if (await this.#isAtVxlan(wanted, place)) place.self = true
    const asks = fdbRemovals(wanted, place, what)
    const results = await Promise.allSettled(asks.map((one) => change(this.#namespace, one)))
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    const worst = failures.find((reason) => !hasCode(reason, 'ENOENT'))
    // In one of two databases it may be gone already.
    if (worst !== undefined || failures.length === asks.length) throw worst ?? failures[0]
  }

  /** Whether an entry of the bridge's has another in the database of the VXLAN that it is at, which is for it alone. */
  async #isAtVxlan({ mac, port, vlan, self }: FdbMatch, { index, master }: Place): Promise<boolean> {
    if (!this.#isBridge || self !== undefined || !master || index === this.#link.index) return false
    const kind = isLink(port) ? port.kind : await kindOf(this.#namespace, index, 'entry')
    if (kind !== 'vxlan') return false
    if (vlan === undefined) return true
    return (await this.list({ mac, port: index, self: false })).every((entry) => entry.vlan === vlan)
  }

  /**
   * Removes those that match the filter; without a state in it, all but the addresses of the bridge's own host ('permanent'), which
   * it needs. What goes from a bridge's port that is a VXLAN goes from the VXLAN's own database too. For bridges (Linux 5.19) and VXLANs (6.7) the kernel does it in one request; without that they are listed and
   * removed one by one.
   */
  async flush(filter: FdbFilter = {}): Promise<void> {
    await flushFdb(this.#link, filter)
  }

  get #namespace(): Namespace {
    return this.#link.namespace
  }

  get #isBridge(): boolean {
    return this.#link.kind === 'bridge'
  }

  #what(verb: string, { mac }: FdbMatch): string {
    return `cannot ${verb} the forwarding entry for ${mac} of ${this.#link.name}`
  }

  /** The entry with an address, from the kernel. */
  async #lookUp(
    attributes: { master?: number; mac: string; vlan?: number | undefined },
    place: { index?: number; flags?: number } = {},
  ): Promise<FdbEntry | undefined> {
    const what = `no forwarding entry for ${attributes.mac} in ${this.#link.name}`
    const header = { family: AF_BRIDGE, ...place }
    try {
      return await ask(
        this.#namespace,
        { definition: neighborMessage, request: 'RTM_GETNEIGH', header, attributes, what },
        (message) => readFdbEntry(neighborMessage.decode(message)),
      )
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Some look first: what comes after them in the same tick, about the same address, must not overtake them. */
  #inTurn<T>({ mac }: FdbMatch, work: () => Promise<T>): Promise<T> {
    return inTurn(this.#namespace, `fdb ${normalMac(mac)}`, work)
  }

  async #put(entry: NewFdbEntry, flag: number, verb: string): Promise<void> {
    const flags = NLM_F_CREATE | flag
    const found = placeOf(this.#link, entry, 'entry')
    const place = found instanceof Promise ? await found : found
    // A bridge has one place for an address: with one more destination in its VXLAN port it is moved there.
    const flagsFor = (self: boolean) => (self ? flags : NLM_F_CREATE | NLM_F_REPLACE)
    const asks = newFdbRequests(entry, place, flagsFor, this.#what(verb, entry))
    await allOrFirstError(asks.map((one) => change(this.#namespace, one)))
  }
}

/** The forwarding databases of all links of a namespace: `red.fdb`. What is changed is changed at a link. */
export class Fdb {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter; all without one. The kernel filters by bridge and link. */
  async list(filter: NamespaceFdbFilter = {}): Promise<FdbEntry[]> {
    const { question, read } = await namespaceFdbListing(this.#namespace, filter)
    return dump(this.#namespace, question, read)
  }

  /** The same, one by one. */
  async *stream(filter: NamespaceFdbFilter = {}): AsyncGenerator<FdbEntry, void, undefined> {
    const { question, read } = await namespaceFdbListing(this.#namespace, filter)
    yield* dumpEach(this.#namespace, question, read)
  }
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The forwarding databases of all links of the namespace. */
    readonly fdb: Fdb
  }
}

declare module './link.js' {
  interface Link<K extends string = string> {
    /** The link's forwarding database: a bridge's, a VXLAN's, or the addresses that another link takes frames for. */
    readonly fdb: LinkFdb
  }
}

defineFacet('fdb', (namespace) => new Fdb(namespace))
defineLinkFacet('fdb', (link) => new LinkFdb(link))
