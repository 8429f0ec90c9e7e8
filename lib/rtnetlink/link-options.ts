/** The options that every link has, for creating and changing, and how they become a message. */
import { isDeepStrictEqual } from 'node:util'
import { isNamespace } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { sourceOf, Writer } from '../netlink/bytes.js'
import { type AnyTable, type AttributesOf, unknownTable } from '../netlink/table.js'
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
import { dataTableOf, kindOf } from './kinds/registry.js'
import type { Link } from './link.js'
import { addressGenerationModes, type LinkAttributes } from './link-attributes.js'
import { checkAnyLinkName, checkLinkIndex, checkLinkName } from './names.js'

/** Which link is meant: a Link, its name, or its index. */
export type LinkReference = Link | string | number

/** Options that every kind of link has. What is not given stays as it is, or is the kernel's default. */
export interface LinkSettings {
  /** Brings the interface up or down (IFF_UP). */
  up?: boolean
  /** Maximum transmission unit in bytes. */
  mtu?: number
  /** MAC address; the kernel makes one up when it is not given. */
  mac?: string
  /** The bridge, bond or VRF that this link becomes a port of; null takes it out. */
  master?: LinkReference | null
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
  /** How IPv6 addresses are made for the interface. */
  addressGeneration?: 'eui64' | 'none' | 'stable-privacy' | 'random'
}

/** Options of a new link. */
export interface NewLink extends LinkSettings {
  /** 1 to 15 bytes. One '%d' stands for the first free number. Default: the kind and '%d', as the kernel names it. */
  name?: string
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
  /** Moves the link there. Its addresses and routes are lost, as the kernel has it. */
  namespace?: Namespace
}

const flagOptions = ['up', 'arp', 'multicast', 'allMulticast', 'promiscuous'] as const
const numberOptions = ['mtu', 'group', 'txQueueLength', 'gsoMaxSize', 'gsoMaxSegments', 'groMaxSize'] as const
export const settingKeys = [
  ...flagOptions,
  ...numberOptions,
  'mac',
  'master',
  'alias',
  'addressGeneration',
] as const satisfies readonly (keyof LinkSettings)[]

export const newLinkKeys = [...settingKeys, 'name', 'namespace', 'addresses', 'index', 'txQueues', 'rxQueues'] as const
export const changeKeys = [...settingKeys, 'name', 'namespace'] as const

