/** Capture files that somebody has spoilt: the same comes out of them in whatever pieces they come, and can be written again. */
import { deepStrictEqual } from 'node:assert'
import { isDeepStrictEqual } from 'node:util'
import { CaptureDecoder } from '../../dist/capture/decoder.js'
import { PcapngEncoder } from '../../dist/capture/encoder.js'
import { CaptureError } from '../../dist/capture/invalid.js'
import type { CapturedInterface, CapturedPacket } from '../../dist/capture/types.js'
import { corpus, type FuzzTarget } from './target.js'

const LIMIT = 64 * 1024

interface Outcome {
  packets: CapturedPacket[]
  error: string | undefined
}

/** Feeds a file in pieces of these sizes, in turn. */
function decoded(input: Uint8Array, sizes: readonly number[]): Outcome {
  const decoder = new CaptureDecoder(LIMIT)
  const packets: CapturedPacket[] = []
  try {
    for (let at = 0, i = 0; at < input.length; i++) {
      const size = sizes[i % sizes.length] as number
      decoder.add(Buffer.from(input.subarray(at, at + size)))
      at += size
      for (;;) {
        const packet = decoder.next()
        if (packet === undefined) break
        // Its data is kept: it must not change when more comes.
        packets.push({ ...packet, interface: { ...packet.interface } })
      }
    }
    decoder.finish()
    return { packets, error: undefined }
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error
    if (!(error.offset >= 0 && error.offset <= input.length)) throw new Error(`an error at ${error.offset}`)
    return { packets, error: `${error.code} ${error.message}` }
  }
}

/** What can be written again of an interface. */
function description({ index, section, statistics, ...rest }: CapturedInterface) {
  return rest
}

function written(packets: readonly CapturedPacket[]): Buffer | undefined {
  const encoder = new PcapngEncoder()
  const blocks = [encoder.section()]
  try {
    for (const [i, packet] of packets.entries()) {
      const { data, originalLength, timestamp = 0n, direction, comment, dropped } = packet
      blocks.push(encoder.interface(description(packet.interface)))
      blocks.push(
        encoder.frame({
          data,
          originalLength,
          timestamp,
          interface: i,
          ...(direction === undefined ? {} : { direction }),
          ...(comment === undefined ? {} : { comment }),
          ...(dropped === undefined ? {} : { dropped }),
        }),
      )
    }
  } catch (error) {
    // A time before 1970, many comments in one.
    if (/^ERR_(OUT_OF_RANGE|INVALID_ARG_VALUE)$/.test(String((error as { code?: unknown }).code))) return undefined
    throw error
  }
  return Buffer.concat(blocks)
}

function run(input: Uint8Array): void {
  const whole = decoded(input, [input.length || 1])
  const first = (input[0] ?? 0) % 13
  for (const sizes of [[1], [first + 1, 7, 64, 3]]) {
    const pieces = decoded(input, sizes)
    if (!isDeepStrictEqual(pieces, whole)) deepStrictEqual(pieces, whole)
  }
  const again = written(whole.packets)
  if (again === undefined) return
  const { packets, error } = decoded(again, [again.length])
  if (error !== undefined) throw new Error(`what was written is refused: ${error}`)
  // What an interface does not keep of a frame is cut when it is written.
  const wanted = whole.packets.map(({ interface: of, timestamp = 0n, data, ...rest }) => {
    const kept = of.snapshotLength === 0 ? data : data.subarray(0, of.snapshotLength)
    return { interface: description(of), timestamp, data: Buffer.from(kept), ...rest }
  })
  const got = packets.map(({ interface: of, ...rest }) => ({ interface: description(of), ...rest }))
  if (!isDeepStrictEqual(got, wanted)) deepStrictEqual(got, wanted)
}

const numbers = [0, 1, 2, 3, 4, 5, 6, 9, 11, 14, 2988, 0x0a0d, 0x0bad, 0xffff]
const words = ['4d3c2b1a', '1a2b3c4d', '0a0d0d0a', '09', '86', 'ffffffff', '00000000', '06000000'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

export const targets: FuzzTarget[] = [{ name: 'pcapng', seeds: corpus('pcapng'), numbers, words, run }]
