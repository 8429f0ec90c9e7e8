/** What a filter may ask, as plain data, and the tests that this stands for. */
import { checkProtocol, type ProtocolName, protocols } from '../../rtnetlink/traffic/filter.js'
import { checkBoolean, checkInteger, checkOptions, typeError, valueError } from '../../validate.js'
import { checkMac } from '../../values/mac.js'
import {
  ETHERNET_HEADER,
  isGroup,
  macIs,
  type Place,
  type Tag,
  tagBeside,
  tagInside,
  typeIs,
  VLAN_TAG,
} from './ethernet-tests.js'
import { all, any, choice, type Expression, equals, isAtLeast, length, never, not, test } from './expression.js'
import { type IpConditions, ipConditions, ipKeys } from './ip-conditions.js'
import { type LoadSize, load } from './loads.js'

/** A comparison of bytes at a fixed place. */
export interface BytesCondition {
  /** Where, in bytes from the frame's beginning. Behind `vlan`, the tags that it names do not count. */
  offset: number
  /** How many bytes make the number, in network byte order: 1, 2 or 4. Default: 1. */
  size?: LoadSize
  /** The bits to look at. Default: all. */
  mask?: number
  /** What they are equal to. */
  value: number
}

/**
 * What a frame must be: everything that is said here at the same time. A condition about bytes that a frame is too short for is not
 * met; under `not` it is.
 */
export interface PacketCondition extends IpConditions {
  /** The Ethernet type: a name or a number, 'ip' being IPv4. For a tun, only 'ip' and 'ipv6'. */
  etherType?: Exclude<ProtocolName, 'all'> | number
  /** Whether it is ARP (RFC 826). */
  arp?: boolean
  /**
   * Whether it has a VLAN tag (types 0x8100, 0x88a8, 0x9100), or one with this id (0 to 4,094). What else is said beside it, and in
   * `all`, `any` and `not` beside it, is about what follows that tag; a `vlan` in there is about the next tag.
   */
  vlan?: boolean | number
  /** A MAC address that it comes from, goes to, or either. */
  sourceMac?: string
  destinationMac?: string
  mac?: string
  /** Whether it goes to ff:ff:ff:ff:ff:ff. */
  broadcast?: boolean
  /** Whether it goes to a group address, which the broadcast address is one of. */
  multicast?: boolean
  /** Its length in bytes, with all headers: at least, at most. */
  minimumLength?: number
  maximumLength?: number
  /** Comparisons of bytes, all of which must hold. */
  bytes?: BytesCondition | readonly BytesCondition[]
  /** Conditions that all hold; of none, that is true. */
  all?: readonly PacketCondition[]
  /** Conditions of which one or more hold; of none, that is false. */
  any?: readonly PacketCondition[]
  /** A condition that does not hold. */
  not?: PacketCondition
}

const ethernetKeys = ['arp', 'vlan', 'sourceMac', 'destinationMac', 'mac', 'broadcast', 'multicast'] as const
const keys = [
  ...ipKeys,
  ...ethernetKeys,
  ...['etherType', 'minimumLength', 'maximumLength', 'bytes', 'all', 'any', 'not'],
]
const LONGEST = 0xffff_ffff
const DEEPEST = 100

/** Where a condition looks. */
export interface Scope extends Place {
  /** Whether the next tag may be one that the kernel has taken out of the frame. */
  readonly mayBeBeside: boolean
  readonly depth: number
}

/** The expression of a condition. `name` is its place, for errors. */
export function expressionOf(condition: PacketCondition, name: string, scope: Scope): Expression {
  checkOptions(condition, name, keys)
  if (scope.depth > DEEPEST) throw valueError(name, condition, `conditions are nested more than ${DEEPEST} deep`)
  if (scope.layer3) {
    for (const key of ethernetKeys) {
      if (condition[key] !== undefined)
        throw valueError(`${name}.${key}`, condition[key], 'packets of a tun have no Ethernet header')
    }
  }
  const { vlan } = condition
  const inside = (behind: Scope) => all(...partsOf(condition, name, behind))
  if (vlan === undefined) return inside(scope)
  if (typeof vlan !== 'boolean') checkInteger(vlan, `${name}.vlan`, 0, 4094)
  if (vlan === false) return all(not(tagged(true, scope, () => all())), inside(scope))
  return tagged(vlan, scope, inside)
}

/** A tag in the frame with `inside` behind it, or one that the kernel has put beside the frame. */
function tagged(vlan: true | number, scope: Scope, inside: (scope: Scope) => Expression): Expression {
  const behind = ({ id }: Tag, inner: Scope) =>
    all(...(vlan === true ? [] : [equals(id, vlan)]), inside({ ...inner, mayBeBeside: false }))
  const next = tagInside(scope.tags)
  const within = all(next.isTag, behind(next, { ...scope, tags: scope.tags + VLAN_TAG }))
  return scope.mayBeBeside ? choice(tagBeside.isTag, behind(tagBeside, scope), within) : within
}

