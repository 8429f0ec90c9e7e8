/** Links, as a watch sees them. */
import { isDeepStrictEqual } from 'node:util'
import { hasCode } from '../../errors.js'
import type { Namespace } from '../../namespace/namespace.js'
import { copyOf } from '../../netlink/bytes.js'
import { AF_UNSPEC } from '../../values/ip.js'
import { rtnetlinkConstants } from '../constants.js'
import { kindOf } from '../kinds/registry.js'
import { Link } from '../link.js'
import { linkMessage } from '../link-attributes.js'
import { fetchLink } from '../link-lookup.js'
import { type Observed, type Part, simpleEffect } from './observed.js'

/** Attributes that change without an event, or that only an event or only a list has. */
const volatile: readonly string[] = ['statistics', 'statistics32', 'event', 'map', 'families', 'filterMask']

/** Timers run, and so does what a kind counts. */
const runs = /Timer$|^querierState$|^fdbLearned$/

/** Kinds whose links come in pairs. */
const pairs: readonly string[] = ['veth', 'netkit', 'vxcan']

const { RTM_NEWLINK, RTM_DELLINK, RTNLGRP_LINK } = rtnetlinkConstants

function sameLink(a: Link, b: Link): boolean {
  // What changes most is looked at first: the rest has to be decoded whole.
  if (a.mtu !== b.mtu || a.name !== b.name || a.master !== b.master || a.operationalState !== b.operationalState) {
    return false
  }
  if (a.up !== b.up || !isDeepStrictEqual(a.flags, b.flags) || a.addressGeneration !== b.addressGeneration) return false
  return isDeepStrictEqual(steady(a), steady(b))
}

/** What stays as it is until somebody changes it. */
function steady(link: Link): Record<string, unknown> {
  const { info, ...attributes } = link.attributes as Record<string, unknown> & { info?: Record<string, unknown> }
  const of = (data: unknown, readOnly: readonly string[] = []) =>
    typeof data !== 'object' || data === null || data instanceof Uint8Array
      ? data
      : Object.fromEntries(Object.entries(data).filter(([key]) => !runs.test(key) && !readOnly.includes(key)))
  return {
    ...Object.fromEntries(
      Object.entries(attributes).filter(([key]) => !volatile.includes(key) && !key.startsWith('#')),
    ),
    kind: info?.kind,
    data: of(info?.data, kindOf(info?.kind)?.readOnly),
    portKind: info?.portKind,
    portData: of(info?.portData),
  }
}

export const observedLink: Observed<Link> = {
  object: 'link',
  groups: [RTNLGRP_LINK],
  there: RTM_NEWLINK,
  gone: RTM_DELLINK,
  list: (namespace) => namespace.links.stream(),
  read(namespace, { source, start, end }) {
    // A bridge tells of its ports in messages of its own family: one that leaves it is not deleted.
    const { family } = linkMessage.header.decode(source, start, end - start)
    return family === AF_UNSPEC ? new Link(namespace, copyOf(source.bytes, start, end), false) : undefined
  },
  key: (link) => String(link.index),
  placesOf: (link) => namesOf(link).map(byName),
  same: sameLink,
  effect(rows, link, { type }) {
    const effect = simpleEffect(observedLink, rows, link, type)
    // The first end of a pair is told of before it has the other, and not again when it has.
    const isHalf = type === RTM_NEWLINK && pairs.includes(link.kind ?? '') && (link.parent ?? 0) === 0
    return isHalf ? { ...effect, unsure: oneLink(link.index) } : effect
  },
  /** A bridge tells in its own messages what its ports have become: the link's own message has it too, and is asked for. */
  hint({ source, start, end, type }) {
    const { family, index } = linkMessage.header.decode(source, start, end - start)
    return family !== AF_UNSPEC && type === RTM_NEWLINK ? oneLink(index) : undefined
  },
}

function namesOf({ name, alternativeNames }: Link): string[] {
  return [name, ...alternativeNames]
}

/** The place at which a link with a name, or alternative name, is found. */
export function byName(name: string): string {
  return `name ${name}`
}

function oneLink(index: number): Part<Link> {
  return {
    name: String(index),
    has: (link) => link.index === index,
    async *list(namespace: Namespace) {
      try {
        yield new Link(namespace, await fetchLink(namespace, index, `cannot read link ${index}`), false)
      } catch (error) {
        if (!hasCode(error, 'ENODEV')) throw error
      }
    },
  }
}

/** Whether frames pass. The flags show it before routes know of it, the operational state not. */
export function linkState(row: object): string {
  const { flags, operationalState } = row as Link
  return `${operationalState} ${flags.filter((flag) => flag === 'UP' || flag === 'RUNNING' || flag === 'LOWER_UP')}`
}
