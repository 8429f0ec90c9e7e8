/** Creating of links: one of any kind, a bridge with its ports, a pair of veth. */
import { randomInt } from 'node:crypto'
import { atCaller, hasCode, NetkitError, undoOnFailure } from '../errors.js'
import { sameNamespace } from '../namespace/identity.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import { netlinkConstants } from '../netlink/message.js'
import { kindHint } from '../suggestions.js'
import { checkString, typeError, valueError } from '../validate.js'
import { type AddressInput, checkAddressInput } from './address-options.js'
import { addAddress } from './addresses.js'
import { addAlternativeNames } from './alternative-names.js'
import { sayWhatLacks } from './change-failure.js'
import { kindOptions, type OwnOptions, withIndexes } from './kind-options.js'
import { type Kind, kindNames, kindOf, type LinkKindNeeds, type LinkKinds } from './kinds/registry.js'
import './kinds/index.js'
import { Link } from './link.js'
import { type LinkAttributes, linkMessage } from './link-attributes.js'
import { fetchLink, indexIfGiven, indexOfLink, removeLink } from './link-lookup.js'
import {
  checkLinkReference,
  checkNewLink,
  flagBits,
  inSteps,
  isLink,
  type LinkReference,
  type NewLink,
  newLinkKeys,
  settingAttributes,
} from './link-options.js'
import { masterFor } from './port-options.js'
import { allOrFirstError, change, requestThenRead } from './talk.js'

const { NLM_F_CREATE, NLM_F_EXCL } = netlinkConstants

/** Options of `createLink` for a kind that netkit has a table for: of every link, of the kind, and what it cannot do without. */
export type NewLinkOfKind<K extends keyof LinkKinds> = ('port' extends keyof LinkKinds[K]
  ? Omit<NewLink, 'port'>
  : NewLink) & { kind: K } & Partial<LinkKinds[K]> &
  (K extends keyof LinkKindNeeds ? LinkKindNeeds[K] : unknown)

/** Options of `createLink` for any other kind: `data` has its attributes by number, `{ '#1': bytes }`. */
export interface NewRawLink extends NewLink {
  kind: string
  /**
   * The link that this one stands on, for kinds that do. A Link may be in another namespace: then the new link is made from
   * there into its own, which takes CAP_NET_ADMIN in both.
   */
  parent?: LinkReference
  data?: Record<`#${number}`, Uint8Array>
}

/** A kind that netkit has a table for is made from raw attributes alone when there are some: its options tell what it needs. */
export type RawKind<K extends string> = { kind: K } & (K extends keyof LinkKinds
  ? Required<Pick<NewRawLink, 'data'>>
  : unknown)

/**
 * Creates a link of any kind. A kind that netkit has no table for is made from raw attributes in `data`.
 *
 * @throws TypeError/RangeError ERR_INVALID_ARG_… for wrong options, before anything is sent; NetkitError EEXIST when the name
 * is taken, EOPNOTSUPP when the kernel has no such kind, EPERM without CAP_NET_ADMIN. When a later step fails, the link is
 * removed again, and the error is the first one.
 */
export function createLink<K extends keyof LinkKinds>(options: NewLinkOfKind<K>): Promise<Link<K>>
export function createLink<K extends string>(options: NewRawLink & RawKind<K>): Promise<Link>
export async function createLink(options: NewRawLink): Promise<Link> {
  if (typeof options !== 'object' || options === null) throw typeError('options', 'an object', options)
  const { kind, parent, common, own } = checkNewRawLink(options)
  return makeLink(common, kind, own, { parent })
}

/** Checks options of `createLink`, and splits them into those of every link and those of the kind. */
export function checkNewRawLink(options: NewRawLink): {
  kind: string
  parent: LinkReference | undefined
  common: NewLink
  own: OwnOptions | undefined
} {
  const { kind, parent, ...rest } = options
  checkString(kind, 'options.kind')
  if (kind === '') throw valueError('options.kind', kind, 'is empty')
  // The kernel calls a tap a tun too.
  const known = kindOf(kind === 'tap' ? 'tun' : kind)
  if (known?.maker !== undefined) throw valueError('options.kind', kind, known.maker)
  if (parent !== undefined) checkLinkReference(parent, 'options.parent')
  const keys = known?.parent === undefined ? newLinkKeys : [...newLinkKeys, 'parent']
  const { common, own } = kindOptions(kind, rest, keys, 'options', true)
  if (known !== undefined) checkParent(known, parent)
  checkNewLink(common, 'options')
  return { kind, parent, common, own }
}

