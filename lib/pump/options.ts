/** What a pump does to the frames of one direction: options, and the numbers that the addon takes for them. */
import { randomInt } from 'node:crypto'
import { A_FILTER, PacketFilter, type PacketFilterInput, packetFilter } from '../packets/filter.js'
import { checkPercent, checkRate, checkTime, type Rate } from '../rtnetlink/traffic/units.js'
import { checkInteger, checkOneOf, checkOptions, checkSignal, typeError, valueError } from '../validate.js'

/** What becomes of the frames of one direction. Chances are in per cent (0 by default), each frame's by itself. */
export interface FlowOptions {
  /**
   * Only frames that match go on: conditions, or what `packetFilter()` takes or made. A program decides by returning 0 (drop) or not.
   */
  filter?: PacketFilterInput | undefined
  /** The most bits a second, as a number or text ('10mbit'). Frames that are too early wait. Default: as fast as they come. */
  rate?: Rate | undefined
  /** With `rate`: bytes that may go at once after a rest. Default: what the rate carries in 4 ms, at least 3,028. */
  burst?: number | undefined
  /**
   * The most that may wait for `rate` and `delay`, in frames or bytes; what comes beyond it is dropped. Default: 10,000 frames and
   * 16 MiB; with `rate`, what it carries in `delay` + 100 ms, at least 128 KiB.
   */
  limit?: number | { frames?: number; bytes?: number } | undefined
  /** Milliseconds by which each frame is late. Default: 0. */
  delay?: number | undefined
  /** Milliseconds by which `delay` varies to either side, evenly. Frames stay in order all the same. Default: 0. */
  jitter?: number | undefined
  /** Frames that get lost, in per cent: 0 to 100. */
  loss?: number | undefined
  /** Frames that come twice, in per cent. */
  duplicate?: number | undefined
  /** Frames that go without the delay, before those that wait, in per cent. Needs `delay`. */
  reorder?: number | undefined
  /** Frames with one bit changed, in per cent. */
  corrupt?: number | undefined
  /** Makes the chances the same for the same frames. Default: another one each time. */
  seed?: number | undefined
  /**
   * Joins the TCP segments and UDP datagrams of a batch for a target with offload: several times faster, and nothing waits for it.
   * Default: 'auto', for a source without offload, as long as there is something to join.
   */
  coalesce?: boolean | 'auto' | undefined
}

/** A direction: forward is from the first end, `a`, to the second, `b`. */
export type PumpDirection = 'forward' | 'backward'

/** What can be changed while a pump runs: options of both directions, and of each. */
export interface PumpSettings extends FlowOptions {
  /** Options of this direction only, which win. */
  forward?: FlowOptions
  /** Options of this direction only, which win. */
  backward?: FlowOptions
}

/** Options of `startPump`. */
export interface PumpOptions extends PumpSettings {
  /** Which way frames go. Default: 'both'. */
  direction?: 'both' | PumpDirection
  /**
   * Milliseconds, up to 10, for which the pump's thread goes on looking for frames before it sleeps: it answers sooner, and keeps a
   * core busy while frames come. 0.05 is a good value where a core is free. Default: 0.
   */
  busyPoll?: number
  /** Ends the pump: `done` resolves with the reason 'aborted'. */
  signal?: AbortSignal
}

export const flowKeys: (keyof FlowOptions)[] = [
  ...(['filter', 'rate', 'burst', 'limit', 'delay', 'jitter'] as const),
  ...(['loss', 'duplicate', 'reorder', 'corrupt', 'seed', 'coalesce'] as const),
]
const settingKeys = [...flowKeys, 'forward', 'backward']

/** What the addon takes for one direction: the order of the numbers is that of `setPump` in native.ts. */
export interface FlowNumbers {
  values: Float64Array
  program: Uint8Array
}

const MILLISECOND = 1e6
const LONGEST = 1000 * 3600 * 24
const joining = { false: 0, auto: 1, true: 2 } as const

export function checkPumpOptions(options: PumpOptions): void {
  checkOptions(options, 'options', [...settingKeys, 'direction', 'busyPoll', 'signal'])
  if (options.busyPoll !== undefined) checkTime(options.busyPoll, 'options.busyPoll', 10)
  if (options.direction !== undefined)
    checkOneOf(options.direction, 'options.direction', ['both', 'forward', 'backward'])
  checkSignal(options.signal, 'options.signal')
}

