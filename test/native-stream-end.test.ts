/** QEMU's stream framing at the addon's border: split at every byte, spoilt by chance, and held against a reading in JavaScript. */
import { constants } from 'node:os'
import { test } from 'tap'
import { type NativeEnd, native } from '../dist/native.js'
import { type Random, seeded } from './support/random.js'
import { filledFrame } from './support/sockets.js'

const { EAGAIN, EPIPE, EPROTO, EINVAL, ENOTCONN, ECONNRESET } = constants.errno
const SOCK_STREAM = 1
const SHORTEST = 14
const LONGEST = 65_600

const slab = Buffer.alloc(256 * 1024)
const spans = new Uint32Array(2 * 512)

/** An end, and the other side of its socket, which `send` writes to. */
function open() {
  const both = new Uint32Array(2)
  if (native.createSocketPair(SOCK_STREAM, both) < 0) throw new Error('no socket pair')
  const [fd = -1, peer = -1] = both
  const signal = native.createEventDescriptor()
  const end = native.createStreamEnd(fd, signal, 0) as NativeEnd
  let peerOpen = true
  const hangUp = () => {
    if (peerOpen) native.closeDescriptorNow(peer)
    peerOpen = false
  }
  return {
    end,
    peer,
    send: (bytes: Uint8Array) => native.sendDescriptors(peer, bytes, new Uint32Array(0)),
    receive: (room: Buffer) => native.receiveDescriptors(peer, room),
    hangUp,
    close() {
      hangUp()
      native.closeDescriptorNow(fd)
      native.closeDescriptorNow(signal)
    },
  }
}

/** Reads what is there: its frames as texts, and the result that ended it. */
function read(end: NativeEnd, max = 256, position = 0): { frames: string[]; result: number } {
  const frames: string[] = []
  for (;;) {
    const count = native.readFrames(end, slab, position, spans, max)
    if (count < 0) return { frames, result: count }
    for (let i = 0; i < count; i++) {
      const offset = spans[2 * i] as number
      frames.push(slab.subarray(offset, offset + (spans[2 * i + 1] as number)).toString('latin1'))
    }
  }
}

const framed = (frame: Uint8Array) => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(frame.length)
  return Buffer.concat([head, frame])
}

/** What a stream of bytes means: the frames in it, and whether it is one at all. */
function model(bytes: Buffer): { frames: string[]; wrong: boolean; short: number } {
  const frames: string[] = []
  let short = 0
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    if (length === 0 || length > LONGEST) return { frames, wrong: true, short }
    if (at + 4 + length > bytes.length) break
    if (length < SHORTEST) short++
    else frames.push(bytes.subarray(at + 4, at + 4 + length).toString('latin1'))
    at += 4 + length
  }
  return { frames, wrong: false, short }
}

function refused(end: NativeEnd): number {
  const values = new Float64Array(7)
  native.endCounters(end, values)
  return values[4] as number
}

test('a stream that is split at every byte', (t) => {
  const frames = [14, 15, 60, 5, 98, 14, 1, 33].map((length, i) => filledFrame(i, length))
  const bytes = Buffer.concat(frames.map(framed))
  const wanted = model(bytes)
  t.equal(wanted.frames.length, 6)
  let wrong = 0
  for (const max of [1, 2, 256]) {
    for (let split = 0; split <= bytes.length; split++) {
      const { end, send, hangUp, close } = open()
      const got: string[] = []
      for (const part of [bytes.subarray(0, split), bytes.subarray(split)]) {
        if (part.length > 0) send(part)
        const { frames: some, result } = read(end, max)
        got.push(...some)
        if (result !== -EAGAIN) wrong++
      }
      if (got.join('|') !== wanted.frames.join('|') || refused(end) !== wanted.short) wrong++
      hangUp()
      if (read(end, max).result !== -EPIPE) wrong++
      close()
    }
  }
  t.equal(wrong, 0)
  t.end()
})

