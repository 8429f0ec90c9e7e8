/** What a caller says about an entry of a forwarding database, and where the kernel is to look for it. */

import type { AttributesOf } from '../netlink/table.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, valueError } from '../validate.js'
import { checkIp, formatIp } from '../values/ip.js'
import { checkMac, normalMac } from '../values/mac.js'
import type { routeProtocols } from './constants.js'
import type { FdbEntry, FdbState } from './fdb-entry.js'
import { checkLinkReference, type LinkReference } from './link-options.js'
import { type neighborAttributes, neighborFlags, neighborStates } from './neighbor.js'
import { checkProtocol, protocolNumber } from './route-options.js'

/** Which entry is meant. */
export interface FdbMatch {
  /** '00:00:00:00:00:00' in a VXLAN: where unknown addresses, broadcasts and multicasts are sent. */
  mac: string
  /** Of a bridge: the port it is at. Not given: any, and in a new entry the bridge itself. */
  port?: LinkReference
  /** Of a bridge with VLANs. A new entry without it is in no VLAN, and in all those of the port. */
  vlan?: number
  /** VXLAN: the IP address that frames are sent to. */
  destination?: string
  /** VXLAN: the UDP port there. Default: the link's own. */
  destinationPort?: number
  /** VXLAN: the network identifier to send with. Default: the link's own. */
  vni?: number
  /** VXLAN with `external`: the network identifier that the entry is for. */
  sourceVni?: number
  /** VXLAN: the link to send through. */
  via?: LinkReference
  /** VXLAN: a nexthop group in place of a destination. */
  nexthopId?: number
  /** In the link's own database, or in its bridge's; both may be. Default: see LinkFdb. */
  self?: boolean
  master?: boolean
}

/** A new entry. */
export interface NewFdbEntry extends FdbMatch {
  /**
   * Default: 'static' at a bridge's port, where `bridge fdb` has 'permanent', which makes the address the host's own;
   * 'permanent' of the bridge itself and in a link's own database.
   */
  state?: Exclude<FdbState, 'stale'>
  /** It does not move to another port (bridge). */
  sticky?: boolean
  /** A program learned it, as a routing daemon: it does not age, and may move. */
  externallyLearned?: boolean
  /** The bridge is to take it for just used. */
  use?: boolean
  /** VXLAN: the address is a router's. */
  router?: boolean
  /** The bridge tells when it becomes active and inactive (`bridge fdb … activity_notify`). */
  activityNotify?: boolean
  /** VXLAN: who made it, as of routes. */
  protocol?: keyof typeof routeProtocols | number
}

const rowFlags = ['sticky', 'externallyLearned', 'router'] as const

/** A row, by what only rows have. */
function isRow(given: object): given is FdbEntry {
  return typeof given === 'object' && given !== null && 'flags' in given
}

/** Which entry a row of the list of a link is: `index` is the link's, `isBridge` whether it is a bridge. */
export function fdbMatchOf(given: FdbMatch | FdbEntry, index: number, isBridge: boolean): FdbMatch {
  if (!isRow(given)) return given
  const { mac, vlan, destination, destinationPort, vni, sourceVni, via, nexthopId } = given
  const match: FdbMatch = { mac, vlan, destination, destinationPort, vni, sourceVni, via, nexthopId }
  // An address of the bridge itself.
  if (isBridge && given.index === index) return match
  const master = given.master !== undefined
  return { ...match, port: given.index === index ? undefined : given.index, self: !master, master }
}

/** What makes an entry as a row has it. */
export function fdbEntryOf(given: NewFdbEntry | FdbEntry, index: number, isBridge: boolean): NewFdbEntry {
  if (!isRow(given)) return given
  const { state, flags, protocol, activityNotify } = given
  const entry: NewFdbEntry = { ...fdbMatchOf(given, index, isBridge), protocol, activityNotify }
  // What is about to go is as new again.
  entry.state = state === 'stale' ? 'dynamic' : (state as NonNullable<NewFdbEntry['state']>)
  for (const key of rowFlags) entry[key] = flags.includes(key)
  return entry
}