function checkParent({ kind, parent: need }: Kind, parent: LinkReference | undefined): void {
  if (parent === undefined && need === 'required') {
    const why = `a ${kind} stands on another link`
    throw typeError('options.parent', "a Link, a link's name or its index", parent, why)
  }
  if (parent !== undefined && need === undefined) {
    throw valueError('options.parent', isLink(parent) ? parent.name : parent, `a ${kind} stands on no other link`)
  }
}

/** Options of `createBridge`. */
export interface NewBridge extends NewLink, Partial<LinkKinds['bridge']> {
  /** Links of the same namespace that become its ports. */
  ports?: readonly LinkReference[]
}

/**
 * Creates a bridge, and makes links its ports. Errors as `createLink`. A failure leaves no bridge, and the ports with the
 * master that they had; if that is a bridge, their settings as its ports are the kernel's defaults again.
 */
export async function createBridge(options: NewBridge = {}): Promise<Link<'bridge'>> {
  if (typeof options !== 'object' || options === null) throw typeError('options', 'an object', options)
  const { ports = [], ...rest } = options
  if (!Array.isArray(ports)) throw typeError('options.ports', 'an array', ports)
  const { common, own } = kindOptions('bridge', rest, newLinkKeys, 'options', true)
  checkNewLink(common, 'options')
  const namespace = (common as NewLink).namespace ?? currentNamespace()
  const lookUps = ports.map((port, i) => portLink(namespace, port, `options.ports[${i}]`))
  const links = lookUps.length === 0 ? [] : await Promise.all(lookUps)
  const bridge = await makeLink(common, 'bridge', own)
  return undoOnFailure(
    async () => {
      await allOrFirstError(
        links.map((port) => enslave(port, bridge.index, `cannot make ${port.name} a port of ${bridge.name}`)),
      )
      // Ports give the bridge its MAC address and its carrier.
      return (links.length > 0 ? await bridge.refresh() : bridge) as Link<'bridge'>
    },
    () =>
      allOrFirstError([
        bridge.delete(),
        ...links.flatMap((port) =>
          port.master === undefined ? [] : enslave(port, port.master, `cannot give ${port.name} its master back`),
        ),
      ]),
  )
}

/** A link as it is before it becomes a port. */
async function portLink(namespace: Namespace, port: LinkReference, name: string): Promise<Link> {
  const index = await indexOfLink(namespace, port, name)
  return new Link(namespace, await fetchLink(namespace, index, `${name}: no link ${index}`), false)
}

function enslave(port: Link, master: number, what: string): Promise<void> {
  const header = { index: port.index }
  return change(port.namespace, {
    definition: linkMessage,
    request: 'RTM_NEWLINK',
    header,
    attributes: { master },
    what,
  })
}

/** Makes a link, gives it its addresses, and reads it back. The options are checked. */
export async function makeLink(
  options: NewLink,
  kind: string,
  data?: OwnOptions,
  { parent }: { parent?: LinkReference | undefined } = {},
): Promise<Link> {
  const known = kindOf(kind)
  const namespace = options.namespace ?? currentNamespace()
  // The kernel looks for the parent, and for other links that the kind is told of, where the request is made.
  const from = isLink(parent) && !sameNamespace(parent.namespace, namespace) ? parent.namespace : namespace
  const elsewhere = !sameNamespace(from, namespace)
  const found = masterFor(namespace, options, 'options')
  const master = typeof found === 'object' ? await found : found
  const foundParent = indexIfGiven(from, parent, 'options.parent')
  const below = typeof foundParent === 'object' ? await foundParent : foundParent
  const indexed = withIndexes(from, known, data, 'options')
  const own: OwnOptions | undefined = indexed instanceof Promise ? await indexed : indexed
  const { index, name } = place(options)
  const { first, later } = inSteps(options)
  const { parentKey } = known ?? {}
  const request = newLinkRequest(first, kind, {
    index,
    name: options.name,
    parent: parentKey === undefined ? below : undefined,
    namespaceFd: elsewhere ? namespace.fd : undefined,
    master,
    data: parentKey === undefined || below === undefined ? own : { ...own, [parentKey]: below },
  })
  const made = changeOrSayWhatLacks(from, request, kind)
  if (elsewhere) await made // one connection keeps the order, two do not
  const payload = await requestThenRead(made, fetchAfter(namespace, name ?? index), () =>
    takeBack(namespace, name ?? index),
  )
  const link = new Link(namespace, payload, true)
  return undoOnFailure(
    async () => {
      await allOrFirstError([
        ...nameAgain(link, options.alternativeNames),
        ...later.map((step) => link.set(step)),
        addAddresses(link, options.addresses),
      ])
      return link
    },
    () => link.delete(),
  )
}

