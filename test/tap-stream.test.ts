/** Taps as streams: what comes in and goes out, backpressure, refusals, and every way to end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { openTap, type Tap, type TapOptions } from '../dist/tuntap/tap.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { answerFrame, hostMac, numberedFrame, numberOf } from './support/packets.js'
import { askProgram, runProgram } from './support/program.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip', 'ping')

/** A tap that is up and whose own chatter (IPv6 router solicitations) is silenced. */
async function quietTap(namespace: Namespace, options: TapOptions = {}): Promise<Tap> {
  await namespace.exec('sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'], { check: true })
  return openTap({ namespace, up: true, ...options })
}

async function pings(namespace: Namespace, target: string, ...options: string[]): Promise<boolean> {
  const { exitCode } = await namespace.exec('ping', ['-c3', '-i0.02', '-W2', ...options, target])
  return exitCode === 0
}

/** Makes the interface send numbered frames, through a UDP socket: each datagram carries its number. */
async function sendNumbered(namespace: Namespace, count: number): Promise<void> {
  await ipDo(namespace, 'neighbor', 'replace', '10.0.2.7', 'lladdr', hostMac, 'dev', 'tap0')
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  for (let i = 0; i < count; i++) {
    const payload = Buffer.alloc(4)
    payload.writeUInt32BE(i)
    await new Promise((resolve) => socket.send(payload, 9, '10.0.2.7', resolve))
  }
  socket.close()
  await once(socket, 'close')
}

/** The number in a frame that `sendNumbered` caused: the payload after Ethernet, IPv4 and UDP headers. */
const datagramNumber = (frame: Buffer) => frame.readUInt32BE(14 + 20 + 8)

test('a program answers ARP and ping', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, addresses: ['10.0.2.1/24'], up: true })
  const answering = (async () => {
    for await (const frame of tap) {
      const answer = answerFrame(frame)
      if (answer !== undefined) tap.write(answer)
    }
    return 'ended'
  })()
  t.ok(await pings(namespace, '10.0.2.7'))
  t.ok(await pings(namespace, '10.0.2.8', '-s', '1400'))
  const [neighbour] = await ip(namespace, 'neighbor', 'show', '10.0.2.7')
  t.equal(neighbour.lladdr, hostMac)
  const stats = tap.stats()
  t.ok(stats.framesRead >= 8 && stats.framesWritten >= 8, 'frames are counted')
  const { stats64 } = (await ip(namespace, '-s', 'link', 'show', 'dev', 'tap0'))[0]
  t.match(stats64, { rx: { packets: stats.framesWritten, bytes: stats.bytesWritten }, tx: { bytes: stats.bytesRead } })
  t.equal(stats.refused, 0)
  await tap.close()
  t.equal(await answering, 'ended', 'the loop ends when the tap is closed')
})

test('pipe joins two namespaces', tun, async (t) => {
  const [left, right] = [await scratch(t), await scratch(t)]
  const a = await openTap({ namespace: left, addresses: ['10.0.1.1/24', 'fd00::1/64'], up: true, mtu: 9000 })
  const b = await openTap({ namespace: right, addresses: ['10.0.1.2/24', 'fd00::2/64'], up: true, mtu: 9000 })
  a.pipe(b)
  b.pipe(a)
  t.ok(await pings(left, '10.0.1.2'))
  t.ok(await pings(right, '10.0.1.1', '-s', '8972', '-M', 'do'), 'full frames of 9,014 bytes')
  t.ok(await eventually(() => pings(left, 'fd00::2'), 8000), 'IPv6')

  const server = await right.bindDatagram({ type: 'udp4' })
  const client = await left.bindDatagram({ type: 'udp4' })
  server.on('message', (message, from) => server.send(message, from.port, from.address))
  let echoes = 0
  client.on('message', (message) => {
    if (message.equals(Buffer.alloc(1000, 'x'))) echoes++
  })
  for (let i = 0; i < 500; i++) {
    client.send(Buffer.alloc(1000, 'x'), server.address().port, '10.0.1.2')
    // Fifty at a time: a socket's receive buffer has room for them, however slow its reader is.
    if (i % 50 === 49 && !(await eventually(() => echoes === i + 1))) break
  }
  t.equal(echoes, 500, 'datagrams there and back')
  client.close()
  server.close()

  const listening = await right.listen({ host: '10.0.1.2', port: 80 }, (socket) => socket.pipe(socket))
  const socket = await left.connect({ host: '10.0.1.2', port: 80 })
  const sent = Buffer.alloc(500_000, 'netkit')
  socket.end(sent)
  const received: Buffer[] = []
  for await (const part of socket) received.push(part)
  t.ok(Buffer.concat(received).equals(sent), 'TCP, half a megabyte there and back')
  listening.close()
  await Promise.all([a.close(), b.close()])
})

