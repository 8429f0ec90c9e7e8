/** Dry runs: what would be sent to the kernel, in words, without sending it. */
import { fstatSync } from 'node:fs'
import { namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import { type Namespace, viewOf } from '../namespace/namespace.js'
import { wordsOf } from '../netlink/acknowledgement.js'
import { sourceOf } from '../netlink/bytes.js'
import { HEADER_SIZE, type Message, netlinkConstants } from '../netlink/message.js'
import { describeRequest, type MessageWords, messageText } from '../netlink/words.js'
import { checkFunction, typeError } from '../validate.js'
import { rtnetlinkConstants } from './constants.js'
import { chosenIndex } from './create-link.js'
import { type AnyAsk, type Interceptor, intercept } from './interceptor.js'
import { type LinkAttributes, linkMessage } from './link-attributes.js'
import { filterMessage } from './traffic/message.js'

const { NLM_F_EXCL } = netlinkConstants

/** A request that was not sent. */
export interface DryRequest extends MessageWords {
  /** What it would do, as an error would say it: 'cannot create the bridge br0'. */
  what: string
  /** The namespace that it would be sent in: 'namespace red'. */
  namespace: string
  /** The message in one line. */
  text: string
  /** The message itself. */
  bytes: Uint8Array
}

export interface DryRun<T> {
  /** In the order in which they would be sent. */
  requests: DryRequest[]
  /** What the function returned. */
  result: T
}

interface DryLink {
  header: Record<string, number>
  attributes: LinkAttributes
  /** What would have been added to it. */
  rows: AnyAsk[]
}

/** One dry run, of one or more namespaces. */
class Recorder {
  readonly requests: DryRequest[] = []
  /** The links that would be there, by the view of the namespace. */
  readonly #links = new Map<Namespace, DryLink[]>()
  readonly #views: readonly Namespace[]
  #ended = false

  constructor(views: readonly Namespace[]) {
    this.#views = views
    for (const view of views) {
      this.#links.set(view, [])
      intercept(view, this.#interceptorOf(view))
    }
  }

  /** From here on nothing is recorded, and nothing is sent either: what was described is not there. */
  end(): void {
    this.#ended = true
  }

  #interceptorOf(view: Namespace): Interceptor {
    return {
      change: async (ask) => this.#record(view, ask),
      order: async () => {},
      answer: (question) => this.#answer(view, question),
      answers: (question) => this.#answers(view, question),
    }
  }

  #record(view: Namespace, ask: AnyAsk): void {
    const { definition, request, flags = 0, header, attributes } = ask
    if (this.#ended) throw namedError('EINVAL', request, `${wordsOf(ask)}: the dry run is over`)
    const bytes: Uint8Array = definition.encode(rtnetlinkConstants[request], flags, header, attributes)
    const words = describeRequest(definition, bytes, request)
    const what = wordsOf(ask)
    this.#checkPlaces(ask, what)
    this.requests.push({ ...words, what, namespace: labelOf(view), text: messageText(words), bytes })
    if (definition === (linkMessage as unknown)) this.#link(view, ask)
    else this.#rows(view, ask)
  }

  /** What would be in another namespace could not be read there. */
  #checkPlaces({ request, attributes }: AnyAsk, what: string): void {
    const peer = attributes.info?.data?.peer as DryLink | undefined
    for (const fd of [attributes.namespaceFd, peer?.attributes.namespaceFd]) {
      if (fd === undefined || this.#viewOf(fd) !== undefined) continue
      const why = `namespace ${fstatSync(fd).ino} is not part of this dry run; use dryRun([a, b], …)`
      throw namedError('EINVAL', request, `${what}: ${why}`)
    }
  }

  #viewOf(fd: number | undefined): Namespace | undefined {
    if (fd === undefined) return undefined
    return this.#views.find((view) => view.fd === fd || view.inode === fstatSync(fd).ino)
  }

  /** Remembers what would belong to a link that would be there: addresses, queueing disciplines … */
  #rows(view: Namespace, { definition, request, flags = 0, header, attributes }: AnyAsk): void {
    const link = this.#find(view, header.index, undefined)
    if (link === undefined) return
    const isSame = (row: AnyAsk) =>
      row.definition === definition &&
      ['handle', 'parent', 'info'].every((key) => !header[key] || row.header[key] === header[key]) &&
      row.attributes.local === attributes.local
    if (request.includes('_DEL') || (flags & NLM_F_EXCL) === 0) link.rows = link.rows.filter((row) => !isSame(row))
    if (request.includes('_NEW')) link.rows.push({ definition, request, header, attributes, what: '' })
  }

  #answers(view: Namespace, { definition, header }: AnyAsk): Message[] | undefined {
    const link = this.#find(view, header.index, undefined)
    if (link === undefined || definition === (linkMessage as unknown)) return undefined
    const isFilter = definition === (filterMessage as unknown)
    return link.rows
      .filter((row) => row.definition === definition && (!isFilter || row.header.parent === header.parent))
      .map((row) => messageOf(definition, row.request, row.header, defined(row.attributes)))
  }

  /** Remembers a link that would be there, so that it can be asked for. */
  #link(view: Namespace, { request, flags = 0, header, attributes }: AnyAsk): void {
    const links = this.#links.get(view) as DryLink[]
    const known = this.#find(view, header.index, attributes.name)
    if (request === 'RTM_DELLINK') {
      if (known !== undefined) links.splice(links.indexOf(known), 1)
      return
    }
    if (known !== undefined) {
      known.header.flags = ((known.header.flags ?? 0) & ~header.change) | (header.flags & header.change)
      Object.assign(known.attributes, defined(attributes), { namespaceFd: undefined })
      return
    }
    if (flags === 0) return
    const peer = attributes.info?.data?.peer as DryLink | undefined
    const place = this.#viewOf(attributes.namespaceFd) ?? view
    this.#links.get(place)?.push(dryLink(header, attributes))
    if (peer === undefined) return
    const there = this.#viewOf(peer.attributes.namespaceFd) ?? view
    this.#links.get(there)?.push(dryLink(peer.header, { ...peer.attributes, info: { kind: attributes.info?.kind } }))
  }

  #find(view: Namespace, index: number | undefined, name: string | undefined): DryLink | undefined {
    return this.#links
      .get(view)
      ?.find((link) => (index ? link.header.index === index : name !== undefined && link.attributes.name === name))
  }

  #answer(view: Namespace, question: AnyAsk): Message | undefined {
    if (question.request !== 'RTM_GETLINK') return undefined
    const link = this.#find(view, question.header.index, question.attributes.name)
    if (link === undefined) return undefined
    return messageOf(linkMessage, 'RTM_NEWLINK', link.header, link.attributes)
  }
}

