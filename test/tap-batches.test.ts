/** Reading and writing taps in batches. */
import { once } from 'node:events'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import type { FrameBatch } from '../dist/packets/batch.js'
import { openTap, type Tap, type TapOptions } from '../dist/tuntap/tap.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { answerFrame, hostMac, numberedFrame } from './support/packets.js'
import { askProgram } from './support/program.js'
import { ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip', 'ping')

/** A tap that is up, with 10.0.2.1/24, whose own chatter (IPv6 router solicitations) is silenced. */
async function quietTap(namespace: Namespace, options: TapOptions = {}): Promise<Tap> {
  await namespace.exec('sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'], { check: true })
  return openTap({ namespace, up: true, name: 'tap0', addresses: ['10.0.2.1/24'], ...options })
}

/** Makes tap0 send datagrams of growing length to 10.0.2.7, each with its number. */
async function sendNumbered(namespace: Namespace, count: number): Promise<void> {
  await ipDo(namespace, 'neighbor', 'replace', '10.0.2.7', 'lladdr', hostMac, 'dev', 'tap0')
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  for (let i = 0; i < count; i++) {
    const payload = Buffer.alloc(4 + (i % 1000), i)
    payload.writeUInt32BE(i)
    await new Promise((resolve) => socket.send(payload, 9, '10.0.2.7', resolve))
  }
  socket.close()
  await once(socket, 'close')
}

const HEADERS = 14 + 20 + 8

test('a batch is the frames that wait, up to a maximum', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  await sendNumbered(namespace, 300)
  const lengths: number[] = []
  let number = 0
  let bytes = 0
  for await (const batch of tap.batches({ max: 128 })) {
    lengths.push(batch.length)
    let sum = 0
    for (let i = 0; i < batch.length; i++) {
      const frame = batch.frame(i)
      const right =
        frame.length === HEADERS + 4 + (number % 1000) &&
        frame.readUInt32BE(HEADERS) === number &&
        frame.subarray(HEADERS + 4).every((octet) => octet === number % 256) &&
        batch.size(i) === frame.length &&
        batch.data.subarray(batch.offset(i), batch.offset(i) + batch.size(i)).equals(frame) &&
        batch.copy(i).equals(frame)
      if (!right) t.fail(`frame ${number} is not as it was sent`)
      number++
      sum += frame.length
    }
    t.equal(batch.bytes, sum)
    t.equal([...batch].length, batch.length, 'a batch is iterable')
    bytes += sum
    if (number === 300) break
  }
  t.same(lengths, [128, 128, 44])
  t.match(tap.stats(), { framesRead: 300, bytesRead: bytes })
  t.notOk(tap.destroyed, 'break leaves the tap open')

  await sendNumbered(namespace, 2)
  const again = tap.batches()
  const { value } = await again.next()
  t.equal(value?.length, 2, 'it can be read in batches again')
  await again.return()
  await tap.close()
})

test('long frames fit, however many are allowed', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  const batches = tap.batches({ max: 4 })
  await tap.link.set({ mtu: 65_521 })
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  await ipDo(namespace, 'neighbor', 'replace', '10.0.2.7', 'lladdr', hostMac, 'dev', 'tap0')
  for (let i = 0; i < 4; i++)
    await new Promise((resolve) => socket.send(Buffer.alloc(65_000, i), 9, '10.0.2.7', resolve))
  socket.close()
  let frames = 0
  for await (const batch of batches) {
    for (const frame of batch) {
      t.equal(frame.length, 65_000 + HEADERS)
      t.ok(frame.subarray(HEADERS).every((octet) => octet === frames))
      frames++
    }
    if (frames === 4) break
  }
  await tap.close()
})

test('a batch is over with its turn', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  await sendNumbered(namespace, 3)
  const batches = tap.batches({ max: 2 })
  const over = { code: 'ERR_INVALID_STATE', message: /this batch is over/ }
  const { value: first } = await batches.next()
  t.ok(first)
  const batch = first as FrameBatch
  t.equal(batch.length, 2)
  for (const i of [-1, 2, 0.5 + 2, Number.NaN]) t.throws(() => batch.frame(i), { code: 'ERR_OUT_OF_RANGE' })
  const next = batches.next()
  for (const use of [
    () => batch.frame(0),
    () => batch.copy(0),
    () => batch.data,
    () => batch.offset(0),
    () => [...batch],
  ]) {
    t.throws(use, over)
  }
  t.throws(() => tap.writeBatch(batch), over, 'also for writeBatch()')
  await t.rejects(batches.next(), { code: 'ERR_INVALID_STATE' }, 'one turn after the other')
  const { value: second } = await next
  t.equal(second?.length, 1)
  await batches.return()
  t.throws(() => second?.frame(0), over)
  t.same(await batches.next(), { done: true, value: undefined })
  await tap.close()
})