test('nothing is read before it is asked for, and nothing beyond the high-water mark', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace, { name: 'tap0', addresses: ['10.0.2.1/24'], readableHighWaterMark: 10 })
  await sendNumbered(namespace, 50)
  t.equal(tap.stats().framesRead, 0, 'an idle tap reads nothing')
  tap.read()
  await once(tap, 'readable')
  t.equal(datagramNumber(tap.read()), 0)
  await delay(20)
  t.equal(tap.stats().framesRead, 10 + 1, 'one taken and ten ahead')
  t.equal(tap.readableLength, 10)
  const rest: number[] = []
  tap.on('data', (frame) => rest.push(datagramNumber(frame)))
  await eventually(() => rest.length === 49)
  t.same(
    rest,
    Array.from({ length: 49 }, (_, i) => i + 1),
    'the others follow, in order',
  )

  tap.pause()
  await delay(5)
  const before = tap.stats().framesRead
  await sendNumbered(namespace, 1500)
  await delay(20)
  t.ok(tap.stats().framesRead - before <= 10, 'a paused stream reads no more than ten ahead')
  const dropped = async () => (await ip(namespace, '-s', 'link', 'show', 'dev', 'tap0'))[0].stats64.tx.dropped
  const lost = await dropped()
  // Its ring gives places back in lots, so that a few less than 1,000 may fit.
  t.ok(lost >= 1500 - 1000 - 11 && lost <= 1500 - 1000 + 64, `the kernel drops what exceeds txqueuelen: ${lost}`)
  rest.length = 0
  tap.resume()
  t.ok(await eventually(() => rest.length === 1500 - lost), 'and keeps the rest')
  t.same(rest.slice(0, 3), [0, 1, 2])
  await tap.close()
})

test('frames that are kept stay as they were', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace, { name: 'tap0', addresses: ['10.0.2.1/24'] })
  const kept: Buffer[] = []
  tap.on('data', (frame) => kept.push(frame))
  for (let i = 0; i < 20; i++) await sendNumbered(namespace, 500)
  t.ok(await eventually(() => kept.length === 10_000))
  t.ok(kept.every((frame, i) => frame.length === 46 && datagramNumber(frame) === i % 500))
  await tap.close()
})

test('writes: order, callbacks, backpressure', tun, async (t) => {
  const [left, right] = [await scratch(t), await scratch(t)]
  const a = await quietTap(left, { writableHighWaterMark: 8 })
  const b = await quietTap(right)
  a.pipe(b)
  // What is written to a tap its interface receives; a bridge sends it out of another tap, where it is read.
  await ipDo(left, 'link', 'add', 'br0', 'type', 'bridge')
  await ipDo(left, 'link', 'set', 'br0', 'up')
  await ipDo(left, 'link', 'set', 'tap0', 'master', 'br0')
  const c = await quietTap(left, { name: 'tap1', master: 'br0' })
  await delay(50)
  const numbers: number[] = []
  c.on('data', (frame) => {
    const number = numberOf(frame)
    if (number !== undefined) numbers.push(number)
  })
  let called = 0
  let full = 0
  for (let i = 0; i < 300; i++) {
    if (a.write(numberedFrame(i), () => called++)) continue
    full++
    await once(a, 'drain')
  }
  t.ok(full >= 300 / 8 - 1, `write() returned false ${full} times`)
  a.cork()
  for (let i = 300; i < 310; i++) a.write(numberedFrame(i), () => called++)
  a.uncork()
  t.ok(await eventually(() => numbers.length === 310 && called === 310))
  t.same(
    numbers,
    Array.from({ length: 310 }, (_, i) => i),
    'in order',
  )
  t.equal(a.stats().framesWritten, 310)

  a.write(numberedFrame(400))
  a.write(numberedFrame(401))
  a.write(numberedFrame(402))
  await a.close()
  t.ok(await eventually(() => numbers.length === 313), 'what was written goes out before the tap is closed')
  await Promise.all([b.close(), c.close()])
})