export interface FdbFilter {
  mac?: string
  /** Of a bridge: those at this port. */
  port?: LinkReference
  vlan?: number
  state?: FdbState
  destination?: string
  vni?: number
  /** Only those of links' own databases; false: only those of bridges. */
  self?: boolean
  externallyLearned?: boolean
  sticky?: boolean
}

const tunnelNumbers = { destinationPort: 0xffff, vni: 0xff_ffff, sourceVni: 0xff_ffff, nexthopId: 0xffff_ffff } as const
const tunnelKeys = ['destination', 'destinationPort', 'vni', 'sourceVni', 'via', 'nexthopId'] as const
const flagKeys = ['sticky', 'externallyLearned', 'use', 'router'] as const

export const fdbMatchKeys = [
  'mac',
  'port',
  'vlan',
  ...tunnelKeys,
  'self',
  'master',
] as const satisfies readonly (keyof FdbMatch)[]

export const fdbKeys = [
  ...fdbMatchKeys,
  'state',
  ...flagKeys,
  'activityNotify',
  'protocol',
] as const satisfies readonly (keyof NewFdbEntry)[]

export const fdbFilterKeys = [
  'mac',
  'port',
  'vlan',
  'state',
  'destination',
  'vni',
  'self',
  'externallyLearned',
  'sticky',
] as const satisfies readonly (keyof FdbFilter)[]

/** Whether anything is said that only a tunnel understands. */
export function isForTunnel(match: FdbMatch): boolean {
  return tunnelKeys.some((key) => match[key] !== undefined)
}

export function checkFdbMatch(match: FdbMatch, name: string, keys: readonly string[] = fdbMatchKeys): void {
  checkOptions(match, name, keys)
  checkMac(match.mac, `${name}.mac`)
  if (match.port !== undefined) checkLinkReference(match.port, `${name}.port`)
  if (match.via !== undefined) checkLinkReference(match.via, `${name}.via`)
  if (match.vlan !== undefined) checkInteger(match.vlan, `${name}.vlan`, 1, 4094)
  if (match.destination !== undefined) checkIp(match.destination, `${name}.destination`)
  for (const [key, most] of Object.entries(tunnelNumbers)) {
    const value = match[key as keyof typeof tunnelNumbers]
    if (value !== undefined) checkInteger(value, `${name}.${key}`, 0, most)
  }
  for (const key of ['self', 'master'] as const)
    if (match[key] !== undefined) checkBoolean(match[key], `${name}.${key}`)
  if (match.nexthopId !== undefined && match.destination !== undefined) {
    throw valueError(`${name}.nexthopId`, match.nexthopId, 'stands in place of a destination, and both are given')
  }
}

export function checkFdbEntry(entry: NewFdbEntry, name: string): void {
  checkFdbMatch(entry, name, fdbKeys)
  if (entry.state !== undefined) checkOneOf(entry.state, `${name}.state`, ['permanent', 'static', 'dynamic'])
  for (const key of [...flagKeys, 'activityNotify'] as const) {
    if (entry[key] !== undefined) checkBoolean(entry[key], `${name}.${key}`)
  }
  if (entry.protocol !== undefined) checkProtocol(entry.protocol, `${name}.protocol`)
}

/** A filter, with its addresses as the kernel says them. */
export function checkFdbFilter<F extends FdbFilter>(filter: F, keys: readonly string[] = fdbFilterKeys): F {
  checkOptions(filter, 'filter', keys)
  const { mac, port, vlan, state, destination, vni } = filter
  if (mac !== undefined) checkMac(mac, 'filter.mac')
  if (port !== undefined) checkLinkReference(port, 'filter.port')
  if (vlan !== undefined) checkInteger(vlan, 'filter.vlan', 1, 4094)
  if (state !== undefined) checkOneOf(state, 'filter.state', ['permanent', 'static', 'dynamic', 'stale'])
  if (vni !== undefined) checkInteger(vni, 'filter.vni', 0, 0xff_ffff)
  for (const key of ['self', 'externallyLearned', 'sticky'] as const) {
    if (filter[key] !== undefined) checkBoolean(filter[key], `filter.${key}`)
  }
  return {
    ...filter,
    mac: mac === undefined ? undefined : normalMac(mac),
    destination: destination === undefined ? undefined : formatIp(checkIp(destination, 'filter.destination')),
  }
}

