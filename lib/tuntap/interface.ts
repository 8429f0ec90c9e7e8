/** What taps and tuns have in common: packet ends that are an interface. */
import { readFileSync } from 'node:fs'
import type { Namespace } from '../namespace/namespace.js'
import type { PacketDevice, PacketStats } from '../packets/device.js'
import { deviceOf } from '../packets/end.js'
import { InterfaceEnd } from '../packets/interface-end.js'
import type { Link } from '../rtnetlink/link.js'
import { checkBoolean } from '../validate.js'
import { setProgram } from './programs.js'
import { control, TunQueue } from './queue.js'

/** Where an interface is, as far as this process may know. */
export type Place =
  | {
      namespace: Namespace
      link: Link
      /** Whether the handle of the namespace goes with the interface. */
      ownNamespace?: boolean
    }
  /** Why it may not. */
  | { unknown: Error }

/** What an open interface consists of; made by `openDevice` and `adoptDevice`. */
export interface OpenDevice {
  device: PacketDevice
  place: Place
  /** Devices of the queues beyond the first. */
  queues: PacketDevice[]
  /** Opens one more queue; undefined where the interface has only one. */
  openQueue: (() => Promise<PacketDevice>) | undefined
  /** Numbers of the offload that is on (TUN_F_…); undefined when it is off. */
  offloads: number | undefined
  readableHighWaterMark: number
  writableHighWaterMark: number
}

/** Of an interface that cannot be looked at. More is read all the same: batches are smaller then. */
const DEFAULT_MTU = 1500

/**
 * A tap or tun that this process holds. It is its own first queue: with `queues`, the frames of the others are read from
 * `queues[1]` and so on.
 */
export abstract class TunInterface extends InterfaceEnd {
  readonly #place: Place
  readonly #mtu: number
  readonly #open: OpenDevice
  readonly #queues: TunQueue[] = []
  /** What the kernel had dropped before the opening. */
  readonly #droppedBefore: number | undefined

  /** @internal */
  constructor(open: OpenDevice) {
    const { place } = open
    const link = 'link' in place ? place.link : undefined
    const mtu = link?.mtu ?? DEFAULT_MTU
    super({ ...open, mtu })
    this.#place = place
    this.#mtu = mtu
    this.#open = open
    for (const device of open.queues) this.#addQueue(device)
    this.#droppedBefore = link?.stats?.sendDropped
    if ('namespace' in place && place.ownNamespace === true) {
      this.once('close', () => void place.namespace.close())
    }
  }

  /** The namespace that the interface was made in. Throws EPERM when it was adopted, and this process may not look there. */
  get namespace(): Namespace {
    if ('unknown' in this.#place) throw this.#place.unknown
    return this.#place.namespace
  }

  /** The interface, as it was after opening; `link.refresh()` brings it up to date. Throws as `namespace` does. */
  get link(): Link {
    if ('unknown' in this.#place) throw this.#place.unknown
    return this.#place.link
  }

  #addQueue(device: PacketDevice): TunQueue {
    const { readableHighWaterMark, writableHighWaterMark } = this.#open
    const queue = new TunQueue(device, this.#mtu, readableHighWaterMark, writableHighWaterMark, (closed) => {
      const at = this.#queues.indexOf(closed)
      if (at >= 0) this.#queues.splice(at, 1)
    })
    this.#queues.push(queue)
    return queue
  }

  /** All queues: this object itself, and those that `queues` or `addQueue()` opened and that are not closed. */
  get queues(): readonly [this, ...TunQueue[]] {
    return [this, ...this.#queues]
  }

  /** One descriptor a queue, for a hypervisor or any other child process. They are closed by `close()`; a child keeps its own. */
  override get fds(): readonly number[] {
    return [...super.fds, ...this.#queues.flatMap((queue) => queue.fds)]
  }

  /**
   * Opens one more queue, while the interface runs. ERR_INVALID_STATE when it was not opened with `queues`; E2BIG beyond 256.
   */
  async addQueue(): Promise<TunQueue> {
    const { openQueue } = this.#open
    if (openQueue === undefined || this.destroyed) {
      const why = this.destroyed ? 'is closed' : 'has one queue only: open it with queues: 2 or more'
      throw Object.assign(new Error(`${this.name} ${why}`), { code: 'ERR_INVALID_STATE' })
    }
    return this.#addQueue(await openQueue())
  }

  /**
   * What was carried through this queue since the opening. `dropped` is of the whole interface: frames that it sent while nobody
   * made room (it reads /proc/net/dev inside the namespace, some 50 µs).
   */
  override stats(): PacketStats {
    const dropped = this.#dropped()
    return { ...super.stats(), ...(dropped === undefined ? {} : { dropped }) }
  }

  #dropped(): number | undefined {
    if (this.#droppedBefore === undefined || this.destroyed) return undefined
    let text: string
    try {
      text = this.namespace.run(() => readFileSync('/proc/thread-self/net/dev', 'latin1'))
    } catch {
      return undefined
    }
    for (const line of text.split('\n')) {
      const [name, numbers] = line.split(/:\s+/)
      if (name?.trim() !== this.name || numbers === undefined) continue
      // Eight numbers of receiving, then bytes, packets, errs and drop of sending (proc_pid_net(5)).
      return Number(numbers.split(/\s+/)[11]) - this.#droppedBefore
    }
    return undefined
  }

  /**
   * Lets an eBPF program (of type SOCKET_FILTER) choose the queue of each frame: it returns the queue's number (TUNSETSTEERINGEBPF).
   *
   * @param fd the program's descriptor, which may be closed afterwards; undefined goes back to the kernel's own choice, by flow
   */
  async setSteering(fd: number | undefined): Promise<void> {
    await setProgram(deviceOf(this), 'steering', fd ?? null)
  }

  /**
   * Lets an eBPF program (of type SOCKET_FILTER) see each frame before it comes out: it returns how many bytes of the frame are kept,
   * 0 drops it (TUNSETFILTEREBPF).
   *
   * @param fd the program's descriptor, which may be closed afterwards; undefined takes the filter away
   */
  async setFilter(fd: number | undefined): Promise<void> {
    await setProgram(deviceOf(this), 'filter', fd ?? null)
  }

  /**
   * Sets whether the interface stays when its last descriptor is closed (TUNSETPERSIST).
   */
  async setPersist(on: boolean): Promise<void> {
    checkBoolean(on, 'on')
    await control(deviceOf(this), 'TUNSETPERSIST', on ? 1 : 0, 'make persistent or not')
  }

  /** Closes a persistent interface so that it goes. If another process holds a descriptor of it, it goes when that one is closed. */
  async delete(): Promise<void> {
    if (!this.destroyed) await this.setPersist(false)
    await this.close()
  }

  /**
   * Gives all descriptors away: netkit neither reads, writes nor closes them any more, and this object and its queues are closed. The
   * interface stays while somebody holds one.
   *
   * @returns the descriptors, one a queue: whoever gets them closes them
   */
  override async release(): Promise<number[]> {
    const rest = this.#queues.map((queue) => queue.release())
    const own = await super.release()
    return [...own, ...(await Promise.all(rest)).flat()]
  }

  /** @internal */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    for (const queue of [...this.#queues]) queue.destroy()
    super._destroy(error, callback)
  }

  /**
   * Lets go of the descriptors, those of all queues, and resolves when they are closed. An interface that is not persistent goes with
   * its last descriptor. Iterations end; what was written goes out, what was read ahead is dropped. Idempotent.
   */
  override async close(): Promise<void> {
    await Promise.all([...this.#queues.map((queue) => queue.close()), super.close()])
  }
}
