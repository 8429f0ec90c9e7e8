/** What a caller says about a nexthop object, its checks, and the message that it becomes. */
import type { Namespace } from '../namespace/namespace.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, typeError, valueError } from '../validate.js'
import { AF_INET, AF_INET6, AF_UNSPEC, checkIp, familyOf } from '../values/ip.js'
import { nexthopFlags, type routeProtocols } from './constants.js'
import { type Encapsulation, type EncapsulationRow, encapsulationAttributes } from './encapsulation.js'
import { checkEncapsulation } from './encapsulation-options.js'
import { checkLinkReference, type LinkReference } from './link-options.js'
import { groupTypes, type NexthopObject, nexthopMessage } from './nexthop.js'
import { checkProtocol, protocolNumber } from './route-options.js'
import { withIndexes } from './route-request.js'
import type { Ask } from './talk.js'

/**
 * A new nexthop object (ip-nexthop(8)): with `via` or `link` or both, or `blackhole`, or `group`. `add`, `replace` and `ensure` take
 * a row of `list` too, as it is.
 */
export interface NewNexthopObject {
  /** What routes name it by, from 1 up. Default: one more than the highest. */
  id?: number
  /** That of the routes that use it. Default: that of `via`, and IPv4 without. */
  family?: 'inet' | 'inet6'
  via?: string
  link?: LinkReference
  /** Throws packets away. */
  blackhole?: boolean
  /** The objects to spread packets over, by id. */
  group?: readonly (number | { id: number; weight?: number })[]
  /** Default: 'multipath'. */
  groupType?: keyof typeof groupTypes | number
  /** Resilient groups: into how many parts flows are put. A new one must say it, and it stays so. */
  buckets?: number
  /** Resilient groups: milliseconds for which a bucket must have been idle to be moved to another member. Default: 120,000. */
  idleTimer?: number
  /** Resilient groups: milliseconds after which buckets are moved even if they are not idle. Default: 0, never. */
  unbalancedTimer?: number
  /** For entries of a bridge's or VXLAN's forwarding database, and not for routes: then `via` has no link. */
  fdb?: boolean
  /** Take the next hop to be on the link, whatever the addresses say. */
  onlink?: boolean
  /** Who made it. Default: 'static'. */
  protocol?: keyof typeof routeProtocols | number
  /** What packets are wrapped in. */
  encapsulation?: Encapsulation | EncapsulationRow
}

const keys = [
  ...(['id', 'family', 'via', 'link', 'blackhole', 'group', 'groupType', 'buckets', 'idleTimer'] as const),
  ...(['unbalancedTimer', 'fdb', 'onlink', 'protocol', 'encapsulation'] as const),
] as const satisfies readonly (keyof NewNexthopObject)[]

const U32 = 0xffff_ffff
const resilientKeys = ['buckets', 'idleTimer', 'unbalancedTimer'] as const

/** What makes an object as a row has it. */
export function objectOf(given: NewNexthopObject | NexthopObject): NewNexthopObject {
  if (typeof given !== 'object' || given === null || !('flags' in given)) return given
  const { index, flags, scope: _, unbalancedTime: __, ...rest } = given
  const wish: NewNexthopObject = rest
  if (wish.blackhole !== true && index !== undefined) wish.link = index
  if (flags.includes('onlink')) wish.onlink = true
  return wish
}

/** Checks an object; the family of its message. */
export function checkNexthop(object: NewNexthopObject, name: string): number {
  checkOptions(object, name, keys)
  const { id, family, via, link, group, groupType, buckets, encapsulation, protocol } = object
  if (id !== undefined) checkNexthopId(id, `${name}.id`)
  if (family !== undefined) checkOneOf(family, `${name}.family`, ['inet', 'inet6'])
  const gateway = via === undefined ? undefined : checkIp(via, `${name}.via`)
  const named = family === undefined ? undefined : family === 'inet' ? AF_INET : AF_INET6
  if (gateway !== undefined && named !== undefined && familyOf(gateway) !== named) {
    throw valueError(`${name}.family`, family, "is not that of 'via'")
  }
  if (link !== undefined) checkLinkReference(link, `${name}.link`)
  for (const key of ['blackhole', 'fdb', 'onlink'] as const) {
    if (object[key] !== undefined) checkBoolean(object[key], `${name}.${key}`)
  }
  if (encapsulation !== undefined) checkEncapsulation(encapsulation, `${name}.encapsulation`)
  if (protocol !== undefined) checkProtocol(protocol, `${name}.protocol`)
  if (typeof groupType === 'number') checkInteger(groupType, `${name}.groupType`, 0, 0xffff)
  else if (groupType !== undefined) checkOneOf(groupType, `${name}.groupType`, Object.keys(groupTypes))
  if (buckets !== undefined) checkInteger(buckets, `${name}.buckets`, 1, 65_535)
  for (const key of ['idleTimer', 'unbalancedTimer'] as const) {
    const value = object[key]
    if (value === undefined) continue
    checkInteger(value, `${name}.${key}`, 0, U32 * 10)
    if (value % 10 !== 0) throw valueError(`${name}.${key}`, value, 'must be a multiple of 10 milliseconds')
  }
  checkGroup(group, `${name}.group`)
  checkTogether(object, name)
  return group !== undefined ? AF_UNSPEC : (named ?? (gateway === undefined ? AF_INET : familyOf(gateway)))
}

