/** Undoing of what is done to links: creating, changing, moving, deleting. */
import { isDeepStrictEqual } from 'node:util'
import { hasCode, namedError } from '../../errors.js'
import { labelOf } from '../../namespace/internal.js'
import type { Namespace } from '../../namespace/namespace.js'
import { openNamespace } from '../../namespace/open.js'
import { netlinkConstants } from '../../netlink/message.js'
import { addressMessage } from '../address.js'
import { linkFlags, routeProtocols } from '../constants.js'
import type { AnyAsk } from '../interceptor.js'
import { kindOf } from '../kinds/registry.js'
import type { Link } from '../link.js'
import { type LinkAttributes, linkMessage } from '../link-attributes.js'
import { routeMessage } from '../route.js'
import { change } from '../talk.js'
import { linkKey, type Raw, type Scope, step, type Undo, type UndoRule } from './undo.js'
import { checkUndoable, detailsBack, find, prepareNames } from './undo-details.js'
import { addressRow, rawRows, routeRow } from './undo-rows.js'

const { NLM_F_CREATE, NLM_F_EXCL } = netlinkConstants

/** Attributes that a link can be set back to by sending what was read. */
const settable = [
  ...['mac', 'broadcast', 'name', 'mtu', 'txQueueLength', 'group', 'gsoMaxSize', 'gsoMaxSegments', 'groMaxSize'],
  ...['gsoIpv4MaxSize', 'groIpv4MaxSize', 'linkMode', 'carrier', 'protocolDown'],
] as const

export const linkRule: UndoRule = {
  async prepare(scope, ask) {
    const { namespace } = scope
    const { request, header, attributes, flags = 0 } = ask
    if (request === 'RTM_DELLINK') return prepareDeletion(scope, ask)
    if (request === 'RTM_NEWLINKPROP' || request === 'RTM_DELLINKPROP') return prepareNames(namespace, ask)
    if ((flags & NLM_F_CREATE) !== 0) {
      return async (refused) => {
        if (refused) return []
        const place = attributes.namespaceFd === undefined ? namespace : await placeOf(scope, attributes.namespaceFd)
        const made = await find(place, header.index, attributes.name)
        if (made !== undefined) {
          scope.created.add(linkKey(place, made.index))
          const peer = attributes.info?.data?.peer as { attributes: LinkAttributes } | undefined
          const far = peer?.attributes.namespaceFd
          const there = far === undefined ? namespace : await placeOf(scope, far)
          if (peer !== undefined && made.parent !== undefined) scope.created.add(linkKey(there, made.parent))
        }
        return made === undefined ? [] : [step(place, deletion(made.index, made.name), 'ENODEV')]
      }
    }
    const before = await find(namespace, header.index, attributes.name ?? attributes.alternativeName)
    if (before === undefined) return async () => []
    checkUndoable(before, ask)
    const moves = attributes.namespaceFd !== undefined || attributes.namespacePid !== undefined
    const loses = moves || (header.change & linkFlags.UP) !== 0
    const rows = loses ? await rowsOf(namespace, before.index) : undefined
    const back = setBack(before, ask)
    return async (refused) => {
      const steps: Undo[] = []
      // The kernel takes the attributes one after another (do_setlink in net/core/rtnetlink.c): those before the one that it
      // refused stay, and moving is the first.
      const hasMoved = !refused || (moves && (await find(namespace, before.index, undefined)) === undefined)
      if (attributes.namespaceFd !== undefined && hasMoved) {
        steps.push(await moveBack(scope, before, attributes))
        const place = await placeOf(scope, attributes.namespaceFd)
        const there = await find(place, undefined, attributes.name ?? before.name)
        if (there !== undefined && scope.created.has(linkKey(namespace, before.index)))
          scope.created.add(linkKey(place, there.index))
      }
      steps.push(() => sendBack(namespace, back))
      if (attributes.xdp !== undefined && !refused) steps.push(() => before.detachXdp().then(() => {}))
      // On its way it lost what another namespace does not know of.
      if (moves && hasMoved) steps.push(() => finishAgain(namespace, before))
      if (rows !== undefined) steps.push(() => putBack(namespace, before.index, rows))
      return steps
    }
  },
}

function deletion(index: number, name: string): AnyAsk {
  const what = `cannot remove ${name} again`
  return { definition: linkMessage, request: 'RTM_DELLINK', header: { index }, attributes: {}, what }
}

