/** Native pumps: frames from one end to the other and back, on a thread of their own. */
import { inspect } from 'node:util'
import { errnoName } from '../errno.js'
import { AbortError, systemError } from '../errors.js'
import { type NativePump, native } from '../native.js'
import { claimEnd, deviceOf, nativeEndOf, type PacketEnd } from '../packets/end.js'
import { checkOneOf, checkOptions, typeError, valueError } from '../validate.js'
import {
  checkPumpOptions,
  checkPumpSettings,
  type FlowOptions,
  flowNumbers,
  optionsOf,
  type PumpDirection,
  type PumpOptions,
  type PumpSettings,
} from './options.js'
import { Tee } from './tee.js'

/** What one direction has carried. */
export interface FlowStats {
  /** Frames read from the source, of up to 64 KiB with offload. */
  frames: number
  bytes: number
  /** Frames that the filter did not let through. */
  filtered: number
  /** Frames that the target did not take: its `stats().lastRefusal` says why. */
  refused: number
  /** By `loss`. */
  lost: number
  /** Copies that were made by `duplicate`. */
  duplicated: number
  /** Frames that overtook others by `reorder`. */
  reordered: number
  /** By `corrupt`. */
  corrupted: number
  /** Frames for which `limit` left no room, and those that were on their way when the pump ended. */
  dropped: number
  /** Frames and bytes that wait for `rate` and `delay` now. */
  waiting: number
  waitingBytes: number
}

/** How a pump ended. */
export interface PumpEnd {
  /**
   * 'closed': by `close()`. 'aborted': by the signal. 'end-closed': an end was closed or released. 'end-gone': the interface was
   * deleted, the peer hung up, or reading or writing failed for good. 'failed': there was no thread to be had.
   */
  reason: 'closed' | 'aborted' | 'end-closed' | 'end-gone' | 'failed'
  /** Which end it was: 'a' is the first. */
  end?: 'a' | 'b'
  error?: Error
}

/** Options of `pump.tee`. */
export interface TeeSource {
  /** Of which direction copies are made. Default: 'both'. */
  direction?: 'both' | PumpDirection
  /** Where: 'written', of what the target gets (the default), or 'read', of what the source gave, before filter and impairment. */
  at?: 'written' | 'read'
}

const DIRECTIONS = ['forward', 'backward'] as const
const COUNTERS = 11
const teePoints = { written: 1, read: 2 } as const
/** Points of the frames backward are above those of the frames forward. */
const TEE_SHIFT = 4

/**
 * A running pump. It runs until it is closed, an end is closed or gone, or its signal fires, whether or not somebody holds this
 * object, and keeps the process alive unless `unref()` was called.
 */
export class Pump {
  /** The ends. Forward is from `a` to `b`. */
  readonly a: PacketEnd
  readonly b: PacketEnd
  /** Resolves when the pump has ended and its thread is gone. Never rejects. */
  readonly done: Promise<PumpEnd>
  readonly #native: NativePump
  readonly #options: Record<PumpDirection, FlowOptions>
  readonly #layer3: boolean
  #cause: PumpEnd | undefined
  #running = true
  #paused = false