function messageOf(
  definition: AnyAsk['definition'],
  request: AnyAsk['request'],
  header: object,
  attributes: object,
): Message {
  const type = rtnetlinkConstants[request]
  const bytes: Uint8Array = definition.encode(type, 0, header as never, attributes as never)
  return { source: sourceOf(bytes), type, flags: 0, sequence: 0, start: HEADER_SIZE, end: bytes.length }
}

function dryLink(header: Record<string, number>, attributes: LinkAttributes): DryLink {
  const name = attributes.name?.replace('%d', '0') ?? `${attributes.info?.kind ?? 'link'}0`
  const { namespaceFd: _, ...rest } = defined(attributes)
  return {
    header: { flags: header.flags ?? 0, index: header.index || chosenIndex() },
    attributes: { mtu: 1500, ...rest, name },
    rows: [],
  }
}

function defined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T
}

/**
 * Calls a function with namespaces that send no changes, and resolves to the requests that would have been sent, in words.
 * Questions are asked of the kernel, which knows nothing of what was not done; a link that would have been created can be read
 * and changed, as far as it was described. What the function throws is thrown.
 */
export async function dryRun<T>(
  namespaces: readonly Namespace[],
  fn: (...namespaces: Namespace[]) => T | Promise<T>,
): Promise<DryRun<T>> {
  if (!Array.isArray(namespaces)) throw typeError('namespaces', 'an array of Namespaces', namespaces)
  checkFunction(fn, 'fn')
  const views = namespaces.map((namespace) => viewOf(namespace))
  const recorder = new Recorder(views)
  try {
    const result = await fn(...views)
    return { requests: recorder.requests, result }
  } finally {
    recorder.end()
  }
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** Calls a function with a namespace that sends no changes: `dryRun([namespace], fn)`. */
    readonly dryRun: <T>(fn: (namespace: Namespace) => T | Promise<T>) => Promise<DryRun<T>>
  }
}

defineFacet('dryRun', (namespace) => (fn) => dryRun([namespace], fn))