/** The namespace with this descriptor: one of the transaction's, or one that was opened for it. */
async function placeOf({ namespaces }: Scope, fd: number): Promise<Namespace> {
  return namespaces.find((namespace) => !namespace.closed && namespace.fd === fd) ?? openNamespace({ fd })
}

/** Sends what sets a link back. Before Linux 6.2 an interface that is up refuses a name, and be it the one that it has. */
async function sendBack(namespace: Namespace, back: AnyAsk): Promise<void> {
  const now = await find(namespace, back.header.index, undefined)
  const { name, ...rest } = back.attributes
  await step(namespace, { ...back, attributes: now?.name === name ? rest : back.attributes })()
}

/** The request that sets a link's attributes, of those that a request sets, to what they were. */
function setBack(before: Link, { header, attributes }: AnyAsk): AnyAsk {
  const was = before.attributes
  const back: Record<string, unknown> = {}
  for (const key of settable) if (attributes[key] !== undefined) back[key] = was[key as keyof LinkAttributes]
  if (attributes.master !== undefined) back.master = before.master ?? 0
  if (attributes.alias !== undefined) back.alias = before.alias ?? ''
  Object.assign(back, detailsBack(before, attributes))
  back.info = infoBack(before, attributes.info)
  const bits = header.change ?? 0
  return {
    definition: linkMessage,
    request: 'RTM_NEWLINK',
    header: { index: before.index, flags: flagBitsOf(before) & bits, change: bits },
    attributes: back,
    what: `cannot set ${before.name} back`,
  } as AnyAsk
}

function infoBack(before: Link, asked: LinkAttributes['info']): LinkAttributes['info'] {
  const only = (known: unknown, wanted: unknown): Record<string, unknown> | undefined => {
    if (typeof wanted !== 'object' || wanted === null || typeof known !== 'object' || known === null) return undefined
    const kept = Object.entries(known).filter(([key]) => key in wanted)
    return kept.length === 0 ? undefined : Object.fromEntries(kept)
  }
  const { info } = before.attributes
  const data = only(info?.data, asked?.data)
  const portData = only(info?.portData, asked?.portData)
  if (data === undefined && portData === undefined) return undefined
  return {
    kind: data === undefined ? undefined : info?.kind,
    data,
    portKind: portData === undefined ? undefined : info?.portKind,
    portData,
  } as LinkAttributes['info']
}

function flagBitsOf(link: Link): number {
  return link.flags.reduce((bits, flag) => bits | linkFlags[flag], 0)
}

/** The step that brings a link back from where it was moved to. */
async function moveBack(scope: Scope, before: Link, attributes: LinkAttributes): Promise<Undo> {
  const place = await placeOf(scope, attributes.namespaceFd as number)
  const name = attributes.name ?? before.name
  return async () => {
    await change(place, {
      definition: linkMessage,
      request: 'RTM_NEWLINK',
      header: {},
      attributes: { name, namespaceFd: scope.namespace.fd, newIndex: before.index },
      what: `cannot move ${name} back to ${labelOf(scope.namespace)}`,
    } as AnyAsk)
  }
}

/** The kernel makes its own routes again, from addresses. */
const isKernels = ({ header }: Raw) => header.protocol === routeProtocols.kernel

interface LinkRows {
  addresses: Raw[]
  routes: Raw[]
}

/** The addresses and routes of a link, which go when it is set down, moved or deleted. */
async function rowsOf(namespace: Namespace, index: number): Promise<LinkRows> {
  const [addresses, ...routes] = await Promise.all([
    rawRows(namespace, addressMessage, 'RTM_GETADDR', { index }),
    // The kernel filters by link where it can, and says nothing where it cannot.
    rawRows(namespace, routeMessage, 'RTM_GETROUTE', { family: 2 }, { outputLink: index }),
    rawRows(namespace, routeMessage, 'RTM_GETROUTE', { family: 10 }, { outputLink: index }),
  ])
  const isOwn = ({ header, attributes }: Raw) =>
    attributes.outputLink === index ||
    (Array.isArray(attributes.multipath) &&
      attributes.multipath.some((hop: { index: number }) => hop.index === index)) ||
    header.index === index
  return { addresses: addresses.filter(isOwn), routes: routes.flat().filter((raw) => isOwn(raw) && !isKernels(raw)) }
}

