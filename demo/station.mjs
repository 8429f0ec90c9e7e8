/** A computer that consists of this program: a MAC address and an IPv4 address at the other side of a tap. */
import { makeArp, makeEchoRequest, readFrame, reflect } from './frames.mjs'

/** Milliseconds to wait for an answer. */
const PATIENCE = 500

/** What it has seen of one kind. @typedef {{ in: number, out: number }} Count */

export class Station {
  /** @type {Map<string, Count>} */
  counts = new Map()
  /**
   * Called for every frame, with its direction: 'in' is what the kernel sent.
   *
   * @type {(direction: 'in' | 'out', text: string) => void}
   */
  onFrame = () => {}
  #tap
  #mac
  #address
  /** Who waits for what: 'ARP 10.0.3.1', 'echo 7'. @type {Map<string, (value: string) => void>} */
  #waiting = new Map()
  /** MAC addresses that ARP told. @type {Map<string, string>} */
  #neighbors = new Map()
  #sequence = 0

  /** @param {import('netkit').Tap} tap @param {{ mac: string, address: string }} own */
  constructor(tap, { mac, address }) {
    this.#tap = tap
    this.#mac = mac
    this.#address = address
  }

  get address() {
    return this.#address
  }

  /** Answers what comes, until the tap is closed. */
  async run() {
    for await (const frame of this.#tap) {
      const reading = readFrame(frame)
      this.#seen('in', reading)
      const answer = this.#answer(frame, reading)
      if (answer !== undefined) this.#send(answer)
    }
  }

  /** @param {Buffer} frame @param {import('./frames.mjs').Reading} reading @returns {Buffer | undefined} */
  #answer(frame, { kind, from = '', fromMac = '', to, sequence }) {
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

  /** @param {Buffer} frame */
  #send(frame) {
    this.#tap.write(frame)
    this.#seen('out', readFrame(frame))
  }

  /** @param {'in' | 'out'} direction @param {import('./frames.mjs').Reading} reading */
  #seen(direction, { kind, text }) {
    const count = this.counts.get(kind) ?? { in: 0, out: 0 }
    count[direction]++
    this.counts.set(kind, count)
    this.onFrame(direction, text)
  }

  /** How many frames of a kind came in and went out. @param {string} kind @returns {Count} */
  count(kind) {
    return this.counts.get(kind) ?? { in: 0, out: 0 }
  }

  /**
   * Sends a frame and waits for what answers it. Undefined when nothing does.
   *
   * @param {string} key @param {Buffer} frame @param {AbortSignal} signal
   * @returns {Promise<string | undefined>}
   */
  #ask(key, frame, signal) {
    return new Promise((resolve) => {
      /** @param {string} [value] */
      const settle = (value) => {
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

  /**
   * Pings the kernel's side: ARP for its MAC address, then echo requests.
   *
   * @param {string} address @param {number} count @param {AbortSignal} signal
   * @returns {Promise<import('./reach.mjs').Reach>}
   */
  async ping(address, count, signal) {
    const own = { fromMac: this.#mac, from: this.#address, to: address }
    const toMac = this.#neighbors.get(address) ?? (await this.#ask(`ARP ${address}`, makeArp(own), signal))
    if (toMac === undefined) return { sent: 1, times: [], reason: 'nobody answers ARP' }
    this.#neighbors.set(address, toMac)
    const times = []
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