test('a stream that ends leaves the tap open for reading', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace, { name: 'tap0', addresses: ['10.0.2.1/24'] })
  Readable.from([numberedFrame(0), numberedFrame(1)]).pipe(tap)
  await once(tap, 'finish')
  t.equal(tap.stats().framesWritten, 2)
  await sendNumbered(namespace, 1)
  const [frame] = await once(tap, 'data')
  t.equal(datagramNumber(frame), 0)
  await tap.close()
})

test('what is not a frame is refused', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  for (const wrong of ['text', 7, {}, [numberedFrame(0)], new Uint16Array(30), undefined]) {
    t.throws(() => tap.write(wrong as never), type)
    t.throws(() => tap.writeBatch([numberedFrame(0), wrong as never]), { ...type, message: /^batch\[1\] must be/ })
  }
  t.equal(tap.stats().framesWritten, 0)

  const refusals = [Buffer.alloc(0), Buffer.alloc(1), Buffer.alloc(13)]
  for (const frame of refusals) await new Promise((resolve) => tap.write(frame, resolve))
  t.match(
    tap.stats(),
    { framesWritten: 0, refused: 3, lastRefusal: { code: 'EINVAL' } },
    'under 14 bytes: dropped and counted',
  )
  await ipDo(namespace, 'link', 'set', 'tap0', 'down')
  await new Promise((resolve) => tap.write(numberedFrame(0), resolve))
  t.match(tap.stats(), { framesWritten: 0, refused: 4, lastRefusal: { code: 'EIO' } }, 'link down: dropped and counted')
  await ipDo(namespace, 'link', 'set', 'tap0', 'up')
  await new Promise((resolve) => tap.write(numberedFrame(0), resolve))
  t.match(tap.stats(), { framesWritten: 1, refused: 4 }, 'and taken again when the link is up')

  const ended = once(tap, 'error')
  tap.end('text')
  t.match((await ended)[0], type)
  await tap.close()
})

test('a reader waits while the link is down', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace, { name: 'tap0', addresses: ['10.0.2.1/24'] })
  const frames = tap[Symbol.asyncIterator]()
  await ipDo(namespace, 'link', 'set', 'tap0', 'down')
  const next = frames.next()
  t.equal(await Promise.race([next, delay(30, 'nothing')]), 'nothing')
  await ipDo(namespace, 'link', 'set', 'tap0', 'up')
  await sendNumbered(namespace, 1)
  t.equal(datagramNumber((await next).value as Buffer), 0)
  await tap.close()
})

test('any bytes at all may be written', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, addresses: ['10.0.2.1/24'], up: true })
  tap.on('data', (frame) => {
    const answer = answerFrame(frame)
    if (answer !== undefined) tap.write(answer)
  })
  const source = Buffer.alloc(70_000)
  let state = 12_345
  for (let i = 0; i < source.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    source[i] = state >>> 16
  }
  const types = [0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8]
  for (let i = 0; i < 4000; i++) {
    const start = (i * 17) % 60_000
    const frame = Buffer.from(source.subarray(start, start + ((i * 31) % (i % 100 === 0 ? 9000 : 200))))
    if (frame.length >= 14) frame.fill(0xff, 0, 6)
    if (frame.length >= 14 && i % 2 === 0) frame.writeUInt16BE(types[(i / 2) % types.length] ?? 0, 12)
    if (!tap.write(frame)) await once(tap, 'drain')
  }
  for (const frame of [Buffer.alloc(65_535), Buffer.alloc(70_000), Buffer.alloc(1 << 20)]) tap.write(frame)
  await delay(1)
  const { framesWritten, refused } = tap.stats()
  t.equal(framesWritten + refused, tap.stats().framesWritten + tap.stats().refused)
  t.ok(framesWritten > 3000, `${framesWritten} written, ${refused} refused`)
  t.ok(await pings(namespace, '10.0.2.7'), 'the tap works as before')
  await tap.close()
})

