/** The collection `link.filters`: the filters of a link's queueing disciplines (tc(8)). */
import { hasCode, namedError } from '../../errors.js'
import { labelOf } from '../../namespace/internal.js'
import { netlinkConstants } from '../../netlink/message.js'
import { checkOptions, checkString, typeError } from '../../validate.js'
import type { Link } from '../link.js'
import { defineLinkFacet } from '../link-facet.js'
import { allOrFirstError, change, dump } from '../talk.js'
import { inTurn } from '../turns.js'
import { absentError, kindError } from './failure.js'
import {
  checkProtocol,
  type FilterKinds,
  filterInfo,
  type NewFilter,
  type NewFilterOfKind,
  type NewRawFilter,
  readFilter,
  type TrafficFilter,
} from './filter.js'
import {
  type CheckedFilter,
  checkFilter,
  checkFilterHandle,
  checkFilterMatch,
  type FilterMatch,
  isAsAsked,
  withIndexes,
} from './filter-options.js'
import { checkFilterParent, formatFilterParent } from './handles.js'
import { filterMessage } from './message.js'
import { checkCount } from './units.js'
import './qdiscs.js'

const { NLM_F_CREATE, NLM_F_EXCL } = netlinkConstants

export interface FilterFilter {
  /** Where they hang. Without it, those of all of the link's queueing disciplines; of those on a class only when it is named. */
  parent?: string
  chain?: number
  kind?: string
  preference?: number
}

/** What `ensure` found or did. */
export interface EnsuredFilter {
  filter: TrafficFilter
  /** Whether anything had to be done. */
  changed: boolean
}

/** A chain of filters: each packet begins in chain 0; an action leads to others. */
export interface FilterChain {
  parent: string
  chain: number
}

/** The filters of a link: `link.filters`. */
export class LinkFilters {
  readonly #link: Link

  /** @internal */
  constructor(link: Link) {
    this.#link = link
  }

  /** Those that match. The kernel filters by parent and chain. Empty where nothing is that could have filters. */
  async list(filter: FilterFilter = {}): Promise<TrafficFilter[]> {
    checkOptions(filter, 'filter', ['parent', 'chain', 'kind', 'preference'])
    const { chain, kind, preference } = filter
    const parent = filter.parent === undefined ? undefined : checkFilterParent(filter.parent, 'filter.parent')
    if (chain !== undefined) checkCount(chain, 'filter.chain')
    if (kind !== undefined) checkString(kind, 'filter.kind')
    if (preference !== undefined) checkCount(preference, 'filter.preference', 1, 0xffff)
    const parents = parent === undefined ? await this.#parents() : [parent]
    const lists = await Promise.all(parents.map((one) => this.#dump(one, chain)))
    return lists
      .flat()
      .filter(
        (one) =>
          (kind === undefined || one.kind === kind) && (preference === undefined || one.preference === preference),
      )
  }

  /** The same, one by one. */
  async *stream(filter: FilterFilter = {}): AsyncGenerator<TrafficFilter, void, undefined> {
    yield* await this.list(filter)
  }

  /** Where filters may hang: at each queueing discipline; a clsact has two places. */
  async #parents(): Promise<number[]> {
    const qdiscs = await this.#link.qdiscs.list()
    return qdiscs
      .filter(({ handle }) => handle !== '0:')
      .flatMap(({ kind, handle }) =>
        kind === 'clsact' ? ['ingress', 'egress'] : kind === 'ingress' ? ['ingress'] : [handle],
      )
      .map((parent) => checkFilterParent(parent, 'parent'))
  }

  #dump(parent: number, chain: number | undefined): Promise<TrafficFilter[]> {
    const { namespace, index, name } = this.#link
    const question = {
      definition: filterMessage,
      request: 'RTM_GETTFILTER',
      header: { index, parent },
      attributes: { chain },
      what: `cannot list the filters at ${formatFilterParent(parent)} of ${name} in ${labelOf(namespace)}`,
    } as const
    const listing = dump(namespace, question, (message) => {
      const one = readFilter(filterMessage.decode(message))
      return one !== undefined && (chain === undefined || one.chain === chain) ? one : undefined
    })
    return listing.catch((error: unknown) => {
      // A chain, or a parent, that is not there has no filters.
      if (hasCode(absentError(error, ''), 'ENOENT')) return []
      throw error
    })
  }

