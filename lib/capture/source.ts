/** Frames of an end on their way into a capture. */
import { batchParts } from '../packets/batch.js'
import type { BatchIterator } from '../packets/batch-iterator.js'
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
  /** Lets no more frames in: those that wait already are the last. */
  stop?(): void
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
  readonly #began = nanosecondsNow()
  /** The kernel's number, once the end is closed. */
  #dropped: number | undefined
  #batches: BatchIterator | undefined
  #ending = false

  constructor(parts: SourceParts, index: number) {
    this.#parts = parts
    this.#index = index
    this.description = parts.description
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
    const { end } = this.#parts
    if (!this.#ending) {
      this.#batches = end.batches({ details: true, max: TURN })
      for await (const batch of this.#batches) {
        await this.#hand(framesOf(batch), batch.length, output)
        if (this.#ending) break
      }
    }
    if (this.#ending && !end.destroyed) await this.#empty(output)
  }

  /** Ends `run`. */
  end(): void {
    if (this.#ending) return
    this.#ending = true
    this.#parts.stop?.()
    void this.#batches?.return()
  }

  async #hand(frames: EncodedFrames, count: number, output: CaptureOutput): Promise<void> {
    let done = output.take(frames, 0, count, this.#index)
    while (done < count) {
      await output.room()
      done += output.take(frames, done, count, this.#index)
    }
    this.#count(frames, count)
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
