/** The collections `link.qdiscs` and `namespace.qdiscs`: queueing disciplines (tc(8)). */
import { hasCode, namedError } from '../../errors.js'
import { defineFacet } from '../../namespace/facet.js'
import { labelOf } from '../../namespace/internal.js'
import type { Namespace } from '../../namespace/namespace.js'
import { type Message, netlinkConstants } from '../../netlink/message.js'
import { checkBoolean, checkOptions, checkString, typeError, valueError } from '../../validate.js'
import type { Link } from '../link.js'
import { defineLinkFacet } from '../link-facet.js'
import { indexIfGiven } from '../link-lookup.js'
import type { LinkReference } from '../link-options.js'
import { allOrFirstError, change, dump, dumpEach } from '../talk.js'
import { inTurn } from '../turns.js'
import { absentError, kindError } from './failure.js'
import { checkParent, checkQdiscHandle, formatHandle, formatParent, handleConstants, makeHandle } from './handles.js'
import { hasOptions, optionsOfKind, qdiscKinds, readBack } from './kinds.js'
import { qdiscMessage } from './message.js'
import {
  type NewQdisc,
  type NewQdiscOfKind,
  type NewRawQdisc,
  type Qdisc,
  type QdiscKinds,
  readQdisc,
} from './qdisc.js'
import './qdiscs/index.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants
const { TC_H_ROOT, TC_H_INGRESS, TC_H_CLSACT } = handleConstants

export interface QdiscFilter {
  kind?: string
  /** 'root', 'ingress', or a class: '1:10'. */
  parent?: string
  handle?: string
  /** Those too that the kernel made unasked, as the queues of 'mq' (TCA_DUMP_INVISIBLE). Default: false. */
  invisible?: boolean
}

/** Which one is meant: the one at `parent`, or the one called `handle`. */
export interface QdiscMatch {
  /** Default: 'root', when there is no handle either. */
  parent?: string
  handle?: string
}

/** What `ensure` found or did. */
export interface EnsuredQdisc {
  qdisc: Qdisc
  /** Whether anything had to be done. */
  changed: boolean
}

const filterKeys = ['kind', 'parent', 'handle', 'invisible']
const placeKeys = ['kind', 'parent', 'handle']

/** Checks a filter, and makes a test of what is read. The kernel has no filter for these. */
function checkFilter(filter: QdiscFilter): (qdisc: Qdisc) => boolean {
  if (filter.kind !== undefined) checkString(filter.kind, 'filter.kind')
  const parent = filter.parent === undefined ? undefined : formatParent(checkParent(filter.parent, 'filter.parent'))
  const handle =
    filter.handle === undefined ? undefined : formatHandle(checkQdiscHandle(filter.handle, 'filter.handle'))
  if (filter.invisible !== undefined) checkBoolean(filter.invisible, 'filter.invisible')
  return (qdisc) =>
    (filter.kind === undefined || qdisc.kind === filter.kind) &&
    (parent === undefined || qdisc.parent === parent) &&
    (handle === undefined || qdisc.handle === handle)
}

function question(namespace: Namespace, index: number | undefined, invisible: boolean | undefined, what: string) {
  return {
    definition: qdiscMessage,
    request: 'RTM_GETQDISC',
    header: { index: index ?? 0 },
    attributes: { dumpInvisible: invisible === true ? true : undefined },
    what: `cannot list the qdiscs of ${what} in ${labelOf(namespace)}`,
  } as const
}

/** The queueing disciplines of all links of a namespace: `red.qdiscs`. */
export class Qdiscs {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter. The kernel always gives all of them; netkit filters. */
  async list(filter: QdiscFilter & { link?: LinkReference } = {}): Promise<Qdisc[]> {
    const found: Qdisc[] = []
    for await (const qdisc of this.stream(filter)) found.push(qdisc)
    return found
  }

  /** The same, one by one. */
  async *stream(filter: QdiscFilter & { link?: LinkReference } = {}): AsyncGenerator<Qdisc, void, undefined> {
    checkOptions(filter, 'filter', [...filterKeys, 'link'])
    const matches = checkFilter(filter)
    const found = indexIfGiven(this.#namespace, filter.link, 'filter.link')
    const index = typeof found === 'object' ? await found : found
    yield* dumpEach(this.#namespace, question(this.#namespace, index, filter.invisible, 'all links'), (message) => {
      const qdisc = readQdisc(qdiscMessage.decode(message))
      return (index === undefined || qdisc.index === index) && matches(qdisc) ? qdisc : undefined
    })
  }
}

interface Checked {
  kind: string
  handle: number
  parent: number
  own: Record<string, unknown>
  wire: unknown
  of: ReturnType<typeof optionsOfKind>['kind']
}

