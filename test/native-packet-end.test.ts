/** The end on a packet socket at the border: what it is given, long frames in slabs of every size, and what it refuses. */
import { test } from 'tap'
import { errnoNumber } from '../dist/errno.js'
import { type NativeEnd, native } from '../dist/native.js'
import { deviceOf } from '../dist/packets/end.js'
import { createOffloadFrame, type OffloadFrame } from '../dist/packets/offload-header.js'
import { openTap } from '../dist/tuntap/tap.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { filled, open, quietPair, tagged } from './support/packet-socket.js'
import { checksum, hostMac, numberOf } from './support/packets.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const [EAGAIN, ENOBUFS, EINVAL] = (['EAGAIN', 'ENOBUFS', 'EINVAL'] as const).map((name) => -errnoNumber(name))
const ROOM = 65_664

/** A TCP frame over IPv4 as the stack hands it over before it is cut: the pseudo-header's sum is in the checksum's place. */
function longFrame(payload: number, segmentSize: number, first = 0): OffloadFrame {
  const frame = Buffer.alloc(54 + payload)
  frame.fill(0xff, 0, 6)
  Buffer.from(hostMac.replaceAll(':', ''), 'hex').copy(frame, 6)
  frame.writeUInt16BE(0x0800, 12)
  frame.set([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 14)
  frame.writeUInt16BE(40 + payload, 16)
  frame.writeUInt16BE(checksum(frame.subarray(14, 34)), 24)
  frame.set([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0], 34)
  frame.writeUInt32BE(first, 38)
  const pseudo = Buffer.alloc(12)
  frame.copy(pseudo, 0, 26, 34)
  pseudo[9] = 6
  pseudo.writeUInt16BE(20 + payload, 10)
  frame.writeUInt16BE(~checksum(pseudo) & 0xffff, 50)
  for (let i = 0; i < payload; i++) frame[54 + i] = (i * 31 + (i >> 8)) & 0xff
  return createOffloadFrame(frame, {
    needsChecksum: true,
    segmentation: 'tcp4',
    headerLength: 54,
    segmentSize,
    checksumStart: 34,
    checksumOffset: 16,
  })
}

/** All that an end has for now, read with a slab and a number of frames a call. */
function readAll(end: NativeEnd, size: number, max: number): { frames: Buffer[]; calls: number[] } {
  const slab = Buffer.alloc(size)
  const spans = new Uint32Array(2 * max)
  const frames: Buffer[] = []
  const calls: number[] = []
  for (;;) {
    const count = native.readFrames(end, slab, 0, spans, max)
    if (count === EAGAIN) return { frames, calls }
    if (count <= 0) throw new Error(`it returned ${count}`)
    calls.push(count)
    for (let i = 0; i < count; i++) {
      const offset = spans[2 * i] as number
      const length = (spans[2 * i + 1] as number) & 0x7fff_ffff
      frames.push(Buffer.from(slab.subarray(offset, offset + length)))
    }
  }
}

for (const ring of [false, { timeout: 1 }]) {
  const how = ring ? 'through a ring' : 'from the socket'

  test(`what is cut comes in order, in slabs of every size and few frames a call, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    for (const [size, max] of [
      [ROOM, 1],
      [ROOM, 3],
      [ROOM + 3000, 64],
      [2 * ROOM, 7],
      [1 << 20, 256],
    ] as const) {
      const receiver = await open(t, { link: right, ring })
      t.equal(
        sender.writeBatch([
          filled(1, 60),
          longFrame(30_000, 1448),
          filled(2, 1514),
          longFrame(64_000, 500),
          longFrame(1200, 600),
          filled(3, 60),
        ]),
        6,
      )
      t.match(sender.stats(), { refused: 0 })
      if (ring) await new Promise((resolve) => setTimeout(resolve, 30))
      const { frames, calls } = readAll(deviceOf(receiver).end, size, max)
      t.ok(calls.every((count) => count <= max))
      const kinds = frames.map((frame) => (frame.readUInt16BE(12) === 0x0800 ? 'tcp' : numberOf(frame)))
      const wanted = [1, ...Array(21).fill('tcp'), 2, ...Array(128).fill('tcp'), ...Array(2).fill('tcp'), 3]
      t.same(kinds, wanted, `${size} bytes, ${max} frames`)
      const payloads = frames.filter((frame) => frame.readUInt16BE(12) === 0x0800).map((frame) => frame.subarray(54))
      const sent = [longFrame(30_000, 1448), longFrame(64_000, 500), longFrame(1200, 600)].map((frame) =>
        frame.subarray(54),
      )
      t.ok(Buffer.concat(payloads).equals(Buffer.concat(sent)), 'nothing is missing')
      for (const frame of frames.filter((each) => each.readUInt16BE(12) === 0x0800)) {
        const length = frame.readUInt16BE(16) - 20
        const pseudo = Buffer.concat([frame.subarray(26, 34), Buffer.from([0, 6, length >> 8, length & 0xff])])
        if (checksum(Buffer.concat([pseudo, frame.subarray(34)])) !== 0) t.fail('a checksum is wrong')
      }
      t.match(receiver.stats(), { framesRead: wanted.length, truncated: 0, dropped: 0 })
      await receiver.close()
    }
  })

  test(`long frames are handed over as they are, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ring, offload: true })
    const sent: Buffer[] = []
    for (let i = 0; i < 30; i++) sent.push(filled(i, 60 + i), longFrame(2000 * (i + 1), 1000))
    sender.writeBatch(sent)
    if (ring) await new Promise((resolve) => setTimeout(resolve, 30))
    const { frames } = readAll(deviceOf(receiver).end, 1 << 20, 64)
    t.equal(frames.length, sent.length)
    t.equal(
      frames.findIndex((frame, i) => !frame.equals(Buffer.from(sent[i] as Buffer))),
      -1,
    )
    const again = sent.map((frame, i) => (i % 2 === 0 ? tagged(frame, 5) : frame))
    sender.writeBatch(again)
    if (ring) await new Promise((resolve) => setTimeout(resolve, 30))
    const second = readAll(deviceOf(receiver).end, 4 << 20, 64)
    t.equal(
      second.frames.findIndex((frame, i) => !frame.equals(Buffer.from(again[i] as Buffer))),
      -1,
      'with tags',
    )
    t.equal(second.frames.length, again.length)
  })

  test(`a long frame with a tag is cut, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const whole = await open(t, { link: right, ring })
    const headed = await open(t, { link: right, ring, offload: true })
    const plain = longFrame(10_000, 1000)
    const bytes = tagged(Buffer.from(plain), 9)
    const fields = { ...plain.header.toJSON(), headerLength: 58, checksumStart: 38 }
    sender.writeBatch([createOffloadFrame(bytes, fields)])
    if (ring) await new Promise((resolve) => setTimeout(resolve, 30))
    const { frames } = readAll(deviceOf(whole).end, 1 << 20, 64)
    t.equal(frames.length, 10)
    t.ok(frames.every((frame) => frame.length === 1058 && frame.readUInt32BE(12) === 0x81000009))
    t.ok(Buffer.concat(frames.map((frame) => frame.subarray(58))).equals(bytes.subarray(58)))
    const [one] = readAll(deviceOf(headed).end, 1 << 20, 64).frames
    t.ok(one?.equals(bytes))
  })
}

test('a slab that is too small', namespaces, async (t) => {
  const { right } = await quietPair(t)
  const { end } = deviceOf(await open(t, { link: right }))
  const spans = new Uint32Array(8)
  t.equal(native.readFrames(end, Buffer.alloc(ROOM - 1), 0, spans, 4), ENOBUFS)
  t.equal(native.readFrames(end, Buffer.alloc(ROOM), 1, spans, 4), ENOBUFS)
  t.equal(native.readFrames(end, Buffer.alloc(ROOM), ROOM + 1, spans, 4), EINVAL)
  t.equal(native.readFrames(end, Buffer.alloc(ROOM), 0, spans, 4), EAGAIN)
})

test('spans that lie are refused, and those beside them are sent', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const socket = await open(t, { link: left })
  const receiver = await open(t, { link: right })
  const slab = Buffer.alloc(1000)
  filled(1, 60).copy(slab, 64)
  const flag = 0x8000_0000
  const spans = Uint32Array.of(64, 60, 990, 60, 0xffff_ffff, 60, 64, 60, 1001, 0, 5, flag + 60, 64, 0x7fff_ffff, 64, 60)
  t.equal(native.writeFrames(deviceOf(socket).end, slab, spans, 0, 8), 8)
  t.match(socket.stats(), { framesWritten: 3, refused: 5, lastRefusal: { code: 'EINVAL' } })
  t.ok(
    await eventually(
      () => readAll(deviceOf(receiver).end, 1 << 20, 64).frames.length === 0 && receiver.stats().framesRead === 3,
    ),
  )
})

test('headers that contradict their frames', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const socket = await open(t, { link: left })
  const receiver = await open(t, { link: right })
  for (const fields of [
    { headerLength: 0xffff },
    { checksumStart: 0xfff0 },
    { segmentSize: 0 },
    { segmentSize: 1 },
    { segmentation: 'udp' as const },
    { segmentation: 'fragments' as const },
    { checksumOffset: 60_000 },
  ]) {
    const frame = longFrame(3000, 1000)
    frame.header.set(fields)
    socket.writeBatch([frame])
  }
  socket.writeBatch([filled(1, 60)])
  const { frames } = readAll(deviceOf(receiver).end, 1 << 20, 256)
  t.equal(numberOf(frames.at(-1) as Buffer), 1, 'what follows is read')
})

test('wrong arguments', await needs('namespaces', 'tun'), async (t) => {
  const { right } = await quietPair(t)
  const socket = await open(t, { link: right, ring: true })
  const tap = await openTap({ namespace: await scratch(t) })
  t.teardown(() => tap.close())
  for (const call of [native.packetDrops, native.shutPacketEnd]) {
    for (const value of [undefined, {}, deviceOf(tap).end]) t.throws(() => call(value as NativeEnd), TypeError)
  }
  t.throws(() => native.lookAgain({} as NativeEnd), TypeError)
  t.equal(native.lookAgain(deviceOf(tap).end), 0)
  t.equal(native.isLayer3End(deviceOf(tap).end), false)
  const program = Buffer.from([6, 0, 0, 0, 0, 0, 0, 0])
  t.equal(native.setSocketProgram(socket.fds[0] as number, 1, 26, program), 0)
  for (const [level, option] of [
    [1, 50],
    [263, 26],
    [6, 1],
  ]) {
    t.equal(native.setSocketProgram(socket.fds[0] as number, level as number, option as number, program), EINVAL)
  }
  for (const length of [0, 7, 8 * 65_536]) {
    t.equal(native.setSocketProgram(socket.fds[0] as number, 1, 26, Buffer.alloc(length)), EINVAL)
  }
  t.equal(native.createPacketEnd(socket.fds[0] as number, 0, 0, 0, 0, 0), EINVAL)
  t.equal(native.createPacketEnd(-1, 0, 0, 1522, 4096, 1), -errnoNumber('EBADF'))
  t.ok((native.createPacketEnd(socket.fds[0] as number, 0, 0, 1522, 4096, 3) as number) < 0, 'a ring of another size')
  const { end } = deviceOf(socket)
  native.shutPacketEnd(end)
  native.shutPacketEnd(end)
  t.equal(native.readFrames(end, Buffer.alloc(ROOM), 0, new Uint32Array(2), 1), -errnoNumber('EBADF'))
  for (const name of ['', 'a/b', 'sixteen-bytes-xx']) {
    t.match(await native.openMacvtap(-1, name, 1, 0x1002), { fd: -1, error: EINVAL })
  }
  t.equal(await native.probeTun(-1), -errnoNumber('EBADF'))
})
