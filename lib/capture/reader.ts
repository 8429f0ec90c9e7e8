/** Capture files to packets as a stream. */
import { createReadStream } from 'node:fs'
import { Duplex, pipeline } from 'node:stream'
import { checkInteger, checkOptions, typeError } from '../validate.js'
import { CaptureDecoder } from './decoder.js'
import type { CapturedInterface, CapturedPacket } from './types.js'

/** Options of `pcapngReader` and `readCapture`. */
export interface CaptureReaderOptions {
  /** The longest block that is taken into memory, in bytes, from 4,096 on. Longer ones are an error. Default: 16 MiB. */
  blockLimit?: number
}

const BLOCK_LIMIT = 16 * 1024 * 1024
const optionKeys = ['blockLimit']

type Callback = (error?: Error | null) => void

/**
 * A stream that takes the bytes of a capture file, in pieces of any size, and gives its packets as CapturedPacket objects:
 * `for await (const packet of createReadStream('left.pcapng').pipe(pcapngReader()))`. It holds no more than one block and
 * the packets of one piece.
 *
 * It is destroyed with a CaptureError (ERR_INVALID_CAPTURE, ERR_TRUNCATED_CAPTURE) when the file is not as it should be; the
 * packets before were read.
 */
export class PcapngReader extends Duplex {
  readonly #decoder: CaptureDecoder
  #callback: Callback | undefined
  #failure: (() => void) | undefined

  /** @internal */
  constructor(options: CaptureReaderOptions) {
    checkOptions(options, 'options', optionKeys)
    const { blockLimit = BLOCK_LIMIT } = options
    checkInteger(blockLimit, 'options.blockLimit', 4096, 0xffff_ffff)
    super({ readableObjectMode: true, readableHighWaterMark: 256 })
    this.#decoder = new CaptureDecoder(blockLimit)
  }

  /** The interfaces of the section that is being read, with the statistics that came so far. At the end: those of the last. */
  get interfaces(): readonly CapturedInterface[] {
    return this.#decoder.interfaces
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#decoder.add(chunk)
    this.#callback = callback
    this.#run()
  }

  override _read(): void {
    this.#run()
  }

  #run(): void {
    const callback = this.#callback
    if (callback === undefined) return
    try {
      for (;;) {
        const packet = this.#decoder.next()
        if (packet === undefined) break
        if (!this.push(packet)) return
        // Whoever gets a packet may end the stream, or ask for the next.
        if (this.#callback !== callback) return
      }
    } catch (error) {
      this.#callback = undefined
      this.#fail(error as Error, callback)
      return
    }
    this.#callback = undefined
    callback()
  }

  /** An error would throw away the packets that wait to be read, which are good: it is said after them. */
  #fail(error: Error, callback: Callback): void {
    if (this.readableLength === 0) callback(error)
    else this.#failure = () => callback(error)
  }

  // biome-ignore lint/suspicious/noExplicitAny: as the stream has it
  override read(size?: number): any {
    const packet = super.read(size)
    if (this.#failure !== undefined && this.readableLength === 0) {
      const fail = this.#failure
      this.#failure = undefined
      fail()
    }
    return packet
  }

  override _final(callback: Callback): void {
    try {
      this.#decoder.finish()
    } catch (error) {
      this.#fail(error as Error, callback)
      return
    }
    this.push(null)
    callback()
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#callback = undefined
    this.#failure = undefined
    callback(error)
  }

  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<CapturedPacket, undefined> {
    return super[Symbol.asyncIterator]()
  }
}

/**
 * A stream from the bytes of a capture file to its packets: pcapng (draft-ietf-opsawg-pcapng) in both byte orders and with
 * times of any resolution, and classic pcap (draft-ietf-opsawg-pcap) with micro- and nanoseconds. What is not known in them
 * (names, custom blocks and options) is passed over.
 *
 * @throws TypeError, RangeError (ERR_INVALID_ARG_…) when an option is wrong.
 */
export function pcapngReader(options: CaptureReaderOptions = {}): PcapngReader {
  return new PcapngReader(options)
}

/**
 * The packets of a capture file: `for await (const packet of readCapture('left.pcapng'))`. Fails with the system's error when the
 * file cannot be read.
 *
 * @throws TypeError, RangeError (ERR_INVALID_ARG_…) when an argument is wrong.
 */
export function readCapture(file: string | URL, options: CaptureReaderOptions = {}): PcapngReader {
  if (typeof file !== 'string' && !(file instanceof URL)) throw typeError('file', 'a path', file)
  const reader = new PcapngReader(options)
  // An error reaches whoever reads, as the stream's.
  pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), reader, () => {})
  return reader
}
