/** Frames in batches: up to a few hundred a turn, in one reused piece of memory, without an object for each. */
import { checkInteger, rangeError, typeError, valueError } from '../validate.js'
import { FRAME_ROOM, HAS_HEADER, OFFLOAD_HEADER_SIZE } from './constants.js'
import { lengthOf, type PacketDevice } from './device.js'
import { type OffloadFrame, OffloadHeader, offloadFrameAt } from './offload-header.js'

/** What FrameBatch is made of, for those who read and write. */
export interface BatchParts {
  slab: Buffer
  spans: Uint32Array
  /** 16 bytes a frame, as `details` of `native.readFrames`; where they were asked for. */
  details?: Uint8Array
}

/** Bytes of a frame's details (struct FrameDetail of src-native/end.h). */
const DETAIL = 16

/** The parts of a batch, or an error when its turn is over. */
export let partsOf: (batch: FrameBatch) => BatchParts
/** Ends a batch's turn. */
export let expire: (batch: FrameBatch) => void

/**
 * The frames of one turn. They lie in memory that the next turn overwrites: what is kept longer must be copied (`copy(i)`).
 * A batch whose turn is over throws when its frames are asked for, but a view that `frame(i)` returned changes under its holder.
 */
export class FrameBatch implements Iterable<Buffer> {
  /** How many frames. */
  readonly length: number
  /** How many bytes all frames have together. */
  readonly bytes: number
  #parts: BatchParts | undefined
  /** Batches of the same turn that were selected from this one. */
  readonly #selections: FrameBatch[] = []

