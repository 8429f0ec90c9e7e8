/** Cutting and joining of frames for those who have them in their hands: a tunnel, a simulated network, a test. */
import { errnoName } from '../errno.js'
import { native } from '../native.js'
import { checkBoolean, checkOneOf, checkOptions, typeError, valueError } from '../validate.js'
import { FrameBatch, partsOf } from './batch.js'
import { FRAME_ALIGNMENT, HAS_HEADER, LENGTH, OFFLOAD_HEADER_SIZE, takenConstants } from './constants.js'
import { isOffloadFrame, type OffloadFrame, offloadFrameAt, type Segmentation } from './offload-header.js'

/** The most segments that are made of one frame. */
const SEGMENTS = 2048
/** The most bytes that they may take. A peer could ask for hundreds of megabytes of one frame. */
const ROOM = 1024 * 1024
const spans = new Uint32Array(2 * SEGMENTS)

/** Options of `segmentFrame`. */
export interface SegmentFrameOptions {
  /** Whether the frame is an IP packet rather than an Ethernet frame. Default: false. */
  layer3?: boolean
}

const refusals: Readonly<Record<string, string>> = {
  EOPNOTSUPP: 'neither IP fragments nor the checksum of SCTP are made here',
  E2BIG: `it would be more than ${SEGMENTS} segments`,
  EMSGSIZE: `the segments would have more than ${ROOM} bytes`,
}

function checkLayer3(value: unknown): void {
  if (value !== undefined) checkBoolean(value, 'options.layer3')
}

/**
 * Makes whole frames of one with an offload header, as its header says: cuts TCP (IPv4, IPv6) and UDP into segments, with all
 * lengths, numbers and checksums, byte for byte as Linux does; or completes the one checksum that is wanting (of any protocol but
 * SCTP). Ethernet frames may have one or two VLAN tags (802.1Q, 802.1ad). A frame without a header is whole: a copy is returned.
 *
 * `write` and `writeBatch` of an end without offload do this by themselves: this is for frames that go elsewhere.
 *
 * The frames lie in one piece of memory, which is nobody else's.
 *
 * @throws TypeError, code ERR_INVALID_ARG_TYPE, for what is not a Uint8Array; RangeError, code ERR_INVALID_ARG_VALUE, when header and
 * frame contradict each other, when the header wants IP fragments (segmentation 'fragments'), when there would be more than 2,048
 * segments or 1 MiB of them
 */
export function segmentFrame(frame: Uint8Array, options: SegmentFrameOptions = {}): Buffer[] {
  if (!(frame instanceof Uint8Array)) throw typeError('frame', 'a Uint8Array', frame)
  checkOptions(options, 'options', ['layer3'])
  checkLayer3(options.layer3)
  if (!isOffloadFrame(frame)) return [Buffer.from(frame)]
  const header = new Uint8Array(frame.buffer, frame.byteOffset - OFFLOAD_HEADER_SIZE, OFFLOAD_HEADER_SIZE)
  const layer3 = options.layer3 === true
  const out = Buffer.allocUnsafeSlow(Math.min(native.segmentRoom(frame, header, layer3), ROOM))
  const count = native.segmentFrame(frame, header, layer3, out, 0, spans)
  if (count < 0) {
    const reason = refusals[errnoName(-count)] ?? `${frame.length} bytes of frame and this contradict each other`
    throw valueError('frame.header', frame.header.toJSON(), reason)
  }
  return Array.from({ length: count }, (_, i) => {
    const offset = spans[2 * i] as number
    return out.subarray(offset, offset + (spans[2 * i + 1] as number))
  })
}

/** Options of `coalesceFrames`. */
export interface CoalesceFramesOptions {
  /** Whether the frames are IP packets rather than Ethernet frames. Default: false. */
  layer3?: boolean
  /** What is joined: 'tcp4', 'tcp6', 'udp'. Default: all of them. */
  segmentation?: readonly Exclude<Segmentation, 'none' | 'fragments'>[]
}

/** TUN_F_…, linux/if_tun.h: what a writer takes. */
const { TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6 } = takenConstants
const offloadsOf = { tcp4: TUN_F_TSO4, tcp6: TUN_F_TSO6, udp: TUN_F_USO4 | TUN_F_USO6 } as const
const joinable = Object.keys(offloadsOf) as (keyof typeof offloadsOf)[]

