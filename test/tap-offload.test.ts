/** Taps and tuns with offload: long frames, what their headers say, and ends of which one has it and the other not. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import type { FrameBatch } from '../dist/packets/batch.js'
import { createOffloadFrame, type OffloadFrame, type OffloadHeader } from '../dist/packets/offload-header.js'
import { openTap, type Tap, type TapOptions } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip')
const ping = await needs('namespaces', 'tun', 'ip', 'ping')

/** Two taps in namespaces of their own, with 10.0.1.1, fd00::1 and 10.0.1.2, fd00::2. */
async function pair(
  t: Test,
  left: TapOptions,
  right: TapOptions,
): Promise<{ red: Namespace; blue: Namespace; a: Tap; b: Tap }> {
  const [red, blue] = [await scratch(t), await scratch(t)]
  const addresses = (n: number) => [`10.0.1.${n}/24`, { address: `fd00::${n}/64`, noDad: true }]
  const a = await openTap({ namespace: red, name: 'tap0', up: true, addresses: addresses(1), ...left })
  const b = await openTap({ namespace: blue, name: 'tap0', up: true, addresses: addresses(2), ...right })
  t.teardown(() => Promise.all([a.close(), b.close()]))
  return { red, blue, a, b }
}

async function forward(from: Tap, to: Tap, see: (batch: FrameBatch) => void = () => {}): Promise<void> {
  for await (const batch of from.batches()) {
    see(batch)
    if (!to.destroyed) to.writeBatch(batch)
  }
}

/** Sends bytes from one namespace to the other by TCP, and compares what arrives. */
async function transfers(t: Test, from: Namespace, to: Namespace, host: string, bytes: Buffer): Promise<void> {
  const hash = createHash('sha256')
  const server = await to.listen({ host, port: 0 }, (socket) => {
    socket.on('data', (part) => hash.update(part))
    socket.on('end', () => socket.end(hash.digest('hex')))
  })
  const { port } = server.address() as { port: number }
  const socket = await from.connect({ host, port })
  socket.end(bytes)
  let answer = ''
  for await (const part of socket) answer += part
  t.equal(answer, createHash('sha256').update(bytes).digest('hex'), `${bytes.length} bytes by TCP to ${host}`)
  server.close()
  await once(server, 'close')
}

const megabytes = Buffer.alloc(3_000_000)
for (let i = 0; i < megabytes.length; i += 4) megabytes.writeUInt32LE((i * 2654435761) % 2 ** 32, i)

test('long frames go from one tap to the other', tun, async (t) => {
  const { red, blue, a, b } = await pair(t, { offload: true }, { offload: true })
  t.ok(a.offload)
  t.match((await ip(red, 'link', 'show', 'tap0'))[0].linkinfo.info_data, { vnet_hdr: true })
  let longest = 0
  let header: ReturnType<OffloadHeader['toJSON']> | undefined
  const see = (batch: FrameBatch) => {
    for (let i = 0; i < batch.length; i++) {
      if (batch.size(i) <= longest) continue
      longest = batch.size(i)
      header = batch.header(i)?.toJSON()
      const copy = batch.copy(i) as OffloadFrame
      if (JSON.stringify(copy.header) !== JSON.stringify(header)) t.fail('a copy has the header too')
      if (!copy.equals(batch.frame(i)) || !Buffer.isBuffer(copy)) t.fail('a copy is as the frame')
    }
  }
  const both = [forward(a, b, see), forward(b, a)]
  await transfers(t, red, blue, '10.0.1.2', megabytes)
  t.ok(longest > 10_000, `the longest frame has ${longest} bytes`)
  t.match(header, {
    needsChecksum: true,
    segmentation: 'tcp4',
    segmentSize: 1448,
    checksumStart: 34,
    checksumOffset: 16,
  })
  longest = 0
  await transfers(t, red, blue, 'fd00::2', megabytes)
  t.match(header, { needsChecksum: true, segmentation: 'tcp6', checksumStart: 54, checksumOffset: 16 })
  t.equal(b.stats().refused, 0)
  t.equal(b.stats().truncated, 0)
  await Promise.all([a.close(), b.close()])
  await Promise.all(both)
})

for (const [name, left, right] of [
  ['only the first', true, false],
  ['only the second', false, true],
] as const) {
  test(`one-sided offload works, in batches and as a stream: ${name}`, tun, async (t) => {
    const { red, blue, a, b } = await pair(t, { offload: left }, { offload: right })
    const both = [forward(a, b), forward(b, a)]
    for (const host of ['10.0.1.2', 'fd00::2']) await transfers(t, red, blue, host, megabytes)
    for (const host of ['10.0.1.1', 'fd00::1']) await transfers(t, blue, red, host, megabytes)
    await Promise.all([a.close(), b.close()])
    await Promise.all(both)

    const again = await pair(t, { offload: left }, { offload: right })
    again.a.pipe(again.b)
    again.b.pipe(again.a)
    for (const host of ['10.0.1.2', 'fd00::2']) await transfers(t, again.red, again.blue, host, megabytes)
    await transfers(t, again.blue, again.red, '10.0.1.1', megabytes)
  })
}

