/** Bytes that come in pieces of any size, and are wanted in pieces of others. */

const NOTHING = Buffer.alloc(0)

/**
 * What is wanted is looked at where it lies, and is put together only when it is spread over several pieces. It never has
 * memory for more than what has really come.
 */
export class ByteQueue {
  /** Where the bytes of the last `need` lie, from `position` on. */
  buffer: Buffer = NOTHING
  position = 0
  /** How many bytes were taken since the beginning. */
  offset = 0
  #chunk: Buffer = NOTHING
  #at = 0
  #pending: Buffer = NOTHING
  #have = 0

  /** Adds a piece. The one before must have been used up: `need` or `skip` has said that there is not enough. */
  add(chunk: Buffer): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** How many bytes wait to be taken. */
  get waiting(): number {
    return this.#have + this.#chunk.length - this.#at
  }

  /** Whether the bytes of the last `need` will be overwritten: then what is kept of them must be copied. */
  get passing(): boolean {
    return this.buffer === this.#pending
  }

  /** Makes `size` bytes (at least 1) be at `position` in `buffer`. False when they have not come yet. */
  need(size: number): boolean {
    if (this.#have === 0) {
      if (this.#chunk.length - this.#at >= size) {
        this.buffer = this.#chunk
        this.position = this.#at
        return true
      }
      this.#keep(this.#chunk.length - this.#at, size)
      return false
    }
    this.#keep(Math.min(size - this.#have, this.#chunk.length - this.#at), size)
    this.buffer = this.#pending
    this.position = 0
    return this.#have >= size
  }

  /** Moves bytes from the piece to those that wait for more. */
  #keep(count: number, size: number): void {
    if (count <= 0) return
    const wanted = this.#have + count
    if (wanted > this.#pending.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(wanted, Math.min(size, 2 * this.#pending.length), 256))
      this.#pending.copy(larger, 0, 0, this.#have)
      this.#pending = larger
    }
    this.#chunk.copy(this.#pending, this.#have, this.#at, this.#at + count)
    this.#have = wanted
    this.#at += count
  }

  /** Takes the bytes of the last `need` that was true. */
  take(size: number): void {
    if (this.#have > 0) this.#have = 0
    else this.#at += size
    this.offset += size
  }

  /** Takes up to `size` bytes that nobody wants. Returns how many are still to be skipped. */
  skip(size: number): number {
    const kept = Math.min(size, this.#have)
    if (kept > 0) this.#pending.copyWithin(0, kept, this.#have)
    this.#have -= kept
    const passed = Math.min(size - kept, this.#chunk.length - this.#at)
    this.#at += passed
    this.offset += kept + passed
    return size - kept - passed
  }
}

/** Numbers of a piece of memory, in the byte order of the file. */
export class Fields {
  readonly little: boolean

  constructor(little: boolean) {
    this.little = little
  }

  u16(buffer: Buffer, at: number): number {
    return this.little ? buffer.readUInt16LE(at) : buffer.readUInt16BE(at)
  }

  u32(buffer: Buffer, at: number): number {
    return this.little ? buffer.readUInt32LE(at) : buffer.readUInt32BE(at)
  }

  u64(buffer: Buffer, at: number): bigint {
    return this.little ? buffer.readBigUInt64LE(at) : buffer.readBigUInt64BE(at)
  }

  /** Two halves of 32 bits, the high one first, as pcapng has times. */
  halves(buffer: Buffer, at: number): bigint {
    return (BigInt(this.u32(buffer, at)) << 32n) | BigInt(this.u32(buffer, at + 4))
  }
}
