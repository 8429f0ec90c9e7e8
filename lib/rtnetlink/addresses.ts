/** Adding, removing and listing addresses; the collection `namespace.addresses`. */
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { netlinkConstants } from '../netlink/message.js'
import { checkOptions } from '../validate.js'
import { AF_INET, checkPrefix, formatIp } from '../values/ip.js'
import { type Address, addressMessage } from './address.js'
import { completed, differences, isMeant } from './address-changes.js'
import {
  type AddressFilter,
  type AddressTraits,
  addressListing,
  checkAddressFilter,
  queryOf,
  traitKeys,
} from './address-filter.js'
import {
  type AddressOptions,
  addressOptionKeys,
  broadcastText,
  type CheckedAddress,
  checkAddressInput,
  flagsByOption,
  type ScopeName,
} from './address-options.js'
import { addressFlags, scopes } from './constants.js'
import { indexIfGiven, indexOfLink } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { removalError } from './missing.js'
import { checkLinkIndex } from './names.js'
import { checkSaysSomething } from './says-nothing.js'
import { type Ask, allOrFirstError, change, dump, dumpEach } from './talk.js'

const { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } = netlinkConstants
const FOR_EVER = 0xffff_ffff

/** What `ensure` found or did. */
export interface EnsuredAddress {
  address: Address
  /** Whether anything had to be done. */
  changed: boolean
  /** Whether the address was not there. */
  created: boolean
  /** Of one that was there: the options that were not as asked, and now are. */
  changes: string[]
}

/** A new address and the link it is for. */
export type NewAddress = { link: LinkReference; address: string } & AddressOptions

type AddressAsk = Ask<typeof addressMessage.header, typeof addressMessage.table>

/** The RTM_NEWADDR or RTM_DELADDR of an address. */
function addressRequest(
  request: 'RTM_NEWADDR' | 'RTM_DELADDR',
  index: number,
  checked: CheckedAddress,
  what: AddressAsk['what'],
): AddressAsk {
  const { family, octets, prefixLength, options } = checked
  const local = formatIp(octets)
  const peer = options.peer === undefined ? undefined : checkPrefix(options.peer, 'peer', true)
  const flags = Object.entries(flagsByOption).reduce(
    (bits, [option, flag]) => (options[option as keyof typeof flagsByOption] ? bits | addressFlags[flag] : bits),
    0,
  )
  const { validLifetime, preferredLifetime = validLifetime } = options
  return {
    definition: addressMessage,
    request,
    header: {
      family,
      prefixLength: peer?.prefixLength ?? prefixLength,
      index,
      scope: scopes[options.scope ?? defaultScope(family, octets)],
    },
    attributes: {
      local,
      address: peer === undefined ? local : formatIp(peer.octets),
      label: options.label,
      broadcast: broadcastText(checked),
      metric: options.metric,
      protocol: options.protocol,
      flags: flags === 0 ? undefined : flags,
      cacheInfo:
        validLifetime === undefined && preferredLifetime === undefined
          ? undefined
          : { preferred: seconds(preferredLifetime), valid: seconds(validLifetime), created: 0, updated: 0 },
    },
    what,
  }
}

/** As `ip address add` has it: the loopback's own network is for the host. */
function defaultScope(family: number, octets: Uint8Array): 'global' | 'host' {
  return family === AF_INET && octets[0] === 127 ? 'host' : 'global'
}

function seconds(milliseconds: number | undefined): number {
  return milliseconds === undefined || milliseconds === Number.POSITIVE_INFINITY ? FOR_EVER : milliseconds / 1000
}

/** Gives a link an address; with `replace`, changes the lifetimes and flags of one that it has. `link` names it in errors. */
export async function addAddress(
  namespace: Namespace,
  index: number,
  address: CheckedAddress,
  link: () => string,
  replace = false,
): Promise<void> {
  const flags = NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL)
  await change(namespace, {
    ...addressRequest('RTM_NEWADDR', index, address, () => `cannot add ${address.text} to ${link()}`),
    flags,
  })
}

/** Takes an address from a link: ENOENT when it does not have it. */
export async function removeAddress(
  namespace: Namespace,
  index: number,
  address: CheckedAddress,
  link: string,
): Promise<void> {
  const what = `cannot remove ${address.text} from ${link}`
  try {
    await change(namespace, addressRequest('RTM_DELADDR', index, address, what))
  } catch (error) {
    throw removalError(error, 'RTM_DELADDR', what)
  }
}

/** The addresses of a link or of all links; what the kernel does not filter is filtered here. */
export async function listAddresses(
  namespace: Namespace,
  index: number | undefined,
  filter: AddressFilter,
): Promise<Address[]> {
  const { question, read } = addressListing(namespace, { filter, index, targetId: undefined })
  return dump(namespace, question, read)
}