test('one byte at a time', (t) => {
  const { end, send, close } = open()
  const frames = [14, 60, 1514].map((length, i) => filledFrame(i, length))
  const got: string[] = []
  for (const byte of Buffer.concat(frames.map(framed))) {
    send(Uint8Array.of(byte))
    got.push(...read(end).frames)
  }
  t.same(
    got,
    frames.map((frame) => frame.toString('latin1')),
  )
  close()
  t.end()
})

/** Frames as lengths and contents by chance, mostly right. */
function someBytes(random: Random): Buffer {
  const parts: Buffer[] = []
  for (let i = 1 + random.below(40); i > 0; i--) {
    const length = random.pick([14, 15, 60, 60, 60, 1514, 1 + random.below(13), 14 + random.below(200), 3000])
    const part = framed(filledFrame(i, length))
    if (random.once(60)) part.writeUInt32BE(random.pick([0, LONGEST + 1, 0xffff_ffff, 0x8000_0000, 0x7fff_ffff]))
    if (random.once(60)) part.writeUInt32BE(random.below(70_000))
    parts.push(part)
  }
  const bytes = Buffer.concat(parts)
  for (let i = random.once(3) ? random.below(4) : 0; i > 0; i--) bytes[random.below(bytes.length)] = random.below(256)
  return random.once(4) ? bytes.subarray(0, random.below(bytes.length)) : bytes
}

test('what a peer may send, by chance', (t) => {
  const seed = Number(process.env.NETKIT_SEED ?? 20_240_611)
  const random = seeded(seed)
  let wrong = 0
  let violations = 0
  for (let round = 0; round < 3000 && wrong === 0; round++) {
    const bytes = someBytes(random)
    const wanted = model(bytes)
    const { end, send, hangUp, close } = open()
    const got: string[] = []
    let result = -EAGAIN
    const [max, position] = [1 + random.below(300), random.pick([0, 64, 1000, 160_000])]
    for (let at = 0; at < bytes.length && result === -EAGAIN; ) {
      const part = bytes.subarray(at, at + 1 + random.below(random.once(2) ? 20 : 20_000))
      const sent = send(part)
      if (sent <= 0) throw new Error('the socket is full')
      at += sent
      const some = read(end, max, position)
      got.push(...some.frames)
      result = some.result
    }
    if (wanted.wrong) violations++
    if (result !== (wanted.wrong ? -EPROTO : -EAGAIN)) wrong++
    if (native.streamState(end) !== (wanted.wrong ? -EPROTO : 0)) wrong++
    if (got.join('|') !== wanted.frames.join('|')) wrong++
    hangUp()
    if (read(end).result !== (wanted.wrong ? -EPROTO : -EPIPE)) wrong++
    close()
  }
  t.equal(wrong, 0, `seed ${seed}`)
  t.ok(violations > 100, `${violations} streams were no streams of frames`)
  t.end()
})

test('the longest frames, and none beyond', (t) => {
  const { end, send, close } = open()
  const longest = framed(filledFrame(1, LONGEST))
  const got: string[] = []
  for (let at = 0; at < longest.length; ) {
    const sent = send(longest.subarray(at, at + 10_000))
    if (sent > 0) at += sent
    got.push(...read(end).frames)
  }
  t.ok(got[0] === filledFrame(1, LONGEST).toString('latin1'))
  t.equal(native.readFrames(end, slab.subarray(0, 1000), 0, spans, 1), -constants.errno.ENOBUFS, 'a slab without room')
  send(Uint8Array.of(0, 1, 0, 0x41))
  t.same(read(end), { frames: [], result: -EPROTO })
  t.same(read(end), { frames: [], result: -EPROTO }, 'and it stays so')
  close()
  t.end()
})

