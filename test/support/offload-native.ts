/** The native functions of offload, for frames that are Buffers. */
import { native } from '../../dist/native.js'

const HAS_HEADER = 0x8000_0000
/** linux/if_tun.h: TUN_F_CSUM, TSO4, TSO6, TSO_ECN, USO4, USO6. */
export const ALL = 0x01 | 0x02 | 0x04 | 0x08 | 0x20 | 0x40

const out = Buffer.alloc(1 << 20)
const places = new Uint32Array(2 * 4096)

/** The segments of a frame: copies. A negated errno when it is refused. */
export function cut(frame: Uint8Array, header: Uint8Array, layer3 = false): Buffer[] | number {
  out.fill(0xa5, 0, 4096)
  const count = native.segmentFrame(frame, header, layer3, out, 0, places)
  if (count < 0) return count
  const room = native.segmentRoom(frame, header, layer3)
  return Array.from({ length: count }, (_, i) => {
    const [at, length] = [places[2 * i] as number, places[2 * i + 1] as number]
    if (at % 64 !== 0 || at + length > room || 64 * count > room) throw new Error(`segment ${i} is not where it may be`)
    return Buffer.from(out.subarray(at, at + length))
  })
}

export interface Joined {
  readonly frame: Buffer
  readonly header?: Buffer
}

/** Joins frames that may have headers. A negated errno when it is refused. */
export function join(frames: readonly (Buffer | Joined)[], layer3 = false, offloads = ALL): Joined[] | number {
  const all = frames.map((each) => (Buffer.isBuffer(each) ? { frame: each } : (each as Joined)))
  const size = all.reduce((sum, { frame }) => sum + frame.length + 10, 0)
  // Of exactly the size, so that a sanitizer sees what is read beyond it.
  const slab = Buffer.from(new ArrayBuffer(size))
  const spans = new Uint32Array(2 * all.length)
  let at = 0
  for (const [i, { frame, header }] of all.entries()) {
    if (header !== undefined) {
      header.copy(slab, at)
      at += 10
    }
    frame.copy(slab, at)
    spans[2 * i] = at
    spans[2 * i + 1] = (frame.length | (header === undefined ? 0 : HAS_HEADER)) >>> 0
    at += frame.length
  }
  const result = Buffer.from(new ArrayBuffer(size + 73 * all.length))
  const found = new Uint32Array(2 * all.length)
  const count = native.coalesceFrames(slab, spans, all.length, layer3, offloads, result, 0, found)
  if (count < 0) return count
  return Array.from({ length: count }, (_, i) => {
    const [start, flagged] = [found[2 * i] as number, found[2 * i + 1] as number]
    const frame = Buffer.from(result.subarray(start, start + (flagged & ~HAS_HEADER)))
    if (flagged < HAS_HEADER) return { frame }
    return { frame, header: Buffer.from(result.subarray(start - 10, start)) }
  })
}
