/** The collection `link.classes`: the classes of a link's queueing disciplines (tc(8)). */
import { namedError } from '../../errors.js'
import { labelOf } from '../../namespace/internal.js'
import { netlinkConstants } from '../../netlink/message.js'
import { checkOptions, checkString, typeError, valueError } from '../../validate.js'
import type { Link } from '../link.js'
import { defineLinkFacet } from '../link-facet.js'
import { change, dump, dumpEach } from '../talk.js'
import { inTurn } from '../turns.js'
import {
  type ClassKinds,
  type NewClass,
  type NewClassOfKind,
  type NewRawClass,
  readClass,
  type TrafficClass,
} from './class.js'
import { absentError, kindError } from './failure.js'
import {
  checkClassHandle,
  checkParent,
  checkQdiscHandle,
  formatHandle,
  formatParent,
  handleConstants,
  majorOf,
} from './handles.js'
import { classKinds, hasOptions, optionsOfKind, readBack } from './kinds.js'
import { classMessage } from './message.js'
import './qdiscs/index.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants
const { TC_H_ROOT, TC_H_INGRESS } = handleConstants

export interface ClassFilter {
  /** The queueing discipline: '1:'. The kernel filters by it. */
  qdisc?: string
  kind?: string
  /** 'root', or a class: '1:1'. */
  parent?: string
}

/** What `ensure` found or did. */
export interface EnsuredClass {
  class: TrafficClass
  /** Whether anything had to be done. */
  changed: boolean
}

const placeKeys = ['kind', 'parent', 'handle']

interface Checked {
  kind: string
  handle: number
  parent: number
  own: Record<string, unknown>
  wire: unknown
  of: ReturnType<typeof optionsOfKind>['kind']
}

/** The classes of a link: `link.classes`. */
export class LinkClasses {
  readonly #link: Link

  /** @internal */
  constructor(link: Link) {
    this.#link = link
  }