test('batches join two namespaces', tun, async (t) => {
  const [left, right] = [await scratch(t), await scratch(t)]
  const a = await openTap({ namespace: left, addresses: ['10.0.1.1/24'], up: true })
  const b = await openTap({ namespace: right, addresses: ['10.0.1.2/24'], up: true })
  const pump = async (from: Tap, to: Tap) => {
    for await (const batch of from.batches())
      if (to.writeBatch(batch) !== batch.length) throw new Error('not all written')
  }
  const pumps = [pump(a, b), pump(b, a)]
  const { exitCode } = await left.exec('ping', ['-c3', '-i0.02', '-W2', '-s1400', '10.0.1.2'])
  t.equal(exitCode, 0)

  const listening = await right.listen({ host: '10.0.1.2', port: 80 }, (socket) => socket.pipe(socket))
  const socket = await left.connect({ host: '10.0.1.2', port: 80 })
  const sent = Buffer.alloc(2_000_000, 'netkit')
  socket.end(sent)
  const received: Buffer[] = []
  for await (const part of socket) received.push(part)
  t.ok(Buffer.concat(received).equals(sent), 'TCP, two megabytes there and back')
  listening.close()

  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const ticks = { count: 0 }
  const timer = setInterval(() => ticks.count++, 5)
  await left.exec('timeout', ['1', 'ping', '-f', '-s', '18', '10.0.1.2'])
  clearInterval(timer)
  delays.disable()
  t.ok(ticks.count > 50, `timers go on under a flood: ${ticks.count} ticks in a second`)
  t.ok(delays.percentile(99) < 50e6, `the event loop is late by ${delays.percentile(99) / 1e6} ms (p99)`)
  await Promise.all([a.close(), b.close()])
  await Promise.all(pumps)
  t.pass('both loops end when the taps are closed')
})

test('writing arrays of frames', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  const own = [numberedFrame(0), numberedFrame(1, 500), new Uint8Array(numberedFrame(2))]
  t.equal(tap.writeBatch(own), 3, 'frames with memory of their own')
  const memory = Buffer.concat([numberedFrame(3), numberedFrame(4), Buffer.alloc(5)])
  t.equal(
    tap.writeBatch([memory.subarray(0, 60), memory.subarray(60, 120), memory.subarray(120)]),
    3,
    'views of one memory',
  )
  t.match(tap.stats(), {
    framesWritten: 5,
    bytesWritten: 60 + 500 + 60 + 120,
    refused: 1,
    lastRefusal: { code: 'EINVAL' },
  })
  t.equal(tap.writeBatch([]), 0)
  const shared = new Uint8Array(new SharedArrayBuffer(120))
  shared.set(numberedFrame(5))
  shared.set(numberedFrame(6), 60)
  t.equal(tap.writeBatch([shared.subarray(0, 60), shared.subarray(60)]), 2)
  t.equal(tap.writeBatch(Array.from({ length: 5000 }, (_, i) => numberedFrame(i))), 5000)
  t.equal(tap.writeBatch(Array.from({ length: 5000 }, () => memory.subarray(0, 60))), 5000)
  t.equal(tap.stats().framesWritten, 10_007)
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  for (const wrong of [undefined, null, {}, 'text', numberedFrame(0), [1], ['text']]) {
    t.throws(() => tap.writeBatch(wrong as never), type)
  }
  await tap.close()
})