  /** @internal */
  constructor(a: PacketEnd, b: PacketEnd, options: PumpOptions) {
    checkPumpOptions(options)
    const { direction = 'both', busyPoll = 0, signal } = options
    this.a = a
    this.b = b
    this.#layer3 = deviceOf(a, 'a').layer3
    deviceOf(b, 'b')
    this.#options = { forward: optionsOf(options, 'forward'), backward: optionsOf(options, 'backward') }
    const numbers = DIRECTIONS.map((each) => flowNumbers(this.#options[each], each, options, true, this.#layer3))
    const [forward, backward] = [direction !== 'backward', direction !== 'forward']
    const directions = (forward ? 1 : 0) + (backward ? 2 : 0)
    const made = native.createPump(nativeEndOf(a), nativeEndOf(b), directions, Math.round(busyPoll * 1e6))
    if (typeof made === 'number') throw pumpError(made, a, b)
    this.#native = made
    for (const [i, { values, program }] of numbers.entries()) this.#apply(i, values, program)
    if (signal?.aborted) this.#cause = { reason: 'aborted', error: aborted(signal) }
    const release = this.#claim({ read: forward, write: backward }, { read: backward, write: forward })
    const abort = () => void this.#end({ reason: 'aborted', error: aborted(signal as AbortSignal) })
    signal?.addEventListener('abort', abort)
    this.done = native.runPump(made).then((result) => {
      this.#running = false
      signal?.removeEventListener('abort', abort)
      release()
      return this.#explain(result)
    })
    if (this.#cause !== undefined) native.stopPump(made)
  }

  /** Both ends, or neither. */
  #claim(useA: { read: boolean; write: boolean }, useB: { read: boolean; write: boolean }): () => void {
    const user = (end: 'a' | 'b') => ({
      what: 'a pump',
      stop: () => this.#end({ reason: 'end-closed', end }),
    })
    const releaseA = claimEnd(this.a, user('a'), useA)
    try {
      const releaseB = claimEnd(this.b, user('b'), useB)
      return () => {
        releaseA()
        releaseB()
      }
    } catch (error) {
      releaseA()
      throw error
    }
  }

  #explain(result: readonly number[] | number): PumpEnd {
    if (typeof result === 'number') return { reason: 'failed', error: systemError(result, 'pthread_create', CANNOT) }
    const [error = 0, end = -1, inWrite = 0] = result
    if (error === 0) return this.#cause ?? { reason: 'closed' }
    if (end < 0) return { reason: 'failed', error: systemError(error, 'pthread_create', CANNOT) }
    const name = end === 0 ? 'a' : 'b'
    return { reason: 'end-gone', end: name, error: deviceOf(this[name]).explain(error, inWrite ? 'write' : 'read') }
  }

  #end(cause: PumpEnd): Promise<PumpEnd> {
    this.#cause ??= cause
    native.stopPump(this.#native)
    return this.done
  }

  #apply(direction: number, values: Float64Array, program: Uint8Array): void {
    const result = native.setPump(this.#native, direction, values, program)
    if (result >= 0) return
    const code = errnoName(-result)
    if (code === 'ENOMEM') throw systemError(result, 'malloc', 'cannot set a filter')
    const why =
      code === 'EOPNOTSUPP'
        ? 'asks for what only the kernel knows of a packet: its mark, its interface …'
        : 'is not a program that the kernel would take'
    throw valueError('options.filter', `${program.length / 8} instructions`, why)
  }

  /** What it carries: Ethernet frames, or the IP packets of a tun. */
  get layer(): 'ethernet' | 'ip' {
    return this.#layer3 ? 'ip' : 'ethernet'
  }

  /** False when the pump has ended. */
  get running(): boolean {
    return this.#running
  }

  /** Whether `pause()` was called last. */
  get paused(): boolean {
    return this.#paused
  }

  /** What each direction has carried. Valid after the end, too. */
  stats(): Record<PumpDirection, FlowStats> {
    return { forward: this.#flow(0), backward: this.#flow(1) }
  }

  #flow(direction: number): FlowStats {
    const values = new Float64Array(COUNTERS)
    native.pumpCounters(this.#native, direction, values)
    const [frames = 0, bytes = 0, filtered = 0, refused = 0, lost = 0, duplicated = 0, ...rest] = values
    const [reordered = 0, corrupted = 0, dropped = 0, waiting = 0, waitingBytes = 0] = rest
    return { frames, bytes, filtered, refused, lost, duplicated, reordered, corrupted, dropped, waiting, waitingBytes }
  }

  /**
   * Changes options while the pump runs: those that are named. `undefined` takes one away. Frames that wait keep the delay they were
   * given, and go at the new rate. A new `seed` begins the chances anew.
   */
  set(options: PumpSettings): void {
    checkPumpSettings(options)
    const next = DIRECTIONS.map((direction) => {
      const changes = optionsOf(options, direction)
      const merged = { ...this.#options[direction], ...changes }
      return { merged, direction, ...flowNumbers(merged, direction, options, changes.seed !== undefined, this.#layer3) }
    })
    for (const [i, { merged, direction, values, program }] of next.entries()) {
      this.#apply(i, values, program)
      this.#options[direction] = merged
    }
  }

  /**
   * Puts copies of what passes into a tee, from now on. A tee may belong to several pumps, and a pump may have up to 8 tees. For one
   * that it has already, this changes what is copied.
   */
  tee(tee: Tee, source: TeeSource = {}): void {
    if (!(tee instanceof Tee)) throw typeError('tee', 'a Tee (createTee)', tee)
    checkOptions(source, 'source', ['direction', 'at'])
    const { direction = 'both', at = 'written' } = source
    checkOneOf(direction, 'source.direction', ['both', 'forward', 'backward'])
    checkOneOf(at, 'source.at', ['written', 'read'])
    const point = teePoints[at]
    const points = (direction === 'backward' ? 0 : point) + (direction === 'forward' ? 0 : point << TEE_SHIFT)
    const result = native.teePump(this.#native, nativeEndOf(tee), points)
    if (result >= 0) return
    const isFull = errnoName(-result) === 'ENOSPC'
    throw valueError('tee', tee, isFull ? 'the pump has eight already' : "it was not made for this pump's layer")
  }

  /** No more copies go into the tee. What is in it can still be read. */
  untee(tee: Tee): void {
    if (!(tee instanceof Tee)) throw typeError('tee', 'a Tee (createTee)', tee)
    native.teePump(this.#native, nativeEndOf(tee), 0)
  }

  /** Carries nothing until `resume()`. A batch that is on its way arrives. What waits for its delay waits on. */
  pause(): void {
    this.#paused = true
    native.pausePump(this.#native, 1)
  }

  resume(): void {
    this.#paused = false
    native.pausePump(this.#native, 0)
  }

  /** The process does not end while the pump runs. This is so unless `unref()` was called. */
  ref(): this {
    native.referPump(this.#native, 1)
    return this
  }

  /** The process may end while the pump runs. */
  unref(): this {
    native.referPump(this.#native, 0)
    return this
  }

  /** Ends the pump, and resolves when its thread is gone. What waits for its delay is dropped. The ends stay open. Idempotent. */
  async close(): Promise<void> {
    await this.#end({ reason: 'closed' })
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [inspect.custom](): string {
    return `Pump { ${this.a.name}, ${this.b.name}${this.#running ? '' : ' ended'} }`
  }
}

const CANNOT = 'cannot start a pump'

function aborted(signal: AbortSignal): AbortError {
  return new AbortError('the pump was aborted', signal.reason)
}

function pumpError(result: number, a: PacketEnd, b: PacketEnd): Error {
  const code = errnoName(-result)
  if (code === 'EINVAL') return valueError('b', b, 'the two ends must be different ones')
  if (code === 'EPROTOTYPE') {
    return valueError('b', b, `${a.name} and ${b.name} must both carry Ethernet frames, or both IP packets`)
  }
  return systemError(result, code === 'ENOMEM' ? 'mmap' : 'eventfd2', CANNOT)
}

/**
 * Starts a native pump: a thread that carries frames from `a` to `b`, and back, without JavaScript. Any two ends: taps, tuns,
 * sockets. Large frames (offload) pass uncut where both ends have them, and are cut where the target has not.
 *
 * Until it ends, the ends cannot be read and written otherwise; closing one of them ends the pump first. When the target is full,
 * its source is not read until there is room.
 *
 * @throws TypeError, RangeError (ERR_INVALID_ARG_…); ERR_INVALID_STATE when an end is used already; NetkitError EBADF when one is
 * closed, EMFILE, ENFILE or ENOMEM
 */
export function startPump(a: PacketEnd, b: PacketEnd, options: PumpOptions = {}): Pump {
  return new Pump(a, b, options)
}
