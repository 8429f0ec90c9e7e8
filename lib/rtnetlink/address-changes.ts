/** An address that is asked for beside the one that is there: whether they are the same, what differs, what is sent to change it. */
import { checkPrefix, formatIp, formatPrefix } from '../values/ip.js'
import type { Address, AddressFlag } from './address.js'
import { type AddressProtocol, broadcastText, type CheckedAddress } from './address-options.js'
import { addressProtocols } from './constants.js'

/**
 * The address of a link that a caller means: the kernel tells IPv4 addresses of a link apart by prefix length and peer too
 * (find_matching_ifa in net/ipv4/devinet.c), IPv6 addresses not.
 */
export function isMeant(known: Address, { octets, prefixLength, options: { peer } }: CheckedAddress): boolean {
  const text = formatIp(octets)
  if (known.family === 'inet6') return known.address.startsWith(`${text}/`)
  if (peer === undefined) return known.peer === undefined && known.address === `${text}/${prefixLength}`
  return known.address === `${text}/32` && known.peer === peerText(peer)
}

function peerText(peer: string): string {
  const { octets, prefixLength } = checkPrefix(peer, 'peer', true)
  return formatPrefix(octets, prefixLength)
}

/** Which of the options asked for an address does not have: those that the kernel can change, and those that it cannot. */
export function differences(known: Address, wanted: CheckedAddress): { fixed: string[]; changeable: string[] } {
  const { prefixLength, options } = wanted
  const { label, scope, peer, noDad, noPrefixRoute, metric, protocol, validLifetime, preferredLifetime } = options
  const { home, manageTemporaryAddresses, multicastAutoJoin } = options
  const isSix = known.family === 'inet6'
  const length = isSix && peer === undefined ? prefixLength : undefined
  const flag = (wish: boolean | undefined, name: AddressFlag) =>
    wish !== undefined && wish !== known.flags.includes(name)
  const differs = {
    label: label !== undefined && label !== known.label,
    'broadcast address': options.broadcast !== undefined && broadcastText(wanted) !== known.broadcast,
    // The kernel decides about IPv6's.
    scope: scope !== undefined && !isSix && scope !== known.scope,
    'prefix length': length !== undefined && !known.address.endsWith(`/${length}`),
    multicastAutoJoin: flag(multicastAutoJoin, 'autojoin'),
    peer: peer !== undefined && peerText(peer) !== known.peer,
    // `optimistic` is about the detection of duplicates, which an address that is there has before it or behind it.
    noDad: isSix && flag(noDad, 'nodad'),
    noPrefixRoute: flag(noPrefixRoute, 'noprefixroute'),
    home: flag(home, 'home'),
    manageTemporaryAddresses: flag(manageTemporaryAddresses, 'mngtmpaddr'),
    metric: metric !== undefined && metric !== (known.metric ?? 0),
    protocol: protocol !== undefined && protocolNumber(protocol) !== protocolNumber(known.protocol ?? 'unspec'),
    // Those that run are never as asked.
    validLifetime: validLifetime !== undefined && validLifetime !== known.validLifetime,
    preferredLifetime: preferredLifetime !== undefined && preferredLifetime !== preferredOf(known),
  }
  const different = (Object.keys(differs) as (keyof typeof differs)[]).filter((key) => differs[key])
  const fixed = different.filter((key) => isFixed(key, isSix))
  return { fixed, changeable: different.filter((key) => !fixed.includes(key)) }
}

/** What the kernel gives to a new address only. */
function isFixed(key: string, isSix: boolean): boolean {
  if (['prefix length', 'multicastAutoJoin'].includes(key)) return true
  return !isSix && !['metric', 'protocol', 'validLifetime', 'preferredLifetime'].includes(key)
}

export function protocolNumber(protocol: AddressProtocol | number): number {
  return typeof protocol === 'number' ? protocol : addressProtocols[protocol]
}

/** The kernel tells that an IPv4 address that is valid for ever is deprecated by the flag alone. */
function preferredOf({ flags, preferredLifetime }: Address): number {
  return flags.includes('deprecated') ? 0 : preferredLifetime
}

/** What is asked of an address that is there, with all that is not asked as it is: the kernel replaces the whole. */
export function completed(wanted: CheckedAddress, known: Address): CheckedAddress {
  const has = (flag: AddressFlag) => known.flags.includes(flag)
  const { options } = wanted
  const preferredLifetime = options.preferredLifetime ?? options.validLifetime ?? preferredOf(known)
  return {
    ...wanted,
    options: {
      ...options,
      peer: options.peer ?? known.peer,
      metric: options.metric ?? known.metric,
      protocol: options.protocol ?? known.protocol,
      noDad: options.noDad ?? has('nodad'),
      noPrefixRoute: options.noPrefixRoute ?? has('noprefixroute'),
      home: options.home ?? has('home'),
      manageTemporaryAddresses: options.manageTemporaryAddresses ?? has('mngtmpaddr'),
      // The kernel takes none of less than a second, nor one that is shorter than the other.
      validLifetime: options.validLifetime ?? Math.max(known.validLifetime, preferredLifetime, 1000),
      preferredLifetime,
    },
  }
}