test('frames with packet information', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace, { name: 'tap0', addresses: ['10.0.2.1/24'], packetInfo: true })
  await sendNumbered(namespace, 1)
  const [frame] = await once(tap, 'data')
  t.equal(frame.length, 4 + 46)
  t.equal(frame.readUInt16BE(0), 0, 'flags')
  t.equal(frame.readUInt16BE(2), 0x0800, 'protocol')
  t.equal(datagramNumber(frame.subarray(4)), 0)
  await new Promise((resolve) => tap.write(Buffer.concat([Buffer.alloc(4), numberedFrame(0)]), resolve))
  t.match(tap.stats(), { framesWritten: 1, refused: 0 })
  const { stats64 } = (await ip(namespace, '-s', 'link', 'show', 'dev', 'tap0'))[0]
  t.equal(stats64.rx.bytes, 60, 'the kernel takes the header off')
  await tap.close()
})

test('the longest frame there is', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, addresses: ['10.0.2.1/24'], up: true, mtu: 65_521 })
  tap.on('data', (frame) => {
    const answer = answerFrame(frame)
    if (answer !== undefined) tap.write(answer)
  })
  let longest = 0
  tap.on('data', (frame) => {
    longest = Math.max(longest, frame.length)
  })
  t.ok(await pings(namespace, '10.0.2.7', '-s', '65493', '-M', 'do'))
  t.equal(longest, 65_521 + 14)
  await tap.close()
})

test('an interface that is deleted ends everything with ENODEV', tun, async (t) => {
  const gone = { name: 'NetkitError', code: 'ENODEV', message: /^tap0 was deleted/ }
  const namespace = await scratch(t)
  const remove = () => ipDo(namespace, 'link', 'delete', 'tap0')

  const waiting = await quietTap(namespace)
  const next = waiting[Symbol.asyncIterator]().next()
  const asserted = t.rejects(next, gone, 'a pending for await')
  await remove()
  await asserted
  await waiting.close()
  t.ok(waiting.closed)

  const flowing = await quietTap(namespace)
  flowing.resume()
  const failed = once(flowing, 'error')
  await remove()
  t.match((await failed)[0], gone, "the 'error' event of a flowing stream")
  t.throws(() => flowing.writeBatch([numberedFrame(0)]), gone)

  const writing = await quietTap(namespace)
  const heard = once(writing, 'error')
  await remove()
  t.match(await new Promise((resolve) => writing.write(numberedFrame(0), resolve)), gone, 'a write callback')
  t.match((await heard)[0], gone)

  const batching = await quietTap(namespace)
  await remove()
  t.throws(() => batching.writeBatch([numberedFrame(0)]), gone, 'writeBatch(), and no error event')
  t.ok(batching.destroyed)

  const idle = await quietTap(namespace)
  await remove()
  await idle.close()
  t.pass('an idle tap does not notice')
})

