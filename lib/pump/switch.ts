/** The native switch: a learning Ethernet switch on a thread of its own, between packet ends of any kind. */
import { inspect } from 'node:util'
import { errnoName } from '../errno.js'
import { AbortError, type NetkitError, namedError, stateError, systemError } from '../errors.js'
import { type NativeSwitch, native } from '../native.js'
import { claimEnd, deviceOf, nativeEndOf, type PacketEnd } from '../packets/end.js'
import { checkBoolean, checkInteger, checkOptions, checkSignal } from '../validate.js'
import { checkMac, formatMac } from '../values/mac.js'
import {
  MOST_PORTS,
  type PortOwner,
  portSettings,
  portStatsKeys,
  SwitchPort,
  type SwitchPortEnd,
  type SwitchPortOptions,
  type SwitchPortStats,
} from './switch-port.js'

/** Options of `createSwitch`. */
export interface SwitchOptions {
  /** How long an address is known after its last frame, in milliseconds; 0: for ever. Default: 300,000 (IEEE 802.1D). */
  ageing?: number
  /** The most addresses it knows, from 1 to 1,048,576. Default: 16,384. */
  addresses?: number
  /** Whether it knows VLANs: each port then carries those of its options. Otherwise tags are bytes like others. Default: false. */
  vlans?: boolean
  /** Ends the switch: `done` resolves with the reason 'aborted'. */
  signal?: AbortSignal
}

/** An address that a switch knows. */
export interface SwitchAddress {
  mac: string
  /** 0 in a switch that does not know VLANs. */
  vlan: number
  port: SwitchPort
  /** Milliseconds since its last frame. */
  age: number
  /** Whether it was put there by `addAddress`. */
  fixed: boolean
}

/** How a switch ended. */
export interface SwitchEnd {
  /** 'closed': by `close()`. 'aborted': by the signal. 'failed': there was no thread to be had. */
  reason: 'closed' | 'aborted' | 'failed'
  /** With 'aborted' and 'failed'. */
  error?: Error
}

/** A port, and what is only this file's business. */
interface Member {
  port: SwitchPort
  finish(end: SwitchPortEnd): void
  giveBack(): void
  /** Set by the first who removes it. */
  removing?: Promise<void>
}

/**
 * A learning switch (IEEE 802.1D, without spanning tree: make no loops). Frames to known addresses go to their port, others to all ports.
 * Ends with and without offload can be mixed. A port whose end is full loses frames; the others do not wait for it.
 */
export class Switch {
  /** Resolves when the switch has ended and its thread is gone. Never rejects. */
  readonly done: Promise<SwitchEnd>
  readonly #handle: NativeSwitch
  readonly #vlans: boolean
  readonly #members = new Map<number, Member>()
  readonly #owner: PortOwner
  readonly #signal: AbortSignal | undefined
  /** What ports that are no more have carried. */
  readonly #last = new WeakMap<SwitchPort, SwitchPortStats>()
  #closed = false
  #cause: SwitchEnd | undefined

