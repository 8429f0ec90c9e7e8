/** segmentFrame, coalesceFrames and internetChecksum, as they are called. */
import { test } from 'tap'
import { coalesceFrames, createOffloadFrame, internetChecksum, openTap, segmentFrame } from '../dist/index.js'
import { isOffloadFrame, type OffloadFrame } from '../dist/packets/offload-header.js'
import { needs } from './support/needs.js'
import { checksum } from './support/packets.js'
import { ipDo, scratch } from './support/scratch.js'
import { bytesOf, type FrameSpec, makeFrame, makeLarge, segmentsOf } from './support/segments.js'

const tun = await needs('namespaces', 'tun', 'ip')

const spec: FrameSpec = { version: 4, protocol: 'tcp', payload: bytesOf(5000) }
const size = 1448
const frames = segmentsOf(spec, size).map((each) => makeFrame(each).frame)

function large(of: FrameSpec, segmentSize: number): OffloadFrame {
  const { frame, transport, payload } = makeLarge(of, segmentSize)
  return createOffloadFrame(frame, {
    needsChecksum: true,
    segmentation: of.protocol === 'udp' ? 'udp' : of.version === 4 ? 'tcp4' : 'tcp6',
    headerLength: payload,
    segmentSize,
    checksumStart: transport,
    checksumOffset: of.protocol === 'udp' ? 6 : 16,
  })
}

test('segmentFrame', async (t) => {
  const frame = large(spec, size)
  const before = Buffer.from(frame)
  const segments = segmentFrame(frame)
  t.same(segments, frames)
  t.ok(segments.every((segment) => Buffer.isBuffer(segment) && !isOffloadFrame(segment)))
  t.ok(before.equals(frame))
  const packet = large({ ...spec, tags: 'none' }, size)
  t.same(
    segmentFrame(packet, { layer3: true }),
    frames.map((each) => each.subarray(14)),
  )
  const whole = Buffer.from('anything')
  const [copy] = segmentFrame(whole)
  t.same(copy, whole)
  t.not(copy, whole)
  const wanting = makeFrame({ ...spec, partial: true })
  const fields = { needsChecksum: true, checksumStart: 34, checksumOffset: 16 }
  t.same(segmentFrame(createOffloadFrame(wanting.frame, fields)), [makeFrame(spec).frame])
})

test('segmentFrame refuses', async (t) => {
  const invalid = { code: 'ERR_INVALID_ARG_VALUE' }
  t.throws(() => segmentFrame('x' as never), { code: 'ERR_INVALID_ARG_TYPE', message: /^frame must be a Uint8Array/ })
  t.throws(() => segmentFrame(large(spec, size), { layer: 3 } as never), { ...invalid, message: /layer3/ })
  t.throws(() => segmentFrame(large(spec, size), { layer3: 1 } as never), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => segmentFrame(large(spec, size), { layer3: true }), { ...invalid, message: /contradict/ })
  t.throws(() => segmentFrame(large(spec, 0)), { ...invalid, message: /frame\.header .*segmentSize: 0.*contradict/ })
  const fragments = large(spec, size)
  fragments.header.segmentation = 'fragments'
  t.throws(() => segmentFrame(fragments), { ...invalid, message: /IP fragments/ })
  const most = large({ ...spec, payload: bytesOf(2049) }, 1)
  t.throws(() => segmentFrame(most), { ...invalid, message: /more than 2048 segments/ })
  t.equal(segmentFrame(large({ ...spec, payload: bytesOf(2048) }, 1)).length, 2048)
  const headers = Array.from({ length: 2 }, () => [60, `7f${'00'.repeat(1022)}`] as const)
  const wide = large({ ...spec, version: 6, extensions: headers, payload: bytesOf(2000) }, 1)
  t.throws(() => segmentFrame(wide), { ...invalid, message: /more than 1048576 bytes/ })
})

test('coalesceFrames', async (t) => {
  const joined = coalesceFrames(frames)
  t.equal(joined.length, 1)
  const [frame] = joined as [OffloadFrame]
  t.ok(isOffloadFrame(frame) && Buffer.isBuffer(frame))
  t.same(frame.header.toJSON(), large(spec, size).header.toJSON())
  t.same(segmentFrame(frame), frames)
  t.same(coalesceFrames(frames, { segmentation: ['tcp6', 'udp'] }), frames, 'only what is asked for')
  t.same(coalesceFrames(frames, { segmentation: [] }), frames)
  t.equal(coalesceFrames(frames, { segmentation: ['tcp4'] }).length, 1)
  const packets = frames.map((each) => each.subarray(14))
  t.equal(coalesceFrames(packets, { layer3: true }).length, 1)
  t.same(coalesceFrames(packets), packets)
  t.same(coalesceFrames([]), [])
  const mixed = coalesceFrames([frame, ...frames]) as OffloadFrame[]
  t.same(
    mixed.map((each) => [each.length, each.header.segmentation]),
    [
      [frame.length, 'tcp4'],
      [frame.length, 'tcp4'],
    ],
    'a frame with a header keeps it',
  )
  const odd = new Uint8Array(frames[0] as Buffer)
  t.same(coalesceFrames([odd]), [frames[0]], 'any Uint8Array')
  t.throws(() => coalesceFrames(5 as never), { code: 'ERR_INVALID_ARG_TYPE', message: /^frames must be/ })
  t.throws(() => coalesceFrames([odd, 5 as never]), { code: 'ERR_INVALID_ARG_TYPE', message: /^frames\[1\] must be/ })
  t.throws(() => coalesceFrames([], { segmentation: ['tcp'] as never }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => coalesceFrames([], { segmentation: 'udp' as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => coalesceFrames([], { segments: [] } as never), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('coalesceFrames of a batch', tun, async (t) => {
  const namespace = await scratch(t)
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const tap = await openTap({ namespace, name: 'tap0', addresses: ['10.0.2.1/24'], up: true })
  await ipDo(namespace, 'neighbor', 'replace', '10.0.2.7', 'lladdr', '02:00:00:00:00:07', 'dev', 'tap0')
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  const payload = bytesOf(500)
  for (let i = 0; i < 20; i++) await new Promise((resolve) => socket.send(payload, 9, '10.0.2.7', resolve))
  for await (const batch of tap.batches()) {
    const [joined] = coalesceFrames(batch) as [OffloadFrame]
    t.equal(joined.length, 42 + 20 * 500)
    t.match(joined.header, { segmentation: 'udp', segmentSize: 500 })
    t.equal(segmentFrame(joined).length, 20)
    break
  }
  socket.close()
  await tap.close()
})

test('internetChecksum', async (t) => {
  // RFC 1071, section 3.
  t.equal(internetChecksum(Buffer.from('0001f203f4f5f6f7', 'hex')), ~0xddf2 & 0xffff)
  t.equal(internetChecksum(), 0xffff)
  const frame = frames[0] as Buffer
  t.equal(internetChecksum(frame.subarray(14, 34)), 0, 'over a right one')
  for (const length of [0, 1, 2, 31, 33, 1000]) {
    const bytes = bytesOf(length)
    t.equal(internetChecksum(frame, bytes), checksum(Buffer.concat([frame, bytes])))
  }
  t.throws(() => internetChecksum(bytesOf(3), bytesOf(2)), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /^parts\[0\]\.length 3/,
  })
  t.throws(() => internetChecksum(5 as never), { code: 'ERR_INVALID_ARG_TYPE' })
})
