/** Offload headers: what is still to be done to a frame, and the frames that have one. */
import { checkInteger, checkOneOf, checkOptions } from '../validate.js'
import { OFFLOAD_HEADER_SIZE, offloadConstants } from './constants.js'

/** How a frame is to be cut: not at all, as TCP over IPv4 or IPv6, as UDP datagrams, or as IP fragments of a UDP datagram. */
export type Segmentation = 'none' | 'tcp4' | 'tcp6' | 'udp' | 'fragments'

const segmentations: Readonly<Record<Segmentation, number>> = {
  none: offloadConstants.VIRTIO_NET_HDR_GSO_NONE,
  tcp4: offloadConstants.VIRTIO_NET_HDR_GSO_TCPV4,
  tcp6: offloadConstants.VIRTIO_NET_HDR_GSO_TCPV6,
  udp: offloadConstants.VIRTIO_NET_HDR_GSO_UDP_L4,
  fragments: offloadConstants.VIRTIO_NET_HDR_GSO_UDP,
}
const words = Object.keys(segmentations) as Segmentation[]
const {
  VIRTIO_NET_HDR_GSO_ECN: ECN,
  VIRTIO_NET_HDR_F_NEEDS_CSUM: NEEDS,
  VIRTIO_NET_HDR_F_DATA_VALID: VALID,
} = offloadConstants

/** The fields of an offload header. */
export interface OffloadFields {
  /** The checksum from `checksumStart` on is not made yet: at `checksumStart + checksumOffset` is the sum of the pseudo-header only. */
  needsChecksum?: boolean
  /** The checksums were found right by who handed the frame over. */
  checksumValid?: boolean
  /** How the frame is to be cut. */
  segmentation?: Segmentation
  /** TCP segments of a connection that says ECN: CWR belongs into the first one only. */
  ecn?: boolean
  /** Bytes of headers that every segment begins with. */
  headerLength?: number
  /** Bytes of payload of each segment. */
  segmentSize?: number
  /** Where the checksummed part begins, in bytes from the frame's beginning. */
  checksumStart?: number
  /** Where the checksum is, in bytes from `checksumStart`. */
  checksumOffset?: number
}

const keys = [
  ...['needsChecksum', 'checksumValid', 'segmentation', 'ecn', 'headerLength', 'segmentSize', 'checksumStart'],
  'checksumOffset',
] as const

/** A view of a struct virtio_net_hdr (linux/virtio_net.h): reads and writes the bytes themselves. Valid as long as the frame is. */
export class OffloadHeader {
  readonly #bytes: Uint8Array

  /** @internal `offset` of the header itself in `memory` */
  constructor(memory: ArrayBufferLike, offset: number) {
    this.#bytes = new Uint8Array(memory, offset, OFFLOAD_HEADER_SIZE)
  }

  #flag(flag: number, value: boolean | undefined): boolean {
    if (value !== undefined)
      this.#bytes[0] = value ? (this.#bytes[0] as number) | flag : (this.#bytes[0] as number) & ~flag
    return ((this.#bytes[0] as number) & flag) !== 0
  }

  #word(at: number): number {
    return (this.#bytes[at] as number) | ((this.#bytes[at + 1] as number) << 8)
  }

  #setWord(at: number, value: number, name: string): void {
    checkInteger(value, name, 0, 0xffff)
    this.#bytes[at] = value & 255
    this.#bytes[at + 1] = value >> 8
  }

  get needsChecksum(): boolean {
    return this.#flag(NEEDS, undefined)
  }
  set needsChecksum(value: boolean) {
    this.#flag(NEEDS, value)
  }
  get checksumValid(): boolean {
    return this.#flag(VALID, undefined)
  }
  set checksumValid(value: boolean) {
    this.#flag(VALID, value)
  }
  get segmentation(): Segmentation {
    const number = (this.#bytes[1] as number) & ~ECN
    return words.find((word) => segmentations[word] === number) ?? 'none'
  }
  set segmentation(value: Segmentation) {
    checkOneOf(value, 'segmentation', words)
    this.#bytes[1] = segmentations[value] | ((this.#bytes[1] as number) & ECN)
  }
  get ecn(): boolean {
    return ((this.#bytes[1] as number) & ECN) !== 0
  }
  set ecn(value: boolean) {
    this.#bytes[1] = value ? (this.#bytes[1] as number) | ECN : (this.#bytes[1] as number) & ~ECN
  }
  get headerLength(): number {
    return this.#word(2)
  }
  set headerLength(value: number) {
    this.#setWord(2, value, 'headerLength')
  }
  get segmentSize(): number {
    return this.#word(4)
  }
  set segmentSize(value: number) {
    this.#setWord(4, value, 'segmentSize')
  }
  get checksumStart(): number {
    return this.#word(6)
  }
  set checksumStart(value: number) {
    this.#setWord(6, value, 'checksumStart')
  }
  get checksumOffset(): number {
    return this.#word(8)
  }
  set checksumOffset(value: number) {
    this.#setWord(8, value, 'checksumOffset')
  }

  /** Sets several fields, and leaves the others. */
  set(fields: OffloadFields): this {
    checkOptions(fields, 'fields', keys)
    Object.assign(this, fields)
    return this
  }

  toJSON(): Required<OffloadFields> {
    return Object.fromEntries(keys.map((key) => [key, this[key]])) as unknown as Required<OffloadFields>
  }
}

/**
 * A frame with an offload header before it: a Buffer like any other, whose `header` says what is still to be done to it. What is
 * copied or cut out of it (`Buffer.from`, `subarray`) is a Buffer without a header. Give it to a `write` as it is.
 */
export interface OffloadFrame extends Buffer {
  readonly header: OffloadHeader
}

// As Node's own Buffers are made: a Uint8Array with Buffer's prototype behind its own.
class Frame extends Uint8Array {
  static get [Symbol.species](): Uint8ArrayConstructor {
    return Uint8Array
  }

  get header(): OffloadHeader {
    return new OffloadHeader(this.buffer, this.byteOffset - OFFLOAD_HEADER_SIZE)
  }
}
Object.setPrototypeOf(Frame.prototype, Buffer.prototype)

/** A view of a frame whose header lies before it. */
export function offloadFrameAt(memory: ArrayBufferLike, offset: number, length: number): OffloadFrame {
  return new Frame(memory as ArrayBuffer, offset, length) as unknown as OffloadFrame
}

export function isOffloadFrame(frame: Uint8Array): frame is OffloadFrame {
  return frame instanceof Frame
}

/** A copy of a frame with an offload header, which the caller fills in: `createOffloadFrame(bytes, { needsChecksum: true, … })`. */
export function createOffloadFrame(frame: Uint8Array, fields: OffloadFields = {}): OffloadFrame {
  const memory = new ArrayBuffer(OFFLOAD_HEADER_SIZE + frame.length)
  const copy = offloadFrameAt(memory, OFFLOAD_HEADER_SIZE, frame.length)
  copy.set(frame)
  copy.header.set(fields)
  return copy
}
