/** Classic capture files: draft-ietf-opsawg-pcap. One interface, times in micro- or nanoseconds, no options. */
import { type ByteQueue, Fields } from './bytes.js'
import type { CaptureFormat } from './decoder.js'
import { invalid } from './invalid.js'
import { linkTypeOf } from './pcapng-options.js'
import type { CapturedInterface, CapturedPacket } from './types.js'

const FILE_HEADER = 24
const RECORD_HEADER = 16
const BILLION = 1_000_000_000n

export class ClassicFile implements CaptureFormat {
  readonly interfaces: CapturedInterface[] = []
  readonly #queue: ByteQueue
  readonly #limit: number
  readonly #fields: Fields
  /** Nanoseconds of what records count beside seconds. */
  readonly #unit: bigint
  /** The record that is being waited for, its header included; 0 when it is not known. */
  #size = 0

  constructor(queue: ByteQueue, limit: number, little: boolean, unit: bigint) {
    this.#queue = queue
    this.#limit = limit
    this.#fields = new Fields(little)
    this.#unit = unit
  }

  get complete(): boolean {
    return this.interfaces.length === 1
  }

  next(): CapturedPacket | undefined {
    const queue = this.#queue
    const fields = this.#fields
    if (this.interfaces.length === 0 && !this.#begin()) return undefined
    if (this.#size === 0) {
      if (!queue.need(RECORD_HEADER)) return undefined
      const length = fields.u32(queue.buffer, queue.position + 8)
      if (RECORD_HEADER + length > this.#limit) {
        throw invalid(queue.offset, `a record of ${length} bytes: the limit is ${this.#limit}`)
      }
      this.#size = RECORD_HEADER + length
    }
    const size = this.#size
    if (!queue.need(size)) return undefined
    const { buffer, position, passing } = queue
    const bytes = buffer.subarray(position + RECORD_HEADER, position + size)
    const seconds = BigInt(fields.u32(buffer, position))
    const packet: CapturedPacket = {
      interface: this.interfaces[0] as CapturedInterface,
      timestamp: seconds * BILLION + BigInt(fields.u32(buffer, position + 4)) * this.#unit,
      data: passing ? Buffer.from(bytes) : bytes,
      originalLength: fields.u32(buffer, position + 12),
      direction: undefined,
      comment: undefined,
      dropped: undefined,
    }
    queue.take(size)
    this.#size = 0
    return packet
  }

  #begin(): boolean {
    const queue = this.#queue
    const fields = this.#fields
    if (!queue.need(FILE_HEADER)) return false
    const { buffer, position } = queue
    const [major, minor] = [fields.u16(buffer, position + 4), fields.u16(buffer, position + 6)]
    if (major !== 2 || minor !== 4) throw invalid(0, `a capture file of version ${major}.${minor}: only 2.4 is known`)
    this.interfaces.push({
      index: 0,
      // The upper half tells whether frames end in a checksum.
      linkType: linkTypeOf(fields.u32(buffer, position + 20) & 0xffff),
      snapshotLength: fields.u32(buffer, position + 16),
      section: {},
    })
    queue.take(FILE_HEADER)
    return true
  }
}
