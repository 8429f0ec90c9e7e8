/** VLANs of bridges: `link.vlans` of a port, and of a bridge for itself. */

import { errnoNumber } from '../errno.js'
import { hasCode, NetkitError, namedError, undoOnFailure } from '../errors.js'
import type { Namespace } from '../namespace/namespace.js'
import { checkBoolean, checkInteger, checkOptions } from '../validate.js'
import {
  type BridgeVlan,
  type BridgeVlanGlobals,
  bridgeVlanConstants,
  readBridgeVlanGlobals,
  readBridgeVlans,
  vlanDumpMessage,
  vlanGlobalAttributes,
  vlanMessage,
} from './bridge-vlan.js'
import {
  areVlansAsAsked,
  type BridgeVlanOptions,
  checkBridgeVlan,
  checkBridgeVlanOptions,
  checkVlanRange,
  type NewBridgeVlan,
  rangeText,
  type VlanRange,
  vlanOptionsRequest,
  vlanRangeOf,
  vlanRequest,
} from './bridge-vlan-options.js'
import type { Link } from './link.js'
import { defineLinkFacet } from './link-facet.js'
import { AF_BRIDGE } from './neighbor.js'
import { allOrFirstError, change, dump } from './talk.js'
import { inTurn } from './turns.js'

export type { BridgeVlan, BridgeVlanGlobals } from './bridge-vlan.js'
export type { BridgeVlanOptions, NewBridgeVlan, VlanRange } from './bridge-vlan-options.js'

const { BRIDGE_VLANDB_DUMPF_GLOBAL, BRIDGE_VLANDB_DUMPF_STATS } = bridgeVlanConstants

export interface BridgeVlanFilter {
  /** Those that have this VLAN in them. */
  id?: number
  /** Tell what went through, too: then the kernel gives each VLAN its own row. */
  statistics?: boolean
}

/** What `ensure` found or did. */
export interface EnsuredBridgeVlans {
  vlans: BridgeVlan[]
  /** Whether anything had to be done. */
  changed: boolean
}

const contains = ({ id, to = id }: VlanRange, wanted: number) => id <= wanted && wanted <= to
const overlap = (a: VlanRange, b: VlanRange) => a.id <= (b.to ?? b.id) && b.id <= (a.to ?? a.id)

/** A kernel without VLAN filtering knows nothing of these messages. */
function explained(error: unknown, what: string): unknown {
  if (!hasCode(error, 'EOPNOTSUPP') || error.kernelMessage !== undefined) return error
  const kernelMessage = 'no VLANs of bridges here: the kernel lacks them, or the link is no bridge and no port of one'
  const { syscall } = error
  return new NetkitError({ message: what, errno: errnoNumber('EOPNOTSUPP'), syscall, kernelMessage, cause: error })
}

/**
 * The VLANs of a bridge's port, or of the bridge itself, that is of its own host (bridge(8), "vlan"). They filter once the bridge
 * has `vlanFiltering`. The kernel does not refuse to add what is there nor to remove what is not: netkit looks first.
 */
export class LinkVlans {
  readonly #link: Link
  #globals: BridgeVlanGlobalOptions | undefined

  /** @internal */
  constructor(link: Link) {
    this.#link = link
  }

  /** Options that VLANs have for the whole bridge. */
  get globals(): BridgeVlanGlobalOptions {
    this.#globals ??= new BridgeVlanGlobalOptions(this.#link)
    return this.#globals
  }