export function checkPumpSettings(options: PumpSettings): void {
  checkOptions(options, 'options', settingKeys)
}

/** The options of one direction: those for both, and those of its own. */
export function optionsOf(options: PumpSettings, direction: PumpDirection): FlowOptions {
  const own = options[direction]
  if (own !== undefined) checkOptions(own, `options.${direction}`, flowKeys)
  const merged: FlowOptions = {}
  for (const key of flowKeys) {
    const from = own !== undefined && key in own ? own : key in options ? options : undefined
    if (from !== undefined) (merged as Record<string, unknown>)[key] = from[key]
  }
  return merged
}

function optional<T>(value: T | undefined, check: (value: T) => number, otherwise = 0): number {
  return value === undefined ? otherwise : check(value)
}

/**
 * Checks the options of one direction. `given`: what the caller gave, for the names in errors; `seeds`: whether the chances begin anew;
 * `layer3`: frames are IP packets.
 */
export function flowNumbers(
  options: FlowOptions,
  direction: PumpDirection,
  given: PumpSettings,
  seeds: boolean,
  layer3: boolean,
): FlowNumbers {
  const own = given[direction] ?? {}
  const name = (key: keyof FlowOptions) => (key in own ? `options.${direction}.${key}` : `options.${key}`)
  const chance = (key: 'loss' | 'duplicate' | 'reorder' | 'corrupt') =>
    optional(options[key], (value) => checkPercent(value, name(key)))
  const time = (key: 'delay' | 'jitter') => optional(options[key], (value) => checkTime(value, name(key), LONGEST))
  const delay = time('delay')
  const jitter = time('jitter')
  const rate = optional(options.rate, (value) => checkRate(value, name('rate')))
  const reorder = chance('reorder')
  if (reorder > 0 && delay === 0) {
    throw valueError(name('reorder'), options.reorder, 'needs a delay: such frames overtake those that are delayed')
  }
  if (options.burst !== undefined) checkInteger(options.burst, name('burst'), 1, Number.MAX_SAFE_INTEGER)
  const burst = options.burst ?? Math.max(3028, Math.round((rate / 8) * 0.004))
  const limit = limits(options.limit, name('limit'), rate, delay + jitter)
  const { coalesce = 'auto' } = options
  if (typeof coalesce !== 'boolean' && coalesce !== 'auto') {
    throw typeError(name('coalesce'), "true, false or 'auto'", coalesce)
  }
  if (options.seed !== undefined) checkInteger(options.seed, name('seed'), 0, Number.MAX_SAFE_INTEGER)
  const seed = options.seed ?? randomInt(2 ** 48 - 1)
  const values = Float64Array.of(
    ...[chance('loss'), chance('duplicate'), reorder, chance('corrupt')],
    ...[delay * MILLISECOND, jitter * MILLISECOND, rate, burst, limit.frames, limit.bytes],
    ...[joining[`${coalesce}`], seeds ? 1 : 0, seed % 2 ** 32],
    // The two directions have chances of their own.
    Math.floor(seed / 2 ** 32) + (direction === 'forward' ? 0 : 2 ** 31),
  )
  return { values, program: filterProgram(options.filter, name('filter'), layer3) }
}

function limits(
  limit: FlowOptions['limit'],
  name: string,
  rate: number,
  delay: number,
): { frames: number; bytes: number } {
  const most = Number.MAX_SAFE_INTEGER
  if (limit === undefined) {
    if (rate === 0) return { frames: 10_000, bytes: 16 * 1024 * 1024 }
    return { frames: most, bytes: Math.max(128 * 1024, (rate / 8) * ((delay + 100) / 1000)) }
  }
  if (typeof limit === 'number') {
    checkInteger(limit, name, 1, most)
    return { frames: limit, bytes: most }
  }
  checkOptions(limit, name, ['frames', 'bytes'])
  const { frames = most, bytes = most } = limit
  checkInteger(frames, `${name}.frames`, 1, most)
  checkInteger(bytes, `${name}.bytes`, 1, most)
  return { frames, bytes }
}

function filterProgram(filter: PacketFilterInput | undefined, name: string, layer3: boolean): Uint8Array {
  if (filter === undefined) return new Uint8Array()
  if (typeof filter !== 'object' || filter === null) throw typeError(name, A_FILTER, filter)
  const isProgram = filter instanceof PacketFilter || filter instanceof Uint8Array || Array.isArray(filter)
  return packetFilter(filter, isProgram ? {} : { layer3 }).bytes
}
