/** What a caller says about a neighbor. */
import { checkBoolean, checkOneOf, checkOptions, checkString, typeError, valueError } from '../validate.js'
import { checkIp, familyOf, formatIp, type IpFamily } from '../values/ip.js'
import { normalMac } from '../values/mac.js'
import type { routeProtocols } from './constants.js'
import { checkLinkReference, type LinkReference } from './link-options.js'
import { type Neighbor, type NeighborState, neighborFlags, neighborMoreFlags, neighborStates } from './neighbor.js'
import { checkProtocol, protocolNumber } from './route-options.js'

/** A new neighbor (ip-neighbour(8)). */
export interface NewNeighbor {
  /** The neighbor's IP address. */
  address: string
  /** Its hardware address. */
  mac?: string
  link: LinkReference
  /**
   * Default: 'permanent', and 'none' without `mac`. 'permanent' stays until it is removed, 'noarp' until the link goes down or
   * it is removed, 'reachable' and 'stale' are looked after by the kernel as what it found out itself. Several words are several
   * bits at once.
   */
  state?: NeighborState | readonly NeighborState[]
  /** It is a router (IPv6). */
  router?: boolean
  /** It was learned by a program, as a routing daemon: the kernel does not let it age, and removes it with the link's carrier. */
  externallyLearned?: boolean
  /** The kernel finds out its hardware address, and keeps it reachable (Linux 5.16). */
  managed?: boolean
  /** The kernel finds out its hardware address now. */
  use?: boolean
  /** Who made it, as of routes (`ip neigh … protocol`). */
  protocol?: keyof typeof routeProtocols | number
}

/** Which neighbor is meant. */
export type NeighborMatch = Pick<NewNeighbor, 'address' | 'link'>

export interface NeighborFilter {
  family?: 'inet' | 'inet6'
  link?: LinkReference
  /** Those on the ports of this link. */
  master?: LinkReference
  /** Those in this state, or in one of these. */
  state?: NeighborState | readonly NeighborState[]
  address?: string
  mac?: string
  protocol?: keyof typeof routeProtocols | number
}

/** What makes a neighbor as a row of `list` has it. */
export function neighborOf(given: NewNeighbor | Neighbor): NewNeighbor {
  if (!isNeighborRow(given)) return given
  const { address, index, mac, state, flags, protocol } = given
  const neighbor: NewNeighbor = { address, link: index, mac, state: state as NeighborState, protocol }
  for (const key of rowFlags) neighbor[key] = flags.includes(key)
  return neighbor
}

/** Which one a row of `list` is. */
export function neighborMatchOf(given: NeighborMatch | Neighbor): NeighborMatch {
  return isNeighborRow(given) ? { address: given.address, link: given.index } : given
}

/** A row, by what only rows have. */
export function isNeighborRow(given: object): given is Neighbor {
  return typeof given === 'object' && given !== null && 'flags' in given
}

const rowFlags = ['router', 'externallyLearned', 'managed'] as const

export const neighborKeys = [
  'address',
  'mac',
  'link',
  'state',
  'router',
  'externallyLearned',
  'managed',
  'use',
  'protocol',
] as const satisfies readonly (keyof NewNeighbor)[]

export const neighborFilterKeys = [
  'family',
  'link',
  'master',
  'state',
  'address',
  'mac',
  'protocol',
] as const satisfies readonly (keyof NeighborFilter)[]

const flagOptions = ['router', 'externallyLearned', 'use'] as const

/** A neighbor in the kernel's terms. */
export interface CheckedNeighbor {
  family: IpFamily
  address: string
  mac: string | undefined
  state: number
  flags: number
  moreFlags: number | undefined
  protocol: number | undefined
}

const wordList = Object.keys(neighborStates) as NeighborState[]

/** The bits of one word or of several. */
export function stateBits(state: unknown, name: string): number {
  if (!Array.isArray(state)) {
    checkOneOf(state, name, wordList)
    return neighborStates[state]
  }
  return state.reduce<number>((bits, word, i) => {
    checkOneOf(word, `${name}[${i}]`, wordList)
    return bits | neighborStates[word]
  }, 0)
}

/** A hardware address of any length, as the kernel's answers have it. */
export function checkHardwareAddress(value: unknown, name: string): string {
  checkString(value, name)
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){0,31}$/i.test(value)) {
    throw valueError(name, value, "a hardware address is hexadecimal octets, as in '02:00:00:00:00:01'")
  }
  return normalMac(value)
}

export function checkFamily(value: unknown, name: string): void {
  if (value !== undefined) checkOneOf(value, name, ['inet', 'inet6'])
}

/** Checks which neighbor is meant: its family, and its address as the kernel says it. */
export function checkNeighborMatch(
  match: Pick<NewNeighbor, 'address'>,
  name: string,
  keys: readonly string[],
): { family: IpFamily; address: string } {
  checkOptions(match, name, keys)
  const octets = checkIp(match.address, `${name}.address`)
  return { family: familyOf(octets), address: formatIp(octets) }
}

export function checkNeighbor(neighbor: NewNeighbor, name: string): CheckedNeighbor {
  const { family, address } = checkNeighborMatch(neighbor, name, neighborKeys)
  checkLinkReference(neighbor.link, `${name}.link`)
  const { managed, use, protocol } = neighbor
  for (const key of [...flagOptions, 'managed'] as const) {
    if (neighbor[key] !== undefined) checkBoolean(neighbor[key], `${name}.${key}`)
  }
  if (protocol !== undefined) checkProtocol(protocol, `${name}.protocol`)
  const mac = neighbor.mac === undefined ? undefined : checkHardwareAddress(neighbor.mac, `${name}.mac`)
  if (mac === undefined && neighbor.state === undefined && managed !== true && use !== true) {
    throw typeError(`${name}.mac`, "a string, unless there is 'state', 'managed' or 'use'", neighbor.mac)
  }
  const initial: NeighborState = mac === undefined ? 'none' : 'permanent'
  return {
    family,
    address,
    mac,
    state: stateBits(neighbor.state ?? initial, `${name}.state`),
    flags: flagOptions.reduce((bits, key) => (neighbor[key] === true ? bits | neighborFlags[key] : bits), 0),
    moreFlags: managed === true ? neighborMoreFlags.managed : undefined,
    protocol: protocol === undefined ? undefined : protocolNumber(protocol),
  }
}

/** What the kernel changes by itself: from any of those to any other. */
const moving = ['reachable', 'stale', 'delay', 'probe']

/** True when a neighbor is as asked. */
export function isNeighborAsAsked(known: Neighbor, wish: NewNeighbor, checked: CheckedNeighbor): boolean {
  const state = typeof known.state === 'number' ? known.state : stateBits(known.state, 'state')
  const hasMoved =
    typeof known.state === 'string' &&
    moving.includes(known.state) &&
    moving.some((word) => neighborStates[word as NeighborState] === checked.state)
  const wantsNone = checked.mac === undefined && checked.state === 0
  return (
    (checked.mac === undefined || known.mac === checked.mac) &&
    (state === checked.state || hasMoved || wantsNone) &&
    rowFlags.every((key) => wish[key] === undefined || known.flags.includes(key) === wish[key]) &&
    (wish.protocol === undefined || protocolNumber(known.protocol ?? 0) === checked.protocol)
  )
}