/** Cheap and telling ones first. */
function partsOf(condition: PacketCondition, name: string, outer: Scope): Expression[] {
  const scope = { ...outer, depth: outer.depth + 1 }
  const inner = (list: unknown, key: string) => {
    if (!Array.isArray(list)) throw typeError(`${name}.${key}`, 'an array of conditions', list)
    return list.map((one: PacketCondition, i) => expressionOf(one, `${name}.${key}[${i}]`, scope))
  }
  const parts: Expression[] = []
  parts.push(...lengths(condition, name), ...ethernet(condition, name, scope), ...ipConditions(condition, name, scope))
  if (condition.bytes !== undefined) {
    const { bytes } = condition
    if (Array.isArray(bytes)) {
      parts.push(...bytes.map((one: BytesCondition, i) => bytesAre(one, `${name}.bytes[${i}]`, scope)))
    } else parts.push(bytesAre(bytes as BytesCondition, `${name}.bytes`, scope))
  }
  if (condition.all !== undefined) parts.push(...inner(condition.all, 'all'))
  if (condition.any !== undefined) parts.push(any(...inner(condition.any, 'any')))
  if (condition.not !== undefined) parts.push(not(expressionOf(condition.not, `${name}.not`, scope)))
  return parts
}

function lengths({ minimumLength, maximumLength }: PacketCondition, name: string): Expression[] {
  const parts: Expression[] = []
  if (minimumLength !== undefined) {
    checkInteger(minimumLength, `${name}.minimumLength`, 0, LONGEST)
    parts.push(isAtLeast(minimumLength))
  }
  if (maximumLength !== undefined) {
    checkInteger(maximumLength, `${name}.maximumLength`, 0, LONGEST)
    parts.push(not(test(length, 'BPF_JGT', maximumLength)))
  }
  return parts
}

function ethernet(condition: PacketCondition, name: string, scope: Scope): Expression[] {
  const parts: Expression[] = []
  const { etherType, broadcast, multicast, arp } = condition
  const whether = (wanted: unknown, key: string, expression: Expression) => {
    if (wanted === undefined) return
    checkBoolean(wanted, `${name}.${key}`)
    parts.push(wanted ? expression : not(expression))
  }
  if (etherType !== undefined) {
    if ((etherType as string) === 'all')
      throw valueError(`${name}.etherType`, etherType, 'is no type of frames: leave it out')
    const number = checkProtocol(etherType, `${name}.etherType`)
    const isIp = number === protocols.ip || number === protocols.ipv6
    if (scope.layer3 && !isIp) throw valueError(`${name}.etherType`, etherType, 'packets of a tun are IPv4 or IPv6')
    parts.push(typeIs(number, scope))
  }
  whether(arp, 'arp', typeIs(protocols.arp, scope))
  whether(broadcast, 'broadcast', macIs('destination', Buffer.alloc(6, 0xff)))
  whether(multicast, 'multicast', isGroup)
  for (const [key, sides] of macKeys) {
    const text = condition[key]
    if (text === undefined) continue
    const octets = checkMac(text, `${name}.${key}`)
    parts.push(any(...sides.map((side) => macIs(side, octets))))
  }
  return parts
}

const macKeys = [
  ['sourceMac', ['source']],
  ['destinationMac', ['destination']],
  ['mac', ['source', 'destination']],
] as const

function bytesAre(condition: BytesCondition, name: string, { tags }: Scope): Expression {
  checkOptions(condition, name, ['offset', 'size', 'mask', 'value'])
  const { offset, size = 1, mask, value } = condition
  if (size !== 1 && size !== 2 && size !== 4) throw valueError(`${name}.size`, size, 'expected 1, 2 or 4')
  const most = 2 ** (8 * size) - 1
  checkInteger(offset, `${name}.offset`, 0, 0xffff)
  checkInteger(value, `${name}.value`, 0, most)
  if (mask !== undefined) checkInteger(mask, `${name}.mask`, 0, most)
  // Tags lie behind the MAC addresses.
  const addresses = ETHERNET_HEADER - 2
  if (tags > 0 && offset < addresses && offset + size > addresses)
    throw valueError(`${name}.offset`, offset, 'the VLAN tag lies between these bytes')
  const place = offset < addresses ? offset : offset + tags
  const bits = mask ?? most
  // A value that the mask cannot give is one that no frame has.
  if ((value & ~bits) >>> 0 !== 0) return never
  return equals(load(place, size, mask), value)
}