export function checkNexthopId(id: unknown, name: string): asserts id is number {
  checkInteger(id, name, 1, U32)
}

function checkGroup(group: NewNexthopObject['group'], name: string): void {
  if (group === undefined) return
  if (!Array.isArray(group)) throw typeError(name, 'an array of ids', group)
  if (group.length === 0) throw valueError(name, group, 'is empty')
  group.forEach((member, i) => {
    if (typeof member !== 'object') {
      checkNexthopId(member, `${name}[${i}]`)
      return
    }
    checkOptions(member, `${name}[${i}]`, ['id', 'weight'])
    checkNexthopId(member.id, `${name}[${i}].id`)
    if (member.weight !== undefined) checkInteger(member.weight, `${name}[${i}].weight`, 1, 65_535)
  })
}

/** An object leads somewhere, throws away, or is a group. */
function checkTogether(object: NewNexthopObject, name: string): void {
  const refuse = (exclusive: readonly (keyof NewNexthopObject)[], reason: string) => {
    for (const key of exclusive) {
      if (object[key] !== undefined && object[key] !== false) throw valueError(`${name}.${key}`, object[key], reason)
    }
  }
  const { group, blackhole, fdb, via, link, groupType } = object
  if (group !== undefined) refuse(['via', 'link', 'blackhole', 'onlink', 'encapsulation'], 'a group has none')
  else {
    refuse(['groupType', ...resilientKeys], 'only a group has one')
    if (blackhole === true)
      refuse(['via', 'link', 'fdb', 'onlink', 'encapsulation'], 'what throws packets away has none')
    else if (via === undefined && (link === undefined || fdb === true)) {
      throw valueError(name, object, "leads nowhere: 'via', 'link', 'blackhole' or 'group' is missing")
    }
  }
  if (fdb === true) refuse(['link', 'onlink', 'encapsulation'], 'entries of a forwarding database have none')
  if (groupType !== 'resilient' && groupType !== 1)
    refuse(resilientKeys, "only groups of the type 'resilient' have one")
}

/** A copy whose links are indexes. A promise only when a name must be looked up. */
export function nexthopWithIndexes(
  namespace: Namespace,
  object: NewNexthopObject,
  name: string,
): NewNexthopObject | Promise<NewNexthopObject> {
  const { link, encapsulation } = object
  const part = { to: '', link, encapsulation }
  const found = withIndexes(namespace, part, name)
  const joined = (one: typeof part): NewNexthopObject => ({
    ...object,
    link: one.link,
    encapsulation: one.encapsulation,
  })
  return found instanceof Promise ? found.then(joined) : joined(found)
}

export type NexthopAsk = Ask<typeof nexthopMessage.header, typeof nexthopMessage.table>

/** The request for a checked object, whose links are indexes. */
export function nexthopRequest(family: number, object: NewNexthopObject, what: string, flags: number): NexthopAsk {
  const { id, via, link, blackhole, group, groupType, fdb, onlink, protocol, encapsulation } = object
  const { buckets, idleTimer, unbalancedTimer } = object
  const isResilient = groupType === 'resilient' || groupType === groupTypes.resilient
  const encapsulated =
    encapsulation === undefined
      ? undefined
      : encapsulationAttributes(encapsulation as EncapsulationRow, 'nexthop.encapsulation')
  return {
    definition: nexthopMessage,
    request: 'RTM_NEWNEXTHOP',
    flags,
    header: { family, protocol: protocolNumber(protocol), flags: onlink === true ? nexthopFlags.onlink : 0 },
    attributes: {
      id,
      group: group?.map((member) =>
        typeof member === 'number' ? { id: member, weight: 1 } : { id: member.id, weight: member.weight ?? 1 },
      ),
      groupType: group === undefined ? undefined : groupType,
      blackhole: blackhole === true ? true : undefined,
      link: link as number | undefined,
      gateway: via,
      ...encapsulated,
      fdb: fdb === true ? true : undefined,
      resilient: isResilient ? { buckets, idleTimer, unbalancedTimer } : undefined,
    },
    what,
  }
}
