/** The options that every link has, for creating and changing, and how they become a message. */
import { isNamespace } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import type { NamespaceTarget } from '../namespace/open.js'
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  typeError,
  valueError,
} from '../validate.js'
import { checkInterfaceMac, normalMac } from '../values/mac.js'
import { type AddressInput, checkAddressInput } from './address-options.js'
import { linkFlags } from './constants.js'
import type { Link } from './link.js'
import { addressGenerationModes, type LinkAttributes } from './link-attributes.js'
import {
  addDetails,
  checkDetails,
  detailKeys,
  type LateDetails,
  type LinkDetails,
  lateDetails,
  withoutLateDetails,
} from './link-details.js'
import { checkAnyLinkName, checkLinkIndex, checkLinkName } from './names.js'
import type { PortOptions } from './port-options.js'

/** Which link is meant: a Link, its name, or its index. */
export type LinkReference = Link | string | number

/** Options that every kind of link has. What is not given stays as it is, or is the kernel's default. */
export interface LinkSettings extends LinkDetails {
  /** Brings the interface up or down (IFF_UP). */
  up?: boolean
  /** Maximum transmission unit in bytes. */
  mtu?: number
  /** MAC address; the kernel makes one up when it is not given. */
  mac?: string
  /** The bridge, bond or VRF that this link becomes a port of; null takes it out. */
  master?: LinkReference | null
  /** Options as a port of its master, by the master's kind: `{ isolated: true }` for a bridge's. Needs a master. */
  port?: PortOptions
  /** Whether the interface answers ARP (the opposite of IFF_NOARP). */
  arp?: boolean
  multicast?: boolean
  allMulticast?: boolean
  promiscuous?: boolean
  /** Free text of up to 255 bytes, as `ip link set alias`. */
  alias?: string
  /** A number that links can be acted on together by. */
  group?: number
  /** Packets that wait for sending (txqueuelen). */
  txQueueLength?: number
  /** Largest packet that segmentation offload may hand over, in bytes. */
  gsoMaxSize?: number
  /** Most segments of such a packet. */
  gsoMaxSegments?: number
  /** Largest packet that receive offload may put together, in bytes. */
  groMaxSize?: number
  /** The same two sizes for IPv4 alone, where they may differ (Linux 6.3). */
  gsoIpv4MaxSize?: number
  groIpv4MaxSize?: number
  /** How IPv6 addresses are made for the interface. */
  addressGeneration?: 'eui64' | 'none' | 'stable-privacy' | 'random'
}

/** Options of a new link. */
export interface NewLink extends LinkSettings {
  /** 1 to 15 bytes. One '%d' stands for the first free number. Default: the kind and '%d', as the kernel names it. */
  name?: string
  /** More names, of up to 127 bytes each, by which it is found too. */
  alternativeNames?: readonly string[]
  /** Where the link is made. Default: the process's own namespace. */
  namespace?: Namespace
  /** Addresses to give it, with prefix lengths: '10.0.1.1/24', or an object with more (`label`, `noDad` …). */
  addresses?: readonly AddressInput[]
  /** The interface's index, when it matters which. */
  index?: number
  /** Transmit and receive queues to make the link with. */
  txQueues?: number
  rxQueues?: number
}

/** Options of `Link#set`. */
export interface LinkChanges extends LinkSettings {
  /** A new name. */
  name?: string
  /**
   * Moves the link there. Its addresses and routes are lost, as the kernel has it. Given by `{ pid }`, `{ fd }` or `{ path }`,
   * the namespace is opened, and `link.namespace` is a handle of your own afterwards: close it when you are done with the link.
   */
  namespace?: Namespace | NamespaceTarget
  /** With `namespace`: the index to have there (Linux 5.13). Default: the one that it has; another when that is taken. */
  index?: number
}

const flagOptions = ['up', 'arp', 'multicast', 'allMulticast', 'promiscuous'] as const
export const numberOptions = [
  'mtu',
  'group',
  'txQueueLength',
  'gsoMaxSize',
  'gsoMaxSegments',
  'groMaxSize',
  'gsoIpv4MaxSize',
  'groIpv4MaxSize',
] as const
export const settingKeys = [
  ...flagOptions,
  ...numberOptions,
  'mac',
  'master',
  'port',
  'alias',
  'addressGeneration',
  ...detailKeys,
] as const satisfies readonly (keyof LinkSettings)[]

export const newLinkKeys = [
  ...settingKeys,
  'name',
  'namespace',
  'addresses',
  'index',
  'txQueues',
  'rxQueues',
  'alternativeNames',
] as const
export const changeKeys = [...settingKeys, 'name', 'namespace', 'index'] as const

/** Checks the options of a new link, but for those of its kind. `path` leads to them in what the caller wrote. */
export function checkNewLink(options: NewLink, path: string, keys: readonly string[] = newLinkKeys): void {
  checkOptions(options, path, keys)
  checkSettings(options, path)
  if (options.port !== undefined && options.master === undefined) {
    throw valueError(`${path}.port`, options.port, 'is for a link that has a master: give it one')
  }
  if (options.name !== undefined) checkLinkName(options.name, `${path}.name`, true)
  checkNamespace(options.namespace, `${path}.namespace`)
  if (options.index !== undefined) checkLinkIndex(options.index, `${path}.index`)
  for (const key of ['txQueues', 'rxQueues'] as const) {
    if (options[key] !== undefined) checkInteger(options[key], `${path}.${key}`, 1, 4096)
  }
  if (options.alternativeNames !== undefined) {
    const names: unknown = options.alternativeNames
    if (!Array.isArray(names)) throw typeError(`${path}.alternativeNames`, 'an array', names)
    names.forEach((name, i) => {
      checkAnyLinkName(name, `${path}.alternativeNames[${i}]`)
    })
  }
  if (options.addresses !== undefined) {
    if (!Array.isArray(options.addresses)) throw typeError(`${path}.addresses`, 'an array', options.addresses)
    options.addresses.forEach((address, i) => {
      checkAddressInput(address, `${path}.addresses[${i}]`)
    })
  }
}

