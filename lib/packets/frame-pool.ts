/** Where the frames of all streams of this thread are read into: one chunk after the other, each left to the collector. */
import { FRAME_ROOM, HAS_HEADER } from './constants.js'
import { lengthOf, type PacketDevice } from './device.js'
import { offloadFrameAt } from './offload-header.js'

/** Frames a turn of the event loop that a stream takes at most, whatever its highWaterMark. */
export const TURN = 256

const pools = {
  plain: { size: 512 * 1024, chunk: Buffer.alloc(0), position: 0 },
  /** For frames of up to 64 KiB. */
  large: { size: 4 * 1024 * 1024, chunk: Buffer.alloc(0), position: 0 },
}
const spans = new Uint32Array(2 * TURN)
let chunk = pools.plain.chunk

/** Reads up to `max` frames, TURN at most, and returns how many: `pooledFrame` has them until the next reading. Throws as `device.read`. */
export function readPooled(device: PacketDevice, max: number): number {
  const pool = device.offload ? pools.large : pools.plain
  if (pool.chunk.length - pool.position < FRAME_ROOM) {
    pool.chunk = Buffer.allocUnsafeSlow(pool.size)
    pool.position = 0
  }
  chunk = pool.chunk
  const count = device.read(chunk, pool.position, spans, max)
  if (count > 0) pool.position = ((spans[2 * count - 2] as number) + lengthOf(spans, count - 1) + 63) & ~63
  return count
}

/** Frame `i` of those that were read last. */
export function pooledFrame(i: number): Buffer {
  const offset = spans[2 * i] as number
  const length = lengthOf(spans, i)
  return (spans[2 * i + 1] as number) >= HAS_HEADER
    ? offloadFrameAt(chunk.buffer, chunk.byteOffset + offset, length)
    : chunk.subarray(offset, offset + length)
}
