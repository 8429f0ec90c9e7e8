/** Capture files of both formats to packets, piece by piece. */

import { ByteQueue } from './bytes.js'
import { ClassicFile } from './classic.js'
import { blockTypes, classicMagics } from './constants.js'
import { CaptureError, invalid } from './invalid.js'
import { PcapngFile } from './pcapng.js'
import type { CapturedInterface, CapturedPacket } from './types.js'

/** A format, once it is known which. */
export interface CaptureFormat {
  readonly interfaces: readonly CapturedInterface[]
  /** The next packet, or undefined when there is not one before more bytes come. Throws a CaptureError. */
  next(): CapturedPacket | undefined
  /** Whether the file may end here. */
  readonly complete: boolean
}

/** The two bytes that a file of gzip begins with. */
const GZIP = 0x1f8b

export class CaptureDecoder {
  readonly #queue = new ByteQueue()
  readonly #limit: number
  #format: CaptureFormat | undefined

  /** @param limit the longest block or record that is taken into memory, in bytes */
  constructor(limit: number) {
    this.#limit = limit
  }

  get interfaces(): readonly CapturedInterface[] {
    return this.#format?.interfaces ?? []
  }

  /** Adds bytes, once `next` has said that it needs some. */
  add(chunk: Buffer): void {
    this.#queue.add(chunk)
  }

  /** The next packet, or undefined when more bytes are needed for it. Throws a CaptureError. */
  next(): CapturedPacket | undefined {
    this.#format ??= this.#detect()
    return this.#format?.next()
  }

  /** To be called at the end of the file: throws a CaptureError when it ends too early. */
  finish(): void {
    const { waiting, offset } = this.#queue
    if (this.#format !== undefined && waiting === 0 && this.#format.complete) return
    const what = offset + waiting === 0 ? 'the capture file is empty' : 'the capture file ends in the middle of a block'
    throw new CaptureError('ERR_TRUNCATED_CAPTURE', offset, what)
  }

  #detect(): CaptureFormat | undefined {
    if (!this.#queue.need(4)) return undefined
    const { buffer, position } = this.#queue
    const magic = buffer.readUInt32LE(position)
    if (magic === blockTypes.section) return new PcapngFile(this.#queue, this.#limit)
    for (const little of [true, false]) {
      const number = little ? magic : buffer.readUInt32BE(position)
      if (number === classicMagics.micro) return new ClassicFile(this.#queue, this.#limit, little, 1000n)
      if (number === classicMagics.nano) return new ClassicFile(this.#queue, this.#limit, little, 1n)
    }
    const zipped = buffer.readUInt16BE(position) === GZIP
    throw invalid(
      0,
      zipped ? 'this is compressed: pipe it through zlib.createGunzip() first' : 'this is no capture file',
    )
  }
}
