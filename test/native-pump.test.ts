/** The addon, straight at its border: pumps and tees. */
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { type NativeEnd, native } from '../dist/native.js'
import { FRAME_ROOM } from '../dist/packets/constants.js'
import { eventually } from './support/counting.js'

const { EAGAIN, EINVAL, ENOBUFS, ENOSPC, EOPNOTSUPP, EPROTOTYPE } = constants.errno
const HEADER = 0x8000_0000
const SETTINGS = 14

function makeTee(capacity = 2 ** 17, snapshotLength = 65_654, layer3 = 0): { end: NativeEnd; fd: number } {
  const tee = native.createTee(layer3, capacity, snapshotLength)
  if (typeof tee === 'number') throw new Error(`no tee: ${tee}`)
  return tee
}

function makePump(a: NativeEnd, b: NativeEnd, directions = 1) {
  const pump = native.createPump(a, b, directions, 0)
  if (typeof pump === 'number') throw new Error(`no pump: ${pump}`)
  return pump
}

const close = (...tees: { fd: number }[]) => Promise.all(tees.map(({ fd }) => native.closeDescriptor(fd)))

function settings(values: Record<number, number> = {}): Float64Array {
  const all = new Float64Array(SETTINGS)
  all[8] = all[9] = 1e6
  for (const [i, value] of Object.entries(values)) all[Number(i)] = value
  return all
}

/** A slab with frames of these lengths, each filled with its number. */
function frames(lengths: number[], first = 0): { slab: Buffer; spans: Uint32Array } {
  const slab = Buffer.alloc(lengths.reduce((sum, length) => sum + length, 0))
  const spans = new Uint32Array(2 * lengths.length)
  let position = 0
  lengths.forEach((length, i) => {
    slab.fill((first + i) & 255, position, position + length)
    spans.set([position, length], 2 * i)
    position += length
  })
  return { slab, spans }
}

test('the longest frames come, wherever a small ring has its end', async (t) => {
  const slab = Buffer.alloc(FRAME_ROOM)
  const spans = new Uint32Array(2)
  const long = frames([65_600])
  const step = frames([1])
  for (let steps = 1015; steps < 1035; steps++) {
    const tee = makeTee()
    let came = 0
    for (let i = 0; i < steps; i++) {
      native.writeFrames(tee.end, step.slab, step.spans, 0, 1)
      native.readFrames(tee.end, slab, 0, spans, 1)
    }
    for (let attempt = 0; attempt < 3; attempt++) {
      native.writeFrames(tee.end, long.slab, long.spans, 0, 1)
      came += Math.max(0, native.readFrames(tee.end, slab, 0, spans, 1))
    }
    t.ok(came >= 2, `${came} of 3 behind ${steps}`)
    await close(tee)
  }
})

test('a ring keeps frames of every length, in order, around its end', async (t) => {
  const tee = makeTee()
  const slab = Buffer.alloc(2 ** 18)
  const spans = new Uint32Array(2 * 64)
  const details = new Uint8Array(16 * 64)
  let seed = 1
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return (seed >>> 8) % below
  }
  let [written, read, dropped] = [0, 0, 0]
  const expected: [length: number, fill: number][] = []
  for (let round = 0; round < 2000; round++) {
    const lengths = Array.from({ length: 1 + random(20) }, () => 1 + random(random(10) === 0 ? 65_000 : 1500))
    const batch = frames(lengths, written)
    const before = new Float64Array(7)
    const after = new Float64Array(7)
    // One by one, so that it is known which found no room.
    lengths.forEach((length, i) => {
      native.endCounters(tee.end, before)
      if (native.writeFrames(tee.end, batch.slab, batch.spans, i, 1) !== 1) t.fail('a tee is never full')
      native.endCounters(tee.end, after)
      if (after[4] === before[4]) expected.push([length, (written + i) & 255])
      else dropped++
    })
    written += lengths.length
    const count = native.readFrames(tee.end, slab, 0, spans, 1 + random(64), details)
    for (let i = 0; i < count; i++) {
      const [length = 0, fill] = expected.shift() ?? []
      const offset = spans[2 * i] as number
      const right = spans[2 * i + 1] === length && slab[offset] === fill && slab[offset + length - 1] === fill
      if (!right || offset % 64 !== 0) t.fail(`frame ${read + i} is not as it was written`)
    }
    if (count > 0) read += count
  }
  t.ok(read > 10_000 && dropped > 0, `${written} written, ${read} read, ${dropped} dropped`)
  await close(tee)
})

