/** The ports of a native switch: what can be said of one, and what it has counted. */
import { inspect } from 'node:util'
import type { NetkitError } from '../errors.js'
import type { PacketEnd } from '../packets/end.js'
import { checkBoolean, checkInteger, checkOptions, checkString, typeError } from '../validate.js'

/** The most ports of a switch, and the number that stands for all of them. */
export const MOST_PORTS = 1024

/** What a port does. */
export interface SwitchPortOptions {
  /** What it is called in lists. Default: the end's name. */
  name?: string
  /** Whether the switch remembers which addresses are behind it. Default: true. */
  learning?: boolean
  /** Isolated ports exchange no frames with each other, only with the other ports. Default: false. */
  isolated?: boolean
  /** The most addresses behind it, from 1 to 65,535. Frames from any more are dropped. Default: no limit. */
  addressLimit?: number
  /** Frames a second to unknown and multicast addresses that it may send to the others, from 1 on. Default: no limit. */
  floodLimit?: number
  /** Broadcast frames a second that it may send to the others, from 1 on. Default: no limit. */
  broadcastLimit?: number
  /**
   * The VLAN of frames without a tag, in both directions, from 1 to 4,094; false: it carries only frames with a tag. Only in a switch
   * with `vlans`. Default: 1.
   */
  vlan?: number | false
  /** The VLANs that it carries with their tag (IEEE 802.1Q), or 'all'. Only in a switch with `vlans`. Default: none. */
  tagged?: readonly number[] | 'all'
}

const keys = [
  ...['name', 'learning', 'isolated', 'addressLimit', 'floodLimit', 'broadcastLimit', 'vlan', 'tagged'],
] as const

/** How a port ended. */
export interface SwitchPortEnd {
  /**
   * 'removed': by `remove()`. 'end-closed': its end was closed or released. 'switch-closed': the switch has ended. 'end-gone': the
   * interface was deleted, the peer hung up, or reading or writing failed for good. 'failed': the switch could not take it.
   */
  reason: 'removed' | 'end-closed' | 'switch-closed' | 'end-gone' | 'failed'
  /** With 'end-gone' and 'failed'. */
  error?: NetkitError
}

/** What a port has carried. */
export interface SwitchPortStats {
  /** Frames that came in from the end, and went out to it. */
  framesIn: number
  bytesIn: number
  framesOut: number
  bytesOut: number
  /** Of those that came in: to all others, for want of a known address or because it is a group's. */
  flooded: number
  /** To nowhere: the same port, isolated ports, another VLAN, from another port's fixed address, addresses that no bridge forwards (01:80:c2:00:00:00 to 0f). */
  filtered: number
  /** No Ethernet frame, or from an address that nobody can have. */
  invalid: number
  /** Beyond `addressLimit`, `floodLimit` or `broadcastLimit`. */
  overLimit: number
  /** That were to go out, and were dropped because the end was full, or refused them. */
  dropped: number
  /** Addresses that are known behind it, now. */
  addresses: number
  /** Addresses that were behind another port before. */
  moves: number
  /** Addresses that were not learnt because the switch's table is full. */
  notLearnt: number
}

export const portStatsKeys = [
  ...(['framesIn', 'bytesIn', 'framesOut', 'bytesOut', 'flooded', 'filtered', 'invalid', 'overLimit'] as const),
  ...(['dropped', 'addresses', 'moves', 'notLearnt'] as const),
] satisfies (keyof SwitchPortStats)[]

/** What a switch does for its ports; for SwitchPort. */
export interface PortOwner {
  set(port: SwitchPort, options: SwitchPortOptions): Promise<void>
  remove(port: SwitchPort): Promise<void>
  statsOf(port: SwitchPort): SwitchPortStats
  flush(port: SwitchPort): Promise<void>
  addAddress(port: SwitchPort, mac: string, vlan: number | undefined): Promise<void>
}

/** A port of a switch, as `addPort` made it. */
export class SwitchPort {
  /** Its number: the lowest that was free. */
  readonly number: number
  readonly end: PacketEnd
  /** Resolves when the port is no more, with the reason. Never rejects. */
  readonly done: Promise<SwitchPortEnd>
  readonly #owner: PortOwner
  #options: SwitchPortOptions