/** Sends the request that makes a link. A kernel without the kind says little: the error says what would give it the kind. */
export async function changeOrSayWhatLacks(
  namespace: Namespace,
  request: ReturnType<typeof newLinkRequest>,
  kind: string,
): Promise<void> {
  try {
    await change(namespace, request)
  } catch (error) {
    if (!hasCode(error, 'EOPNOTSUPP') || error.kernelMessage !== 'Unknown device type') {
      throw atCaller(sayWhatLacks(error, kind, request.attributes.info.data))
    }
    const { config, module } = kindOf(kind)?.kernel ?? {}
    const unknown = `, and netkit does not know it either${kindHint(kind, kindNames())}`
    const remedy = config === undefined ? unknown : `: ${config} gives them`
    const modular = module === undefined ? '' : `, as module ${module} where it is not built in`
    const hint = `this kernel has no links of kind ${kind}${remedy}${modular}`
    const { kernelMessage, syscall } = error
    throw atCaller(
      new NetkitError({ message: request.what, errno: -error.errno, syscall, kernelMessage, hint, cause: error }),
    )
  }
}

/** How a new link is found again: by its name, or by an index that we choose when the kernel picks the name. */
export function place(options: NewLink): { index: number; name: string | undefined } {
  const fixed = options.name !== undefined && !options.name.includes('%')
  return { index: options.index ?? (fixed ? 0 : chosenIndex()), name: fixed ? options.name : undefined }
}

/** Far above those that the kernel gives out; of 2^31, two alike are not to be expected. */
export function chosenIndex(): number {
  return randomInt(0x100_0000, 0x7fff_ffff)
}

/** The RTM_NEWLINK that makes a link. */
export function newLinkRequest(
  options: NewLink,
  kind: string,
  more: {
    index: number
    name: string | undefined
    parent?: number | undefined
    /** Where it belongs, when the request is made in another namespace. */
    namespaceFd?: number | undefined
    master: number | undefined
    data: OwnOptions | undefined
  },
) {
  return {
    definition: linkMessage,
    request: 'RTM_NEWLINK' as const,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    header: { index: more.index, ...flagBits(options) },
    attributes: {
      name: more.name,
      parent: more.parent,
      namespaceFd: more.namespaceFd,
      ...settingAttributes(options, more.master),
      txQueues: options.txQueues,
      rxQueues: options.rxQueues,
      info: { kind, data: more.data },
    } satisfies LinkAttributes,
    what: `cannot create ${more.name === undefined ? `a ${kind}` : `the ${kind} ${more.name}`}`,
  }
}

/** Removes a link that was made, and cannot be finished or read. */
export function takeBack(namespace: Namespace, link: string | number): Promise<void> {
  return removeLink(namespace, link, `cannot remove ${link} again`)
}

/** Reads a link that a request of the same tick makes. */
export function fetchAfter(namespace: Namespace, link: string | number): Promise<Uint8Array> {
  return fetchLink(namespace, link, `cannot read ${link} back`)
}

/** Gives a new link its alternative names, in one request; it is read again for them. */
export function nameAgain(link: Link, names: readonly string[] = []): Promise<unknown>[] {
  if (names.length === 0) return []
  const named = addAlternativeNames(link.namespace, link.index, names, () => link.name)
  return [requestThenRead(named, link.refresh())]
}

export async function addAddresses(link: Link, addresses: readonly AddressInput[] = []): Promise<void> {
  await allOrFirstError(
    addresses.map((address, i) =>
      addAddress(link.namespace, link.index, checkAddressInput(address, `addresses[${i}]`), () => link.name),
    ),
  )
}
