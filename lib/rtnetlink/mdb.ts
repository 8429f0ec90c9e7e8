/** Multicast databases: `br0.mdb`. */
import { hasCode, namedError } from '../errors.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { checkInteger, checkOneOf, checkOptions } from '../validate.js'
import { routeProtocols } from './constants.js'
import type { Link } from './link.js'
import { defineLinkFacet } from './link-facet.js'
import { indexIfGiven } from './link-lookup.js'
import {
  groupMembers,
  type MdbEntry,
  type MdbRouter,
  mdbChangeMessage,
  mdbMessage,
  mdbStates,
  readMdbEntries,
  readMdbRouters,
} from './mdb-entry.js'
import {
  checkGroup,
  checkMdbEntry,
  checkMdbMatch,
  isMdbAsAsked,
  isMdbMeant,
  type MdbFilter,
  type MdbMatch,
  mdbEntryOf,
  mdbMatchOf,
  mdbStateOf,
  type NewMdbEntry,
} from './mdb-options.js'
import { AF_BRIDGE } from './neighbor.js'
import { protocolNumber } from './route-options.js'
import { type Ask, allOrFirstError, change, dump } from './talk.js'
import { inTurn } from './turns.js'

export type { MdbEntry, MdbRouter } from './mdb-entry.js'
export type { MdbFilter, MdbMatch, NewMdbEntry } from './mdb-options.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants

/** What `ensure` found or did. */
export interface EnsuredMdbEntry {
  entry: MdbEntry
  /** Whether anything had to be done. */
  changed: boolean
}

type MdbAsk = Ask<typeof mdbChangeMessage.header, typeof mdbChangeMessage.table>

/**
 * The multicast database of a bridge: which of its ports are sent which groups (bridge(8), "mdb"). The bridge must be up, and have
 * `multicastSnooping`. That of a VXLAN (Linux 6.4) says which destinations are. A row of `list` is taken for an entry
 * as it is.
 */
export class LinkMdb {
  readonly #link: Link

  /** @internal */
  constructor(link: Link) {
    this.#link = link
  }