  static {
    partsOf = (batch) => batch.#use()
    expire = (batch) => {
      batch.#parts = undefined
      for (const some of batch.#selections) expire(some)
    }
  }

  /** @internal */
  constructor(parts: BatchParts, length: number) {
    let bytes = 0
    for (let i = 0; i < length; i++) bytes += lengthOf(parts.spans, i)
    this.#parts = parts
    this.length = length
    this.bytes = bytes
  }

  /** The memory that all frames lie in: frame `i` is the `size(i)` bytes from `offset(i)` on. Looking at them here makes no object. */
  get data(): Buffer {
    return this.#use().slab
  }

  /** Where frame `i` begins in `data`. */
  offset(i: number): number {
    return this.#use(i).spans[2 * i] as number
  }

  /** How many bytes frame `i` has. */
  size(i: number): number {
    return lengthOf(this.#use(i).spans, i)
  }

  /**
   * Frame `i`: a view, valid until the next turn. When it has an offload header it is an OffloadFrame, which a `write` cuts and
   * completes as the header says.
   */
  frame(i: number): Buffer {
    const { slab, spans } = this.#use(i)
    const offset = spans[2 * i] as number
    const length = lengthOf(spans, i)
    if ((spans[2 * i + 1] as number) >= HAS_HEADER) return offloadFrameAt(slab.buffer, slab.byteOffset + offset, length)
    return slab.subarray(offset, offset + length)
  }

  /** A copy of frame `i`, to keep: with its offload header, if it has one. */
  copy(i: number): Buffer {
    const { slab, spans } = this.#use(i)
    if ((spans[2 * i + 1] as number) < HAS_HEADER) return Buffer.from(this.frame(i))
    const begin = (spans[2 * i] as number) - OFFLOAD_HEADER_SIZE
    const length = lengthOf(spans, i)
    const memory = Uint8Array.prototype.slice.call(slab, begin, begin + OFFLOAD_HEADER_SIZE + length)
    return offloadFrameAt(memory.buffer, memory.byteOffset + OFFLOAD_HEADER_SIZE, length) as OffloadFrame
  }

  /** The offload header of frame `i`: a view to read and change, valid until the next turn; undefined when it has none. */
  header(i: number): OffloadHeader | undefined {
    const { slab, spans } = this.#use(i)
    if ((spans[2 * i + 1] as number) < HAS_HEADER) return undefined
    return new OffloadHeader(slab.buffer, slab.byteOffset + (spans[2 * i] as number) - OFFLOAD_HEADER_SIZE)
  }

  #detail(i: number): DataView {
    const { details } = this.#use(i)
    if (details === undefined) {
      throw Object.assign(new Error('this batch has no times: ask for them with batches({ details: true })'), {
        code: 'ERR_INVALID_STATE',
      })
    }
    return new DataView(details.buffer, details.byteOffset + DETAIL * i, DETAIL)
  }

  /** When frame `i` was received, in nanoseconds since 1970; 0 when the end does not know. Needs `details`. */
  time(i: number): bigint {
    return this.#detail(i).getBigUint64(0, true)
  }

  /** How many bytes frame `i` had before it was cut to fit. Needs `details`. */
  originalLength(i: number): number {
    return this.#detail(i).getUint32(8, true)
  }

  /** Which way frame `i` went, seen from its interface; undefined when the end does not know. Needs `details`. */
  direction(i: number): 'inbound' | 'outbound' | undefined {
    return ([undefined, 'inbound', 'outbound'] as const)[this.#detail(i).getUint32(12, true)]
  }

  /**
   * Some of the frames, as a batch of the same turn, without copying them: for the numbers in `which`, in that order, or for those
   * that `which(i)` is true of. `other.writeBatch(batch.select([0, 2]))` forwards them.
   */
  select(which: ArrayLike<number> | ((i: number) => boolean)): FrameBatch {
    const parts = this.#use()
    const numbers = typeof which === 'function' ? [...this.#matching(which)] : which
    if (typeof numbers?.length !== 'number') throw typeError('which', 'numbers of frames or a function', which)
    const spans = new Uint32Array(2 * numbers.length)
    const details = parts.details === undefined ? undefined : new Uint8Array(DETAIL * numbers.length)
    for (let to = 0; to < numbers.length; to++) {
      const from = numbers[to] as number
      // A name for each frame would cost more than the rest.
      if (!(Number.isInteger(from) && from >= 0 && from < this.length)) {
        checkInteger(from, `which[${to}]`, 0, this.length - 1)
      }
      spans[2 * to] = parts.spans[2 * from] as number
      spans[2 * to + 1] = parts.spans[2 * from + 1] as number
      details?.set((parts.details as Uint8Array).subarray(DETAIL * from, DETAIL * (from + 1)), DETAIL * to)
    }
    const some = new FrameBatch({ slab: parts.slab, spans, ...(details ? { details } : {}) }, numbers.length)
    this.#selections.push(some)
    return some
  }

  *#matching(test: (i: number) => boolean): Generator<number> {
    for (let i = 0; i < this.length; i++) if (test(i)) yield i
  }

  /** The views of all frames, in turn. */
  *[Symbol.iterator](): Generator<Buffer> {
    for (let i = 0; i < this.length; i++) yield this.frame(i)
  }

  /** The parts, for frame `i` where one is asked for: a batch may have none. */
  #use(i?: number): BatchParts {
    if (this.#parts === undefined) {
      throw Object.assign(
        new Error('this batch is over: its frames were valid until the next turn (copy(i) keeps one)'),
        {
          code: 'ERR_INVALID_STATE',
        },
      )
    }
    if (i !== undefined && !(Number.isInteger(i) && i >= 0 && i < this.length)) {
      if (this.length === 0) throw valueError('i', i, 'this batch has no frames')
      throw rangeError('i', 0, this.length - 1, i)
    }
    return this.#parts
  }
}

/** The memory that a reader of batches uses again and again. */
export function batchParts(device: PacketDevice, mtu: number, max: number, details = false): BatchParts {
  // Frames are packed, so the room for one of any size is needed only once. The MTU may grow later: then fewer fit a turn.
  const usual = device.offload ? FRAME_ROOM : (mtu + 26 + 63) & ~63
  const size = Math.min(FRAME_ROOM + max * usual, 2 * 1024 * 1024)
  const parts = { slab: Buffer.allocUnsafeSlow(size), spans: new Uint32Array(2 * max) }
  return details ? { ...parts, details: new Uint8Array(DETAIL * max) } : parts
}
