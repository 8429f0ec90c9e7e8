/** pcapng files: draft-ietf-opsawg-pcapng. Each section has its own byte order and interfaces. */
import { type ByteQueue, Fields } from './bytes.js'
import { BYTE_ORDER_MAGIC, blockTypes } from './constants.js'
import type { CaptureFormat } from './decoder.js'
import { invalid } from './invalid.js'
import {
  linkTypeOf,
  OptionList,
  type PacketWords,
  readInterface,
  readPacketWords,
  readSection,
  readStatistics,
  TimeUnit,
} from './pcapng-options.js'
import type { CapturedInterface, CapturedPacket, CaptureSection } from './types.js'

/** Type, length, and the length again at the end. */
const SMALLEST = 12
const known = new Set<number>(Object.values(blockTypes).filter((type) => type !== blockTypes.names))
const noWords: PacketWords = { direction: undefined, comment: undefined, dropped: undefined }

export class PcapngFile implements CaptureFormat {
  interfaces: CapturedInterface[] = []
  readonly #queue: ByteQueue
  readonly #limit: number
  #fields = new Fields(true)
  #section: CaptureSection = {}
  #units: TimeUnit[] = []
  /** Bytes that the descriptions of this section's interfaces have together. */
  #described = 0
  /** The block that is being waited for, or passed over. 0: not known yet. */
  #type = 0
  #length = 0
  /** Bytes of a block that are still to be passed over, before the length at its end. */
  #skipping = 0
  #begun = false

  constructor(queue: ByteQueue, limit: number) {
    this.#queue = queue
    this.#limit = limit
  }

  get complete(): boolean {
    return this.#begun && this.#length === 0
  }

