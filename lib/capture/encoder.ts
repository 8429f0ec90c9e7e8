/** Frames to pcapng, at once and in whole batches: no stream, and no object for a frame. */
import { release, type } from 'node:os'
import { type FrameBatch, partsOf } from '../packets/batch.js'
import { checkInteger, checkOptions, typeError } from '../validate.js'
import { nanosecondsNow } from './clock.js'
import { blockTypes, commonOptions, packetOptions, WHOLE_FRAME } from './constants.js'
import {
  type BlockOption,
  checkCount,
  checkSnapshotLength,
  checkTimestamp,
  directionFlags,
  interfaceBlock,
  optionsSize,
  sectionBlock,
  sectionOptionKeys,
  statisticsBlock,
  textOf,
  type WrittenInterface,
  writeOptions,
} from './options.js'
import type { CaptureFrame, CaptureInterface, CaptureSection, CaptureStatistics } from './types.js'

/** Options of a PcapngEncoder. */
export interface EncoderOptions extends CaptureSection {
  /** The most bytes that are kept of a frame of an interface that says nothing else. Default: 262,144. */
  snapshotLength?: number
}

/** Many frames in one piece of memory. */
export interface EncodedFrames {
  /** The memory that the frames lie in. */
  slab: Uint8Array
  /** Offset and length of each; the length's top bit means nothing here. */
  spans: Uint32Array
  /** Of each frame four numbers: the low and the high half of its time in nanoseconds since 1970 (both 0: unknown), its length on the wire, its flags. */
  details?: Uint32Array | undefined
  /** The time of frames whose own is unknown: nanoseconds since 1970. */
  timestamp?: bigint
}

const LENGTH_MASK = 0x7fff_ffff
/** Up to this many bytes, copying words is faster than a call for it. */
const FEW_BYTES = 96
/** What a block of a frame needs beside its data: header and trailer, the option of flags, the end of options. */
const FRAME_BLOCK = 32
const FLAGS_SIZE = 12

const frameKeys = ['data', 'timestamp', 'interface', 'direction', 'comment', 'originalLength', 'dropped']

/**
 * Makes the blocks of a pcapng file (draft-ietf-opsawg-pcapng), each in a Buffer of its own, for you to write where you
 * like: `section()` first, then `interface()` for each interface, then frames. Times are written in nanoseconds.
 */
export class PcapngEncoder {
  readonly #section: CaptureSection
  readonly #snapshotLength: number
  readonly #interfaces: WrittenInterface[] = []
  /** Where `fill` has ended. */
  #end = 0