test('a stream of frames with headers', ping, async (t) => {
  const { red, blue, a, b } = await pair(t, { offload: true }, { offload: true })
  a.pipe(b)
  b.pipe(a)
  await transfers(t, red, blue, '10.0.1.2', megabytes)
  t.ok(a.stats().bytesRead / a.stats().framesRead > 2000, 'they are long')
  const { exitCode } = await red.exec('ping', ['-c2', '-i0.02', '-W2', '-s', '3000', '10.0.1.2'])
  t.equal(exitCode, 0, 'fragments')
})

test('a tun with offload', tun, async (t) => {
  const [red, blue] = [await scratch(t), await scratch(t)]
  const a = await openTun({ namespace: red, up: true, addresses: ['10.0.1.1/24'], offload: true })
  const b = await openTun({ namespace: blue, up: true, addresses: ['10.0.1.2/24'] })
  a.pipe(b)
  b.pipe(a)
  await transfers(t, red, blue, '10.0.1.2', megabytes)
  // Before the acknowledgements of the other way.
  t.ok(a.stats().bytesRead / a.stats().framesRead > 2000, 'one side has long packets')
  await transfers(t, blue, red, '10.0.1.1', megabytes)
  t.ok(b.stats().bytesWritten / b.stats().framesWritten < 1501, 'the other has not')
  await Promise.all([a.close(), b.close()])
})

test('a persistent tap without offload gets no long frames, whoever held it before', tun, async (t) => {
  const namespace = await scratch(t)
  const before = await openTap({ namespace, name: 'tap0', persist: true, offload: true })
  await before.close()
  const other = await scratch(t)
  const tap = await openTap({ namespace, name: 'tap0', up: true, addresses: ['10.0.1.1/24'] })
  const far = await openTap({ namespace: other, name: 'tap0', up: true, addresses: ['10.0.1.2/24'] })
  let longest = 0
  const both = [
    forward(tap, far, (batch) => {
      for (let i = 0; i < batch.length; i++) longest = Math.max(longest, batch.size(i))
    }),
    forward(far, tap),
  ]
  await transfers(t, namespace, other, '10.0.1.2', megabytes)
  t.equal(longest, 1514)
  await Promise.all([tap.delete(), far.close()])
  await Promise.all(both)
})

test('offload frames: made, written, and refused', tun, async (t) => {
  const { a } = await pair(t, { offload: true }, {})
  const frame = Buffer.alloc(60)
  frame.fill(0xff, 0, 6)
  frame.writeUInt16BE(0x88b5, 12)
  const made = createOffloadFrame(frame)
  t.ok(made.equals(frame))
  t.same(made.header.toJSON(), {
    needsChecksum: false,
    checksumValid: false,
    segmentation: 'none',
    ecn: false,
    headerLength: 0,
    segmentSize: 0,
    checksumStart: 0,
    checksumOffset: 0,
  })
  made.header.set({ segmentation: 'udp', ecn: true, segmentSize: 1400, headerLength: 42, checksumValid: true })
  t.match(made.header.toJSON(), { segmentation: 'udp', ecn: true, segmentSize: 1400, checksumValid: true })
  made.header.segmentation = 'none'
  made.header.ecn = false
  t.throws(() => made.header.set({ segmentSize: 65_536 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => made.header.set({ segmentation: 'tcp' as never }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => made.header.set({ segmentsize: 1 } as never), /segmentSize/)
  t.equal(Buffer.from(made).length, 60)
  t.notOk('header' in made.subarray(1), 'what is cut out has no header')
  t.equal(a.writeBatch([made, frame, made]), 3)
  a.write(made)
  t.match(a.stats(), { framesWritten: 4, bytesWritten: 240, refused: 0 })
  const lying = createOffloadFrame(frame, { needsChecksum: true, checksumStart: 1000, checksumOffset: 6 })
  t.equal(a.writeBatch([lying]), 1)
  t.match(a.stats(), { refused: 1, lastRefusal: { code: 'EINVAL' } }, 'a header that contradicts the frame')
})

test('nothing is left', tun, async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'an open and a close', async () => {
    const tap = await openTap({ namespace, offload: true, queues: 2 })
    await tap.close()
    await t.rejects(openTap({ namespace, offload: true, name: 'lo' }), { code: 'EINVAL' })
  })
})