/** Frames in arrays of their own, put together as a batch has them. */
function gathered(frames: readonly Uint8Array[]): { slab: Uint8Array; spans: Uint32Array } {
  let size = 0
  for (const [i, frame] of frames.entries()) {
    if (!(frame instanceof Uint8Array)) throw typeError(`frames[${i}]`, 'a Uint8Array', frame)
    size += frame.length + (isOffloadFrame(frame) ? OFFLOAD_HEADER_SIZE : 0)
  }
  const slab = new Uint8Array(size)
  const spans = new Uint32Array(2 * frames.length)
  let position = 0
  for (const [i, frame] of frames.entries()) {
    const header = isOffloadFrame(frame) ? OFFLOAD_HEADER_SIZE : 0
    slab.set(new Uint8Array(frame.buffer, frame.byteOffset - header, frame.length + header), position)
    spans[2 * i] = position + header
    spans[2 * i + 1] = (frame.length | (header > 0 ? HAS_HEADER : 0)) >>> 0
    position += header + frame.length
  }
  return { slab, spans }
}

/**
 * The opposite of `segmentFrame`: joins frames that follow each other in one flow to large ones with an offload header, as a network
 * card and the kernel do (GRO), for an end with offload. What `segmentFrame` makes of the result is what there was. TCP segments are
 * joined whose numbers continue each other and which have the same headers (options, window and acknowledgement too) and no flag
 * but ACK, and PSH, which ends a large frame; UDP datagrams of one flow that have the same length. A shorter one ends a large frame,
 * and so do 65,535 bytes of IP, 128 datagrams, and 1,024 frames. Frames with wrong checksums, IP options, extension headers, padding,
 * and fragments are left as they are. Frames of one flow keep their order; those of different flows may change places.
 *
 * `frames` may be a batch, which is not copied before. The result lies in one piece of memory, which is nobody else's; it holds
 * Buffers, which are OffloadFrames where frames were joined, or had a header before.
 *
 * @throws TypeError or RangeError, codes ERR_INVALID_ARG_TYPE and ERR_INVALID_ARG_VALUE, for wrong arguments
 */
export function coalesceFrames(
  frames: FrameBatch | readonly Uint8Array[],
  options: CoalesceFramesOptions = {},
): (Buffer | OffloadFrame)[] {
  checkOptions(options, 'options', ['layer3', 'segmentation'])
  checkLayer3(options.layer3)
  const kinds = options.segmentation ?? joinable
  if (!Array.isArray(kinds)) throw typeError('options.segmentation', 'an array', kinds)
  let offloads: number = TUN_F_CSUM
  for (const [i, kind] of kinds.entries()) {
    checkOneOf(kind, `options.segmentation[${i}]`, joinable)
    offloads |= offloadsOf[kind as keyof typeof offloadsOf]
  }
  const isBatch = frames instanceof FrameBatch
  if (!isBatch && !Array.isArray(frames)) throw typeError('frames', 'a batch or an array', frames)
  const { slab, spans } = isBatch ? partsOf(frames) : gathered(frames)
  const count = frames.length
  let room = 0
  for (let i = 0; i < count; i++) {
    room += ((spans[2 * i + 1] as number) & LENGTH) + OFFLOAD_HEADER_SIZE + FRAME_ALIGNMENT
  }
  const out = Buffer.allocUnsafeSlow(room)
  const found = new Uint32Array(2 * count)
  const made = native.coalesceFrames(slab, spans, count, options.layer3 === true, offloads, out, 0, found)
  return Array.from({ length: Math.max(made, 0) }, (_, i) => {
    const offset = found[2 * i] as number
    const flagged = found[2 * i + 1] as number
    if (flagged < HAS_HEADER) return out.subarray(offset, offset + flagged)
    return offloadFrameAt(out.buffer, out.byteOffset + offset, flagged & LENGTH)
  })
}

/**
 * The Internet checksum (RFC 1071) of the parts, one after the other: the number that goes into the checksum field, in network order,
 * when the field itself counts as 0. Over parts with the right checksum in its field, it is 0. Of UDP, 0 is written as 0xffff.
 *
 * `internetChecksum(pseudoHeader, datagram)`; all parts but the last must have an even length.
 *
 * @throws TypeError, code ERR_INVALID_ARG_TYPE; RangeError, code ERR_INVALID_ARG_VALUE, for an odd length in the middle
 */
export function internetChecksum(...parts: Uint8Array[]): number {
  let sum = 0
  for (const [i, part] of parts.entries()) {
    if (!(part instanceof Uint8Array)) throw typeError(`parts[${i}]`, 'a Uint8Array', part)
    if (part.length % 2 === 1 && i < parts.length - 1) {
      throw valueError(`parts[${i}].length`, part.length, 'only the last part may have an odd length')
    }
    sum = native.internetSum(sum, part)
  }
  return ~sum & 0xffff
}
