/** Ends of datagram sockets and pairs at the addon's border: places that lie, slabs without room, descriptors that are none. */
import { constants } from 'node:os'
import { test } from 'tap'
import { type NativeEnd, native } from '../dist/native.js'
import { HAS_HEADER } from '../dist/packets/constants.js'
import { datagramFlags } from '../dist/sockets/constants.js'
import { seeded } from './support/random.js'
import { filledFrame } from './support/sockets.js'

const { EAGAIN, EBADF, EINVAL, ENOBUFS } = constants.errno
const ROOM = 65_664

function counters(end: NativeEnd) {
  const values = new Float64Array(7)
  native.endCounters(end, values)
  const [framesRead, , framesWritten, , refused, truncated] = values
  return { framesRead, framesWritten, refused, truncated }
}

function unixPair() {
  const both = new Uint32Array(2)
  native.createSocketPair(2, both)
  const [a = -1, b = -1] = both
  const flags = datagramFlags.unix | datagramFlags.connected
  return {
    a: native.createDatagramEnd(a, flags),
    b: native.createDatagramEnd(b, flags),
    descriptors: [a, b] as const,
    close: () => [a, b].map((fd) => native.closeDescriptorNow(fd)),
  }
}

function memoryPair() {
  const made = native.createPairEnds(64, 2)
  if (typeof made === 'number') throw new Error('no pair')
  const [a, aDescriptor, b, bDescriptor] = made
  const close = () => {
    for (const end of [a, b]) native.closePairEnd(end)
    for (const fd of [aDescriptor, bDescriptor]) native.closeDescriptorNow(fd)
  }
  return { a, b, descriptors: [aDescriptor, bDescriptor] as const, close }
}

for (const [name, open] of Object.entries({ datagrams: unixPair, pair: memoryPair })) {
  test(`${name}: places that lie outside`, (t) => {
    const { a, b, close } = open()
    const random = seeded(20_240_612)
    const slab = filledFrame(0, 5000)
    const room = Buffer.alloc(4 * ROOM)
    const spans = new Uint32Array(2 * 8)
    const found = new Uint32Array(2 * 64)
    const outside = [0, 1, 9, 10, 4999, 5000, 5001, 65_600, 65_601, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
    let [written, read, wrong] = [0, 0, 0]
    for (let round = 0; round < 2000; round++) {
      const wanted: string[] = []
      for (let i = 0; i < 8; i++) {
        const offset = random.once(2) ? random.pick(outside) : random.below(5000)
        const length = random.once(2) ? random.pick(outside) : random.below(3000)
        spans.set([offset, length], 2 * i)
        const bytes = length & ~HAS_HEADER
        if (length < HAS_HEADER && bytes > 0 && offset + bytes <= 5000) {
          wanted.push(slab.subarray(offset, offset + bytes).toString('latin1'))
        } else if (length >= HAS_HEADER && bytes > 0 && offset >= 10 && offset + bytes <= 5000) {
          // Without a header that makes sense it may be refused.
          spans.set([offset, bytes], 2 * i)
          wanted.push(slab.subarray(offset, offset + bytes).toString('latin1'))
        }
      }
      if (native.writeFrames(a, slab, spans, 0, 8) !== 8) wrong++
      written += wanted.length
      const got: string[] = []
      for (;;) {
        const count = native.readFrames(b, room, random.below(100), found, 1 + random.below(64))
        if (count <= 0) break
        for (let i = 0; i < count; i++) {
          const offset = found[2 * i] as number
          got.push(room.subarray(offset, offset + (found[2 * i + 1] as number)).toString('latin1'))
        }
      }
      read += got.length
      if (got.join('|') !== wanted.join('|')) wrong++
    }
    t.equal(wrong, 0)
    t.ok(written > 1000 && read === written, `${read} of ${written}`)
    t.equal(counters(a).refused, 16_000 - written)
    close()
    t.end()
  })

  test(`${name}: slabs and lists without room`, (t) => {
    const { a, b, close } = open()
    native.writeBuffers(a, [filledFrame(0, 60_000), filledFrame(1, 60)], 0)
    const spans = new Uint32Array(4)
    for (const [size, position] of [
      [0, 0],
      [1000, 0],
      [ROOM, ROOM],
      [ROOM, 2 ** 40],
    ] as const) {
      t.equal(native.readFrames(b, Buffer.alloc(size), position, spans, 2), -ENOBUFS, `${size} from ${position} on`)
    }
    t.equal(native.readFrames(b, Buffer.alloc(ROOM), 0, new Uint32Array(0), 2), -EINVAL)
    t.equal(native.readFrames(b, Buffer.alloc(ROOM), 0, spans, 2), name === 'pair' ? 2 : 1)
    t.equal(native.readFrames(b, Buffer.alloc(ROOM), 0, spans, 2), name === 'pair' ? -EAGAIN : 1)
    t.equal(native.readFrames(b, Buffer.alloc(ROOM), 0, spans, 2), -EAGAIN)
    close()
    t.end()
  })
}

test('a datagram that is longer than any frame', (t) => {
  const { b, descriptors, close } = unixPair()
  t.equal(native.sendDescriptors(descriptors[0], filledFrame(1, 100_000), new Uint32Array(0)), 100_000)
  const slab = Buffer.alloc(2 * ROOM)
  const [spans, details] = [new Uint32Array(4), new Uint8Array(new ArrayBuffer(32))]
  t.equal(native.readFrames(b, slab, 0, spans, 2, details), 1)
  t.same([...spans.subarray(0, 2)], [0, 65_600], 'it is cut')
  t.equal(new DataView(details.buffer).getUint32(8, true), 100_000, 'its own length is known')
  t.ok(slab.subarray(0, 65_600).equals(filledFrame(1, 100_000).subarray(0, 65_600)))
  t.match(counters(b), { framesRead: 1, truncated: 1 })
  close()
  t.end()
})

test('descriptors that are none, and objects that are no such ends', (t) => {
  const end = native.createDatagramEnd(999_999, 0)
  const spans = new Uint32Array(4)
  t.equal(native.readFrames(end, Buffer.alloc(ROOM), 0, spans, 2), -EBADF)
  t.equal(native.writeBuffers(end, [Buffer.alloc(60)], 0), 1, 'nowhere to send to')
  t.equal(native.setDatagramRemote(end, Uint8Array.of(2, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)), 0)
  t.equal(native.writeBuffers(end, [Buffer.alloc(60)], 0), -EBADF)
  t.equal(native.setDatagramRemote(end, new Uint8Array(200)), -EINVAL)
  t.equal(native.datagramRemote(end, new Uint8Array(15)), -EINVAL)
  t.equal(native.datagramRemote(end, new Uint8Array(128)), 16)
  t.equal(native.datagramSource(end, 0, new Uint8Array(128)), 0)
  t.equal(native.datagramSource(end, 4_294_967_295, new Uint8Array(128)), 0)
  const { a, close } = memoryPair()
  for (const wrong of [a, {} as NativeEnd, undefined as never]) {
    t.throws(() => native.setDatagramRemote(wrong, new Uint8Array(0)), TypeError)
    t.throws(() => native.refreshDatagram(wrong), TypeError)
  }
  t.throws(() => native.closePairEnd(end), TypeError)
  native.closePairEnd(a)
  native.closePairEnd(a)
  close()
  t.equal(native.createPairEnds(0, 0), -EINVAL)
  t.equal(native.createPairEnds(65_537, 0), -EINVAL)
  t.end()
})