/** The queueing disciplines of a link: `link.qdiscs`. */
export class LinkQdiscs {
  readonly #link: Link

  /** @internal */
  constructor(link: Link) {
    this.#link = link
  }

  /** Those that match the filter. The kernel gives those of all links; netkit filters. */
  async list(filter: QdiscFilter = {}): Promise<Qdisc[]> {
    const { ask, read } = this.#listing(filter)
    return dump(this.#link.namespace, ask, read)
  }

  /** The same, one by one. */
  async *stream(filter: QdiscFilter = {}): AsyncGenerator<Qdisc, void, undefined> {
    const { ask, read } = this.#listing(filter)
    yield* dumpEach(this.#link.namespace, ask, read)
  }

  #listing(filter: QdiscFilter) {
    checkOptions(filter, 'filter', filterKeys)
    const matches = checkFilter(filter)
    const { namespace, index, name } = this.#link
    const read = (message: Message) => {
      const decoded = qdiscMessage.decode(message)
      if (decoded.header.index !== index) return undefined
      const qdisc = readQdisc(decoded)
      return matches(qdisc) ? qdisc : undefined
    }
    return { ask: question(namespace, index, filter.invisible, name), read }
  }

  /** The one at `parent` (default: 'root'), or the one called `handle`; undefined when there is none. */
  async find(match: QdiscMatch | Qdisc = {}): Promise<Qdisc | undefined> {
    const { parent, handle } = checkMatch(match, 'match')
    const known = await this.list(parent === undefined ? { invisible: true } : { parent, invisible: true })
    return known.find((qdisc) => handle === undefined || qdisc.handle === handle)
  }

  /** The same. Rejects with ENOENT when there is none. */
  async get(match: QdiscMatch | Qdisc = {}): Promise<Qdisc> {
    const found = await this.find(match)
    if (found === undefined) {
      const which = match.handle ?? `at ${match.parent ?? 'root'}`
      throw namedError('ENOENT', 'RTM_GETQDISC', `no qdisc ${which} of ${this.#link.name}`)
    }
    return found
  }

  /**
   * Adds a queueing discipline. At the root it takes the place of the one that the kernel put there.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError EEXIST when there is one at that place, ENOENT when the kernel has
   * no such kind (the error says how it is called in the kernel's configuration) or no such parent
   */
  add<K extends keyof QdiscKinds>(qdisc: NewQdiscOfKind<K>): Promise<void>
  add(qdisc: NewRawQdisc): Promise<void>
  async add(qdisc: NewQdisc | NewRawQdisc): Promise<void> {
    await this.#new(this.#check(qdisc), NLM_F_CREATE | NLM_F_EXCL, 'add')
  }

  /**
   * Adds a queueing discipline, in place of what is there. One of the same kind and handle is changed by the kernel, which then
   * keeps what is in the queue, and for some kinds those options that are not named. An htb is made anew, without its classes.
   */
  replace<K extends keyof QdiscKinds>(qdisc: NewQdiscOfKind<K>): Promise<void>
  replace(qdisc: NewRawQdisc): Promise<void>
  async replace(qdisc: NewQdisc | NewRawQdisc): Promise<void> {
    await this.#replace(this.#check(qdisc))
  }

  async #replace(checked: Checked): Promise<void> {
    try {
      await this.#new(checked, NLM_F_CREATE | NLM_F_REPLACE, 'replace')
    } catch (error) {
      // As htb, which can only be made anew.
      if (!hasCode(error, 'EINVAL', 'ENOSYS') || !/Change operation not supported/.test(error.kernelMessage ?? ''))
        throw error
      await allOrFirstError([
        this.remove({ parent: formatParent(checked.parent) }),
        this.#new(checked, NLM_F_CREATE | NLM_F_EXCL, 'replace'),
      ])
    }
  }

  /** Makes sure that there is such a queueing discipline, and touches nothing when there is. What is not named may be anything. */
  ensure<K extends keyof QdiscKinds>(qdisc: NewQdiscOfKind<K>): Promise<EnsuredQdisc>
  ensure(qdisc: NewRawQdisc): Promise<EnsuredQdisc>
  async ensure(qdisc: NewQdisc | NewRawQdisc): Promise<EnsuredQdisc> {
    const checked = this.#check(qdisc)
    return inTurn(this.#link.namespace, `qdiscs ${this.#link.index}`, () => this.#ensure(checked))
  }

  async #ensure(checked: Checked): Promise<EnsuredQdisc> {
    const { own, of, wire, handle } = checked
    const place = { parent: formatParent(checked.parent) }
    const known = await this.find(place)
    if (
      known !== undefined &&
      known.handle !== '0:' &&
      known.kind === checked.kind &&
      (handle === 0 || known.handle === formatHandle(handle))
    ) {
      const asked = readBack(of, wire, checkQdiscHandle(known.handle, 'handle'))
      if (hasOptions(of, known.options, asked, own)) return { qdisc: known, changed: false }
    }
    await this.#replace(checked)
    return { qdisc: await this.get(place), changed: true }
  }

