/** A computer that consists of this program: a MAC address and an IPv4 address at the other side of a tap. */
import type { Tap } from 'netkit'
import { makeArp, makeEchoRequest, type Reading, readFrame, reflect } from './frames.js'
import type { Reach } from './reach.js'

/** Milliseconds to wait for an answer. */
const PATIENCE = 500

/** 'in' is what the kernel sent. */
export type Direction = 'in' | 'out'

/** What it has seen of one kind. */
export type Count = Record<Direction, number>

export class Station {
  readonly counts = new Map<Reading['kind'], Count>()
  /** Called for every frame. */
  onFrame: (direction: Direction, text: string) => void = () => {}
  readonly #tap: Tap
  readonly #mac: string
  readonly #address: string
  /** Who waits for what: 'ARP 10.0.3.1', 'echo 10.0.3.1 7'. */
  readonly #waiting = new Map<string, (value: string) => void>()
  /** MAC addresses that ARP told. */
  readonly #neighbors = new Map<string, string>()
  #sequence = 0

  constructor(tap: Tap, { mac, address }: { mac: string; address: string }) {
    this.#tap = tap
    this.#mac = mac
    this.#address = address
  }

  get address(): string {
    return this.#address
  }

  /** Answers what comes, until the tap is closed. */
  async run(): Promise<void> {
    for await (const frame of this.#tap) {
      const reading = readFrame(frame)
      this.#seen('in', reading)
      const answer = this.#answer(frame, reading)
      if (answer !== undefined) this.#send(answer)
    }
  }

  #answer(frame: Buffer, { kind, from = '', fromMac = '', to, sequence }: Reading): Buffer | undefined {
    if (to !== this.#address) return undefined
    switch (kind) {
      case 'ARP request':
        return makeArp({ fromMac: this.#mac, from: this.#address, toMac: fromMac, to: from })
      case 'echo request':
      case 'UDP':
        return reflect(frame)
      case 'ARP reply':
        this.#waiting.get(`ARP ${from}`)?.(fromMac)
        return undefined
      case 'echo reply':
        this.#waiting.get(`echo ${from} ${sequence}`)?.(from)
        return undefined
      default:
        return undefined
    }
  }

  #send(frame: Buffer): void {
    this.#tap.write(frame)
    this.#seen('out', readFrame(frame))
  }

  #seen(direction: Direction, { kind, text }: Reading): void {
    const count = this.counts.get(kind) ?? { in: 0, out: 0 }
    count[direction]++
    this.counts.set(kind, count)
    this.onFrame(direction, text)
  }

  /** How many frames of a kind came in and went out. */
  count(kind: Reading['kind']): Count {
    return this.counts.get(kind) ?? { in: 0, out: 0 }
  }

  /** Sends a frame and waits for what answers it. Undefined when nothing does. */
  #ask(key: string, frame: Buffer, signal: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve) => {
      const settle = (value?: string) => {
        clearTimeout(timer)
        signal.removeEventListener('abort', stop)
        this.#waiting.delete(key)
        resolve(value)
      }
      const stop = () => settle()
      const timer = setTimeout(stop, PATIENCE)
      signal.addEventListener('abort', stop, { once: true })
      this.#waiting.set(key, settle)
      this.#send(frame)
    })
  }

  /** Pings the kernel's side: ARP for its MAC address, then echo requests. */
  async ping(address: string, count: number, signal: AbortSignal): Promise<Reach> {
    const own = { fromMac: this.#mac, from: this.#address, to: address }
    const toMac = this.#neighbors.get(address) ?? (await this.#ask(`ARP ${address}`, makeArp(own), signal))
    if (toMac === undefined) return { sent: 1, times: [], reason: 'nobody answers ARP' }
    this.#neighbors.set(address, toMac)
    const times: number[] = []
    for (let i = 0; i < count && !signal.aborted; i++) {
      const sequence = ++this.#sequence & 0xffff
      const frame = makeEchoRequest({ ...own, toMac, id: process.pid & 0xffff, sequence })
      const start = performance.now()
      const answer = await this.#ask(`echo ${address} ${sequence}`, frame, signal)
      if (answer !== undefined) times.push(performance.now() - start)
    }
    return { sent: count, times, reason: times.length === 0 ? 'no reply' : undefined }
  }
}
