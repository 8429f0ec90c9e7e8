/** What a caller says about entries of multicast databases. */
import { checkInteger, checkOneOf, checkOptions, checkString, typeError, valueError } from '../validate.js'
import { checkIp, formatIp } from '../values/ip.js'
import { formatMac } from '../values/mac.js'
import type { routeProtocols } from './constants.js'
import { checkLinkReference, type LinkReference } from './link-options.js'
import { groupMembers, type MdbEntry, type mdbStates } from './mdb-entry.js'
import { checkProtocol, protocolNumber } from './route-options.js'

/** Which entry is meant. */
export interface MdbMatch {
  /** An IPv4 or IPv6 group, or a multicast MAC address. */
  group: string
  /** The port that is sent the group. Default: the bridge itself, for its host. */
  port?: LinkReference
  /** Only what comes from this address. */
  source?: string
  vlan?: number
  /** VXLAN (Linux 6.4): where it is sent to, an IP address; its UDP port and network, the network that it comes from. */
  destination?: string
  destinationPort?: number
  vni?: number
  sourceVni?: number
}

/** A new entry (bridge(8), "mdb"). */
export interface NewMdbEntry extends MdbMatch {
  /**
   * A 'temporary' one ages as what was learned. Default: 'permanent', and 'temporary' for an IP group of the bridge's own host, where
   * the kernel takes no other.
   */
  state?: keyof typeof mdbStates
  /** Which sources are let through, or are not (Linux 6.3): `filterMode: 'include'` needs them. */
  sources?: readonly string[]
  filterMode?: 'include' | 'exclude'
  /** Who made it, as of routes (Linux 6.3). */
  protocol?: keyof typeof routeProtocols | number
}

export interface MdbFilter {
  group?: string
  port?: LinkReference
  vlan?: number
  state?: keyof typeof mdbStates
}

export const mdbMatchKeys = [
  'group',
  'port',
  'source',
  'vlan',
  'destination',
  'destinationPort',
  'vni',
  'sourceVni',
] as const satisfies readonly (keyof MdbMatch)[]
export const mdbKeys = [...mdbMatchKeys, 'state', 'sources', 'filterMode', 'protocol'] as const

/** What makes an entry as a row of `list` has it. */
export function mdbEntryOf(given: NewMdbEntry | MdbEntry): NewMdbEntry {
  if (typeof given !== 'object' || given === null || !('flags' in given)) return given
  const { bridge: _, index, flags: __, timer: ___, via: ____, sources, ...rest } = given
  return { ...(rest as NewMdbEntry), port: index, sources: sources?.map(({ address }) => address) }
}

/** Which one it is. */
export function mdbMatchOf(given: MdbMatch | MdbEntry): MdbMatch {
  if (typeof given !== 'object' || given === null || !('flags' in given)) return given
  const entry = mdbEntryOf(given)
  return Object.fromEntries(mdbMatchKeys.map((key) => [key, entry[key]])) as unknown as MdbMatch
}

/** A group as the kernel says it. */
export function checkGroup(group: unknown, name: string): string {
  checkString(group, name)
  const members = groupMembers(group)
  if (members === undefined) throw valueError(name, group, 'is neither an IP address nor a MAC address')
  const { address, protocol } = members
  if (protocol === 0) return formatMac(address, 0, 6)
  return formatIp(address, 0, protocol === 0x0800 ? 4 : 16)
}

export function checkMdbMatch(match: MdbMatch, name: string, keys: readonly string[] = mdbMatchKeys): void {
  checkOptions(match, name, keys)
  checkGroup(match.group, `${name}.group`)
  if (match.port !== undefined) checkLinkReference(match.port, `${name}.port`)
  if (match.source !== undefined) checkIp(match.source, `${name}.source`)
  if (match.vlan !== undefined) checkInteger(match.vlan, `${name}.vlan`, 1, 4094)
  if (match.destination !== undefined) checkIp(match.destination, `${name}.destination`)
  if (match.destinationPort !== undefined) checkInteger(match.destinationPort, `${name}.destinationPort`, 1, 0xffff)
  for (const key of ['vni', 'sourceVni'] as const) {
    if (match[key] !== undefined) checkInteger(match[key], `${name}.${key}`, 0, 0xff_ffff)
  }
}

export function checkMdbEntry(entry: NewMdbEntry, name: string): void {
  checkMdbMatch(entry, name, mdbKeys)
  if (entry.state !== undefined) checkOneOf(entry.state, `${name}.state`, ['permanent', 'temporary'])
  if (entry.filterMode !== undefined) checkOneOf(entry.filterMode, `${name}.filterMode`, ['include', 'exclude'])
  if (entry.protocol !== undefined) checkProtocol(entry.protocol, `${name}.protocol`)
  if (entry.sources === undefined) return
  if (!Array.isArray(entry.sources)) throw typeError(`${name}.sources`, 'an array', entry.sources)
  for (const [i, source] of entry.sources.entries()) checkIp(source, `${name}.sources[${i}]`)
}

const normal = (address: string, name: string) => formatIp(checkIp(address, name))

/** Whether an entry is the one that is meant: at the port of this index, or at any. */
export function isMdbMeant(entry: MdbEntry, match: MdbMatch, index: number | undefined): boolean {
  return (
    (index === undefined || entry.index === index) &&
    entry.group === checkGroup(match.group, 'group') &&
    entry.source === (match.source === undefined ? undefined : normal(match.source, 'source')) &&
    (entry.vlan ?? 0) === (match.vlan ?? 0) &&
    (match.destination === undefined || entry.destination === normal(match.destination, 'destination')) &&
    (match.vni === undefined || (entry.vni ?? match.vni) === match.vni)
  )
}

/** The state of a new entry; `host`: of the bridge itself. */
export function mdbStateOf({ state, group }: NewMdbEntry, host: boolean): keyof typeof mdbStates {
  return state ?? (host && groupMembers(group)?.protocol !== 0 ? 'temporary' : 'permanent')
}

/** True when an entry is as asked; what is not said is not compared, but for the state, which has a default. */
export function isMdbAsAsked(known: MdbEntry, wish: NewMdbEntry): boolean {
  const { sources } = wish
  const has = new Set(known.sources?.map(({ address }) => address))
  return (
    known.state === mdbStateOf(wish, known.index === known.bridge && known.destination === undefined) &&
    (wish.filterMode === undefined || (known.filterMode ?? 'exclude') === wish.filterMode) &&
    (sources === undefined ||
      (sources.length === has.size && sources.every((one) => has.has(normal(one, 'source'))))) &&
    (wish.protocol === undefined || protocolNumber(known.protocol ?? 0) === protocolNumber(wish.protocol))
  )
}
