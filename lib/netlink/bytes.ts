/** Reading and writing of binary messages: a view over received bytes, and a growing buffer for those to be sent. */
import { endianness } from 'node:os'

/** Netlink is in the host's byte order (netlink(7)), but for attributes marked NLA_F_NET_BYTEORDER or documented as such. */
export const LITTLE_ENDIAN = endianness() === 'LE'

/** Received bytes, and the DataView over the same memory. */
export interface Source {
  bytes: Uint8Array
  view: DataView
}

export function sourceOf(bytes: Uint8Array): Source {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
}

const POOL_SIZE = 32 * 1024
let pool = new Uint8Array(POOL_SIZE)
let poolUsed = 0

/** A copy of some bytes. Small ones share a piece of memory: an ArrayBuffer each would be a burden on the garbage collector. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start
  // Not slice(): of a Buffer that is no copy.
  if (length > POOL_SIZE / 8) return Buffer.from(bytes.subarray(start, end))
  if (poolUsed + length > POOL_SIZE) {
    pool = new Uint8Array(POOL_SIZE)
    poolUsed = 0
  }
  pool.set(bytes.subarray(start, end), poolUsed)
  const copy = Buffer.from(pool.buffer, poolUsed, length)
  // What a caller makes a view of wider numbers of must be aligned.
  poolUsed += (length + 7) & ~7
  return copy
}

/** An int of C in the host's order, as setsockopt(2) takes it. */
export function encodeInt(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, value, LITTLE_ENDIAN)
  return bytes
}

export function decodeInt(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, LITTLE_ENDIAN)
}

/** `length` rounded up to the 4 bytes that netlink aligns headers and attributes to (NLMSG_ALIGNTO, NLA_ALIGNTO). */
export function align4(length: number): number {
  return (length + 3) & ~3
}

/** A buffer that grows as it is written to. */
export class Writer {
  bytes: Uint8Array
  view: DataView
  length = 0

  constructor(capacity = 4096) {
    this.bytes = new Uint8Array(capacity)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Makes room for `size` zeroed bytes and returns their offset. */
  reserve(size: number): number {
    const offset = this.length
    const end = offset + size
    if (end > this.bytes.length) this.#grow(end)
    this.bytes.fill(0, offset, end)
    this.length = end
    return offset
  }

  /** Appends bytes. */
  append(data: Uint8Array): void {
    const offset = this.reserve(data.length)
    this.bytes.set(data, offset)
  }

  /** Pads with zeros to 4 bytes. */
  align(): void {
    this.reserve(align4(this.length) - this.length)
  }

  /** A copy of what was written, and a start anew. */
  take(): Uint8Array {
    const copy = copyOf(this.bytes, 0, this.length)
    this.length = 0
    return copy
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(Math.max(needed, 2 * this.bytes.length))
    bytes.set(this.bytes.subarray(0, this.length))
    this.bytes = bytes
    this.view = new DataView(bytes.buffer)
  }
}