test('writing to a peer that reads slowly', (t) => {
  const { end, receive, hangUp, close } = open()
  const frames = Array.from({ length: 400 }, (_, i) => filledFrame(i, [60, 1514, 9000, 14][i % 4] as number))
  const wanted = Buffer.concat(frames.map(framed))
  const got: Buffer[] = []
  const room = Buffer.alloc(7001)
  let [full, wants, done] = [0, 0, 0]
  for (let turns = 0; turns < 100_000; turns++) {
    if (done < frames.length) {
      const written = native.writeBuffers(end, frames, done)
      if (written === -EAGAIN) full++
      else done += written
    }
    const more = native.flushEnd(end)
    if (more === 1) wants++
    const arrived = receive(room)
    if (typeof arrived !== 'number') got.push(Buffer.from(room.subarray(0, arrived.received)))
    else if (done === frames.length && more === 0) break
  }
  t.ok(Buffer.concat(got).equals(wanted), 'every byte, in order')
  t.ok(full > 0 && wants > 0, `full ${full} times, with a frame begun ${wants} times`)
  const [short, long] = [Buffer.alloc(0), Buffer.alloc(LONGEST + 1)]
  t.equal(native.writeBuffers(end, [short, long], 0), 2)
  t.equal(refused(end), 2, 'what is no frame')

  hangUp()
  t.equal(native.writeBuffers(end, frames.slice(0, 3), 0), 3, 'nobody takes them')
  t.equal(refused(end), 5)
  t.ok([-EPIPE, -ECONNRESET].includes(native.streamState(end)))
  close()
  t.end()
})

test('nothing but frames that are too short', (t) => {
  const { end, send, close } = open()
  const short = Buffer.concat(Array.from({ length: 2000 }, (_, i) => framed(filledFrame(i, 1))))
  send(Buffer.concat([short, framed(filledFrame(1, 60))]))
  // A slab that has room for fewer bytes than these.
  const small = Buffer.alloc(66_000)
  let turns = 0
  let result: number
  do result = native.readFrames(end, small, 0, spans, 256)
  while (result === -EAGAIN && ++turns < 100)
  t.equal(result, 1, `after ${turns} reads`)
  t.equal(refused(end), 2000)
  t.equal(native.writeBuffers(end, [filledFrame(0, 13), filledFrame(0, 14)], 0), 2)
  t.equal(refused(end), 2001, 'none is written either')
  close()
  t.end()
})

test('an end that outlives its connections', (t) => {
  const fd = native.createEventDescriptor()
  const signal = native.createEventDescriptor()
  const end = native.createStreamEnd(fd, signal, 1) as NativeEnd
  t.equal(native.streamState(end), -ENOTCONN)
  t.same(read(end), { frames: [], result: -EAGAIN })
  t.equal(native.writeBuffers(end, [filledFrame(0, 60)], 0), 1)
  t.equal(refused(end), 1)
  t.equal(native.readEventDescriptor(signal), -EAGAIN)
  for (let i = 0; i < 20; i++) {
    const both = new Uint32Array(2)
    native.createSocketPair(SOCK_STREAM, both)
    const [own = -1, peer = -1] = both
    t.equal(native.setStreamDescriptor(end, own), 0)
    native.closeDescriptorNow(own)
    t.equal(native.streamState(end), 0)
    const frame = filledFrame(i, 60)
    // Half a frame of the connection before must not meet the next one.
    native.sendDescriptors(peer, Buffer.concat([framed(frame), framed(frame).subarray(0, 20)]), new Uint32Array(0))
    t.same(read(end).frames, [frame.toString('latin1')])
    if (i % 2 === 0) native.sendDescriptors(peer, Uint8Array.of(0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff), new Uint32Array(0))
    native.closeDescriptorNow(peer)
    // The bytes, and then the end, for which the descriptor polls readable again.
    for (let turn = 0; turn < 2; turn++) t.same(read(end), { frames: [], result: -EAGAIN })
    t.equal(native.readEventDescriptor(signal), 0, 'the signal')
    t.not(native.streamState(end), 0)
  }
  t.equal(native.setStreamDescriptor(end, 999_999), -constants.errno.EBADF)
  t.throws(() => native.setStreamDescriptor({} as NativeEnd, fd), TypeError)
  t.throws(() => native.streamState(native.createDatagramEnd(fd, 0)), TypeError)
  t.equal(native.createStreamEnd(999_999, signal, 1), -constants.errno.EBADF)
  const single = open()
  t.equal(native.setStreamDescriptor(single.end, fd), -EINVAL)
  single.close()
  for (const each of [fd, signal]) native.closeDescriptorNow(each)
  t.end()
})
