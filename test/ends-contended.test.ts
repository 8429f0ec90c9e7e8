/** Ends that two want at once, targets that are full, and floods that leave nobody else a turn. */
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { startPump } from '../dist/pump/pump.js'
import { openDatagramBatch } from '../dist/sockets/datagram-batch.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { serveQemuStream } from '../dist/sockets/qemu-server.js'
import { openQemuStream, type QemuStream } from '../dist/sockets/qemu-stream.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { numberedFrame, numberOf } from './support/packets.js'
import { scratch } from './support/scratch.js'
import { folder } from './support/sockets.js'

const state = { code: 'ERR_INVALID_STATE' }
const instruction = ([code, jt, jf, k]: readonly [number, number, number, number]) => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes.set([jt, jf], 2)
  bytes.writeUInt32LE(k, 4)
  return bytes
}
const numbers = (count: number, first = 0) => Array.from({ length: count }, (_, i) => numberedFrame(first + i))

function closing(t: Test, ...all: { close(): Promise<unknown> }[]): void {
  t.teardown(async () => {
    for (const each of all) await each.close()
  })
}

test('few delayed frames wait for a target that is full', async (t) => {
  const [near, far] = createEndPair({ capacity: 8 })
  const [from, source] = createEndPair({ capacity: 1000 })
  const pump = startPump(source, near, { delay: 20 })
  closing(t, pump, from, source, near, far)
  for (let sent = 0; sent < 200; sent += 10) {
    from.writeBatch(numbers(10, sent))
    await delay(4)
  }
  const seen: (number | undefined)[] = []
  far.onBatch((batch) => {
    for (const frame of batch) seen.push(numberOf(frame))
  })
  await eventually(() => seen.length >= 200, 2000)
  t.same(
    seen,
    Array.from({ length: 200 }, (_, i) => i),
    'all arrive, in order',
  )
})

test('frames on their way when a pump ends are counted', async (t) => {
  for (const options of [{}, { delay: 1000 }, { delay: 5 }]) {
    const [near, far] = createEndPair({ capacity: 8 })
    const [from, source] = createEndPair({ capacity: 1000 })
    const pump = startPump(source, near, options)
    closing(t, pump, from, source, near, far)
    from.writeBatch(numbers(100))
    t.ok(await eventually(() => pump.stats().forward.frames === 100))
    await delay(20)
    await pump.close()
    const { frames, dropped, waiting } = pump.stats().forward
    const { framesWritten } = near.stats()
    t.match({ sum: framesWritten + dropped, waiting }, { sum: frames, waiting: 0 }, JSON.stringify(options))
  }
})

test('one direction waits for room while the other is flooded', async (t) => {
  const capacity = 4096
  const [a, beyondA] = createEndPair({ capacity })
  const [b, beyondB] = createEndPair({ capacity })
  // A long filter makes it slower than the one that carries its frames back, so that whole batches always wait for it.
  const filter = [...Array.from({ length: 4000 }, () => [0, 0, 0, 1] as const), [6, 0, 0, 1] as const]
  const pump = startPump(a, b, { forward: { filter: Buffer.concat(filter.map(instruction)) } })
  beyondA.writeBatch(numbers(3000))
  const back = startPump(beyondB, beyondA, { direction: 'forward' })
  closing(t, back, pump, a, b, beyondA, beyondB)
  const wanted = capacity + 500
  let sent = 0
  const all = () => {
    sent += beyondB.writeBatch(numbers(Math.min(100, wanted - sent), sent))
    return sent === wanted
  }
  t.ok(await eventually(all))
  await delay(50)
  let seen = 0
  beyondA.onBatch((batch) => {
    seen += batch.length
  })
  t.ok(await eventually(() => seen >= wanted, 3000), `${seen} of ${wanted} came back`)
})

test('an end that a pump reads is read by nobody else', async (t) => {
  const [a, beyondA] = createEndPair()
  const [b, beyondB] = createEndPair()
  const pump = startPump(a, b)
  closing(t, pump, a, b, beyondA, beyondB)
  t.throws(() => a.pollBatch(0), { ...state, message: /read by a pump/ })
  t.throws(() => a.onBatch(() => {}), { ...state, message: /read by a pump/ })
  await t.rejects(a.batches().next(), { ...state, message: /read by a pump/ })
  await pump.close()
  // What was refused has no say afterwards.
  beyondA.writeBatch(numbers(3))
  t.equal(a.pollBatch(0)?.length, 3)
  const next = startPump(beyondA, b)
  await next.close()
})