test('closing', tun, async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'closing in every state', async () => {
    const reading = await openTap({ namespace, up: true })
    const turns = Promise.all([1, 2, 3].map(async () => (await reading[Symbol.asyncIterator]().next()).done))
    const [fd] = reading.fds
    await Promise.all([reading.close(), reading.close(), reading[Symbol.asyncDispose]()])
    await reading.close()
    t.equal((await turns).at(-1), true, 'pending turns end')
    t.ok(fd !== undefined && reading.closed)
    t.throws(() => reading.writeBatch([numberedFrame(0)]), { code: 'EBADF', message: /^tap0 is closed/ })
    t.same(
      await reading[Symbol.asyncIterator]().next(),
      { done: true, value: undefined },
      'nothing to iterate any more',
    )

    const flowing = await openTap({ namespace, up: true })
    flowing.on('data', () => flowing.destroy())
    await once(flowing, 'close')
    t.equal((await ip(namespace, 'link')).length, 1, "at 'close' the interface is gone")

    const broken = await openTap({ namespace, up: true })
    for await (const frame of broken) if (frame.length > 0) break
    t.ok(broken.closed, 'break closes')

    const kept = await openTap({ namespace, up: true, addresses: ['10.0.2.1/24'] })
    for await (const frame of kept.iterator({ destroyOnReturn: false })) if (frame.length > 0) break
    t.notOk(kept.destroyed, 'unless told otherwise')
    t.ok(kept.stats().framesRead > 0)
    await kept.close()

    const [a, b] = [await openTap({ namespace, up: true }), await openTap({ namespace, up: true })]
    const piping = t.rejects(
      pipeline(a, b),
      { code: 'ERR_STREAM_PREMATURE_CLOSE' },
      'a pipeline fails, as with any stream',
    )
    await a.close()
    await piping
    await b.close()

    const thrown = await openTap({ namespace, up: true })
    const failing = (async () => {
      for await (const frame of thrown) throw new Error(`${frame.length > 0}`)
    })()
    await t.rejects(failing, { message: 'true' })
    t.ok(thrown.closed, 'an exception in the loop closes')
  })
})

test('several turns may be asked for at once', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace, { name: 'tap0', addresses: ['10.0.2.1/24'] })
  const frames = tap[Symbol.asyncIterator]()
  const turns = Promise.all([frames.next(), frames.next(), frames.next()])
  await sendNumbered(namespace, 3)
  t.same(
    (await turns).map(({ value }) => datagramNumber(value as Buffer)),
    [0, 1, 2],
  )
  await tap.close()
})

test('a child process takes over the descriptor', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace, { name: 'tap0', addresses: ['10.0.2.1/24'] })
  const [fd] = tap.fds
  await sendNumbered(namespace, 2)
  await delay(5)
  const reading = spawn('dd', ['bs=2000', 'count=1', 'status=none'], { stdio: [fd, 'pipe', 'inherit'] })
  const [frame] = await once(reading.stdout as Readable, 'data')
  t.equal(frame.length, 46)
  t.equal(datagramNumber(frame), 0, 'it gets the first frame: nothing was read before')
  t.equal(tap.stats().framesRead, 0)

  const holding = spawn('sleep', ['60'], { stdio: [fd, 'ignore', 'inherit'] })
  await once(holding, 'spawn')
  await tap.close()
  t.equal((await ip(namespace, 'link')).length, 2, 'a child that holds it keeps the interface')
  holding.kill()
  t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 1), 'until it ends')
})

test('an interface that is moved to another namespace, or renamed, goes on', tun, async (t) => {
  const [here, there] = [await scratch(t), await scratch(t)]
  const tap = await quietTap(here, { name: 'tap9' })
  tap.on('data', (frame) => {
    const answer = answerFrame(frame)
    if (answer !== undefined) tap.write(answer)
  })
  await tap.link.set({ namespace: there, name: 'moved0' })
  await tap.link.set({ up: true })
  await tap.link.addAddress('10.0.2.1/24')
  t.ok(await pings(there, '10.0.2.7'))
  await tap.close()
  t.equal((await ip(there, 'link')).length, 1)
})

test('a process ends by itself when nothing is read', tun, async (t) => {
  const start = `
    import { createNamespace, openTap } from './dist/index.js'
    const namespace = await createNamespace()
    const tap = await openTap({ namespace, up: true })
    globalThis.kept = tap
  `
  t.match(await runProgram(start), { exitCode: 0, stderr: '' }, 'an open tap')
  const flowing = 'tap.on("data", () => {}); setTimeout(() => { console.log(true); process.exit() }, 300)'
  t.equal(await askProgram(`${start}; ${flowing}`), true, 'process.exit() ends one that is being read')
  const reading =
    'tap.on("data", () => {}); setTimeout(() => console.log(true), 300).unref(); setTimeout(() => tap.close(), 600).unref()'
  t.equal(await askProgram(`${start}; ${reading}`), true, 'a reader keeps it alive')
})