/** Checks the options of a new link, but for those of its kind. `path` leads to them in what the caller wrote. */
export function checkNewLink(options: NewLink, path: string, keys: readonly string[] = newLinkKeys): void {
  checkOptions(options, path, keys)
  checkSettings(options, path)
  if (options.name !== undefined) checkLinkName(options.name, `${path}.name`, true)
  checkNamespace(options.namespace, `${path}.namespace`)
  if (options.index !== undefined) checkLinkIndex(options.index, `${path}.index`)
  for (const key of ['txQueues', 'rxQueues'] as const) {
    if (options[key] !== undefined) checkInteger(options[key], `${path}.${key}`, 1, 4096)
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

type LaterSettings = Pick<LinkSettings, 'alias' | 'addressGeneration' | 'up'>

/**
 * Options of a new link, and what can only be set on it afterwards, one step after another: the kernel passes over the alias of
 * a link that it creates, and refuses its making of IPv6 addresses, which must stand before the link comes up and makes one.
 */
export function inSteps<T extends LinkSettings>(options: T): { first: T; later: LaterSettings[] } {
  const { alias, addressGeneration, up } = options
  const later: LaterSettings[] = []
  if (alias !== undefined || addressGeneration !== undefined) later.push({ alias, addressGeneration })
  const upLater = up === true && addressGeneration !== undefined
  if (upLater) later.push({ up })
  return { first: { ...options, alias: undefined, addressGeneration: undefined, up: upLater ? undefined : up }, later }
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
  return attributes
}

/** Splits options into those of every link and those of the kind, which are checked to be known and writable. */
export function kindOptions(
  kind: string,
  options: object,
  commonKeys: readonly string[],
  path: string,
): { common: Record<string, unknown>; own: Record<string, unknown> | undefined } {
  const known = kindOf(kind)
  const ownKeys =
    known === undefined
      ? []
      : known.options.attributes.map(({ key }) => key).filter((key) => known.readOnly?.includes(key) !== true)
  const unknown = Object.keys(options ?? {}).find((key) => key !== 'data' && !commonKeys.includes(key))
  if (known === undefined && kind !== '' && unknown !== undefined) {
    const own = `netkit has no table of the options of kind '${kind}', which go into 'data' by their numbers`
    throw valueError(path, unknown, `is not an option of every link, and ${own}`)
  }
  checkOptions(options, path, [...commonKeys, ...ownKeys, 'data'])
  const common: Record<string, unknown> = {}
  const own: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(options)) {
    if (key === 'data') Object.assign(own, rawData(value, `${path}.data`))
    else if (ownKeys.includes(key) && !commonKeys.includes(key)) own[key] = value
    else common[key] = value
  }
  if (Object.values(own).every((value) => value === undefined)) return { common, own: undefined }
  // Written once for the sake of its checks, which name the options as the caller does.
  known?.options.encode(new Writer(512), own as AttributesOf<AnyTable>, {}, path)
  return { common, own }
}

function rawData(value: unknown, name: string): Record<string, Uint8Array> {
  if (typeof value !== 'object' || value === null)
    throw typeError(name, "an object of raw attributes, { '#1': bytes }", value)
  for (const [key, bytes] of Object.entries(value)) {
    if (!/^#\d+$/.test(key))
      throw valueError(name, key, "is not the key of a raw attribute, which is '#' and its number")
    if (!(bytes instanceof Uint8Array)) throw typeError(`${name}['${key}']`, 'a Uint8Array', bytes)
  }
  return value as Record<string, Uint8Array>
}

/** True when a link has what is asked for an option already. */
export function isAsAsked(link: Link, key: string, value: unknown, master: number | undefined): boolean {
  switch (key) {
    case 'up':
      return link.up === value
    case 'arp':
      return !link.flags.includes('NOARP') === value
    case 'multicast':
      return link.flags.includes('MULTICAST') === value
    case 'allMulticast':
      return link.flags.includes('ALLMULTI') === value
    case 'promiscuous':
      return link.flags.includes('PROMISC') === value
    case 'mac':
      return typeof value === 'string' && link.mac === normalMac(value)
    case 'master':
      return (link.master ?? 0) === master
    case 'alias':
      return (link.alias ?? '') === value
    case 'addressGeneration':
      return link.addressGeneration === value
    default:
      return (numberOptions as readonly string[]).includes(key)
        ? (link.attributes as Record<string, unknown>)[key] === value
        : isOptionAsAsked(link, key, value)
  }
}

/** Compares an option of the kind as the kernel would say it: there may be several ways to write it. */
function isOptionAsAsked(link: Link, key: string, value: unknown): boolean {
  const table = dataTableOf(link.kind) ?? unknownTable
  const writer = new Writer(64)
  table.encode(writer, { [key]: value } as AttributesOf<AnyTable>)
  const bytes = writer.take()
  const wanted = table.decode(sourceOf(bytes), 0, bytes.length)
  return Object.entries(wanted).every(([name, wish]) => agrees(link.options[name], wish))
}

/** Equal; of an object, what is asked for. */
function agrees(known: unknown, wish: unknown): boolean {
  if (typeof wish !== 'object' || wish === null || wish instanceof Uint8Array) return isDeepStrictEqual(known, wish)
  if (typeof known !== 'object' || known === null) return false
  return Object.entries(wish).every(([key, value]) => agrees((known as Record<string, unknown>)[key], value))
}
