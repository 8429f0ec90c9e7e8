/** Batches without a promise: by callback, and by asking (for worker threads that do nothing else). */

import { type BatchParts, batchParts, expire, FrameBatch } from './batch.js'
import type { BatchReader, BatchSource } from './batch-iterator.js'
import type { PacketDevice } from './device.js'

/** Reading by callback, as `onBatch` has begun it. */
export class BatchListener implements BatchReader {
  readonly #source: BatchSource
  readonly #device: PacketDevice
  readonly #parts: BatchParts
  readonly #max: number
  readonly #callback: (batch: FrameBatch) => void
  #over = false
  #paused = false

  /** @internal */
  constructor(
    source: BatchSource,
    device: PacketDevice,
    mtu: number,
    max: number,
    callback: (batch: FrameBatch) => void,
  ) {
    this.#source = source
    this.#device = device
    this.#parts = batchParts(device, mtu, max)
    this.#max = max
    this.#callback = callback
    if (device.failure !== undefined) throw device.failure
    source.claim(this)
    device.watch(this.#ready)
  }

  /** Whether it has ended: by `close()`, with its end, or because the device failed. */
  get closed(): boolean {
    return this.#over
  }

  get paused(): boolean {
    return this.#paused
  }

  /** Reads no more until `resume()`; frames wait in the kernel. */
  pause(): void {
    if (this.#over || this.#paused) return
    this.#paused = true
    this.#device.unwatch()
  }

  resume(): void {
    if (this.#over || !this.#paused) return
    this.#paused = false
    this.#device.watch(this.#ready)
  }

  readonly #ready = (): void => {
    let length: number
    try {
      length = this.#device.read(this.#parts.slab, 0, this.#parts.spans, this.#max)
    } catch {
      // The end's 'error' event has it.
      this.close()
      this.#source.abandon()
      return
    }
    if (length === 0) return
    const batch = new FrameBatch(this.#parts, length)
    try {
      this.#callback(batch)
    } finally {
      expire(batch)
    }
  }

  /** @internal */
  end(): void {
    this.close()
  }

  /** Ends reading. The end stays open. Idempotent. */
  close(): void {
    if (this.#over) return
    this.#over = true
    if (!this.#device.closed) this.#device.unwatch()
    this.#source.release(this)
  }

  /** The same as `close()`. */
  [Symbol.dispose](): void {
    this.close()
  }
}

/** What `pollBatch` keeps from one call to the next. */
export class BatchPoller implements BatchReader {
  readonly #device: PacketDevice
  readonly #mtu: number
  #parts: BatchParts | undefined
  #current: FrameBatch | undefined

  constructor(device: PacketDevice, mtu: number) {
    this.#device = device
    this.#mtu = mtu
  }

  /** Blocks up to `timeout` milliseconds, for ever when that is negative. */
  poll(timeout: number, max: number): FrameBatch | undefined {
    if (this.#current !== undefined) expire(this.#current)
    this.#current = undefined
    if (this.#parts === undefined || this.#parts.spans.length < 2 * max) {
      this.#parts = batchParts(this.#device, this.#mtu, max)
    }
    const { slab, spans } = this.#parts
    let length = this.#device.read(slab, 0, spans, max)
    if (length === 0 && timeout !== 0 && this.#device.waitReadable(timeout)) {
      length = this.#device.read(slab, 0, spans, max)
    }
    if (length > 0) this.#current = new FrameBatch(this.#parts, length)
    return this.#current
  }

  end(): void {
    if (this.#current !== undefined) expire(this.#current)
    this.#current = undefined
  }
}