  /** Those that match the filter; all without one. The kernel lists all bridges, of which those of others are left out. */
  async list(filter: MdbFilter = {}): Promise<MdbEntry[]> {
    checkOptions(filter, 'filter', ['group', 'port', 'vlan', 'state'])
    const { vlan, state } = filter
    const group = filter.group === undefined ? undefined : checkGroup(filter.group, 'filter.group')
    if (vlan !== undefined) checkInteger(vlan, 'filter.vlan', 1, 4094)
    if (state !== undefined) checkOneOf(state, 'filter.state', ['permanent', 'temporary'])
    const found = indexIfGiven(this.#namespace, filter.port, 'filter.port')
    const index = typeof found === 'object' ? await found : found
    const entries = await this.#read(readMdbEntries)
    return entries.filter(
      (entry) =>
        (group === undefined || entry.group === group) &&
        (index === undefined || entry.index === index) &&
        (vlan === undefined || entry.vlan === vlan) &&
        (state === undefined || entry.state === state),
    )
  }

  /** The same, one by one. */
  async *stream(filter: MdbFilter = {}): AsyncGenerator<MdbEntry, void, undefined> {
    yield* await this.list(filter)
  }

  /** The ports behind which there are multicast routers. */
  routers(): Promise<MdbRouter[]> {
    return this.#read(readMdbRouters)
  }

  /** The entry for this group, source and VLAN (not given: none), at the port or at any; undefined when there is none. */
  async find(given: MdbMatch | MdbEntry): Promise<MdbEntry | undefined> {
    const match = mdbMatchOf(given)
    checkMdbMatch(match, 'match')
    const found = indexIfGiven(this.#namespace, match.port, 'match.port')
    const index = typeof found === 'object' ? await found : found
    return (await this.#read(readMdbEntries)).find((entry) => isMdbMeant(entry, match, index))
  }

  /** The same. Rejects with ENOENT when there is none. */
  async get(match: MdbMatch | MdbEntry): Promise<MdbEntry> {
    const entry = await this.find(match)
    if (entry === undefined)
      throw namedError('ENOENT', 'RTM_GETMDB', `no multicast entry for ${match.group} in ${this.#link.name}`)
    return entry
  }

  /**
   * Adds an entry. Rejects with EEXIST when the port has it.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError EEXIST, EINVAL when the bridge is down, has no multicast snooping, or the
   * port is not its own
   */
  async add(given: NewMdbEntry | MdbEntry): Promise<void> {
    const entry = mdbEntryOf(given)
    checkMdbEntry(entry, 'entry')
    await this.#put(entry, NLM_F_CREATE | NLM_F_EXCL, 'add')
  }

  /** Adds an entry, in place of the same one at the port. */
  async replace(given: NewMdbEntry | MdbEntry): Promise<void> {
    const entry = mdbEntryOf(given)
    checkMdbEntry(entry, 'entry')
    try {
      await this.#put(entry, NLM_F_CREATE | NLM_F_REPLACE, 'replace')
    } catch (error) {
      // Before Linux 6.3, and for the bridge's own host, the kernel replaces nothing.
      if (!hasCode(error, 'EEXIST')) throw error
      await allOrFirstError([this.#delete(entry), this.#put(entry, NLM_F_CREATE, 'replace')])
    }
  }

  /** Makes sure that there is such an entry, and touches nothing when there is. */
  async ensure(given: NewMdbEntry | MdbEntry): Promise<EnsuredMdbEntry> {
    const entry = mdbEntryOf(given)
    checkMdbEntry(entry, 'entry')
    const port = (await indexIfGiven(this.#namespace, entry.port, 'entry.port')) ?? this.#link.index
    const search = async () => {
      const entries = await this.#read(readMdbEntries)
      return entries.find((one) => isMdbMeant(one, entry, port))
    }
    return inTurn(this.#namespace, `mdb ${this.#link.index} ${checkGroup(entry.group, 'entry.group')}`, async () => {
      const known = await search()
      if (known !== undefined && isMdbAsAsked(known, entry)) return { entry: known, changed: false }
      await this.replace({ ...entry, port })
      const made = await search()
      if (made === undefined)
        throw namedError('ENOENT', 'RTM_GETMDB', `the multicast entry for ${entry.group} was removed at once`)
      return { entry: made, changed: true }
    })
  }

  /** Removes an entry. Rejects with ENOENT when the port (without one: the bridge's host) does not have it. */
  async remove(given: MdbMatch | MdbEntry): Promise<void> {
    const match = mdbMatchOf(given)
    checkMdbMatch(match, 'entry')
    try {
      await this.#delete(match)
    } catch (error) {
      // The kernel's EINVAL is about anything, and about nothing to remove.
      if (!hasCode(error, 'EINVAL')) throw error
      const found = await this.find({ ...match, port: match.port ?? this.#link.index })
      if (found !== undefined) throw error
      throw namedError('ENOENT', 'RTM_DELMDB', this.#what('remove', match), error)
    }
  }

  /** Removes those that match the filter, and resolves to them. */
  async flush(filter: MdbFilter = {}): Promise<MdbEntry[]> {
    const entries = await this.list(filter)
    const gone = await allOrFirstError(
      entries.map(({ index, group, source, vlan, destination, destinationPort, vni, sourceVni }) =>
        this.#delete({ port: index, group, source, vlan, destination, destinationPort, vni, sourceVni }).then(
          () => true,
          (error) => {
            // With one of a group the kernel may have removed others that came of it.
            if (hasCode(error, 'ENOENT', 'EINVAL')) return false
            throw error
          },
        ),
      ),
    )
    return entries.filter((_, i) => gone[i])
  }

  get #namespace(): Namespace {
    return this.#link.namespace
  }

  #what(verb: string, { group }: MdbMatch): string {
    return `cannot ${verb} the multicast entry for ${group} of ${this.#link.name}`
  }

  async #read<R>(read: (decoded: ReturnType<typeof mdbMessage.decode>) => R[]): Promise<R[]> {
    const messages = await dump(
      this.#namespace,
      {
        definition: mdbMessage,
        request: 'RTM_GETMDB',
        header: { family: AF_BRIDGE },
        attributes: {},
        what: `cannot list the multicast entries of ${this.#link.name}`,
      },
      (message) => {
        const decoded = mdbMessage.decode(message)
        return decoded.header.index === this.#link.index ? read(decoded) : undefined
      },
    )
    return messages.flat()
  }

  async #put(entry: NewMdbEntry, flags: number, verb: string): Promise<void> {
    const found = indexIfGiven(this.#namespace, entry.port, 'entry.port')
    const port = typeof found === 'object' ? await found : found
    await change(this.#namespace, { ...this.#request('RTM_NEWMDB', entry, port, this.#what(verb, entry)), flags })
  }

  async #delete(match: MdbMatch): Promise<void> {
    const found = indexIfGiven(this.#namespace, match.port, 'entry.port')
    const port = typeof found === 'object' ? await found : found
    const { group, source, vlan, destination, destinationPort, vni, sourceVni } = match
    const meant = { group, source, vlan, destination, destinationPort, vni, sourceVni }
    await change(this.#namespace, this.#request('RTM_DELMDB', meant, port, this.#what('remove', match)))
  }

  #request(request: 'RTM_NEWMDB' | 'RTM_DELMDB', entry: NewMdbEntry, port: number | undefined, what: string): MdbAsk {
    const { group, vlan, source, sources, filterMode, protocol, destination, destinationPort, vni, sourceVni } = entry
    // What the kernel takes when nothing is said is not said: before Linux 6.3 it shows a protocol, and takes none.
    const number = protocol === undefined ? undefined : protocolNumber(protocol)
    const details = {
      source,
      sources: sources === undefined ? undefined : { entries: sources.map((address) => ({ address })) },
      filterMode,
      protocol: number === routeProtocols.static ? undefined : number,
      destination,
      destinationPort,
      vni,
      sourceVni,
    }
    const index = port ?? this.#link.index
    const hasDetails = Object.values(details).some((value) => value !== undefined)
    return {
      definition: mdbChangeMessage,
      request,
      header: { family: AF_BRIDGE, index: this.#link.index },
      attributes: {
        entry: {
          index,
          state: mdbStates[mdbStateOf(entry, index === this.#link.index && this.#link.kind === 'bridge')],
          flags: 0,
          vlan: vlan ?? 0,
          ...(groupMembers(group) as NonNullable<ReturnType<typeof groupMembers>>),
        },
        details: hasDetails ? details : undefined,
      },
      what,
    }
  }
}

declare module './link.js' {
  interface Link<K extends string = string> {
    /** The multicast database of a bridge or VXLAN. */
    readonly mdb: LinkMdb
  }
}

defineLinkFacet('mdb', (link) => new LinkMdb(link))