test('options', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  t.throws(() => tap.batches({ max: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => tap.batches({ max: 5000 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => tap.batches({ max: '256' as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => tap.batches({ signal: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => tap.batches({ size: 1 } as never), { code: 'ERR_INVALID_ARG_VALUE' })
  await tap.close()
})

test('a signal ends the iteration', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  const aborted = { name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'why' } }
  const why = new Error('why')
  await t.rejects(tap.batches({ signal: AbortSignal.abort(why) }).next(), aborted, 'before')

  const pending = new AbortController()
  const next = tap.batches({ signal: pending.signal }).next()
  setTimeout(() => pending.abort(why), 5)
  await t.rejects(next, aborted, 'while it waits')

  const between = new AbortController()
  const batches = tap.batches({ signal: between.signal })
  await sendNumbered(namespace, 1)
  await batches.next()
  between.abort(why)
  await t.rejects(batches.next(), aborted, 'between two turns')
  t.same(await batches.next(), { done: true, value: undefined })

  const done = new AbortController()
  const finished = tap.batches({ signal: done.signal })
  await sendNumbered(namespace, 1)
  await finished.next()
  await finished.return()
  done.abort(why)
  t.same(await finished.next(), { done: true, value: undefined }, 'no longer after the end')
  t.notOk(tap.destroyed, 'the tap stays open')
  await tap.close()
})

test('a tap is read either as a stream or in batches', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  const state = { code: 'ERR_INVALID_STATE' }
  const batches = tap.batches()
  const pending = batches.next()
  await t.rejects(tap.batches().next(), { ...state, message: /in batches already/ })
  const failed = once(tap, 'error')
  const rejected = t.rejects(pending, { ...state, message: /cannot be read as a stream at the same time/ })
  tap.resume()
  await rejected
  t.match((await failed)[0], state, 'the stream fails')
  await tap.close()

  const streamed = await quietTap(namespace)
  streamed.on('data', () => {})
  await delay(1)
  await t.rejects(streamed.batches().next(), { ...state, message: /is read as a stream/ })
  await streamed.close()
  t.same(await streamed.batches().next(), { done: true, value: undefined }, 'a closed tap has no batches')
})

test('closing and deletion', tun, async (t) => {
  const namespace = await scratch(t)
  const gone = { name: 'NetkitError', code: 'ENODEV', message: /^tap0 was deleted/ }
  await leavesNoDescriptor(t, 'every way to end', async () => {
    const closing = await quietTap(namespace)
    const pending = closing.batches().next()
    await closing.close()
    t.same(await pending, { done: true, value: undefined }, 'a pending turn ends when the tap is closed')

    const deleted = await quietTap(namespace)
    const waiting = t.rejects(deleted.batches().next(), gone, 'a pending turn fails when the interface is deleted')
    await ipDo(namespace, 'link', 'delete', 'tap0')
    await waiting
    t.ok(deleted.destroyed, 'without an error event')
    await deleted.close()
    await t.rejects(deleted.batches().next(), gone, 'and so does a later iteration')

    const between = await quietTap(namespace)
    const batches = between.batches()
    await sendNumbered(namespace, 1)
    const { value } = await batches.next()
    await ipDo(namespace, 'link', 'delete', 'tap0')
    t.throws(() => between.writeBatch(value as FrameBatch), gone)
    await t.rejects(batches.next(), gone, 'the turn after')
    await between.close()

    const heard = await quietTap(namespace)
    const failed = once(heard, 'error')
    const turn = t.rejects(heard.batches().next(), gone)
    await ipDo(namespace, 'link', 'delete', 'tap0')
    await turn
    t.match((await failed)[0], gone, 'who listens for errors hears of it too')
  })
})

test('answers go out in the turn', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quietTap(namespace)
  const answering = (async () => {
    for await (const batch of tap.batches()) {
      tap.writeBatch([...batch].map(answerFrame).filter((answer) => answer !== undefined))
    }
  })()
  const { exitCode } = await namespace.exec('ping', ['-c20', '-i0.002', '-W2', '10.0.2.7'])
  t.equal(exitCode, 0)
  t.ok(await eventually(() => tap.stats().framesWritten >= 21))
  await tap.close()
  await answering
})

test('a process whose loop was left ends by itself', tun, async (t) => {
  const source = `
    import { createNamespace, openTap } from './dist/index.js'
    const namespace = await createNamespace()
    namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
    const tap = await openTap({ namespace, name: 'tap0', addresses: ['10.0.2.1/24'], up: true })
    await namespace.exec('ip', ['neighbor', 'add', '10.0.2.7', 'lladdr', '${hostMac}', 'dev', 'tap0'])
    void namespace.exec('ping', ['-c1', '-W1', '10.0.2.7'])
    for await (const batch of tap.batches()) { console.log(batch.length); break }
    globalThis.kept = tap
  `
  t.equal(await askProgram(source), 1, 'although no other frame comes')
})