test('a ring tells that frames wait, and when none do', async (t) => {
  const tee = makeTee()
  const fds = Uint32Array.of(tee.fd)
  const slab = Buffer.alloc(2 ** 18)
  const spans = new Uint32Array(64)
  const { slab: some, spans: places } = frames([60, 61, 62])
  t.equal(native.waitReadable(fds, 0), -EAGAIN)
  t.equal(native.writeFrames(tee.end, some, places, 0, 3), 3)
  t.equal(native.waitReadable(fds, 0), 0)
  t.equal(native.readFrames(tee.end, slab, 0, spans, 2), 2)
  t.equal(native.waitReadable(fds, 0), 0, 'one is left')
  t.equal(native.readFrames(tee.end, slab, 0, spans, 2), 1)
  t.equal(native.waitReadable(fds, 0), -EAGAIN)
  t.equal(native.readFrames(tee.end, slab, 0, spans, 2), -EAGAIN)
  native.writeFrames(tee.end, some, places, 0, 1)
  t.equal(native.readFrames(tee.end, Buffer.alloc(100), 0, spans, 2), -ENOBUFS, 'no room for the longest')
  t.equal(native.readFrames(tee.end, slab, slab.length, spans, 2), -ENOBUFS)
  t.equal(native.readFrames(tee.end, slab, 1, spans, 2), 1)
  t.equal(spans[0], 64, 'frames begin at multiples of 64')
  await close(tee)
})

test('offload headers stay, unless the frame was cut', async (t) => {
  const [whole, cut] = [makeTee(), makeTee(2 ** 17, 100)]
  const slab = Buffer.alloc(2 ** 18)
  const spans = new Uint32Array(64)
  const frame = Buffer.from([...Array(10).keys(), ...Array(200).fill(7)])
  const place = Uint32Array.of(10, 200 + HEADER)
  for (const { end } of [whole, cut]) native.writeFrames(end, frame, place, 0, 1)
  t.equal(native.readFrames(whole.end, slab, 0, spans, 2), 1)
  t.same([...spans.subarray(0, 2)], [10, 200 + HEADER])
  t.ok(slab.subarray(0, 210).equals(frame))
  t.equal(native.readFrames(cut.end, slab, 0, spans, 2), 1)
  t.same([...spans.subarray(0, 2)], [0, 100])
  t.ok(slab.subarray(0, 100).equals(frame.subarray(10, 110)))
  for (const wrong of [
    [5, 100 + HEADER],
    [0, 300],
    [300, 1],
    [0xffff_ffff, 0x7fff_ffff],
  ]) {
    native.writeFrames(whole.end, frame, Uint32Array.from(wrong), 0, 1)
  }
  t.equal(native.readFrames(whole.end, slab, 0, spans, 2), -EAGAIN, 'a span that lies is refused')
  await close(whole, cut)
})

test('many pumps fill one ring', async (t) => {
  const common = makeTee(2 ** 20, 100)
  const slab = Buffer.alloc(2 ** 18)
  const spans = new Uint32Array(2 * 256)
  const lines = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const [from, to] = [makeTee(2 ** 22), makeTee(2 ** 22)]
      const pump = makePump(from.end, to.end)
      t.equal(native.teePump(pump, common.end, 1), 0)
      return { from, to, pump, done: native.runPump(pump) }
    }),
  )
  const { slab: some, spans: places } = frames(Array(250).fill(80))
  for (let round = 0; round < 40; round++) {
    for (const { from } of lines) native.writeFrames(from.end, some, places, 0, 250)
    await sleep(0)
    while (native.readFrames(common.end, slab, 0, spans, 256) > 0);
  }
  const counters = new Float64Array(7)
  const settled = await eventually(() => {
    while (native.readFrames(common.end, slab, 0, spans, 256) > 0);
    native.endCounters(common.end, counters)
    const [read = 0, , written = 0, , refused = 0] = counters
    return written + refused === 3 * 40 * 250 && read === written
  })
  t.ok(settled, `each frame was copied or counted: ${counters}`)
  for (const { pump } of lines) native.stopPump(pump)
  t.same(await Promise.all(lines.map(({ done }) => done)), Array(3).fill([0, 0, 0]))
  await close(common, ...lines.flatMap(({ from, to }) => [from, to]))
})