/** Takes the addresses of a link or of all links away that match; resolves to them. The filter is checked. */
export async function flushAddresses(
  namespace: Namespace,
  index: number | undefined,
  filter: AddressFilter,
): Promise<Address[]> {
  const found = await listAddresses(namespace, index, filter)
  await allOrFirstError(
    found.map(async (row) => {
      const what = `cannot remove ${row.address}`
      try {
        await change(namespace, addressRequest('RTM_DELADDR', row.index, checkRow(row), what))
      } catch (error) {
        // A secondary address goes with its primary one.
        if (!hasCode(error, 'EADDRNOTAVAIL')) throw error
      }
    }),
  )
  return found
}

/** What tells an address that was read from others of its link. */
function checkRow({ address, peer }: Pick<Address, 'address' | 'peer'>): CheckedAddress {
  return checkAddressInput(peer === undefined ? { address } : { address, peer }, 'address')
}

/** The addresses of a namespace: `red.addresses`. */
export class Addresses {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Those that match the filter; all without one. The kernel filters by family and link. */
  async list(filter: AddressFilter = {}): Promise<Address[]> {
    checkAddressFilter(filter, 'filter')
    const query = queryOf(this.#namespace, filter)
    const { question, read } = addressListing(this.#namespace, query instanceof Promise ? await query : query)
    return dump(this.#namespace, question, read)
  }

  /**
   * The same, one after another, in constant memory however many there are. What changes while they are read may be missing or
   * come twice.
   */
  async *stream(filter: AddressFilter = {}): AsyncGenerator<Address, void, undefined> {
    checkAddressFilter(filter, 'filter')
    const { question, read } = addressListing(this.#namespace, await queryOf(this.#namespace, filter))
    yield* dumpEach(this.#namespace, question, read)
  }

  /** The first that matches, or undefined. `filter` may be the address alone, or a row. */
  async find(filter: string | AddressFilter | Address): Promise<Address | undefined> {
    if (isAddressRow(filter)) {
      const row = checkRow(filter)
      const known = await this.list({ link: filter.index, address: formatIp(row.octets) })
      return known.find((one) => isMeant(one, row))
    }
    const [first] = await this.list(typeof filter === 'string' ? { address: filter } : filter)
    return first
  }

  /** The first that matches. Rejects with ENOENT when none does. */
  async get(filter: string | AddressFilter | Address): Promise<Address> {
    const found = await this.find(filter)
    if (found !== undefined) return found
    const wanted = typeof filter === 'string' ? filter : (filter.address ?? 'such')
    throw namedError('ENOENT', 'RTM_GETADDR', `no address ${wanted} in ${labelOf(this.#namespace)}`)
  }

  /** Gives a link an address; a row of `list` will do as it is, here as everywhere. Rejects with EEXIST when it has it. */
  async add(options: NewAddress | Address): Promise<void> {
    await this.#add(options, false)
  }

  /**
   * The same; one that is there gets the new metric and lifetimes, for IPv6 the flags and the peer too. What is not given gets
   * its default; `ensure` leaves it.
   */
  async replace(options: NewAddress | Address): Promise<void> {
    await this.#add(options, true)
  }

  async #add(given: NewAddress | Address, replace: boolean): Promise<void> {
    const options = newAddressOf(given)
    const address = checkNewAddress(options)
    const found = indexOfLink(this.#namespace, options.link, 'options.link')
    const index = typeof found === 'object' ? await found : found
    await addAddress(this.#namespace, index, address, () => nameOf(options.link), replace)
  }

  /**
   * Makes sure that a link has an address, and touches nothing when it has it as asked. What is not given stays as it is.
   * Rejects with EEXIST when the link has it with another label, broadcast address, scope or prefix length, which the kernel
   * can only give to a new address.
   */
  async ensure(given: NewAddress | Address): Promise<EnsuredAddress> {
    const options = newAddressOf(given)
    const wanted = checkNewAddress(options)
    const index = await indexOfLink(this.#namespace, options.link, 'options.link')
    const search = () => listAddresses(this.#namespace, index, { address: formatIp(wanted.octets) })
    const present = await search()
    const done = await ensureAddress(this.#namespace, index, wanted, () => nameOf(options.link), present)
    const meant = (list: Address[]) => list.find((known) => isMeant(known, wanted))
    const changed = done.created || done.changes.length > 0
    const address = (changed ? undefined : meant(present)) ?? meant(await search())
    if (address === undefined) throw namedError('ENOENT', 'RTM_GETADDR', `${options.address} was removed at once`)
    return { address, changed, ...done }
  }

  /**
   * Takes an address from a link; one with a peer is named with it. A row of `list` will do as it is. Rejects with ENOENT when the
   * link does not have it.
   */
  async remove(options: Pick<NewAddress, 'link' | 'address' | 'peer'> | Address): Promise<void> {
    const { link, index: of } = (options ?? {}) as Partial<NewAddress & Address>
    const row = link === undefined && of !== undefined
    const address = row ? checkRow(options) : checkNewAddress(options as NewAddress)
    if (row) checkLinkIndex(of, 'options.index')
    const from = (row ? of : link) as LinkReference
    const found = indexOfLink(this.#namespace, from, row ? 'options.index' : 'options.link')
    const index = typeof found === 'object' ? await found : found
    await removeAddress(this.#namespace, index, address, nameOf(from))
  }

  /**
   * Takes all addresses away that match: of all links, unless the filter names one. Resolves to those that were removed. The filter
   * must say something.
   */
  async flush(filter: AddressTraits & Pick<AddressFilter, 'link' | 'address'>): Promise<Address[]> {
    checkSaysSomething(filter, "{ family: 'inet' } is all of IPv4, also the loopback's")
    checkAddressFilter(filter, 'filter', [...traitKeys, 'link', 'address'])
    const found = indexIfGiven(this.#namespace, filter.link, 'filter.link')
    return flushAddresses(this.#namespace, found instanceof Promise ? await found : found, filter)
  }
}

/** A row, by what only rows have. */
function isAddressRow(given: unknown): given is Address {
  return typeof given === 'object' && given !== null && 'index' in given
}

/** What makes an address as a row of `list` has it. */
function newAddressOf(given: NewAddress | Address): NewAddress {
  if (!isAddressRow(given)) return given
  const { family, index, flags, scope, validLifetime: valid, ...row } = given
  const options: NewAddress = { ...row, link: index }
  // The kernel decides about IPv6's.
  if (family === 'inet') options.scope = scope as ScopeName
  // It takes none of less than a second.
  if (valid !== Number.POSITIVE_INFINITY) options.validLifetime = Math.max(valid, 1000)
  if (flags.includes('deprecated')) options.preferredLifetime = 0
  for (const [option, flag] of Object.entries(flagsByOption)) {
    if (flags.includes(flag)) options[option as keyof typeof flagsByOption] = true
  }
  return options
}

function nameOf(link: LinkReference): string {
  return typeof link === 'object' ? link.name : String(link)
}

function checkNewAddress(options: NewAddress): CheckedAddress {
  checkOptions(options, 'options', ['link', 'address', ...addressOptionKeys])
  const { link: _, ...address } = options
  return checkAddressInput(address, 'options')
}

/** Gives a link an address unless it is among those `present` as asked. Resolves to what had to be done. */
export async function ensureAddress(
  namespace: Namespace,
  index: number,
  wanted: CheckedAddress,
  link: () => string,
  present: readonly Address[],
): Promise<Pick<EnsuredAddress, 'created' | 'changes'>> {
  const known = present.find((address) => isMeant(address, wanted)) ?? (await addOrFind(namespace, index, wanted, link))
  if (known === undefined) return { created: true, changes: [] }
  const { fixed, changeable } = differences(known, wanted)
  const [different] = fixed
  if (different !== undefined) {
    const message = `cannot add ${wanted.text} to ${link()}: it is there with another ${different}`
    throw namedError('EEXIST', 'RTM_NEWADDR', message)
  }
  if (changeable.length > 0) await addAddress(namespace, index, completed(wanted, known), link, true)
  if (changeable.includes('protocol')) {
    // Older kernels pass over the new protocol of an IPv4 address, and say nothing (6.1 does).
    const now = await listAddresses(namespace, index, { address: formatIp(wanted.octets) })
    const same = now.find((address) => isMeant(address, wanted))
    if (same !== undefined && differences(same, wanted).changeable.includes('protocol')) {
      const message = `cannot add ${wanted.text} to ${link()}: it is there with another protocol, which this kernel does not change`
      throw namedError('EEXIST', 'RTM_NEWADDR', message)
    }
  }
  return { created: false, changes: changeable }
}

/** Gives a link an address; when somebody else was faster, resolves to theirs. */
async function addOrFind(
  namespace: Namespace,
  index: number,
  wanted: CheckedAddress,
  link: () => string,
): Promise<Address | undefined> {
  try {
    await addAddress(namespace, index, wanted, link)
    return undefined
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    const present = await listAddresses(namespace, index, { address: formatIp(wanted.octets) })
    const known = present.find((address) => isMeant(address, wanted))
    if (known === undefined) throw error
    return known
  }
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The addresses of the namespace's links. */
    readonly addresses: Addresses
  }
}

defineFacet('addresses', (namespace) => new Addresses(namespace))
