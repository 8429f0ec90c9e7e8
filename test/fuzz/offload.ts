/** Cutting and joining of frames: an offload header, and the frame behind it. */
import { strict as assert } from 'node:assert'
import { coalesceFrames, segmentFrame } from '../../dist/packets/offload.js'
import { createOffloadFrame } from '../../dist/packets/offload-header.js'
import { bytesOf, type FrameSpec, makeLarge } from '../support/segments.js'
import type { FuzzTarget } from './target.js'

const HEADER = 10

const specs: FrameSpec[] = []
for (const version of [4, 6] as const) {
  for (const protocol of ['tcp', 'udp'] as const) {
    const common: FrameSpec = { version, protocol, payload: bytesOf(900) }
    specs.push(common, { ...common, tags: [0x88a8, 0x8100], options: '0101080a0000111100002222' })
    specs.push(
      version === 4 ? { ...common, ipOptions: '94040000' } : { ...common, extensions: [[60, '00010400000000']] },
    )
  }
}
const seeds = specs.map((spec) => {
  const { header, frame } = makeLarge(spec, 300)
  return Buffer.concat([header, frame])
})

function run(input: Uint8Array): void {
  if (input.length < HEADER) return
  const frame = createOffloadFrame(input.subarray(HEADER))
  Buffer.from(frame.buffer, 0, HEADER).set(input.subarray(0, HEADER))
  for (const layer3 of [false, true]) {
    let segments: Buffer[]
    try {
      segments = segmentFrame(frame, { layer3 })
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_INVALID_ARG_VALUE') throw error
      continue
    }
    // What was cut, and is joined, is cut to the same again; but for ids that mean nothing, which the lengths do not show.
    const joined = coalesceFrames(segments, { layer3 })
    const again = joined.flatMap((each) => segmentFrame(each, { layer3 }))
    assert.deepEqual(
      again.map(({ length }) => length),
      segments.map(({ length }) => length),
    )
  }
}

// Types of Ethernet and numbers of protocols, as they lie in a frame.
const words = ['0800', '86dd', '8100', '88a8', '06', '11', '00', '2c'].map((word) => Buffer.from(word, 'hex'))

export const targets: FuzzTarget[] = [{ name: 'offload', seeds, numbers: [0, 1, 3, 4, 5, 0x81], words, run }]