  /** Those that match the filter. The kernel gives those of this link and, if it is named, of the queueing discipline. */
  async list(filter: ClassFilter = {}): Promise<TrafficClass[]> {
    const { question, read } = this.#listing(filter)
    return dump(this.#link.namespace, question, read)
  }

  /** The same, one by one. */
  async *stream(filter: ClassFilter = {}): AsyncGenerator<TrafficClass, void, undefined> {
    const { question, read } = this.#listing(filter)
    yield* dumpEach(this.#link.namespace, question, read)
  }

  #listing(filter: ClassFilter) {
    checkOptions(filter, 'filter', ['qdisc', 'kind', 'parent'])
    if (filter.kind !== undefined) checkString(filter.kind, 'filter.kind')
    const qdisc = filter.qdisc === undefined ? 0 : checkQdiscHandle(filter.qdisc, 'filter.qdisc')
    const parent = filter.parent === undefined ? undefined : formatParent(checkParent(filter.parent, 'filter.parent'))
    const { namespace, index, name } = this.#link
    return {
      question: {
        definition: classMessage,
        request: 'RTM_GETTCLASS' as const,
        header: { index, parent: qdisc },
        attributes: {},
        what: `cannot list the classes of ${name} in ${labelOf(namespace)}`,
      },
      read: (message: Parameters<typeof classMessage.decode>[0]) => {
        const decoded = classMessage.decode(message)
        const { header } = decoded
        if (header.index !== index || (qdisc !== 0 && majorOf(header.handle) !== majorOf(qdisc))) return undefined
        const one = readClass(decoded)
        if (parent !== undefined && one.parent !== parent) return undefined
        return filter.kind === undefined || one.kind === filter.kind ? one : undefined
      },
    }
  }

  /** The class called `handle`: '1:10', or that of a row; undefined when there is none. */
  async find(which: string | TrafficClass): Promise<TrafficClass | undefined> {
    const handle = handleOf(which)
    const number = checkClassHandle(handle, 'handle')
    const wanted = formatHandle(number)
    const known = await this.list({ qdisc: `${majorOf(number).toString(16)}:` })
    return known.find((one) => one.handle === wanted)
  }

  /** The same. Rejects with ENOENT when there is none. */
  async get(which: string | TrafficClass): Promise<TrafficClass> {
    const handle = handleOf(which)
    const found = await this.find(handle)
    if (found === undefined) throw namedError('ENOENT', 'RTM_GETTCLASS', `no class ${handle} of ${this.#link.name}`)
    return found
  }

  /**
   * Adds a class.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError EEXIST when there is one of that handle, ENOENT when there is no
   * such parent
   */
  add<K extends keyof ClassKinds>(one: NewClassOfKind<K>): Promise<void>
  add(one: NewRawClass): Promise<void>
  async add(one: NewClass | NewRawClass): Promise<void> {
    await this.#new(this.#check(one), NLM_F_CREATE | NLM_F_EXCL, 'add')
  }

  /** Adds a class, or changes the one of that handle: what hangs in it stays. */
  replace<K extends keyof ClassKinds>(one: NewClassOfKind<K>): Promise<void>
  replace(one: NewRawClass): Promise<void>
  async replace(one: NewClass | NewRawClass): Promise<void> {
    await this.#new(this.#check(one), NLM_F_CREATE | NLM_F_REPLACE, 'replace')
  }

  /** Makes sure that there is such a class, and touches nothing when there is. What is not named may be anything. */
  ensure<K extends keyof ClassKinds>(one: NewClassOfKind<K>): Promise<EnsuredClass>
  ensure(one: NewRawClass): Promise<EnsuredClass>
  async ensure(one: NewClass | NewRawClass): Promise<EnsuredClass> {
    const checked = this.#check(one)
    return inTurn(this.#link.namespace, `classes ${this.#link.index}`, () => this.#ensure(checked, one.handle))
  }

  async #ensure(checked: Checked, name: string): Promise<EnsuredClass> {
    const { own, of, wire, handle } = checked
    const asked = readBack(of, wire, handle)
    const known = await this.find(name)
    const parents = [formatParent(checked.parent), ...(checked.parent % 0x1_0000 === 0 ? ['root'] : [])]
    if (known !== undefined && known.kind === checked.kind && parents.includes(known.parent)) {
      if (hasOptions(of, known.options, asked, own)) return { class: known, changed: false }
    }
    await this.#new(checked, NLM_F_CREATE | NLM_F_REPLACE, 'replace')
    return { class: await this.get(name), changed: true }
  }

  /** Removes a class, by its handle or as a row of `list`. Rejects with ENOENT when there is none, EBUSY when it has parts or filters lead to it. */
  async remove(which: string | TrafficClass): Promise<void> {
    const handle = handleOf(which)
    const what = `cannot remove the class ${handle} of ${this.#link.name}`
    try {
      await change(this.#link.namespace, {
        definition: classMessage,
        request: 'RTM_DELTCLASS',
        header: { index: this.#link.index, handle: checkClassHandle(handle, 'handle') },
        attributes: {},
        what,
      })
    } catch (error) {
      throw absentError(error, what)
    }
  }

  #check(one: NewClass | NewRawClass): Checked {
    const name = 'class'
    if (typeof one !== 'object' || one === null) throw typeError(name, 'an object', one)
    const given = one as unknown as Readonly<Record<string, unknown>>
    checkString(given.kind, `${name}.kind`)
    const { kind: of, own, wire } = optionsOfKind(classKinds, given, placeKeys, name)
    const parent = checkParent(given.parent, `${name}.parent`)
    const handle = checkClassHandle(given.handle, `${name}.handle`)
    if (parent === TC_H_ROOT || parent === TC_H_INGRESS || majorOf(parent) !== majorOf(handle)) {
      throw valueError(`${name}.parent`, given.parent, `is not of the same queueing discipline as '${given.handle}'`)
    }
    return { kind: given.kind, of, own, wire, parent, handle }
  }

  async #new({ kind, parent, handle, wire }: Checked, flags: number, verb: string): Promise<void> {
    const { namespace, index, name } = this.#link
    const what = `cannot ${verb} the ${kind} class ${formatHandle(handle)} of ${name}`
    try {
      await change(namespace, {
        definition: classMessage,
        request: 'RTM_NEWTCLASS',
        flags,
        header: { index, parent, handle },
        attributes: { kind, options: wire },
        what,
      })
    } catch (error) {
      throw kindError(error, what, { qdisc: kind })
    }
  }
}

const handleOf = (which: string | TrafficClass) => (typeof which === 'object' && which !== null ? which.handle : which)

declare module '../link.js' {
  interface Link<K extends string = string> {
    /** The classes of the link's queueing disciplines. */
    readonly classes: LinkClasses
  }
}

defineLinkFacet('classes', (link) => new LinkClasses(link))