/** Whether an entry is one of those that a checked filter means; the links are looked at elsewhere. */
export function isFdbMeant(entry: FdbEntry, filter: FdbFilter): boolean {
  const { mac, vlan, state, destination, vni, self, externallyLearned, sticky } = filter
  return (
    (mac === undefined || entry.mac === mac) &&
    (vlan === undefined || entry.vlan === vlan) &&
    (state === undefined || entry.state === state) &&
    (destination === undefined || entry.destination === destination) &&
    (vni === undefined || entry.vni === vni) &&
    (self === undefined || (entry.master === undefined) === self) &&
    (externallyLearned === undefined || entry.flags.includes('externallyLearned') === externallyLearned) &&
    (sticky === undefined || entry.flags.includes('sticky') === sticky)
  )
}

type Attributes = AttributesOf<typeof neighborAttributes>

/** What tells an entry from others, for the database that is asked: only a link's own knows of tunnels, only a bridge's of VLANs. */
export function fdbMatchAttributes(match: FdbMatch, via: number | undefined, self: boolean, both: boolean): Attributes {
  const { mac, vlan, destination, destinationPort, vni, sourceVni, nexthopId } = match
  const attributes: Attributes = { mac: normalMac(mac) }
  if (!self || !both) attributes.vlan = vlan
  if (self || !both) Object.assign(attributes, { destination, destinationPort, vni, sourceVni, nexthopId, link: via })
  return attributes
}

/** The state's bits, as `bridge fdb` sends them: a VXLAN takes 'static' only with NUD_REACHABLE. */
const stateBits = {
  permanent: neighborStates.permanent | neighborStates.noarp,
  static: neighborStates.noarp | neighborStates.reachable,
  dynamic: neighborStates.reachable,
} as const

/** The state of a new entry. */
function stateOf(entry: NewFdbEntry, self: boolean): NonNullable<NewFdbEntry['state']> {
  return entry.state ?? (self ? 'permanent' : 'static')
}

/** The header and attributes of a new entry in one database; `both` when the other database gets one too. */
export function newFdbParts(
  entry: NewFdbEntry,
  via: number | undefined,
  self: boolean,
  both: boolean,
): { state: number; flags: number; attributes: Attributes } {
  const { activityNotify, protocol } = entry
  const attributes = fdbMatchAttributes(entry, via, self, both)
  if (activityNotify !== undefined && !(self && both)) attributes.fdbExtra = { activityNotify: activityNotify ? 1 : 0 }
  if (protocol !== undefined) attributes.protocol = protocolNumber(protocol)
  return {
    state: stateBits[stateOf(entry, self)],
    flags: flagKeys.reduce((bits, key) => (entry[key] === true ? bits | neighborFlags[key] : bits), 0),
    attributes,
  }
}

/** What finds an entry in one database: only a link's own knows of tunnels, only a bridge's of VLANs. */
export function fdbMatchIn(entry: FdbMatch, port: number | undefined, self: boolean): FdbMatch {
  const { mac, vlan } = entry
  if (!self) return { mac, vlan, port, self, master: true }
  return { mac, port, self, ...Object.fromEntries(tunnelKeys.map((key) => [key, entry[key]])) }
}

/** Whether a VXLAN keeps many destinations for an address, each an entry: it is all zeros, or of a group. */
export function hasManyDestinations(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 || !/[1-9a-f]/i.test(mac)
}

/** True when an entry is as asked; what is not said is not compared, but for the state, which has a default. */
export function isFdbAsAsked(known: FdbEntry, wish: NewFdbEntry, self: boolean): boolean {
  return (
    // What is learned by a program has no state of its own in a bridge.
    (known.state === stateOf(wish, self) || (wish.externallyLearned === true && !self)) &&
    rowFlags.every((key) => wish[key] === undefined || known.flags.includes(key) === wish[key]) &&
    (wish.activityNotify === undefined || (known.activityNotify ?? false) === wish.activityNotify)
  )
}