/** Puts back the addresses and routes that are missing: addresses first, which some routes need. */
async function putBack(namespace: Namespace, index: number, { addresses, routes }: LinkRows): Promise<void> {
  const now = await rowsOf(namespace, index)
  const missing = (rows: Raw[], present: Raw[], key: (raw: Raw) => string) => {
    const known = new Set(present.map(key))
    return rows.filter((raw) => !known.has(key(raw)))
  }
  const restore = async (rows: Raw[], rule: typeof addressRow) => {
    for (const { header, attributes } of rows) {
      const kept = Object.entries(attributes).filter(([key]) => !rule.ignored.includes(key) || key === 'cacheInfo')
      const ask = rule.restore({
        header,
        attributes: Object.fromEntries(rule === routeRow ? kept.filter(([key]) => key !== 'cacheInfo') : kept),
      })
      await step(namespace, ask, 'EEXIST')()
    }
  }
  await restore(missing(addresses, now.addresses, addressRow.key), addressRow)
  const routeText = (raw: Raw) =>
    `${routeRow.key(raw)} ${raw.header.family} ${raw.attributes.table} ${raw.attributes.gateway}`
  const after = await rowsOf(namespace, index)
  // Routes without a next hop first: the others' next hops are reached by them.
  const lost = missing(routes, after.routes, routeText).sort(
    (a, b) => Number(a.attributes.gateway !== undefined) - Number(b.attributes.gateway !== undefined),
  )
  await restore(lost, routeRow)
}

/** What is needed to make a link again. */
interface Remains {
  link: Link
  rows: LinkRows
  /** Its ports, with what they were as such. */
  ports: Link[]
}

async function remainsOf(namespace: Namespace, link: Link): Promise<Remains> {
  const ports = (await namespace.links.list()).filter(({ master }) => master === link.index)
  return { link, rows: await rowsOf(namespace, link.index), ports }
}

async function prepareDeletion(
  scope: Scope,
  { header, attributes }: AnyAsk,
): Promise<(refused: boolean) => Promise<Undo[]>> {
  const { namespace } = scope
  const found =
    attributes.group === undefined
      ? [await find(namespace, header.index, attributes.name ?? attributes.alternativeName)]
      : (await namespace.links.list()).filter(({ group }) => group === attributes.group)
  const links = found.filter((link) => link !== undefined)
  const remains: { place: Namespace; remains: Remains; peer: { place: Namespace; remains: Remains } | undefined }[] = []
  const taken = new Set<number>()
  for (const link of links) {
    if (taken.has(link.index)) continue
    const { kind } = link
    if (kind === undefined || kind === 'tun') {
      throw namedError(
        'EOPNOTSUPP',
        'RTM_DELLINK',
        `cannot delete ${link.name} in a transaction: it could not be made again`,
      )
    }
    const peer = await peerOf(scope, link)
    if (peer?.place === namespace) taken.add(peer.remains.link.index)
    remains.push({ place: namespace, remains: await remainsOf(namespace, link), peer })
  }
  return async (refused) =>
    refused
      ? []
      : remains.map(
          ({ place, remains: own, peer }) =>
            () =>
              makeAgain(place, own, peer),
        )
}

/** The other end of a pair, which goes too. It must be in one of the transaction's namespaces. */
async function peerOf(scope: Scope, link: Link): Promise<{ place: Namespace; remains: Remains } | undefined> {
  if (!['veth', 'netkit', 'vxcan'].includes(link.kind ?? '') || link.parent === undefined || link.parent === 0)
    return undefined
  for (const place of [scope.namespace, ...scope.namespaces]) {
    const isHere = link.attributes.parentNamespaceId === undefined
    if (isHere !== (place === scope.namespace)) continue
    const found = await find(place, link.parent, undefined)
    if (found?.kind === link.kind && found?.parent === link.index)
      return { place, remains: await remainsOf(place, found) }
  }
  throw namedError(
    'EOPNOTSUPP',
    'RTM_DELLINK',
    `cannot delete ${link.name} in a transaction: its other end is in a namespace that is not part of it`,
  )
}

/** The header and attributes that a link is made again with. */
function remade({ link }: Remains): { header: Record<string, number>; attributes: LinkAttributes } {
  const was = link.attributes as LinkAttributes & Record<string, unknown>
  const attributes: Record<string, unknown> = {}
  for (const key of ['name', 'mac', 'mtu', 'txQueueLength', 'group', 'txQueues', 'rxQueues'] as const)
    attributes[key] = was[key]
  if (link.parent !== undefined && link.kind !== 'veth' && link.kind !== 'netkit' && link.kind !== 'vxcan')
    attributes.parent = link.parent
  const readOnly = kindOf(link.kind)?.readOnly ?? []
  const { data } = was.info ?? {}
  const own =
    typeof data !== 'object' || data instanceof Uint8Array
      ? data
      : Object.fromEntries(Object.entries(data).filter(([key]) => !readOnly.includes(key)))
  attributes.info = { kind: link.kind, data: own }
  return { header: { index: link.index }, attributes: attributes as LinkAttributes }
}