  next(): CapturedPacket | undefined {
    for (;;) {
      if (this.#length === 0 && !this.#header()) return undefined
      if (!known.has(this.#type)) {
        if (!this.#passOver()) return undefined
        continue
      }
      const queue = this.#queue
      if (!queue.need(this.#length)) return undefined
      const { buffer, position } = queue
      this.#checkEnd(buffer, position + this.#length - 4)
      const packet = this.#block(buffer, position, position + this.#length - 4)
      queue.take(this.#length)
      this.#length = 0
      if (packet !== undefined) return packet
    }
  }

  /** Reads a block's type and length. False when they have not come yet. */
  #header(): boolean {
    const queue = this.#queue
    if (!queue.need(SMALLEST)) return false
    const { buffer, position, offset } = queue
    // The same in both byte orders.
    if (buffer.readUInt32LE(position) === blockTypes.section) {
      const little = buffer.readUInt32LE(position + 8) === BYTE_ORDER_MAGIC
      if (!little && buffer.readUInt32BE(position + 8) !== BYTE_ORDER_MAGIC) {
        throw invalid(offset, 'a section whose byte order is neither of the two')
      }
      this.#fields = new Fields(little)
    }
    const type = this.#fields.u32(buffer, position)
    const length = this.#fields.u32(buffer, position + 4)
    if (length < SMALLEST || length % 4 !== 0) throw invalid(offset, `a block cannot have ${length} bytes`)
    if (known.has(type) && length > this.#limit) {
      throw invalid(offset, `a block of ${length} bytes: the limit is ${this.#limit}`)
    }
    this.#type = type
    this.#length = length
    this.#skipping = length - 4
    return true
  }

  /** Passes over a block that nobody knows, of any length. False when it has not come whole. */
  #passOver(): boolean {
    const queue = this.#queue
    this.#skipping = queue.skip(this.#skipping)
    if (this.#skipping > 0 || !queue.need(4)) return false
    this.#checkEnd(queue.buffer, queue.position, queue.offset + 4 - this.#length)
    queue.take(4)
    this.#length = 0
    return true
  }

  #checkEnd(buffer: Buffer, at: number, offset = this.#queue.offset): void {
    const length = this.#fields.u32(buffer, at)
    if (length !== this.#length) {
      throw invalid(offset, `a block that has ${this.#length} bytes at its beginning has ${length} at its end`)
    }
  }

  /** @param start where the block begins; @param end where the length at its end begins */
  #block(buffer: Buffer, start: number, end: number): CapturedPacket | undefined {
    const body = start + 8
    switch (this.#type) {
      case blockTypes.enhancedPacket:
        return this.#packet(buffer, body, end, this.#fixed(20, body, end) && this.#fields.u32(buffer, body), undefined)
      case blockTypes.packet: {
        this.#fixed(20, body, end)
        const lost = this.#fields.u16(buffer, body + 2)
        // All ones: unknown.
        const dropped = lost === 0xffff ? undefined : BigInt(lost)
        return this.#packet(buffer, body, end, this.#fields.u16(buffer, body), dropped)
      }
      case blockTypes.simplePacket:
        return this.#simplePacket(buffer, body, end)
      case blockTypes.section:
        this.#beginSection(buffer, body, end)
        break
      case blockTypes.interface:
        this.#describeInterface(buffer, body, end)
        break
      default:
        this.#takeStatistics(buffer, body, end)
    }
    return undefined
  }

  /** Checks that there is room for what every block of a type has. */
  #fixed(size: number, body: number, end: number): number {
    const room = end - body
    if (room < size)
      throw invalid(this.#queue.offset, `a block of type ${this.#type} cannot have ${room + SMALLEST} bytes`)
    return 1
  }

  #options(buffer: Buffer, from: number, to: number): OptionList {
    return new OptionList(this.#fields, buffer, from, to, this.#queue.offset)
  }

  #interface(index: number): CapturedInterface {
    const found = this.interfaces[index]
    if (found === undefined) throw invalid(this.#queue.offset, `there is no interface ${index} in this section`)
    return found
  }

  #beginSection(buffer: Buffer, body: number, end: number): void {
    this.#fixed(16, body, end)
    const major = this.#fields.u16(buffer, body + 4)
    const minor = this.#fields.u16(buffer, body + 6)
    // 1.2 was written for a while, and is the same.
    if (major !== 1 || (minor !== 0 && minor !== 2)) {
      throw invalid(this.#queue.offset, `a section of version ${major}.${minor}: only 1.0 is known`)
    }
    this.#begun = true
    this.#section = readSection(this.#options(buffer, body + 16, end))
    this.interfaces = []
    this.#units = []
    this.#described = 0
  }

  #describeInterface(buffer: Buffer, body: number, end: number): void {
    this.#fixed(8, body, end)
    this.#described += this.#length
    if (this.#described > this.#limit) {
      throw invalid(this.#queue.offset, `the descriptions of the interfaces have more than ${this.#limit} bytes`)
    }
    const description: CapturedInterface = {
      index: this.interfaces.length,
      linkType: linkTypeOf(this.#fields.u16(buffer, body)),
      snapshotLength: this.#fields.u32(buffer, body + 4),
      section: this.#section,
    }
    const unit = new TimeUnit()
    readInterface(this.#options(buffer, body + 8, end), description, unit)
    this.interfaces.push(description)
    this.#units.push(unit)
  }

  #takeStatistics(buffer: Buffer, body: number, end: number): void {
    this.#fixed(12, body, end)
    const description = this.#interface(this.#fields.u32(buffer, body))
    const unit = this.#units[description.index] as TimeUnit
    const time = unit.nanoseconds(this.#fields.halves(buffer, body + 4))
    description.statistics = readStatistics(this.#options(buffer, body + 12, end), time, unit)
  }

  #packet(buffer: Buffer, body: number, end: number, index: number, dropped: bigint | undefined): CapturedPacket {
    const fields = this.#fields
    const description = this.#interface(index)
    const length = fields.u32(buffer, body + 12)
    const data = body + 20
    if (length > end - data) throw this.#tooLong(length)
    const options = data + ((length + 3) & ~3)
    const words = options < end ? readPacketWords(this.#options(buffer, options, end)) : noWords
    return {
      interface: description,
      timestamp: (this.#units[index] as TimeUnit).nanoseconds(fields.halves(buffer, body + 4)),
      data: this.#data(buffer, data, length),
      originalLength: fields.u32(buffer, body + 16),
      direction: words.direction,
      comment: words.comment,
      dropped: words.dropped ?? dropped,
    }
  }

  /** A simple packet block is of the first interface, and as long as that one keeps. */
  #simplePacket(buffer: Buffer, body: number, end: number): CapturedPacket {
    this.#fixed(4, body, end)
    const description = this.#interface(0)
    const originalLength = this.#fields.u32(buffer, body)
    const { snapshotLength } = description
    const length = snapshotLength === 0 ? originalLength : Math.min(originalLength, snapshotLength)
    if (length > end - body - 4) throw this.#tooLong(length)
    const data = this.#data(buffer, body + 4, length)
    return { interface: description, timestamp: undefined, data, originalLength, ...noWords }
  }

  #tooLong(length: number): Error {
    return invalid(this.#queue.offset, `a packet of ${length} bytes is longer than its block`)
  }

  #data(buffer: Buffer, at: number, length: number): Buffer {
    const bytes = buffer.subarray(at, at + length)
    return this.#queue.passing ? Buffer.from(bytes) : bytes
  }
}
