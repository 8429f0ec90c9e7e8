/** What a caller says about an address. */
import { checkBoolean, checkInteger, checkOneOf, checkOptions, checkString, valueError } from '../validate.js'
import { AF_INET, broadcastOf, checkIp, checkPrefix, familyOf, formatIp, type IpPrefix } from '../values/ip.js'
import { type addressFlags, addressProtocols, scopes } from './constants.js'

export type ScopeName = keyof typeof scopes
export type AddressProtocol = keyof typeof addressProtocols

/** More about an address than its text. */
export interface AddressOptions {
  /** IPv4: a name for it of up to 15 bytes, which must begin with the link's, as 'eth0:0'. */
  label?: string
  /**
   * IPv4: the broadcast address; '+' is the last of the network, which is the peer's when there is one, and none in a /31 or
   * /32. Default: none, as with `ip address add`.
   */
  broadcast?: string
  /** The other end's address of a point-to-point link, with the prefix length when it is not a host: '10.0.0.2'. */
  peer?: string
  /** Where the address is valid. Default: 'global'. For IPv6 the kernel decides. */
  scope?: ScopeName
  /** Metric of the route to the address's network. */
  metric?: number
  /** IPv6: skip duplicate address detection, so that the address can be used at once. Default: false. */
  noDad?: boolean
  /** Make no route to the address's network. Default: false. */
  noPrefixRoute?: boolean
  /** IPv6: use the address while duplicate address detection is still at it (RFC 4429). The kernel must allow it. */
  optimistic?: boolean
  /** IPv6: it is the home address of a mobile node (RFC 6275). */
  home?: boolean
  /** IPv6: make temporary addresses from it, which protect privacy (`mngtmpaddr`, RFC 8981). Needs a /64. */
  manageTemporaryAddresses?: boolean
  /** Join the multicast group that the address is (`autojoin`), so that frames for it are let through by bridges and cards. */
  multicastAutoJoin?: boolean
  /** Who makes the address: a word, or a number that programs agree on, to 255 (Linux 5.18; older kernels pass over it). */
  protocol?: AddressProtocol | number
  /** Milliseconds until the address is removed; Infinity (default) for never. Whole seconds. */
  validLifetime?: number
  /** Milliseconds until the address is not chosen for new connections any more. Default: `validLifetime`. */
  preferredLifetime?: number
}

/** An address: '10.0.1.1/24', or an object with it and more. */
export type AddressInput = string | ({ address: string } & AddressOptions)

export const addressOptionKeys = [
  'label',
  'broadcast',
  'peer',
  'scope',
  'metric',
  'noDad',
  'noPrefixRoute',
  'optimistic',
  'home',
  'manageTemporaryAddresses',
  'multicastAutoJoin',
  'protocol',
  'validLifetime',
  'preferredLifetime',
] as const satisfies readonly (keyof AddressOptions)[]

/** An address that was checked. */
export interface CheckedAddress extends IpPrefix {
  /** As the caller wrote it. */
  text: string
  options: AddressOptions
}

/** Checks an address with its options. Throws ERR_INVALID_ARG_… */
export function checkAddressInput(value: unknown, name: string): CheckedAddress {
  if (typeof value === 'string') return { ...checkPrefix(value, name), text: value, options: {} }
  checkOptions(value, name, ['address', ...addressOptionKeys])
  const { address, ...options } = value as { address: unknown } & AddressOptions
  const prefix = checkPrefix(address, `${name}.address`)
  checkAddressOptions(options, prefix, name)
  return { ...prefix, text: String(address), options }
}

export function checkAddressOptions(options: AddressOptions, prefix: IpPrefix, name: string): void {
  checkOptions(options, name, addressOptionKeys)
  const { label, broadcast, peer, scope, metric } = options
  if (label !== undefined) {
    checkString(label, `${name}.label`)
    if (prefix.family !== AF_INET) throw valueError(`${name}.label`, label, 'only IPv4 addresses have labels')
    if (label === '' || Buffer.byteLength(label) > 15)
      throw valueError(`${name}.label`, label, 'must have 1 to 15 bytes')
  }
  if (broadcast !== undefined && broadcast !== '+')
    sameFamily(checkIp(broadcast, `${name}.broadcast`), prefix, `${name}.broadcast`, broadcast)
  if (broadcast !== undefined && prefix.family !== AF_INET) {
    throw valueError(`${name}.broadcast`, broadcast, 'only IPv4 addresses have one')
  }
  if (peer !== undefined) sameFamily(checkPrefix(peer, `${name}.peer`, true).octets, prefix, `${name}.peer`, peer)
  if (scope !== undefined) checkOneOf(scope, `${name}.scope`, Object.keys(scopes) as ScopeName[])
  if (metric !== undefined) checkInteger(metric, `${name}.metric`, 0, 0xffff_ffff)
  for (const key of flagOptions) if (options[key] !== undefined) checkBoolean(options[key], `${name}.${key}`)
  for (const key of ['optimistic', 'home', 'manageTemporaryAddresses'] as const) {
    if (options[key] !== undefined && prefix.family === AF_INET) {
      throw valueError(`${name}.${key}`, options[key], 'is for IPv6 addresses')
    }
  }
  if (options.protocol !== undefined) checkAddressProtocol(options.protocol, `${name}.protocol`)
  const { validLifetime: valid = Number.POSITIVE_INFINITY, preferredLifetime: preferred } = options
  checkLifetime(valid, `${name}.validLifetime`, 1000)
  if (preferred === undefined) return
  checkLifetime(preferred, `${name}.preferredLifetime`, 0)
  if (preferred > valid) {
    throw valueError(`${name}.preferredLifetime`, preferred, `is longer than validLifetime, ${valid}`)
  }
}

/** Options that are flags of the address, and the flags that they are. */
export const flagsByOption = {
  noDad: 'nodad',
  noPrefixRoute: 'noprefixroute',
  optimistic: 'optimistic',
  home: 'home',
  manageTemporaryAddresses: 'mngtmpaddr',
  multicastAutoJoin: 'autojoin',
} as const satisfies { [option in keyof AddressOptions]?: keyof typeof addressFlags }

const flagOptions = Object.keys(flagsByOption) as (keyof typeof flagsByOption)[]

export function checkAddressProtocol(value: unknown, name: string): void {
  if (typeof value === 'number') checkInteger(value, name, 0, 255)
  else checkOneOf(value, name, Object.keys(addressProtocols))
}

function sameFamily(octets: Uint8Array, prefix: IpPrefix, name: string, value: string): void {
  if (familyOf(octets) !== prefix.family) throw valueError(name, value, "is not of the address's family")
}

/** A lifetime in milliseconds; the kernel counts whole seconds. */
function checkLifetime(value: unknown, name: string, minimum: number): void {
  if (value === Number.POSITIVE_INFINITY) return
  checkInteger(value, name, minimum, 0xffff_fffe * 1000)
  if (value % 1000 !== 0) throw valueError(name, value, 'must be whole seconds: the kernel counts in them')
}

/**
 * The broadcast address that is asked for. As `ip address add` has it, '+' stands for the last address of the network, which is
 * the peer's where there is a peer; networks of one or two addresses have none (RFC 3021).
 */
export function broadcastText({
  octets,
  prefixLength,
  options: { broadcast, peer },
}: CheckedAddress): string | undefined {
  if (broadcast !== '+') return broadcast
  const network = peer === undefined ? { octets, prefixLength } : checkPrefix(peer, 'peer', true)
  if (network.prefixLength > 30) return undefined
  return formatIp(broadcastOf(network.octets, network.prefixLength))
}