async function makeAgain(
  place: Namespace,
  remains: Remains,
  peer: { place: Namespace; remains: Remains } | undefined,
): Promise<void> {
  const { link } = remains
  const own = remade(remains)
  if (peer !== undefined) {
    const other = remade(peer.remains)
    const namespaceFd = peer.place === place ? undefined : peer.place.fd
    const { info: _, ...attributes } = other.attributes
    own.attributes.info = {
      kind: link.kind,
      data: { peer: { header: other.header, attributes: { ...attributes, namespaceFd } } },
    } as LinkAttributes['info']
  }
  await create(place, own, link.name)
  for (const [where, { link: made, rows, ports }] of [
    [place, remains] as const,
    ...(peer === undefined ? [] : [[peer.place, peer.remains] as const]),
  ]) {
    await finishAgain(where, made)
    await putBack(where, made.index, rows)
    for (const port of ports) await step(where, portAgain(port), 'ENODEV')()
  }
}

/**
 * Makes a link with what was read of it. Not every option that a kind tells can be given to a new one (a bridge refuses those of
 * features that it was built without): then it is made without, and what differs is set.
 */
async function create(
  place: Namespace,
  { header, attributes }: { header: Record<string, number>; attributes: LinkAttributes },
  name: string,
): Promise<void> {
  const make = (info: LinkAttributes['info']) =>
    change(place, {
      definition: linkMessage,
      request: 'RTM_NEWLINK',
      flags: NLM_F_CREATE | NLM_F_EXCL,
      header,
      attributes: { ...attributes, info },
      what: `cannot make ${name} again`,
    } as AnyAsk)
  const { kind, data } = attributes.info ?? {}
  try {
    await make(attributes.info)
    return
  } catch (error) {
    if (!hasCode(error, 'EOPNOTSUPP', 'EINVAL') || typeof data !== 'object' || data instanceof Uint8Array) throw error
  }
  await make({ kind } as LinkAttributes['info'])
  const made = await find(place, header.index, undefined)
  const known = (made?.options ?? {}) as Record<string, unknown>
  const differs = Object.entries(data).filter(([key, value]) => !isDeepStrictEqual(known[key], value))
  if (differs.length === 0) return
  await change(place, {
    definition: linkMessage,
    request: 'RTM_NEWLINK',
    header,
    attributes: { info: { kind, data: Object.fromEntries(differs) } },
    what: `cannot give ${name} its options again`,
  } as AnyAsk)
}

/** What can only be set on a link that is there. */
async function finishAgain(place: Namespace, link: Link): Promise<void> {
  const settings = ['UP', 'NOARP', 'MULTICAST', 'ALLMULTI', 'PROMISC'] as const
  const bits = settings.reduce((sum, flag) => sum | linkFlags[flag], 0)
  const { addressGeneration } = link
  const set = async (header: object, attributes: LinkAttributes) =>
    change(place, {
      definition: linkMessage,
      request: 'RTM_NEWLINK',
      header: { index: link.index, ...header },
      attributes,
      what: `cannot set ${link.name} up again`,
    } as AnyAsk)
  const families = addressGeneration === undefined ? undefined : { inet6: { addressGeneration } }
  if (families !== undefined || link.alias !== undefined)
    await set({}, { alias: link.alias, families } as LinkAttributes)
  await set({ flags: flagBitsOf(link) & bits, change: bits }, { master: link.master })
  const name = link.alternativeNames
  for (const alternativeName of name) {
    await change(place, {
      definition: linkMessage,
      request: 'RTM_NEWLINKPROP',
      flags: NLM_F_CREATE | NLM_F_EXCL,
      header: { index: link.index },
      attributes: { properties: { alternativeNames: [alternativeName] } },
      what: `cannot give ${link.name} its alternative name again`,
    } as AnyAsk)
  }
}

function portAgain(port: Link): AnyAsk {
  return {
    definition: linkMessage,
    request: 'RTM_NEWLINK',
    header: { index: port.index },
    attributes: { master: port.master },
    what: `cannot make ${port.name} a port again`,
  } as AnyAsk
}
