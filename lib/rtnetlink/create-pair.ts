/** Pairs of links that are joined like the ends of a cable: what veth, netkit and vxcan have in common. */
import { undoOnFailure } from '../errors.js'
import { sameNamespace } from '../namespace/identity.js'
import type { Namespace } from '../namespace/namespace.js'
import { currentNamespace } from '../namespace/open.js'
import {
  addAddresses,
  changeOrSayWhatLacks,
  chosenIndex,
  fetchAfter,
  nameAgain,
  newLinkRequest,
  place,
  takeBack,
} from './create-link.js'
import type { OwnOptions } from './kind-options.js'
import { Link } from './link.js'
import { linkMessage } from './link-attributes.js'
import { checkNewLink, flagBits, inSteps, type LinkSettings, type NewLink, settingAttributes } from './link-options.js'
import { masterFor } from './port-options.js'
import { sayWhatIsTaken } from './taken.js'
import { allOrFirstError, change, requestThenRead } from './talk.js'

/** A kind whose links come in pairs. */
export interface PairKind<K extends string> {
  kind: K
  /** What the ends are called in errors: the names of the maker's parameters. */
  ends: readonly [near: string, far: string]
  /** Options of the kind, which stand beside the peer's. */
  data?: OwnOptions | undefined
}

/** Makes a pair: one request makes both ends where they belong. The options of the kind are checked. */
export async function makePair<K extends string>(
  { kind, ends, data }: PairKind<K>,
  left: NewLink,
  right: NewLink,
): Promise<[left: Link<K>, right: Link<K>]> {
  checkNewLink(left, ends[0])
  checkNewLink(right, ends[1])
  const here = left.namespace ?? currentNamespace()
  // Not the process's own: who says where one end is does not expect the other on the machine.
  const there = right.namespace ?? here
  const masters = [masterFor(here, left, ends[0]), masterFor(there, right, ends[1])] as const
  const [leftMaster, rightMaster] = areKnown(masters) ? masters : await Promise.all(masters)
  const near = place(left)
  const far = place(right)
  const nearSteps = inSteps(left)
  const farSteps = inSteps(right)
  // An end whose other end is not there yet cannot be up, and a peer's master is passed over: both are set afterwards.
  const { up: rightUp, master: _, ...early } = farSteps.first
  const peer = {
    header: { index: far.index, ...flagBits(early) },
    attributes: {
      name: right.name,
      namespaceFd: sameNamespace(here, there) ? undefined : there.fd,
      ...settingAttributes(early, undefined),
      txQueues: right.txQueues,
      rxQueues: right.rxQueues,
    },
  }
  const request = newLinkRequest(nearSteps.first, kind, {
    // The kernel looks at the peer's index only if this end has one too (veth_newlink in drivers/net/veth.c, and its likes).
    index: near.index === 0 && far.index !== 0 ? chosenIndex() : near.index,
    name: left.name,
    master: leftMaster,
    data: { ...data, peer },
  })
  request.what = `cannot create the ${kind} pair ${left.name ?? `${kind}%d`} and ${right.name ?? `${kind}%d`}`
  try {
    await changeOrSayWhatLacks(here, request, kind)
  } catch (error) {
    throw await sayWhatIsTaken(error, [
      { namespace: here, name: left.name, index: left.index },
      { namespace: there, name: right.name, index: right.index },
    ])
  }
  const [nearKey, farKey] = [near.name ?? near.index, far.name ?? far.index]
  return undoOnFailure(
    async () => {
      const readFirst = async () => new Link(here, await fetchAfter(here, nearKey), true)
      const finished = finishPeer(there, farKey, { up: rightUp }, rightMaster)
      // Read after the second is up, without which the first has no carrier: one connection keeps the order, two do not.
      const [second, first] = sameNamespace(here, there)
        ? await allOrFirstError([finished, readFirst()] as const)
        : [await finished, await readFirst()]
      await allOrFirstError([
        ...nameAgain(first, left.alternativeNames),
        ...nameAgain(second, right.alternativeNames),
        ...nearSteps.later.map((step) => first.set(step)),
        ...farSteps.later.map((step) => second.set(step)),
        addAddresses(first, left.addresses),
        addAddresses(second, right.addresses),
      ])
      return [first, second] as [Link<K>, Link<K>]
    },
    // Either end takes the other along: one of the namespaces may have been closed meanwhile.
    () => takeBack(here, nearKey).catch(() => takeBack(there, farKey)),
  )
}

/** Gives the other end what it could not be made with, and reads it. */
async function finishPeer(
  namespace: Namespace,
  peer: string | number,
  settings: LinkSettings,
  master: number | undefined,
): Promise<Link> {
  if (settings.up === undefined && master === undefined) {
    return new Link(namespace, await fetchAfter(namespace, peer), true)
  }
  const index = typeof peer === 'number' ? peer : 0
  const finished = change(namespace, {
    definition: linkMessage,
    request: 'RTM_NEWLINK',
    header: { index, ...flagBits(settings) },
    attributes: { name: typeof peer === 'string' ? peer : undefined, master },
    what: `cannot set up ${peer}`,
  })
  return new Link(namespace, await requestThenRead(finished, fetchAfter(namespace, peer)), true)
}

/** Awaiting what needs no waiting would let later requests of the same tick go first. */
function areKnown<T>(values: readonly [T | Promise<T>, T | Promise<T>]): values is readonly [T, T] {
  return !values.some((value) => value instanceof Promise)
}
