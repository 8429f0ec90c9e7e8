/** What blocks of a pcapng file have in their options. Those that are not known, or not as long as they should be, are passed over. */
import { formatMac } from '../values/mac.js'
import type { Fields } from './bytes.js'
import {
  commonOptions,
  interfaceOptions,
  linkTypes,
  packetOptions,
  sectionOptions,
  statisticsOptions,
} from './constants.js'
import { invalid } from './invalid.js'
import type { CapturedInterface, CaptureSection, CaptureStatistics, FrameDirection, LinkType } from './types.js'

type Writable<T> = { -readonly [K in keyof T]: T[K] }

const linkTypeNames = new Map<number, LinkType>(
  Object.entries(linkTypes).map(([name, number]) => [number, name as LinkType]),
)

/** The link type by its name, when it has one here. */
export function linkTypeOf(number: number): LinkType {
  return linkTypeNames.get(number) ?? number
}

/** The options of a block, from `from` to `to` in the buffer. `offset` is the block's in the file. */
export class OptionList {
  /** The option that `next` has found: its number, where its value begins, and how long that is. */
  code = 0
  at = 0
  length = 0
  readonly #fields: Fields
  readonly #buffer: Buffer
  readonly #to: number
  readonly #offset: number
  #position: number

  constructor(fields: Fields, buffer: Buffer, from: number, to: number, offset: number) {
    this.#fields = fields
    this.#buffer = buffer
    this.#position = from
    this.#to = to
    this.#offset = offset
  }

  next(): boolean {
    const at = this.#position
    if (this.#to - at < 4) return false
    this.code = this.#fields.u16(this.#buffer, at)
    this.length = this.#fields.u16(this.#buffer, at + 2)
    this.at = at + 4
    if (this.code === commonOptions.end) return false
    this.#position = this.at + ((this.length + 3) & ~3)
    if (this.#position > this.#to)
      throw invalid(this.#offset, `an option of ${this.length} bytes is longer than its block`)
    return true
  }

  /** Some writers end a text with a zero. */
  text(skip = 0): string {
    const start = this.at + skip
    const end = this.at + this.length
    const zero = this.#buffer.subarray(start, end).indexOf(0)
    return this.#buffer.toString('utf8', start, zero < 0 ? end : start + zero)
  }

  u8(): number {
    return this.#buffer[this.at] as number
  }

  u32(): number {
    return this.#fields.u32(this.#buffer, this.at)
  }

  u64(): bigint {
    return this.#fields.u64(this.#buffer, this.at)
  }

  halves(): bigint {
    return this.#fields.halves(this.#buffer, this.at)
  }

  mac(): string {
    return formatMac(this.#buffer, this.at, 6)
  }
}

function joined(comment: string | undefined, text: string): string {
  return comment === undefined ? text : `${comment}\n${text}`
}

export function readSection(options: OptionList): CaptureSection {
  const section: CaptureSection = {}
  while (options.next()) {
    const { code } = options
    if (code === commonOptions.comment) section.comment = joined(section.comment, options.text())
    else if (code === sectionOptions.hardware) section.hardware = options.text()
    else if (code === sectionOptions.os) section.os = options.text()
    else if (code === sectionOptions.application) section.application = options.text()
  }
  return section
}

const BILLION = 1_000_000_000n

/** How an interface counts time. */
export class TimeUnit {
  #multiplier = 1000n
  #divisor = 1n
  #offset = 0n

  /** if_tsresol: a power of 10, or with the top bit of 2, that is divided by. */
  set resolution(value: number) {
    const exponent = BigInt(value & 0x7f)
    const perSecond = value & 0x80 ? 1n << exponent : 10n ** exponent
    const whole = BILLION % perSecond === 0n
    this.#multiplier = whole ? BILLION / perSecond : BILLION
    this.#divisor = whole ? 1n : perSecond
  }

  /** if_tsoffset: seconds that are to be added. */
  set offset(seconds: bigint) {
    this.#offset = seconds * BILLION
  }

  nanoseconds(count: bigint): bigint {
    const product = this.#multiplier === 1n ? count : count * this.#multiplier
    return (this.#divisor === 1n ? product : product / this.#divisor) + this.#offset
  }
}

/** Fills in an interface. */
export function readInterface(options: OptionList, description: Writable<CapturedInterface>, unit: TimeUnit): void {
  while (options.next()) {
    const { code, length } = options
    if (code === commonOptions.comment) description.comment = joined(description.comment, options.text())
    else if (code === interfaceOptions.name) description.name = options.text()
    else if (code === interfaceOptions.description) description.description = options.text()
    else if (code === interfaceOptions.os) description.os = options.text()
    else if (code === interfaceOptions.hardware) description.hardware = options.text()
    else if (code === interfaceOptions.mac && length === 6) description.mac = options.mac()
    else if (code === interfaceOptions.speed && length === 8) description.speed = fewest(options.u64())
    else if (code === interfaceOptions.timestampResolution && length === 1) unit.resolution = options.u8()
    else if (code === interfaceOptions.timestampOffset && length === 8) unit.offset = BigInt.asIntN(64, options.u64())
    // A filter in words; one in instructions (1) is passed over.
    else if (code === interfaceOptions.filter && length > 0 && options.u8() === 0) description.filter = options.text(1)
  }
}

/** A number, when it is one that has room for all its digits. */
function fewest(value: bigint): number | bigint {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

/** What a packet says beside its data. */
export interface PacketWords {
  direction: FrameDirection | undefined
  comment: string | undefined
  dropped: bigint | undefined
}

export function readPacketWords(options: OptionList): PacketWords {
  const words: PacketWords = { direction: undefined, comment: undefined, dropped: undefined }
  while (options.next()) {
    const { code, length } = options
    if (code === commonOptions.comment) words.comment = joined(words.comment, options.text())
    else if (code === packetOptions.flags && length === 4) words.direction = directionOf(options.u32())
    else if (code === packetOptions.dropCount && length === 8) words.dropped = options.u64()
  }
  return words
}

function directionOf(flags: number): FrameDirection | undefined {
  const bits = flags & 3
  return bits === 1 ? 'inbound' : bits === 2 ? 'outbound' : undefined
}

const counters = new Map<number, 'received' | 'dropped' | 'accepted' | 'systemDropped' | 'delivered'>([
  [statisticsOptions.received, 'received'],
  [statisticsOptions.interfaceDropped, 'dropped'],
  [statisticsOptions.accepted, 'accepted'],
  [statisticsOptions.systemDropped, 'systemDropped'],
  [statisticsOptions.delivered, 'delivered'],
])

export function readStatistics(
  options: OptionList,
  timestamp: bigint,
  unit: TimeUnit,
): CaptureStatistics & { timestamp: bigint } {
  const statistics: CaptureStatistics & { timestamp: bigint } = { timestamp }
  while (options.next()) {
    if (options.length !== 8) continue
    const counter = counters.get(options.code)
    if (counter !== undefined) statistics[counter] = options.u64()
    else if (options.code === statisticsOptions.startTime) statistics.startTime = unit.nanoseconds(options.halves())
    else if (options.code === statisticsOptions.endTime) statistics.endTime = unit.nanoseconds(options.halves())
  }
  return statistics
}