test('a pipe between taps goes on, whatever becomes of its stream', tun, async (t) => {
  const [left, right] = [await scratch(t), await scratch(t)]
  for (const namespace of [left, right]) namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const a = await openTap({ namespace: left, name: 'tap0', up: true, addresses: ['10.0.1.1/24'] })
  const b = await openTap({ namespace: right, name: 'tap0', up: true, addresses: ['10.0.1.2/24'] })
  const events: string[] = []
  b.on('pipe', () => events.push('pipe')).on('unpipe', () => events.push('unpipe'))
  const socket = await left.bindDatagram({ type: 'udp4' })
  const send = (text: string) => new Promise((resolve) => socket.send(text, 9, '10.0.1.2', resolve))
  await ipDo(left, 'neighbor', 'replace', '10.0.1.2', 'lladdr', b.link.mac ?? '', 'dev', 'tap0')
  const there = await right.bindDatagram({ type: 'udp4', port: 9 })
  const heard: string[] = []
  there.on('message', (message) => heard.push(`${message}`))
  const arrives = async (text: string) => t.ok(await eventually(() => heard.includes(text)), text)

  t.equal(a.pipe(b), b)
  await send('piped')
  await arrives('piped')
  t.throws(() => a.onBatch(() => {}), { code: 'ERR_INVALID_STATE' })
  a.pause()
  t.ok(a.isPaused())
  await send('paused')
  t.notOk(await eventually(() => heard.includes('paused'), 30))
  a.resume()
  await arrives('paused')

  const seen: number[] = []
  const look = (frame: Buffer) => seen.push(frame.length)
  a.on('data', look)
  await send('looked at')
  await arrives('looked at')
  t.ok(await eventually(() => seen.length > 0), 'who listens sees the frames too')
  a.off('data', look)
  await send('not looked at')
  await arrives('not looked at')
  t.equal(seen.length, 1)
  a.unpipe(b)
  await a.close()
  t.same(events, ['pipe', 'unpipe', 'pipe', 'unpipe'])

  const again = await openTap({ namespace: left, name: 'tap0', up: true, addresses: ['10.0.1.1/24'] })
  await ipDo(left, 'neighbor', 'replace', '10.0.1.2', 'lladdr', b.link.mac ?? '', 'dev', 'tap0')
  again.pipe(b)
  await send('again')
  await arrives('again')
  again.unpipe()
  await send('unpiped')
  t.notOk(await eventually(() => heard.includes('unpiped'), 30))
  again.pipe(b)
  await arrives('unpiped')
  await b.close()
  t.notOk(again.destroyed, 'a target that closes ends the pipe')
  t.ok(
    again.onBatch(() => {}),
    'and the source is free',
  )
  await again.close()
  socket.close()
  there.close()
})

test('a pipe whose interface is deleted fails as a stream does', tun, async (t) => {
  const namespace = await scratch(t)
  for (const gone of ['tap0', 'tap1']) {
    const a = await openTap({ namespace, name: 'tap0', up: true })
    const b = await openTap({ namespace, name: 'tap1', up: true })
    a.pipe(b)
    const failed = once(gone === 'tap0' ? a : b, 'error')
    await ipDo(namespace, 'link', 'delete', gone)
    if (gone === 'tap1') {
      const socket = await namespace.bindDatagram({ type: 'udp4', broadcast: true })
      await a.link.addAddress('10.0.9.1/24')
      await new Promise((resolve) => socket.send('x', 9, '10.0.9.255', resolve))
      socket.close()
    }
    t.match((await failed)[0], { code: 'ENODEV' }, gone)
    await Promise.all([a.close(), b.close()])
  }
  const [c, d] = [await openTap({ namespace, up: true }), await openTap({ namespace, up: true })]
  const ended = pipeline(c, d).catch((error) => error)
  await d.close()
  t.match(await ended, { code: 'ERR_STREAM_PREMATURE_CLOSE' }, 'stream.pipeline()')
  t.ok(c.destroyed)
})
