/**
 * Ids of namespaces: the small numbers by which a namespace's own messages name others, as `ip netns set` gives them
 * (ip-netns(8); linux/net_namespace.h). The collection `namespace.namespaceIds`.
 */
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { isNamespace, labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { type NamespaceTarget, openNamespace } from '../namespace/open.js'
import { attributeS32, attributeU32 } from '../netlink/attribute.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { Struct, u8 } from '../netlink/struct.js'
import { type AttributesOf, attributes } from '../netlink/table.js'
import { checkInteger, checkOptions, typeError } from '../validate.js'
import { type Ask, ask, change, dump, dumpEach } from './talk.js'

/** The header of messages that need none. */
export const rtgenmsg = new Struct('rtgenmsg', {
  family: ['rtgen_family', u8],
})

export const namespaceIdAttributes = attributes({
  id: [1, 'NETNSA_NSID', attributeS32],
  pid: [2, 'NETNSA_PID', attributeU32],
  fd: [3, 'NETNSA_FD', attributeU32],
  targetId: [4, 'NETNSA_TARGET_NSID', attributeS32],
  currentId: [5, 'NETNSA_CURRENT_NSID', attributeS32],
})

/** RTM_NEWNSID, RTM_DELNSID (in events only), RTM_GETNSID. */
export const namespaceIdMessage = new MessageDefinition(rtgenmsg, namespaceIdAttributes)

/** In place of an id: there is none, or the kernel is to choose (NETNSA_NSID_NOT_ASSIGNED). */
export const NO_NAMESPACE_ID = -1

/** A namespace that has an id. */
export interface NamespaceId {
  /** What the namespace that was asked, or its `target`, calls it. */
  id: number
  /** With `target`: what the namespace that was asked calls it, if it has an id there. */
  currentId?: number
}

/** A kernel's message as a NamespaceId; undefined when there is no id. */
export function readNamespaceId({
  attributes: { id, currentId },
}: Decoded<typeof rtgenmsg, typeof namespaceIdAttributes>): NamespaceId | undefined {
  if (id === undefined || id < 0) return undefined
  return currentId === undefined || currentId < 0 ? { id } : { id, currentId }
}

/** Which namespace is meant: a handle, or what `openNamespace` takes but for a name. */
export type NamespaceReference = Namespace | NamespaceTarget

/** What `ensure` found or did. */
export interface EnsuredNamespaceId {
  id: number
  /** Whether it had to be given. */
  changed: boolean
}

/** What `list` and `stream` take. */
export interface NamespaceIdFilter {
  /** The ids that this other namespace has given, which needs an id itself. */
  target?: NamespaceReference
}

/**
 * The ids by which a namespace knows others: `red.namespaceIds`. The kernel gives one by itself when a link of the other
 * namespace is named (a veth's far end); it lasts as long as both. An id cannot be taken back.
 */
export class NamespaceIds {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** All that have an id here, or, with `target`, there. Rejects with ENOENT when `target` has no id here. */
  async list(filter: NamespaceIdFilter = {}): Promise<NamespaceId[]> {
    return dump(this.#namespace, await this.#listing(filter), read)
  }

  /** The same, one by one. */
  async *stream(filter: NamespaceIdFilter = {}): AsyncGenerator<NamespaceId, void, undefined> {
    yield* dumpEach(this.#namespace, await this.#listing(filter), read)
  }

  /**
   * The id of a namespace, or undefined when it has none.
   * @throws TypeError ERR_INVALID_ARG_TYPE; ESRCH for a pid that is no process, EBADF for a closed handle, EINVAL for a
   * descriptor of something else
   */
  async find(other: NamespaceReference): Promise<number | undefined> {
    return withReference(other, 'other', async (which, label) => {
      const question: NamespaceIdAsk = {
        definition: namespaceIdMessage,
        request: 'RTM_GETNSID',
        header: {},
        attributes: which,
        what: `cannot find the id of ${label} in ${labelOf(this.#namespace)}`,
      }
      return ask(this.#namespace, question, (message) => read(message)?.id)
    })
  }

  /** The id of a namespace. Rejects with ENOENT when it has none; otherwise as `find`. */
  async get(other: NamespaceReference): Promise<number> {
    const id = await this.find(other)
    if (id !== undefined) return id
    const label = isNamespace(other) ? labelOf(other) : 'that namespace'
    throw namedError('ENOENT', 'RTM_GETNSID', `${label} has no id in ${labelOf(this.#namespace)}`)
  }

  /**
   * Gives a namespace an id: this one (0 or more), or the first free one. Resolves to it.
   * @throws as `find`; EEXIST when the namespace has one already or the id is another's, EPERM without CAP_NET_ADMIN
   */
  async assign(other: NamespaceReference, options: { id?: number } = {}): Promise<number> {
    checkId(options)
    return withReference(other, 'other', async (which, label) => {
      const { id = NO_NAMESPACE_ID } = options
      const place = `${label} ${id < 0 ? 'an id' : `the id ${id}`} in ${labelOf(this.#namespace)}`
      await change(this.#namespace, {
        definition: namespaceIdMessage,
        request: 'RTM_NEWNSID',
        header: {},
        attributes: { id, ...which },
        what: `cannot give ${place}`,
      })
      return id < 0 ? this.get(other) : id
    })
  }

  /** Makes sure that a namespace has an id, whatever it is when none is asked for. Rejects with EEXIST when it has another. */
  async ensure(other: NamespaceReference, options: { id?: number } = {}): Promise<EnsuredNamespaceId> {
    checkId(options)
    const known = await this.find(other)
    if (known !== undefined && (options.id === undefined || options.id === known)) return { id: known, changed: false }
    try {
      return { id: await this.assign(other, options), changed: true }
    } catch (error) {
      // Somebody may have been faster.
      const id = hasCode(error, 'EEXIST') ? await this.find(other) : undefined
      if (id === undefined || (options.id !== undefined && options.id !== id)) throw error
      return { id, changed: false }
    }
  }

  async #listing(filter: NamespaceIdFilter): Promise<NamespaceIdAsk> {
    checkOptions(filter, 'filter', ['target'])
    const { target } = filter
    const targetId = target === undefined ? undefined : await this.get(target)
    return {
      definition: namespaceIdMessage,
      request: 'RTM_GETNSID',
      header: {},
      attributes: { targetId },
      what: `cannot list the namespace ids of ${labelOf(this.#namespace)}`,
    }
  }
}

type NamespaceIdAsk = Ask<typeof rtgenmsg, typeof namespaceIdAttributes>

function read(message: Parameters<typeof namespaceIdMessage.decode>[0]): NamespaceId | undefined {
  return readNamespaceId(namespaceIdMessage.decode(message))
}

function checkId(options: { id?: number }): void {
  checkOptions(options, 'options', ['id'])
  if (options.id !== undefined) checkInteger(options.id, 'options.id', 0, 0x7fff_ffff)
}

/** Calls back with the attributes that say which namespace is meant, and what messages call it. A path is open meanwhile. */
async function withReference<T>(
  reference: NamespaceReference,
  name: string,
  use: (which: AttributesOf<typeof namespaceIdAttributes>, label: string) => Promise<T>,
): Promise<T> {
  if (isNamespace(reference)) return use({ fd: reference.fd }, labelOf(reference))
  if (typeof reference !== 'object' || reference === null) {
    throw typeError(name, 'a Namespace, or one of { path }, { pid } and { fd }', reference)
  }
  const opened = await openNamespace(reference)
  try {
    return await use({ fd: opened.fd }, labelOf(opened))
  } finally {
    await opened.close()
  }
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The ids by which this namespace knows others. */
    readonly namespaceIds: NamespaceIds
  }
}

defineFacet('namespaceIds', (namespace) => new NamespaceIds(namespace))