  /** @internal */
  constructor(options: SwitchOptions) {
    const { ageing = 300_000, addresses = 16_384, vlans = false, signal } = options
    const started = native.startSwitch(vlans ? 1 : 0, ageing, addresses, (port, error) => this.#failed(port, error))
    if (typeof started === 'number') throw systemError(started, 'eventfd', 'cannot start a switch')
    this.#handle = started.handle
    this.#vlans = vlans
    this.#signal = signal
    this.done = started.done.then((result) => this.#over(result))
    signal?.addEventListener('abort', this.#abort)
    if (signal?.aborted) this.#abort()
    this.#owner = {
      set: (port, wanted) => this.#set(port, wanted),
      remove: (port) => this.#remove(port, { reason: 'removed' }),
      statsOf: (port) => this.#stats(port),
      flush: async (port) => {
        if (this.#has(port)) await this.#ask('flush', native.flushSwitch(this.#handle, port.number))
      },
      addAddress: (port, mac, vlan) => this.#setAddress(port, mac, vlan, true),
    }
  }

  /** Whether it has ended, or is about to. */
  get closed(): boolean {
    return this.#closed
  }

  /** The ports, by their numbers. */
  get ports(): readonly SwitchPort[] {
    return [...this.#members.values()].map(({ port }) => port).sort((a, b) => a.number - b.number)
  }

  /**
   * Makes an end a port. The switch reads and writes it from now on; closing the end removes the port.
   *
   * @throws ERR_INVALID_STATE when the end is read or written otherwise, when the switch is closed or has 1,024 ports; EBADF when the
   * end is closed; TypeError for a tun, which has no Ethernet frames
   */
  addPort(end: PacketEnd, options: SwitchPortOptions = {}): SwitchPort {
    const { numbers, bits } = portSettings(options, this.#vlans)
    const device = deviceOf(end)
    if (device.layer3) {
      throw Object.assign(new TypeError(`${end.name} carries IP packets: a switch takes ends of Ethernet frames`), {
        code: 'ERR_INVALID_ARG_TYPE',
      })
    }
    if (this.#closed) throw stateError('the switch is closed')
    let number = 0
    while (this.#members.has(number)) number++
    if (number >= MOST_PORTS) throw stateError(`the switch has ${MOST_PORTS} ports`)
    let finish = (_end: SwitchPortEnd): void => {}
    const done = new Promise<SwitchPortEnd>((resolve) => {
      finish = resolve
    })
    const port = new SwitchPort(this.#owner, number, end, options, done)
    const user = { what: 'a switch', stop: () => this.#remove(port, { reason: 'end-closed' }) }
    const member: Member = { port, finish, giveBack: claimEnd(end, user, { read: true, write: true }) }
    this.#members.set(number, member)
    void native.addSwitchPort(this.#handle, number, nativeEndOf(end), numbers, bits).then((result) => {
      if (result >= 0) return
      const hasEnded = errnoName(-result) === 'ECANCELED'
      const error = hasEnded ? undefined : systemError(result, 'addPort', 'cannot add a port')
      this.#leave(member, error === undefined ? { reason: 'switch-closed' } : { reason: 'failed', error })
    })
    return port
  }

  #has(port: SwitchPort): boolean {
    return this.#members.get(port.number)?.port === port
  }

  #leave(member: Member, end: SwitchPortEnd): void {
    if (!this.#has(member.port)) return
    this.#last.set(member.port, this.#stats(member.port))
    this.#members.delete(member.port.number)
    member.giveBack()
    member.finish(end)
  }

  #remove(port: SwitchPort, end: SwitchPortEnd): Promise<void> {
    const member = this.#members.get(port.number)
    if (member?.port !== port) return Promise.resolve()
    member.removing ??= native
      .removeSwitchPort(this.#handle, port.number, nativeEndOf(port.end))
      .then(async (result) => {
        // The switch is ending, and leaves the end when it has.
        if (result < 0) await this.done
        this.#leave(member, end)
      })
    return member.removing
  }

  #failed(number: number, result: number): void {
    const member = this.#members.get(number)
    if (member === undefined) return
    const { port } = member
    const error: NetkitError = deviceOf(port.end).explain(result, 'read')
    void this.#remove(port, { reason: 'end-gone', error })
  }

  async #ask(what: string, asked: Promise<number>): Promise<void> {
    const result = await asked
    if (result < 0) throw systemError(result, what, `cannot ${what}: ${errnoName(-result)}`)
  }

  async #set(port: SwitchPort, options: SwitchPortOptions): Promise<void> {
    const { numbers, bits } = portSettings(options, this.#vlans)
    if (!this.#has(port)) throw namedError('ENODEV', 'set', `port ${port.number} is no more`)
    await this.#ask('set', native.setSwitchPort(this.#handle, port.number, numbers, bits))
  }

  async #setAddress(port: SwitchPort, mac: string, vlan: number | undefined, add: boolean): Promise<void> {
    const address = macNumber(mac)
    const id = this.#checkVlan(vlan)
    if (!this.#has(port)) throw namedError('ENODEV', 'addAddress', `port ${port.number} is no more`)
    const result = await native.setSwitchAddress(this.#handle, port.number, id, address, add ? 1 : 0)
    if (result < 0) throw systemError(result, 'addAddress', `cannot put ${mac} behind port ${port.number}`)
  }

  #checkVlan(vlan: number | undefined): number {
    if (vlan === undefined) return this.#vlans ? 1 : 0
    checkInteger(vlan, 'options.vlan', this.#vlans ? 1 : 0, this.#vlans ? 4094 : 0)
    return vlan
  }

  #stats(port: SwitchPort): SwitchPortStats {
    const last = this.#last.get(port)
    if (last !== undefined) return { ...last }
    const values = new Float64Array(portStatsKeys.length)
    if (this.#has(port)) native.switchPortCounters(this.#handle, port.number, values)
    return Object.fromEntries(portStatsKeys.map((key, i) => [key, values[i]])) as unknown as SwitchPortStats
  }

  /** The addresses that the switch knows, by port. None when it has ended. */
  async addresses(): Promise<SwitchAddress[]> {
    const values = await native.listSwitchTable(this.#handle)
    const rows: SwitchAddress[] = []
    for (let at = 0; at < values.length; at += 5) {
      const [vlan = 0, address = 0, number = 0, age = 0, fixed = 0] = values.subarray(at, at + 5)
      const port = this.#members.get(number)?.port
      if (port === undefined) continue
      const octets = Buffer.alloc(6)
      octets.writeUIntBE(address, 0, 6)
      rows.push({ mac: formatMac(octets), vlan, port, age, fixed: fixed === 1 })
    }
    return rows.sort((a, b) => a.port.number - b.port.number || a.vlan - b.vlan || (a.mac < b.mac ? -1 : 1))
  }

  /** Takes an address out of the table, a fixed one too. ENOENT when it is not known, ECANCELED when the switch has ended. */
  async removeAddress(mac: string, options: { vlan?: number } = {}): Promise<void> {
    checkOptions(options, 'options', ['vlan'])
    const result = await native.setSwitchAddress(this.#handle, 0, this.#checkVlan(options.vlan), macNumber(mac), 0)
    if (result < 0) throw systemError(result, 'removeAddress', `cannot remove ${mac}`)
  }

  /** Forgets all addresses that were learnt. */
  async flush(): Promise<void> {
    if (!this.#closed) await this.#ask('flush', native.flushSwitch(this.#handle, MOST_PORTS))
  }

  /** What each port has carried, by number. */
  stats(): ({ number: number; name: string } & SwitchPortStats)[] {
    return this.ports.map((port) => ({ number: port.number, name: port.name, ...port.stats() }))
  }

  /** Keeps the process alive while the switch runs: as it is at first. */
  ref(): this {
    if (!this.#closed) native.referenceSwitch(this.#handle, 1)
    return this
  }

  /** Lets the process end although the switch runs. */
  unref(): this {
    if (!this.#closed) native.referenceSwitch(this.#handle, 0)
    return this
  }

  readonly #abort = (): void => {
    this.#end({ reason: 'aborted', error: new AbortError('the switch was aborted', this.#signal?.reason) })
  }

  #end(cause: SwitchEnd): void {
    this.#closed = true
    this.#cause ??= cause
    native.stopSwitch(this.#handle)
  }

  #over(result: number): SwitchEnd {
    this.#closed = true
    this.#signal?.removeEventListener('abort', this.#abort)
    for (const member of [...this.#members.values()]) this.#leave(member, { reason: 'switch-closed' })
    if (result < 0) return { reason: 'failed', error: systemError(result, 'pthread_create', 'cannot start a switch') }
    return this.#cause ?? { reason: 'closed' }
  }

  /** Ends the switch; resolves when its thread is gone. The ends of its ports stay open. Idempotent. */
  async close(): Promise<void> {
    this.#end({ reason: 'closed' })
    await this.done
  }

  /** The same as `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  [inspect.custom](): string {
    const words = this.#closed ? ['closed'] : this.ports.map(({ number, name }) => `${number}: ${name}`)
    return `Switch { ${words.join(', ')} }`
  }
}

function macNumber(mac: string): number {
  return Buffer.from(checkMac(mac, 'mac')).readUIntBE(0, 6)
}

/**
 * Starts a learning Ethernet switch on a thread of its own: `createSwitch()`, then `addPort(tap)` for each end. Frames never pass
 * through JavaScript. It keeps the process alive until it is closed, unless `unref()` is called.
 */
export function createSwitch(options: SwitchOptions = {}): Switch {
  checkOptions(options, 'options', ['ageing', 'addresses', 'vlans', 'signal'])
  const { ageing, addresses, vlans, signal } = options
  if (ageing !== undefined) checkInteger(ageing, 'options.ageing', 0, 0xffff_ffff)
  if (addresses !== undefined) checkInteger(addresses, 'options.addresses', 1, 1_048_576)
  if (vlans !== undefined) checkBoolean(vlans, 'options.vlans')
  checkSignal(signal, 'options.signal')
  return new Switch(options)
}