test('frames that were written to a stream go before those of a pump', async (t) => {
  const [a, beyondA] = createEndPair({ capacity: 4 })
  const [b, beyondB] = createEndPair()
  closing(t, a, b, beyondA, beyondB)
  for (const frame of numbers(3)) a.write(frame)
  const pump = startPump(a, b)
  beyondB.writeBatch(numbers(1, 3))
  const seen: (number | undefined)[] = []
  const listener = beyondA.onBatch((batch) => {
    for (const frame of batch) seen.push(numberOf(frame))
  })
  t.ok(await eventually(() => seen.length === 4))
  t.same(seen, [0, 1, 2, 3])
  t.notOk(a.destroyed)
  await pump.close()
  listener.close()
  for (const frame of numbers(6)) a.write(frame)
  t.throws(() => startPump(a, b), { ...state, message: /wait to be written/ })
  await delay(5)
  t.throws(() => startPump(a, b), { ...state, message: /wait to be written/ })
  t.notOk(a.destroyed)
  let rest = 0
  beyondA.onBatch((batch) => {
    rest += batch.length
  })
  t.ok(await eventually(() => rest === 6))
  await startPump(a, b).close()
})

test('an end that is closed under a busy pump was closed, and is not gone', async (t) => {
  for (let round = 0; round < 20; round++) {
    const [a, beyondA] = createEndPair({ capacity: 4096 })
    const [b, beyondB] = createEndPair({ capacity: 4096 })
    const pump = startPump(a, b)
    beyondA.writeBatch(numbers(2000))
    const back = startPump(beyondB, beyondA)
    await delay(1)
    await [a, b][round % 2]?.close()
    t.match(await pump.done, { reason: 'end-closed', end: round % 2 === 0 ? 'a' : 'b' })
    await Promise.all([back, a, b, beyondA, beyondB].map((each) => each.close()))
  }
})

test('a connection that ends while a frame is under way ends no pump that waits for it', async (t) => {
  const path = join(await folder(t), 'net')
  const connections: QemuStream[] = []
  const server = await serveQemuStream({ path }, (end) => connections.push(end))
  const client = await openQemuStream({ path, reconnect: 10 })
  const [source, beyond] = createEndPair({ capacity: 10_000 })
  const pump = startPump(client, source, { direction: 'backward' })
  closing(t, pump, client, server, source, beyond)
  t.ok(await eventually(() => connections.length === 1))
  const sent = 5000
  beyond.writeBatch(Array.from({ length: sent }, (_, i) => numberedFrame(i, 1514)))
  t.ok(await eventually(() => client.stats().framesWritten > 0))
  await delay(20)
  await connections[0]?.close()
  t.ok(await eventually(() => connections.length === 2))
  const seen: (number | undefined)[] = []
  connections[1]?.onBatch((batch) => {
    for (const frame of batch) seen.push(numberOf(frame))
  })
  t.ok(
    await eventually(() => {
      beyond.writeBatch([numberedFrame(sent)])
      return seen.includes(sent)
    }),
    'the next one gets its frames',
  )
  t.ok(pump.running)
  await pump.close()
  const { framesWritten, refused } = client.stats()
  t.equal(framesWritten + refused, pump.stats().backward.frames, 'each frame was taken or refused')
})

test('frames that wait in memory leave the event loop its turns', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const b = await openDatagramBatch({ namespace, local: { address: '127.0.0.1' }, receiveBuffer: 1_000_000 })
  const a = await openDatagramBatch({ namespace, remote: b.local })
  closing(t, a, b)
  const sent = 2000
  for (let i = 0; i < sent; i += 50) a.writeBatch(numbers(50, i))
  let [seen, turns] = [0, 0]
  const listener = b.onBatch(
    (batch) => {
      seen += batch.length
    },
    { max: 7 },
  )
  while (seen < sent && turns < 10_000) {
    await turn()
    turns++
  }
  listener.close()
  t.equal(seen, sent)
  t.ok(turns > 20, `${turns} turns`)
})

test('datagrams without a byte do not hold a reader', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const b = await openDatagramBatch({ namespace, local: { address: '127.0.0.1' } })
  const sender = await namespace.bindDatagram({ type: 'udp4', address: '127.0.0.1' })
  closing(t, b)
  t.teardown(() => sender.close())
  for (let i = 0; i <= 100; i++) {
    const bytes = i < 100 ? new Uint8Array(0) : numberedFrame(7)
    await new Promise((resolve) => sender.send(bytes, b.local.port, '127.0.0.1', resolve))
  }
  let polls = 0
  let length = 0
  while (length === 0 && polls < 1000) {
    length = b.pollBatch(0, { max: 1 })?.length ?? 0
    polls++
  }
  t.equal(length, 1)
  t.ok(polls > 1, `${polls} polls`)
})