  /** @internal */
  constructor(
    owner: PortOwner,
    number: number,
    end: PacketEnd,
    options: SwitchPortOptions,
    done: Promise<SwitchPortEnd>,
  ) {
    this.#owner = owner
    this.number = number
    this.end = end
    this.#options = options
    this.done = done
  }

  /** The option `name`, or its end's name. */
  get name(): string {
    return this.#options.name ?? this.end.name
  }

  /** The options that hold now. */
  get options(): Readonly<SwitchPortOptions> {
    return this.#options
  }

  /** Changes some options, and leaves the others as they are. ENODEV when the port is no more. */
  async set(options: SwitchPortOptions): Promise<void> {
    checkOptions(options, 'options', keys)
    const all = { ...this.#options, ...options }
    await this.#owner.set(this, all)
    this.#options = all
  }

  /** What it has carried. Valid after its end, too. */
  stats(): SwitchPortStats {
    return this.#owner.statsOf(this)
  }

  /**
   * Puts an address behind this port for good: it does not age, and frames from it are dropped elsewhere. `vlan`: 1 by
   * default, in a switch with `vlans`. ENOSPC: the table is full; ENODEV: the port is no more.
   */
  async addAddress(mac: string, options: { vlan?: number } = {}): Promise<void> {
    checkOptions(options, 'options', ['vlan'])
    await this.#owner.addAddress(this, mac, options.vlan)
  }

  /** Forgets the addresses that were learnt behind this port. Nothing to do when the port is no more. */
  async flush(): Promise<void> {
    await this.#owner.flush(this)
  }

  /** Takes the port out of the switch. Resolves when nothing touches its end any more, which stays open. Idempotent. */
  async remove(): Promise<void> {
    await this.#owner.remove(this)
  }

  /** The same as `remove()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove()
  }

  [inspect.custom](): string {
    return `SwitchPort { ${this.number}: ${this.name} }`
  }
}

/** Checks a port's options, and turns them into what the native switch takes. */
export function portSettings(options: SwitchPortOptions, vlans: boolean): { numbers: Float64Array; bits: Uint8Array } {
  checkOptions(options, 'options', keys)
  const { name, learning = true, isolated = false, addressLimit, floodLimit, broadcastLimit, vlan, tagged } = options
  if (name !== undefined) checkString(name, 'options.name')
  checkBoolean(learning, 'options.learning')
  checkBoolean(isolated, 'options.isolated')
  if (addressLimit !== undefined) checkInteger(addressLimit, 'options.addressLimit', 1, 65_535)
  if (floodLimit !== undefined) checkInteger(floodLimit, 'options.floodLimit', 1, 1e9)
  if (broadcastLimit !== undefined) checkInteger(broadcastLimit, 'options.broadcastLimit', 1, 1e9)
  if (!vlans && (vlan !== undefined || tagged !== undefined)) {
    const key = vlan !== undefined ? 'vlan' : 'tagged'
    throw Object.assign(
      new RangeError(`options.${key} is for a switch that knows VLANs: createSwitch({ vlans: true })`),
      {
        code: 'ERR_INVALID_ARG_VALUE',
      },
    )
  }
  if (vlan !== undefined && vlan !== false) checkInteger(vlan, 'options.vlan', 1, 4094)
  const bits = new Uint8Array(512)
  if (tagged === 'all') bits.fill(255)
  else if (tagged !== undefined) {
    if (!Array.isArray(tagged)) throw typeError('options.tagged', "an array of VLANs or 'all'", tagged)
    tagged.forEach((id: unknown, i) => {
      checkInteger(id, `options.tagged[${i}]`, 1, 4094)
      bits[id >> 3] = (bits[id >> 3] as number) | (1 << (id & 7))
    })
  }
  const numbers = [vlan === false ? 0 : (vlan ?? 1), Number(learning), Number(isolated)]
  return { numbers: Float64Array.of(...numbers, addressLimit ?? 0, floodLimit ?? 0, broadcastLimit ?? 0), bits }
}