  /** @throws TypeError, RangeError (ERR_INVALID_ARG_…) when an option is wrong. */
  constructor(options: EncoderOptions = {}) {
    checkOptions(options, 'options', [...sectionOptionKeys, 'snapshotLength'])
    const { snapshotLength = WHOLE_FRAME, ...section } = options
    checkSnapshotLength(snapshotLength, 'options.snapshotLength')
    this.#snapshotLength = snapshotLength
    this.#section = { application: 'netkit', os: `${type()} ${release()}`, ...section }
    sectionBlock(this.#section, 'options')
  }

  /** How many interfaces there are. */
  get interfaces(): number {
    return this.#interfaces.length
  }

  /** A section header block: what a file begins with. Interfaces are counted anew from here. */
  section(): Buffer {
    this.#interfaces.length = 0
    return sectionBlock(this.#section, 'options')
  }

  /** An interface description block. The first interface is number 0. */
  interface(description: CaptureInterface = {}): Buffer {
    const made = interfaceBlock(description, 'interface', this.#snapshotLength)
    this.#interfaces.push(made)
    return made.block
  }

  /** An interface statistics block; its time is now, unless it says another. */
  statistics(index: number, statistics: CaptureStatistics): Buffer {
    this.#written(index, 'interface')
    return statisticsBlock(index, statistics, nanosecondsNow)
  }

  /**
   * An enhanced packet block. `frame.interface` is a number here (default: 0).
   *
   * @throws RangeError (ERR_OUT_OF_RANGE) when there is no such interface.
   */
  frame(frame: CaptureFrame | Uint8Array): Buffer {
    if (frame instanceof Uint8Array) return this.#frame({ data: frame })
    checkOptions(frame, 'frame', frameKeys)
    if (!(frame.data instanceof Uint8Array)) throw typeError('frame.data', 'a Buffer or Uint8Array', frame.data)
    return this.#frame(frame)
  }

  #frame(frame: CaptureFrame): Buffer {
    const { data, timestamp, direction, comment, dropped, interface: index = 0 } = frame
    const { originalLength = data.length } = frame
    if (typeof index !== 'number') throw typeError('frame.interface', 'the number of an interface', index)
    const { snapshotLength } = this.#written(index, 'frame.interface')
    checkInteger(originalLength, 'frame.originalLength', 0, 0xffff_ffff)
    const time = timestamp === undefined ? nanosecondsNow() : checkTimestamp(timestamp, 'frame.timestamp')
    const options: BlockOption[] = []
    if (comment !== undefined) options.push([commonOptions.comment, textOf(comment, 'frame.comment')])
    const flags = directionFlags(direction, 'frame.direction')
    if (flags !== 0) options.push([packetOptions.flags, Uint8Array.of(flags, 0, 0, 0)])
    if (dropped !== undefined) {
      const count = Buffer.alloc(8)
      count.writeBigUInt64LE(checkCount(dropped, 'frame.dropped'))
      options.push([packetOptions.dropCount, count])
    }
    const length = Math.min(data.length, snapshotLength)
    const padded = (length + 3) & ~3
    const size = FRAME_BLOCK + padded + optionsSize(options)
    const out = Buffer.allocUnsafe(size)
    out.fill(0, 28 + length)
    header(out, 0, size, index, Number(time >> 32n), Number(time & 0xffff_ffffn), length, originalLength)
    out.set(length === data.length ? data : data.subarray(0, length), 28)
    writeOptions(out, 28 + padded, options)
    out.writeUInt32LE(size, size - 4)
    return out
  }

  /**
   * Enhanced packet blocks of all frames of a batch, in one Buffer. Times, directions and lengths are those that the batch has
   * (`batches({ details: true })`); without them, its frames have the time of now.
   *
   * @throws RangeError (ERR_OUT_OF_RANGE) when there is no such interface, Error (ERR_INVALID_STATE) when the batch's turn is over.
   */
  batch(batch: FrameBatch, index = 0): Buffer {
    this.#written(index, 'index')
    const frames = framesOf(batch)
    const out = Buffer.allocUnsafeSlow(this.sizeOf(frames, 0, batch.length, index))
    this.fill(out, 0, out.length, frames, 0, batch.length, index)
    return out
  }

  /** The bytes that `fill` writes of the frames from `start` to `end`. @internal */
  sizeOf({ spans, details }: EncodedFrames, start: number, end: number, index: number): number {
    const { snapshotLength } = this.#interfaces[index] as WrittenInterface
    let size = 0
    for (let i = start; i < end; i++) {
      const length = Math.min((spans[2 * i + 1] as number) & LENGTH_MASK, snapshotLength)
      size += FRAME_BLOCK + ((length + 3) & ~3)
      if (details !== undefined && details[4 * i + 3] !== 0) size += FLAGS_SIZE
    }
    return size
  }

  /**
   * Writes enhanced packet blocks of the frames from `start` to `end` into `out`, from `position` (a multiple of 4) on, as
   * many as fit. Returns how many; `end` has the position behind the last.
   *
   * @internal
   */
  fill(out: Buffer, position: number, limit: number, frames: EncodedFrames, start: number, end: number, index: number) {
    const { snapshotLength } = this.#interfaces[index] as WrittenInterface
    const { slab, spans, details, timestamp } = frames
    const slabWords =
      slab.byteOffset % 4 === 0 ? new Uint32Array(slab.buffer, slab.byteOffset, slab.length >>> 2) : undefined
    const words = new Uint32Array(out.buffer, out.byteOffset, out.length >>> 2)
    const now = timestamp ?? nanosecondsNow()
    const nowHigh = Number(now >> 32n)
    const nowLow = Number(now & 0xffff_ffffn)
    let at = position
    let i = start
    for (; i < end; i++) {
      const offset = spans[2 * i] as number
      const whole = (spans[2 * i + 1] as number) & LENGTH_MASK
      const length = Math.min(whole, snapshotLength)
      let low = nowLow
      let high = nowHigh
      let original = whole
      let flags = 0
      if (details !== undefined) {
        const detail = 4 * i
        if (details[detail] !== 0 || details[detail + 1] !== 0) {
          low = details[detail] as number
          high = details[detail + 1] as number
        }
        original = details[detail + 2] as number
        flags = details[detail + 3] as number
      }
      const padded = (length + 3) & ~3
      const size = FRAME_BLOCK + padded + (flags === 0 ? 0 : FLAGS_SIZE)
      if (at + size > limit) break
      // The host is little-endian wherever netkit runs.
      let word = at >>> 2
      words[word] = blockTypes.enhancedPacket
      words[word + 1] = size
      words[word + 2] = index
      words[word + 3] = high
      words[word + 4] = low
      words[word + 5] = length
      words[word + 6] = original
      word += 7
      const last = word + (padded >>> 2)
      if (padded !== length) words[last - 1] = 0
      if (length <= FEW_BYTES && offset % 4 === 0 && slabWords !== undefined) {
        const fullWords = word + (length >>> 2)
        for (let from = offset >>> 2; word < fullWords; ) words[word++] = slabWords[from++] as number
        for (let byte = length & ~3; byte < length; byte++) out[at + 28 + byte] = slab[offset + byte] as number
      } else if (length > 0) {
        out.set(new Uint8Array(slab.buffer, slab.byteOffset + offset, length), at + 28)
      }
      word = last
      if (flags !== 0) {
        words[word++] = packetOptions.flags | (4 << 16)
        words[word++] = flags
        words[word++] = commonOptions.end
      }
      words[word] = size
      at += size
    }
    this.#end = at
    return i - start
  }

  /** @internal */
  get end(): number {
    return this.#end
  }

  #written(index: number, name: string): WrittenInterface {
    checkInteger(index, name, 0, this.#interfaces.length - 1)
    return this.#interfaces[index] as WrittenInterface
  }
}

/** The frames of a batch, as `fill` takes them. */
export function framesOf(batch: FrameBatch): EncodedFrames {
  const { slab, spans, details } = partsOf(batch)
  if (details === undefined) return { slab, spans }
  return { slab, spans, details: new Uint32Array(details.buffer, details.byteOffset, details.length >>> 2) }
}

function header(
  out: Buffer,
  at: number,
  size: number,
  index: number,
  high: number,
  low: number,
  length: number,
  original: number,
): void {
  out.writeUInt32LE(blockTypes.enhancedPacket, at)
  out.writeUInt32LE(size, at + 4)
  out.writeUInt32LE(index, at + 8)
  out.writeUInt32LE(high, at + 12)
  out.writeUInt32LE(low, at + 16)
  out.writeUInt32LE(length, at + 20)
  out.writeUInt32LE(original, at + 24)
}