  /** VLANs in ranges that are alike, in order. The kernel filters by link. */
  async list(filter: BridgeVlanFilter = {}): Promise<BridgeVlan[]> {
    checkOptions(filter, 'filter', ['id', 'statistics'])
    const { id, statistics } = filter
    if (id !== undefined) checkInteger(id, 'filter.id', 1, 4094)
    if (statistics !== undefined) checkBoolean(statistics, 'filter.statistics')
    const what = `cannot list the VLANs of ${this.#link.name}`
    const messages = await dump(
      this.#namespace,
      {
        definition: vlanDumpMessage,
        request: 'RTM_GETVLAN',
        header: { family: AF_BRIDGE, index: this.#link.index },
        attributes: { flags: statistics === true ? BRIDGE_VLANDB_DUMPF_STATS : undefined },
        what,
      },
      (message) => readBridgeVlans(vlanMessage.decode(message)),
    ).catch((error) => {
      throw explained(error, what)
    })
    const { index } = this.#link
    return messages.flat().filter((vlan) => vlan.index === index && (id === undefined || contains(vlan, id)))
  }

  /** The same, one by one. */
  async *stream(filter: BridgeVlanFilter = {}): AsyncGenerator<BridgeVlan, void, undefined> {
    // There are at most 4,094 of them.
    yield* await this.list(filter)
  }

  /** The row that has this VLAN in it, or undefined. */
  async find(match: { id: number } | BridgeVlan): Promise<BridgeVlan | undefined> {
    const range = vlanRangeOf(match)
    checkVlanRange(range, 'match', range === match ? ['id'] : ['id', 'to'])
    const [found] = await this.list({ id: range.id })
    return found
  }

  /** The same. Rejects with ENOENT when there is none. */
  async get(match: { id: number } | BridgeVlan): Promise<BridgeVlan> {
    const found = await this.find(match)
    if (found === undefined) throw namedError('ENOENT', 'RTM_GETVLAN', `no VLAN ${match.id} on ${this.#link.name}`)
    return found
  }

  /**
   * Adds a VLAN, or a range. Rejects with EEXIST when one of them is there.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError EEXIST, EOPNOTSUPP when the kernel has no VLAN filtering or the link is
   * no port
   */
  async add(vlan: NewBridgeVlan): Promise<void> {
    checkBridgeVlan(vlan, 'vlan')
    const known = await this.list()
    const what = this.#what('add', vlan)
    if (known.some((one) => overlap(one, vlan))) throw namedError('EEXIST', 'RTM_SETLINK', what)
    await this.#put(vlan, what, () => this.#delete(vlan, what))
  }

  /** Adds a VLAN, or a range; those that are there become as asked: without `pvid` and `untagged` they lose both. */
  async replace(vlan: NewBridgeVlan): Promise<void> {
    checkBridgeVlan(vlan, 'vlan')
    // The kernel lets a VLAN out of its network before it takes another one for it.
    if (vlan.tunnelId !== undefined) {
      const { id: first, to: last = first } = vlan
      const carried = (await this.list()).filter((one) => one.tunnelId !== undefined && overlap(one, vlan))
      await allOrFirstError(
        carried.map(({ id, to = id }) => this.removeTunnel({ id: Math.max(id, first), to: Math.min(to, last) })),
      )
    }
    await this.#put(vlan, this.#what('replace', vlan))
  }

  /** Makes sure that there is such a VLAN, or that there are all of a range, and touches nothing when there are. */
  async ensure(vlan: NewBridgeVlan): Promise<EnsuredBridgeVlans> {
    checkBridgeVlan(vlan, 'vlan')
    const search = async () => (await this.list()).filter((one) => overlap(one, vlan))
    return inTurn(this.#namespace, `vlans ${this.#link.index}`, async () => {
      const known = await search()
      if (areVlansAsAsked(known, vlan)) return { vlans: known, changed: false }
      await this.replace(vlan)
      return { vlans: await search(), changed: true }
    })
  }