  /** The chains that there are at a place. */
  async chains(filter: { parent: string }): Promise<FilterChain[]> {
    checkOptions(filter, 'filter', ['parent'])
    const { parent } = filter
    const at = checkFilterParent(parent, 'filter.parent')
    const { namespace, index, name } = this.#link
    const question = {
      definition: filterMessage,
      request: 'RTM_GETCHAIN',
      header: { index, parent: at },
      attributes: {},
      what: `cannot list the chains at ${parent} of ${name} in ${labelOf(namespace)}`,
    } as const
    return dump(namespace, question, (message) => {
      const { header, attributes } = filterMessage.decode(message)
      // The kernel says 'ffff:' of both places of a clsact.
      return { parent: formatFilterParent(at === 0 ? header.parent : at), chain: attributes.chain ?? 0 }
    })
  }

  /** The first that matches, or undefined. A row is found again. */
  async find(match: FilterMatch): Promise<TrafficFilter | undefined> {
    const { handle, protocol } = checkFilterMatch(match, 'match')
    const { parent, chain = 0, kind, preference } = match
    const known = await this.list({ parent, chain, kind, preference })
    return known.find(
      (one) =>
        (handle === undefined || checkFilterHandle(one.handle, one.kind, 'handle') === handle) &&
        (protocol === undefined || checkProtocol(one.protocol, 'protocol') === protocol),
    )
  }

  /** The first that matches. Rejects with ENOENT when none does. */
  async get(match: FilterMatch): Promise<TrafficFilter> {
    const found = await this.find(match)
    if (found === undefined) {
      throw namedError('ENOENT', 'RTM_GETTFILTER', `no such filter at ${match.parent} of ${this.#link.name}`)
    }
    return found
  }

