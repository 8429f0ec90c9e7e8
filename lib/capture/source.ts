/** Frames of an end on their way into a capture. */
import { batchParts } from '../packets/batch.js'
import type { BatchIterator } from '../packets/batch-iterator.js'
import type { PacketFilter } from '../packets/filter.js'
import { native } from '../native.js'
import { systemError } from '../errors.js'
import { deviceOf, type PacketEnd } from '../packets/end.js'
import { nanosecondsNow } from './clock.js'
import { type EncodedFrames, framesOf } from './encoder.js'
import type { CaptureOutput } from './output.js'
import type { CaptureInterface, CaptureStatistics } from './types.js'

/** Frames a turn. */
const TURN = 256
/** At the end of a capture, of an end that does not know when frames came: more than any queue of the kernel's usually has. */
const MOST_TURNS = 1024

/** What a capture reads: an end, and what is known about it. */
export interface SourceParts {
  end: PacketEnd
  description: CaptureInterface
  /** Whether the end is the capture's own, and closed with it. */
  isOwn: boolean
  /** What is captured, where the end does not see to it. */
  filter?: PacketFilter
  /** Lets no more frames in: those that wait when it resolves are the last. */
  stop?(): Promise<void>
  /** Settles when there will be no more frames, though the end is still open. */
  ended?: Promise<unknown>
  /** Frames that were lost for lack of room so far. */
  dropped(): number
}

export class CaptureSource {
  readonly description: CaptureInterface
  /** Frames that were captured. */
  frames = 0
  /** Bytes of them, as they were before they were cut. */
  frameBytes = 0
  readonly #parts: SourceParts
  readonly #index: number
  /** The filter's, once, as its `bytes` is a copy each time. */
  readonly #program: Uint8Array | undefined
  readonly #results = new Uint32Array(TURN)
  readonly #began = nanosecondsNow()
  /** The kernel's number, once the end is closed. */
  #dropped: number | undefined
  #batches: BatchIterator | undefined
  #ending = false

  constructor(parts: SourceParts, index: number) {
    this.#parts = parts
    this.#index = index
    this.description = parts.description
    this.#program = parts.filter?.bytes
  }

  get dropped(): number {
    return this.#dropped ?? this.#parts.dropped()
  }

  get statistics(): CaptureStatistics {
    const { dropped, frames } = this
    const now = nanosecondsNow()
    const counts = { received: frames + dropped, dropped, delivered: frames }
    return { timestamp: now, startTime: this.#began, endTime: now, ...counts }
  }

  /** Hands frames to the output until `end` is called; then those that wait in the kernel. Rejects when the end fails. */
  async run(output: CaptureOutput): Promise<void> {
    const { end, ended } = this.#parts
    void ended?.then(() => this.end())
    if (!this.#ending) {
      this.#batches = end.batches({ details: true, max: TURN })
      for await (const batch of this.#batches) {
        await this.#hand(framesOf(batch), batch.length, output)
        if (this.#ending) break
      }
    }
    if (!this.#ending) return
    await this.#parts.stop?.()
    if (!end.destroyed) await this.#empty(output)
  }

  /** Ends `run`. */
  end(): void {
    if (this.#ending) return
    this.#ending = true
    void this.#batches?.return()
  }

  async #hand(frames: EncodedFrames, all: number, output: CaptureOutput): Promise<void> {
    const count = this.#select(frames, all)
    let done = output.take(frames, 0, count, this.#index)
    while (done < count) {
      await output.room()
      done += output.take(frames, done, count, this.#index)
    }
    this.#count(frames, count)
  }

  /** Leaves only the frames that match. Returns how many. */
  #select({ slab, spans, details }: EncodedFrames, count: number): number {
    if (this.#program === undefined) return count
    const matching = native.runFilter(this.#program, slab, spans, count, this.#results)
    if (matching < 0) throw systemError(matching, 'filter', 'cannot run the filter')
    if (matching === count) return count
    let to = 0
    for (let from = 0; from < count; from++) {
      if (this.#results[from] === 0) continue
      spans.copyWithin(2 * to, 2 * from, 2 * from + 2)
      details?.copyWithin(4 * to, 4 * from, 4 * from + 4)
      to++
    }
    return to
  }

  #count({ details }: EncodedFrames, count: number): void {
    this.frames += count
    if (details === undefined) return
    for (let i = 0; i < count; i++) this.frameBytes += details[4 * i + 2] as number
  }

  /** What came before the end, and nothing that comes after it. */
  async #empty(output: CaptureOutput): Promise<void> {
    const device = deviceOf(this.#parts.end)
    const last = nanosecondsNow()
    const parts = batchParts(device, 1500, TURN, true)
    const { slab, spans } = parts
    const details = new Uint32Array((parts.details as Uint8Array).buffer)
    for (let turns = 0; turns < MOST_TURNS; turns++) {
      const count = device.read(slab, 0, spans, TURN, parts.details)
      if (count === 0) return
      await this.#hand({ slab, spans, details }, count, output)
      const time = (BigInt(details[4 * count - 3] as number) << 32n) | BigInt(details[4 * count - 4] as number)
      if (time > last) return
    }
  }

  async close(): Promise<void> {
    const { end, isOwn } = this.#parts
    this.#dropped = this.#parts.dropped()
    if (isOwn) await end.close()
  }
}
