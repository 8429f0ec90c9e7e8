/** Where captures go: what a file and a stream have in common. */
import { Readable } from 'node:stream'
import type { EncodedFrames, PcapngEncoder } from './encoder.js'

/** The blocks around frames, which whoever captures knows. */
export interface Surroundings {
  readonly encoder: PcapngEncoder
  /** What a file begins with: its section and its interfaces, which count anew. */
  begin(): Buffer
  /** What a file ends with: the statistics of the interfaces. */
  end(): Buffer
}

export interface CaptureOutput {
  /** Bytes of the file or stream that were made so far, in all files. */
  readonly bytes: number
  /** The file that frames go to now. */
  readonly file: string | undefined
  /** Resolves when it ends by itself: a file that cannot be written, with an error; a stream that was destroyed, without. */
  readonly ended: Promise<Error | undefined>
  /** Takes the frames from `start` on, as far as there is room. Returns how many. */
  take(frames: EncodedFrames, start: number, end: number, index: number): number
  /** Resolves when there is room again, or when there never will be. */
  room(): Promise<void>
  /** No more frames come but those that wait already: from now on, nobody waits for who reads. */
  hurry(): void
  /** Writes the end, and resolves when all is written. Rejects with what went wrong before. */
  finish(): Promise<void>
}

/** Those who wait for room. */
export class Waiting {
  #resolves: (() => void)[] = []

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolves.push(resolve)
    })
  }

  wake(): void {
    for (const resolve of this.#resolves.splice(0)) resolve()
  }
}

/** How much of a stream is made ahead of who reads it, in bytes. */
const AHEAD = 256 * 1024

/** A stream of bytes, each batch of frames as soon as it comes. */
export class StreamOutput implements CaptureOutput {
  bytes = 0
  readonly file = undefined
  readonly stream: Readable
  readonly ended: Promise<Error | undefined>
  readonly #surroundings: Surroundings
  readonly #waiting = new Waiting()
  #isFull = false
  #hurries = false

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings
    this.stream = new Readable({
      highWaterMark: AHEAD,
      read: () => {
        this.#isFull = false
        this.#waiting.wake()
      },
    })
    this.ended = new Promise((resolve) => {
      this.stream.once('close', () => resolve(undefined))
    })
    void this.ended.then(() => this.#waiting.wake())
    this.#push(surroundings.begin())
  }

  #push(bytes: Buffer): void {
    this.bytes += bytes.length
    if (!this.stream.push(bytes)) this.#isFull = !this.#hurries
  }

  take(frames: EncodedFrames, start: number, end: number, index: number): number {
    // Who destroyed the stream wants no more frames: they are taken, and forgotten.
    if (this.stream.destroyed) return end - start
    if (this.#isFull) return 0
    const { encoder } = this.#surroundings
    const size = encoder.sizeOf(frames, start, end, index)
    const out = Buffer.allocUnsafeSlow(size)
    const count = encoder.fill(out, 0, size, frames, start, end, index)
    this.#push(out)
    return count
  }

  async room(): Promise<void> {
    if (this.#isFull && !this.stream.destroyed) await this.#waiting.wait()
  }

  /** Who has stopped reading must not keep the capture from ending: what is left, the stream keeps. */
  hurry(): void {
    this.#hurries = true
    this.#isFull = false
    this.#waiting.wake()
  }

  async finish(): Promise<void> {
    if (this.stream.destroyed) return
    this.#push(this.#surroundings.end())
    this.stream.push(null)
  }
}