test('settings and tees change under a flood', async (t) => {
  const [from, to, tee] = [makeTee(2 ** 22), makeTee(2 ** 22), makeTee()]
  const pump = makePump(from.end, to.end)
  const done = native.runPump(pump)
  const { slab: some, spans: places } = frames(Array(250).fill(80))
  const accept = Buffer.from([6, 0, 0, 0, 255, 255, 255, 255])
  for (let round = 0; round < 300; round++) {
    native.writeFrames(from.end, some, places, 0, 250)
    native.teePump(pump, tee.end, round % 3 === 0 ? 0 : 1)
    native.setPump(
      pump,
      0,
      settings({ 0: round % 2 === 0 ? 1e9 : 0, 4: (round % 5) * 1e5 }),
      round % 7 === 0 ? accept : new Uint8Array(),
    )
    native.pausePump(pump, round % 11 === 0 ? 1 : 0)
    if (round % 10 === 0) await sleep(0)
  }
  native.pausePump(pump, 0)
  const counters = new Float64Array(11)
  const lost = await eventually(() => native.pumpCounters(pump, 0, counters) === 0 && (counters[4] ?? 0) > 0)
  t.ok(lost, `some were lost on the way: ${counters}`)
  native.stopPump(pump)
  t.same(await done, [0, 0, 0])
  await close(from, to, tee)
})

test('what the functions refuse', async (t) => {
  const [a, b, ip] = [makeTee(), makeTee(), makeTee(2 ** 17, 100, 1)]
  t.equal(native.createPump(a.end, a.end, 1, 0), -EINVAL)
  t.equal(native.createPump(a.end, b.end, 0, 0), -EINVAL)
  t.equal(native.createPump(a.end, b.end, 4, 0), -EINVAL)
  t.equal(native.createPump(a.end, ip.end, 1, 0), -EPROTOTYPE)
  const pump = makePump(a.end, b.end, 3)
  const none = new Uint8Array()
  t.equal(native.setPump(pump, 2, settings(), none), -EINVAL)
  t.equal(native.setPump(pump, 0, new Float64Array(SETTINGS - 1), none), -EINVAL)
  t.equal(native.setPump(pump, 0, settings(), new Uint8Array(7)), -EINVAL)
  t.equal(native.setPump(pump, 0, settings(), new Uint8Array(8)), -EINVAL, 'a program that does not return')
  const mark = Buffer.from([0x20, 0, 0, 0, 20, 0xf0, 0xff, 0xff, 6, 0, 0, 0, 1, 0, 0, 0])
  t.equal(native.setPump(pump, 0, settings(), mark), -EOPNOTSUPP)
  const wild = Float64Array.from(
    { length: SETTINGS },
    (_, i) => [Number.NaN, -1, 1e300, Number.POSITIVE_INFINITY][i % 4] as number,
  )
  t.equal(native.setPump(pump, 0, wild, none), 0, 'any number is brought within bounds')
  t.equal(native.pumpCounters(pump, 2, new Float64Array(11)), -EINVAL)
  t.equal(native.pumpCounters(pump, 0, new Float64Array(10)), -EINVAL)
  t.equal(native.teePump(pump, ip.end, 1), -EPROTOTYPE)
  const tees = Array.from({ length: 9 }, () => makeTee())
  for (const [i, { end }] of tees.entries()) t.equal(native.teePump(pump, end, 1), i < 8 ? 0 : -ENOSPC)
  t.equal(native.teePump(pump, tees[0]?.end as NativeEnd, 0), 0)
  t.equal(native.teePump(pump, tees[8]?.end as NativeEnd, 1), 0)
  for (const [capacity, length] of [
    [2 ** 16, 100],
    [2 ** 17 + 1, 100],
    [0, 100],
    [2 ** 31, 100],
    [2 ** 17, 0],
    [2 ** 17, FRAME_ROOM],
  ] as const) {
    t.equal(native.createTee(0, capacity, length), -EINVAL)
  }
  for (const wrong of [{}, a.end, undefined, 1, 'pump'] as never[]) {
    t.throws(() => native.stopPump(wrong), TypeError)
    t.throws(() => native.runPump(wrong), TypeError)
    t.throws(() => native.pumpCounters(wrong, 0, new Float64Array(11)), TypeError)
    t.throws(() => native.setPump(wrong, 0, settings(), none), TypeError)
    t.throws(() => native.teePump(wrong, a.end, 1), TypeError)
    t.throws(() => native.pausePump(wrong, 1), TypeError)
    t.throws(() => native.referPump(wrong, 1), TypeError)
  }
  for (const wrong of [{}, pump, undefined] as never[]) {
    t.throws(() => native.createPump(a.end, wrong, 1, 0), TypeError)
    t.throws(() => native.createPump(wrong, a.end, 1, 0), TypeError)
    t.throws(() => native.teePump(pump, wrong, 1), TypeError)
  }
  native.referPump(pump, 0)
  native.stopPump(pump)
  const done = native.runPump(pump)
  t.equal(await native.runPump(pump), -EINVAL, 'it runs once at a time')
  t.same(await done, [0, 0, 0], 'one that was stopped before ends at once')
  await close(a, b, ip, ...tees)
})