  /** Changes options of VLANs that there are. Rejects with ENOENT when there is none of a range. */
  async set(vlan: VlanRange & BridgeVlanOptions): Promise<void> {
    checkBridgeVlanOptions(vlan, 'vlan')
    const request = vlanOptionsRequest(this.#link, vlan, this.#what('change', vlan))
    if (request !== undefined) await change(this.#namespace, request)
  }

  /** Removes a VLAN, or those of a range that there are; a row of `list` will do. Rejects with ENOENT when there is none. */
  async remove(given: VlanRange | BridgeVlan): Promise<void> {
    const range = vlanRangeOf(given)
    checkVlanRange(range, 'vlan', ['id', 'to'])
    const what = this.#what('remove', range)
    const known = await this.list()
    if (!known.some((one) => overlap(one, range))) throw namedError('ENOENT', 'RTM_DELLINK', what)
    await this.#delete(range, what)
  }

  /** Takes a VLAN, or a range, out of the VXLAN network that it is carried in. */
  async removeTunnel(range: VlanRange): Promise<void> {
    checkVlanRange(range, 'vlan', ['id', 'to'])
    const what = this.#what('change', range)
    const request = vlanRequest('RTM_DELLINK', this.#link, { ...range, tunnelId: 1 }, what)
    const spec = { ...request.attributes.spec, vlans: undefined }
    await change(this.#namespace, { ...request, attributes: { spec } })
  }

  /** Removes all VLANs, or those that a filter's range has in it, and resolves to the rows that had them. */
  async flush(range: VlanRange = { id: 1, to: 4094 }): Promise<BridgeVlan[]> {
    checkVlanRange(range, 'filter', ['id', 'to'])
    const known = (await this.list()).filter((one) => overlap(one, range))
    if (known.length > 0) await this.#delete(range, this.#what('flush', range))
    return known
  }

  get #namespace(): Namespace {
    return this.#link.namespace
  }

  #what(verb: string, range: VlanRange): string {
    return `cannot ${verb} VLAN ${rangeText(range)} of ${this.#link.name}`
  }

  async #put(vlan: NewBridgeVlan, what: string, undo: () => Promise<unknown> = async () => {}): Promise<void> {
    const options = vlanOptionsRequest(this.#link, vlan, what)
    const putting = change(this.#namespace, vlanRequest('RTM_SETLINK', this.#link, vlan, what)).catch((error) => {
      throw explained(error, what)
    })
    if (options === undefined) return putting
    const setting = change(this.#namespace, options)
    await undoOnFailure(() => allOrFirstError([putting, setting]), undo)
  }

  #delete({ id, to }: VlanRange, what: string): Promise<void> {
    return change(this.#namespace, vlanRequest('RTM_DELLINK', this.#link, { id, to }, what))
  }
}

const globalKeys = vlanGlobalAttributes.attributes.map(({ key }) => key)
const readOnly = ['padding', 'routerPorts', 'querierState']

/** Options that a bridge's VLANs have for the whole bridge: `br0.vlans.globals` (bridge(8), "vlan global"). */
export class BridgeVlanGlobalOptions {
  readonly #link: Link

  /** @internal */
  constructor(link: Link) {
    this.#link = link
  }

  /** VLANs in ranges that are alike, in order. */
  async list(): Promise<BridgeVlanGlobals[]> {
    const what = `cannot list the VLAN options of ${this.#link.name}`
    const messages = await dump(
      this.#link.namespace,
      {
        definition: vlanDumpMessage,
        request: 'RTM_GETVLAN',
        header: { family: AF_BRIDGE, index: this.#link.index },
        attributes: { flags: BRIDGE_VLANDB_DUMPF_GLOBAL },
        what,
      },
      (message) => {
        const decoded = vlanMessage.decode(message)
        return decoded.header.index === this.#link.index ? readBridgeVlanGlobals(decoded) : undefined
      },
    ).catch((error) => {
      throw explained(error, what)
    })
    return messages.flat()
  }

  /** The row that has this VLAN in it. Rejects with ENOENT when there is none. */
  async get(match: { id: number }): Promise<BridgeVlanGlobals> {
    checkVlanRange(match, 'match', ['id'])
    const { id } = match
    const found = (await this.list()).find((row) => contains(row, id))
    if (found === undefined) throw namedError('ENOENT', 'RTM_GETVLAN', `no VLAN ${id} in ${this.#link.name}`)
    return found
  }

  /** Changes options of VLANs that the bridge has. */
  async set(options: BridgeVlanGlobals): Promise<void> {
    checkVlanRange(
      options,
      'options',
      globalKeys.filter((key) => !readOnly.includes(key)),
    )
    const { id, to, ...rest } = options
    await change(this.#link.namespace, {
      definition: vlanMessage,
      request: 'RTM_NEWVLAN',
      header: { family: AF_BRIDGE, index: this.#link.index },
      attributes: { globals: [{ id, to: to === id ? undefined : to, ...rest }] },
      what: `cannot change VLAN ${rangeText({ id, to })} of ${this.#link.name}`,
    })
  }
}

declare module './link.js' {
  interface Link<K extends string = string> {
    /** The VLANs of a bridge's port, or of a bridge itself. */
    readonly vlans: LinkVlans
  }
}

defineLinkFacet('vlans', (link) => new LinkVlans(link))
