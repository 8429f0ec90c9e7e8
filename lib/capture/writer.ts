/** Frames to a pcapng file as a stream. */
import { Duplex } from 'node:stream'
import { checkOptions, typeError } from '../validate.js'
import { type EncoderOptions, PcapngEncoder } from './encoder.js'
import { sectionOptionKeys } from './options.js'
import type { CaptureFrame, CaptureInterface, CaptureStatistics } from './types.js'

/** Options of `pcapngWriter`. */
export interface PcapngWriterOptions extends EncoderOptions {
  /** The interfaces that there are from the beginning. Default: one Ethernet interface, unless the first frame names another. */
  interfaces?: readonly CaptureInterface[]
}

type WriteCallback = (error?: Error | null) => void

/**
 * A stream that takes frames, each a Buffer or a CaptureFrame, and gives the bytes of a pcapng file:
 * `tap.pipe(pcapngWriter()).pipe(createWriteStream('tap.pcapng'))`. What was written can be read at once: a program that
 * follows the file sees each frame when it comes.
 *
 * A frame with a wrong field destroys the stream with the TypeError or RangeError that says so.
 */
export class PcapngWriter extends Duplex {
  readonly #encoder: PcapngEncoder
  /** The numbers of the descriptions that frames came with. */
  readonly #known = new Map<CaptureInterface, number>()
  /** Called when what was pushed has been taken. */
  #waiting: WriteCallback | undefined

  /** @internal */
  constructor(options: PcapngWriterOptions) {
    checkOptions(options, 'options', [...sectionOptionKeys, 'snapshotLength', 'interfaces'])
    const { interfaces = [], ...rest } = options
    if (!Array.isArray(interfaces)) throw typeError('options.interfaces', 'an array', interfaces)
    const encoder = new PcapngEncoder(rest)
    const beginning = [encoder.section(), ...interfaces.map((one) => encoder.interface(one))]
    super({ writableObjectMode: true })
    this.#encoder = encoder
    interfaces.forEach((one: CaptureInterface, i) => this.#known.set(one, i))
    this.push(Buffer.concat(beginning))
  }

  /** Adds an interface, and returns its number. */
  addInterface(description: CaptureInterface): number {
    const block = this.#encoder.interface(description)
    this.#known.set(description, this.#encoder.interfaces - 1)
    this.push(block)
    return this.#encoder.interfaces - 1
  }

  /** Writes what an interface has seen. Frames that still wait to be written come after it. */
  addStatistics(index: number, statistics: CaptureStatistics): void {
    this.push(this.#encoder.statistics(index, statistics))
  }

  override _read(): void {
    const callback = this.#waiting
    this.#waiting = undefined
    callback?.()
  }

  override _write(frame: unknown, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.#encode([frame], callback)
  }

  override _writev(items: { chunk: unknown }[], callback: WriteCallback): void {
    this.#encode(
      items.map(({ chunk }) => chunk),
      callback,
    )
  }

  override _final(callback: WriteCallback): void {
    // Without an interface, a reader does not know what the file would have been about.
    if (this.#encoder.interfaces === 0) this.addInterface({})
    this.push(null)
    callback()
  }

  #encode(frames: unknown[], callback: WriteCallback): void {
    const blocks: Buffer[] = []
    let failure: Error | undefined
    try {
      for (const frame of frames) this.#add(frame, blocks)
    } catch (error) {
      failure = error as Error
    }
    const more = blocks.length === 0 || this.push(blocks.length === 1 ? blocks[0] : Buffer.concat(blocks))
    if (failure !== undefined) callback(failure)
    else if (more) callback()
    else this.#waiting = callback
  }

  #add(value: unknown, blocks: Buffer[]): void {
    if (value instanceof Uint8Array) {
      if (this.#encoder.interfaces === 0) blocks.push(this.#encoder.interface())
      blocks.push(this.#encoder.frame(value))
      return
    }
    if (typeof value !== 'object' || value === null) throw typeError('frame', 'a Buffer or an object with data', value)
    const frame = value as CaptureFrame
    const { interface: place = 0 } = frame
    let index: number
    if (typeof place === 'number') {
      index = place
      if (this.#encoder.interfaces === 0) blocks.push(this.#encoder.interface())
    } else {
      index = this.#known.get(place) ?? -1
      if (index < 0) {
        blocks.push(this.#encoder.interface(place))
        index = this.#encoder.interfaces - 1
        this.#known.set(place, index)
      }
    }
    blocks.push(this.#encoder.frame({ ...frame, interface: index }))
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    this.#waiting = undefined
    callback(error)
  }
}

/**
 * A stream from frames to the bytes of a pcapng file (draft-ietf-opsawg-pcapng), with times in nanoseconds.
 *
 * @throws TypeError, RangeError (ERR_INVALID_ARG_…) when an option is wrong.
 */
export function pcapngWriter(options: PcapngWriterOptions = {}): PcapngWriter {
  return new PcapngWriter(options)
}