export function checkNamespace(value: unknown, name: string): void {
  if (value !== undefined && !isNamespace(value)) throw typeError(name, 'a Namespace', value)
}

/** A namespace that is given by something else than a handle. */
export function checkTarget(value: unknown, name: string): NamespaceTarget {
  if (typeof value !== 'object' || value === null) {
    throw typeError(name, 'a Namespace, or one of { path }, { pid } and { fd }', value)
  }
  return value as NamespaceTarget
}

/** Checks what can be set on any link. */
export function checkSettings(options: LinkSettings, path: string): void {
  for (const key of flagOptions) if (options[key] !== undefined) checkBoolean(options[key], `${path}.${key}`)
  for (const key of numberOptions) {
    if (options[key] !== undefined) checkInteger(options[key], `${path}.${key}`, 0, 0xffff_ffff)
  }
  if (options.mac !== undefined) checkInterfaceMac(options.mac, `${path}.mac`)
  if (options.alias !== undefined) {
    checkString(options.alias, `${path}.alias`)
    if (Buffer.byteLength(options.alias) > 255)
      throw valueError(`${path}.alias`, options.alias, 'has more than 255 bytes')
  }
  if (options.addressGeneration !== undefined) {
    checkOneOf(
      options.addressGeneration,
      `${path}.addressGeneration`,
      Object.keys(addressGenerationModes) as (keyof typeof addressGenerationModes)[],
    )
  }
  if (options.master !== undefined && options.master !== null) checkLinkReference(options.master, `${path}.master`)
  checkDetails(options, path)
  if (options.port !== undefined) {
    checkPlainObject(options.port, `${path}.port`)
    if (options.master === null) throw valueError(`${path}.port`, options.port, 'is for a link that has a master')
  }
}

function checkPlainObject(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw typeError(name, 'an object', value)
}

export function checkLinkReference(value: unknown, name: string): asserts value is LinkReference {
  if (typeof value === 'number') checkLinkIndex(value, name)
  else if (typeof value === 'string') checkAnyLinkName(value, name)
  else if (!isLink(value)) throw typeError(name, "a Link, a link's name or its index", value)
}

/** A Link, told by its brand: importing the class here would make a circle. */
export function isLink(value: unknown): value is Link {
  return typeof value === 'object' && value !== null && linkBrand in value
}

export const linkBrand: unique symbol = Symbol('netkit.Link')

/** The flags to be changed and their values, as ifi_change and ifi_flags take them. */
export function flagBits(options: LinkSettings): { flags: number; change: number } {
  const given: [boolean | undefined, number][] = [
    [options.up, linkFlags.UP],
    [options.arp === undefined ? undefined : !options.arp, linkFlags.NOARP],
    [options.multicast, linkFlags.MULTICAST],
    [options.allMulticast, linkFlags.ALLMULTI],
    [options.promiscuous, linkFlags.PROMISC],
    [options.dynamic, linkFlags.DYNAMIC],
    [options.trailers === undefined ? undefined : !options.trailers, linkFlags.NOTRAILERS],
  ]
  let flags = 0
  let change = 0
  for (const [value, bit] of given) {
    if (value === undefined) continue
    change |= bit
    if (value) flags |= bit
  }
  return { flags, change }
}

type LaterSettings = Pick<LinkSettings, 'alias' | 'addressGeneration' | 'port' | 'up'> & LateDetails

/**
 * Options of a new link, and what can only be set on it afterwards, one step after another: the kernel passes over the alias of
 * a link that it creates, and refuses its making of IPv6 addresses, which must stand before the link comes up and makes one. What
 * a link is as a port, the kernel asks the master that it has already.
 */
export function inSteps<T extends LinkSettings>(options: T): { first: T; later: LaterSettings[] } {
  const { alias, addressGeneration, port, up } = options
  const later: LaterSettings[] = []
  const details = lateDetails(options)
  if (alias !== undefined || addressGeneration !== undefined || details !== undefined) {
    later.push({ alias, addressGeneration, ...details })
  }
  const upLater = up === true && addressGeneration !== undefined
  if (port !== undefined) later.push({ port })
  if (upLater) later.push({ up })
  const first = { ...options, ...withoutLateDetails, alias: undefined, addressGeneration: undefined, port: undefined }
  return { first: { ...first, up: upLater ? undefined : up }, later }
}

/** The attributes for options that every link has. `master` is the master's index, 0 for none. */
export function settingAttributes(options: LinkSettings, master: number | undefined): LinkAttributes {
  const attributes: LinkAttributes = {}
  for (const key of numberOptions) attributes[key] = options[key]
  attributes.mac = options.mac === undefined ? undefined : normalMac(options.mac)
  attributes.alias = options.alias
  attributes.master = master
  if (options.addressGeneration !== undefined) {
    attributes.families = { inet6: { addressGeneration: options.addressGeneration } }
  }
  addDetails(attributes, options)
  return attributes
}
