/** Which addresses a caller wants to see: the question to the kernel, and what is filtered afterwards. */
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import type { Message } from '../netlink/message.js'
import { checkBoolean, checkOneOf, checkOptions, checkString, typeError } from '../validate.js'
import { AF_INET, AF_INET6, AF_UNSPEC, checkPrefix, formatIp, type IpPrefix, maskOctets } from '../values/ip.js'
import { type Address, type AddressFlag, addressMessage, readAddress } from './address.js'
import { type AddressProtocol, checkAddressProtocol } from './address-options.js'
import { addressFlags, scopes } from './constants.js'
import { indexIfGiven } from './link-lookup.js'
import { checkNamespace, type LinkReference } from './link-options.js'
import './namespace-ids.js'
import type { Ask } from './talk.js'

/** What addresses are told apart by. */
export interface AddressTraits {
  family?: 'inet' | 'inet6'
  scope?: Address['scope']
  /** Those within this network: '10.0.0.0/8'. */
  within?: string
  /** IPv4: the address's name, as 'eth0:0'. */
  label?: string
  /** Only those that have all of these: `['tentative']`. */
  flags?: readonly AddressFlag[]
  /** True for those that have a lifetime, or were made by the kernel; false for permanent ones. */
  dynamic?: boolean
  /** Who made it. */
  protocol?: AddressProtocol | number
}

export interface AddressFilter extends AddressTraits {
  link?: LinkReference
  /** The address itself, with or without its prefix length. */
  address?: string
  /**
   * In place of the addresses that links have: the groups that they have joined ('multicast'), or the addresses that they share
   * with others ('anycast'). IPv6; IPv4's groups since Linux 6.14. They have no lifetimes and flags. Default: 'unicast'.
   */
  type?: 'unicast' | 'multicast' | 'anycast'
  /**
   * The addresses in this other namespace, read through the socket of the collection's own. It needs an id here: see
   * `links.list`.
   */
  target?: Namespace
}

export const traitKeys = [
  'family',
  'scope',
  'within',
  'label',
  'flags',
  'dynamic',
  'protocol',
] as const satisfies readonly (keyof AddressTraits)[]

export function checkAddressFilter(
  filter: AddressFilter,
  name: string,
  keys: readonly (keyof AddressFilter)[] = [...traitKeys, 'link', 'address', 'type', 'target'],
): void {
  checkOptions(filter, name, keys)
  const { family, scope, within, label, flags, dynamic, protocol, address, type, target } = filter
  if (family !== undefined) checkOneOf(family, `${name}.family`, ['inet', 'inet6'])
  if (typeof scope === 'string') checkOneOf(scope, `${name}.scope`, Object.keys(scopes))
  if (within !== undefined) checkPrefix(within, `${name}.within`)
  if (label !== undefined) checkString(label, `${name}.label`)
  if (flags !== undefined) {
    if (!Array.isArray(flags)) throw typeError(`${name}.flags`, 'an array of flags', flags)
    flags.forEach((flag, i) => {
      checkOneOf(flag, `${name}.flags[${i}]`, Object.keys(addressFlags) as AddressFlag[])
    })
  }
  if (dynamic !== undefined) checkBoolean(dynamic, `${name}.dynamic`)
  if (protocol !== undefined) checkAddressProtocol(protocol, `${name}.protocol`)
  if (address !== undefined) checkPrefix(address, `${name}.address`, true)
  if (type !== undefined) checkOneOf(type, `${name}.type`, ['unicast', 'multicast', 'anycast'])
  checkNamespace(target, `${name}.target`)
}

/** A filter that was checked, and whose link and namespace were looked up. */
export interface AddressQuery {
  filter: AddressFilter
  index: number | undefined
  targetId: number | undefined
}

/** Looks up what a filter names. A promise only when there is something to be asked for. */
export function queryOf(namespace: Namespace, filter: AddressFilter): AddressQuery | Promise<AddressQuery> {
  const { target } = filter
  const found = indexIfGiven(target ?? namespace, filter.link, 'filter.link')
  if (target === undefined && !(found instanceof Promise)) return { filter, index: found, targetId: undefined }
  const lookUp = async () => {
    const targetId = target === undefined ? undefined : await namespace.namespaceIds.get(target)
    return { filter, index: await found, targetId }
  }
  return lookUp()
}

const requests = { unicast: 'RTM_GETADDR', multicast: 'RTM_GETMULTICAST', anycast: 'RTM_GETANYCAST' } as const

/** The question, and what reads its answers: undefined for those that are not wanted. */
export function addressListing(
  namespace: Namespace,
  { filter, index, targetId }: AddressQuery,
): {
  question: Ask<typeof addressMessage.header, typeof addressMessage.table>
  read(message: Message): Address | undefined
} {
  const given = filter.family === undefined ? AF_UNSPEC : filter.family === 'inet' ? AF_INET : AF_INET6
  const wanted = filter.address === undefined ? undefined : checkPrefix(filter.address, 'filter.address', true)
  const network = filter.within === undefined ? undefined : checkPrefix(filter.within, 'filter.within')
  return {
    question: {
      definition: addressMessage,
      request: requests[filter.type ?? 'unicast'],
      header: { family: wanted?.family ?? network?.family ?? given, index: index ?? 0 },
      attributes: { targetNamespaceId: targetId },
      what: () => `cannot list the addresses of ${labelOf(filter.target ?? namespace)}`,
    },
    read(message) {
      const address = readAddress(addressMessage.decode(message))
      return matches(address, index, filter, wanted, network) ? address : undefined
    },
  }
}

function matches(
  address: Address,
  index: number | undefined,
  filter: AddressFilter,
  wanted: IpPrefix | undefined,
  network: IpPrefix | undefined,
): boolean {
  const { family, scope, label, flags, dynamic, protocol } = filter
  if (index !== undefined && address.index !== index) return false
  if (family !== undefined && address.family !== family) return false
  if (scope !== undefined && address.scope !== scope) return false
  if (label !== undefined && address.label !== label) return false
  if (flags?.every((flag) => address.flags.includes(flag)) === false) return false
  if (dynamic !== undefined && address.flags.includes('permanent') === dynamic) return false
  if (protocol !== undefined && address.protocol !== protocol) return false
  if (network !== undefined && !isWithin(address, network)) return false
  if (wanted === undefined || filter.address === undefined) return true
  const text = formatIp(wanted.octets)
  return filter.address.includes('/')
    ? address.address === `${text}/${wanted.prefixLength}`
    : address.address.startsWith(`${text}/`)
}

function isWithin({ address }: Address, network: IpPrefix): boolean {
  const { octets, family } = checkPrefix(address, 'address')
  if (family !== network.family) return false
  const { prefixLength } = network
  return formatIp(maskOctets(octets, prefixLength)) === formatIp(maskOctets(network.octets, prefixLength))
}