  /** Removes the one at `parent` (default: 'root'), or the one called `handle`; a row of `list` will do. Rejects with ENOENT when there is none. */
  async remove(match: QdiscMatch | Qdisc = {}): Promise<void> {
    const { parent, handle } = checkMatch(match, 'match')
    const { namespace, index, name } = this.#link
    const what = `cannot remove the qdisc ${match.handle ?? `at ${match.parent ?? 'root'}`} of ${name}`
    // The kernel wants to be told where it hangs.
    const place = parent ?? (await this.find(match))?.parent
    if (place === undefined) throw namedError('ENOENT', 'RTM_DELQDISC', what)
    try {
      await change(namespace, {
        definition: qdiscMessage,
        request: 'RTM_DELQDISC',
        header: {
          index,
          parent: checkParent(place, 'match.parent'),
          handle: handle === undefined ? 0 : checkQdiscHandle(handle, 'match.handle'),
        },
        attributes: {},
        what,
      })
    } catch (error) {
      throw absentError(error, what)
    }
  }

  #check(qdisc: NewQdisc | NewRawQdisc): Checked {
    const name = 'qdisc'
    if (typeof qdisc !== 'object' || qdisc === null) throw typeError(name, 'an object', qdisc)
    const given = qdisc as unknown as Readonly<Record<string, unknown>>
    checkString(given.kind, `${name}.kind`)
    const { kind: of, own, wire } = optionsOfKind(qdiscKinds, given, placeKeys, name)
    const { kind } = given
    const hasOwnPlace = kind === 'ingress' || kind === 'clsact'
    const parent = given.parent === undefined ? undefined : checkParent(given.parent, `${name}.parent`)
    const handle = given.handle === undefined ? undefined : checkQdiscHandle(given.handle, `${name}.handle`)
    if (hasOwnPlace && parent !== undefined && parent !== TC_H_CLSACT) {
      throw valueError(`${name}.parent`, given.parent, `is not where ${kind} hangs`)
    }
    if (hasOwnPlace) return { kind, of, own, wire, parent: TC_H_INGRESS, handle: makeHandle(0xffff, 0) }
    if (parent === TC_H_INGRESS)
      throw valueError(`${name}.parent`, given.parent, `is a place of 'ingress' and 'clsact' only`)
    return { kind, of, own, wire, parent: parent ?? TC_H_ROOT, handle: handle ?? 0 }
  }

  async #new({ kind, parent, handle, wire }: Checked, flags: number, verb: string): Promise<void> {
    const { namespace, index, name } = this.#link
    const what = `cannot ${verb} the qdisc ${kind} at ${formatParent(parent)} of ${name}`
    try {
      await change(namespace, {
        definition: qdiscMessage,
        request: 'RTM_NEWQDISC',
        flags,
        header: { index, parent, handle },
        attributes: { kind, options: wire },
        what,
      })
    } catch (error) {
      throw hasCode(error, 'ENOENT', 'EOPNOTSUPP') ? kindError(error, what, { qdisc: kind }) : error
    }
  }
}

/** A match, with its default, in the form that is read. */
function checkMatch(given: QdiscMatch | Qdisc, name: string): { parent?: string; handle?: string } {
  // A row; what the kernel puts in place of none has no handle.
  const isRow = typeof given === 'object' && given !== null && 'statistics' in given
  const match: QdiscMatch = isRow
    ? { parent: given.parent, handle: given.handle === '0:' ? undefined : given.handle }
    : given
  checkOptions(match, name, ['parent', 'handle'])
  const handle = match.handle === undefined ? undefined : formatHandle(checkQdiscHandle(match.handle, `${name}.handle`))
  if (match.parent === undefined && handle !== undefined) return { handle }
  const parent = formatParent(checkParent(match.parent ?? 'root', `${name}.parent`))
  return handle === undefined ? { parent } : { parent, handle }
}

declare module '../../namespace/namespace.js' {
  interface Namespace {
    /** The queueing disciplines of the namespace's links. */
    readonly qdiscs: Qdiscs
  }
}

declare module '../link.js' {
  interface Link<K extends string = string> {
    /** The link's queueing disciplines. */
    readonly qdiscs: LinkQdiscs
  }
}

defineFacet('qdiscs', (namespace) => new Qdiscs(namespace))
defineLinkFacet('qdiscs', (link) => new LinkQdiscs(link))
