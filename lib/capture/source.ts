/** Frames of an end on their way into a capture. */
import { setImmediate as nextTurn } from 'node:timers/promises'

import { systemError } from '../errors.js'
import { native } from '../native.js'
import { batchParts } from '../packets/batch.js'
import type { BatchIterator } from '../packets/batch-iterator.js'
import { deviceOf, type PacketEnd } from '../packets/end.js'
import type { PacketFilter } from '../packets/filter.js'
import { nanosecondsNow } from './clock.js'
import { type EncodedFrames, framesOf } from './encoder.js'
import type { CaptureOutput } from './output.js'
import type { CaptureInterface, CaptureStatistics } from './types.js'

/** Frames a turn. */
const TURN = 256
/** How many turns what waits at the end may take: more frames than the queue of a tap or a socket has. */
const MOST_TURNS = 64
const USUAL_MTU = 1500

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

  /** What waits when the capture ends. */
  async #empty(output: CaptureOutput): Promise<void> {
    const { end, stop } = this.#parts
    const device = deviceOf(end)
    const parts = batchParts(device, USUAL_MTU, TURN, true)
    const { slab, spans } = parts
    const details = new Uint32Array((parts.details as Uint8Array).buffer)
    // An end that lets more in while it is read is not read for ever.
    const most = stop === undefined ? MOST_TURNS : Number.POSITIVE_INFINITY
    for (let turns = 1; turns <= most; turns++) {
      const count = device.read(slab, 0, spans, TURN, parts.details)
      if (count === 0) return
      await this.#hand({ slab, spans, details }, count, output)
      if (turns % 8 === 0) await nextTurn()
    }
  }

  async close(): Promise<void> {
    const { end, isOwn } = this.#parts
    this.#dropped = this.#parts.dropped()
    if (isOwn) await end.close()
  }
}