  /**
   * Adds a filter.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError ENOENT when the kernel has no such kind of filter or action (the
   * error says how it is called in the kernel's configuration), EEXIST when there is one of that handle, or of that preference
   * for kinds that have only one (matchall), EINVAL when there are filters of another kind at that preference, or no such parent
   */
  add<K extends keyof FilterKinds>(filter: NewFilterOfKind<K>): Promise<void>
  add(filter: NewRawFilter): Promise<void>
  async add(filter: NewFilter | NewRawFilter): Promise<void> {
    const found = withIndexes(this.#link.namespace, filter, 'filter')
    const checked = checkFilter(found instanceof Promise ? await found : found, 'filter')
    await this.#new(checked, checked.handle, NLM_F_CREATE | NLM_F_EXCL, 'add')
  }

  /**
   * Adds a filter in place of all of its preference; with a handle, in place of that one. flower and bpf are changed by the
   * kernel without a gap, others are removed and added again.
   */
  replace<K extends keyof FilterKinds>(filter: NewFilterOfKind<K>): Promise<void>
  replace(filter: NewRawFilter): Promise<void>
  async replace(filter: NewFilter | NewRawFilter): Promise<void> {
    const checked = checkFilter(await withIndexes(this.#link.namespace, filter, 'filter'), 'filter')
    await this.#replace(checked, await this.#rivals(checked))
  }

  /**
   * Makes sure that there is such a filter, and touches nothing when there is. What is not named may be anything, but for the
   * actions. `preference` must be given: it says which filter is meant.
   */
  ensure<K extends keyof FilterKinds>(filter: NewFilterOfKind<K> & { preference: number }): Promise<EnsuredFilter>
  ensure(filter: NewRawFilter & { preference: number }): Promise<EnsuredFilter>
  async ensure(filter: (NewFilter | NewRawFilter) & { preference: number }): Promise<EnsuredFilter> {
    const checked = checkFilter(await withIndexes(this.#link.namespace, filter, 'filter'), 'filter', true)
    return inTurn(this.#link.namespace, `filters ${this.#link.index}`, () => this.#ensure(checked))
  }

  async #ensure(checked: CheckedFilter): Promise<EnsuredFilter> {
    const rivals = await this.#rivals(checked)
    const known = rivals.find((one) => isAsAsked(one, checked))
    if (known !== undefined) return { filter: known, changed: false }
    await this.#replace(checked, rivals)
    const found = await this.#rivals(checked)
    const made = found.find((one) => isAsAsked(one, checked))
    if (made === undefined) {
      // As u32's `mark` of a kernel that was built without CONFIG_CLS_U32_MARK: it takes the rest, and says nothing.
      await allOrFirstError(found.map((one) => this.remove(one)))
      const what = `cannot make sure of the ${checked.kind} filter of ${this.#link.name}: the kernel left out a part of it`
      throw namedError('EOPNOTSUPP', 'RTM_NEWTFILTER', what)
    }
    return { filter: made, changed: true }
  }

  /** Those in whose place a filter would be. */
  async #rivals({ parent, chain, preference, handle }: CheckedFilter): Promise<TrafficFilter[]> {
    if (preference === 0) return []
    const known = (await this.#dump(parent, chain)).filter((one) => one.preference === preference)
    return known.filter((one) => handle === 0 || checkFilterHandle(one.handle, one.kind, 'handle') === handle)
  }

  async #replace(checked: CheckedFilter, rivals: readonly TrafficFilter[]): Promise<void> {
    const [rival, ...others] = rivals
    const changesInPlace = checked.kind === 'flower' || checked.kind === 'bpf'
    if (rival === undefined) {
      await this.#new(checked, checked.handle, NLM_F_CREATE | NLM_F_EXCL, 'replace')
    } else if (changesInPlace && rival.kind === checked.kind && others.length === 0) {
      const handle = checkFilterHandle(rival.handle, rival.kind, 'handle')
      await this.#new(checked, handle, NLM_F_CREATE, 'replace')
    } else {
      await allOrFirstError([
        ...rivals.map((one) => this.remove(one)),
        this.#new(checked, checked.handle, NLM_F_CREATE | NLM_F_EXCL, 'replace'),
      ])
    }
  }

  /**
   * Removes a filter, or with a preference alone all of it. Rejects with ENOENT when there is none.
   * @param match where it hangs, its preference, and if given its handle, kind, chain and protocol; a filter that was read
   */
  async remove(match: FilterMatch & { preference: number }): Promise<void> {
    const { parent, chain, handle = 0, protocol = 0, preference, kind } = checkFilterMatch(match, 'match')
    if (preference === undefined) throw typeError('match.preference', 'a number', preference)
    const { namespace, index, name } = this.#link
    const what = `cannot remove the filter ${preference} at ${match.parent} of ${name}`
    try {
      await change(namespace, {
        definition: filterMessage,
        request: 'RTM_DELTFILTER',
        header: { index, parent, handle, info: filterInfo(preference, protocol) },
        attributes: { kind, chain },
        what,
      })
    } catch (error) {
      throw absentError(error, what)
    }
  }

  /** Removes all filters of a place, or of one of its chains. Succeeds when there are none. */
  async flush(filter: { parent: string; chain?: number }): Promise<void> {
    checkOptions(filter, 'filter', ['parent', 'chain'])
    const { parent, chain } = filter
    const at = checkFilterParent(parent, 'filter.parent')
    if (chain !== undefined) checkCount(chain, 'filter.chain')
    const chains =
      chain === undefined ? [...new Set((await this.#dump(at, undefined)).map((one) => one.chain))] : [chain]
    const { namespace, index, name } = this.#link
    await allOrFirstError(
      chains.map((one) =>
        change(namespace, {
          definition: filterMessage,
          request: 'RTM_DELTFILTER',
          header: { index, parent: at },
          attributes: { chain: one },
          what: `cannot remove the filters at ${parent} of ${name}`,
        }).catch((error: unknown) => {
          if (!hasCode(absentError(error, ''), 'ENOENT')) throw error
        }),
      ),
    )
  }

  async #new(checked: CheckedFilter, handle: number, flags: number, verb: string): Promise<void> {
    const { kind, parent, chain, preference, protocol, wire, actions } = checked
    const { namespace, index, name } = this.#link
    const what = `cannot ${verb} the ${kind} filter at ${formatFilterParent(parent)} of ${name}`
    try {
      await change(namespace, {
        definition: filterMessage,
        request: 'RTM_NEWTFILTER',
        flags,
        header: { index, parent, handle, info: filterInfo(preference, protocol) },
        attributes: { kind, chain: chain === 0 ? undefined : chain, options: wire },
        what,
      })
    } catch (error) {
      throw kindError(error, what, { filter: kind, actions })
    }
  }
}

declare module '../link.js' {
  interface Link<K extends string = string> {
    /** The filters of the link's queueing disciplines. */
    readonly filters: LinkFilters
  }
}

defineLinkFacet('filters', (link) => new LinkFilters(link))
