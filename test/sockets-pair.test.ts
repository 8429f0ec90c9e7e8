/** A pair of ends inside the process. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { test } from 'tap'
import { native } from '../dist/native.js'
import { HAS_HEADER } from '../dist/packets/constants.js'
import { deviceOf } from '../dist/packets/end.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { leavesNoDescriptor } from './support/counting.js'
import { cross, everySize, filledFrame } from './support/sockets.js'

test('frames of every size cross a pair, both ways', async (t) => {
  const [a, b] = createEndPair()
  const sizes = everySize(65_535)
  t.ok(await cross(a, b, sizes, 1e9))
  t.ok(await cross(b, a, sizes, 1e9))
  t.match(a.stats(), { framesRead: sizes.length, framesWritten: sizes.length, refused: 0, truncated: 0 })
  t.equal(a.writeBatch([Buffer.alloc(0), Buffer.alloc(65_601)]), 2)
  t.match(a.stats(), { refused: 2, lastRefusal: { code: 'EMSGSIZE' } })
  await a.close()
  await b.close()
})

test('a full pair', async (t) => {
  const [a, b] = createEndPair({ capacity: 10 })
  const frames = Array.from({ length: 25 }, (_, i) => filledFrame(i, 60))
  t.equal(a.writeBatch(frames), 10, 'as many as there is room for')
  t.equal(a.writeBatch(frames.slice(10)), 0)
  const batches = b.batches({ max: 4 })
  t.equal((await batches.next()).value?.length, 4)
  t.equal(a.writeBatch(frames.slice(10)), 4)
  await batches.return()

  let written = 0
  for (const frame of frames.slice(14)) a.write(frame, () => written++)
  await sleep(5)
  t.ok(written < 11, 'the stream waits')
  const got: Buffer[] = []
  for await (const batch of b.batches()) {
    for (let i = 0; i < batch.length; i++) got.push(batch.copy(i))
    if (got.length === 21) break
  }
  t.same(got, frames.slice(4), 'and goes on')
  t.equal(written, 11)
  await Promise.all([a.close(), b.close()])
})

test('streams', async (t) => {
  const [a, b] = createEndPair({ capacity: 8 })
  const [c, d] = createEndPair({ capacity: 8 })
  b.pipe(c)
  const frames = Array.from({ length: 500 }, (_, i) => filledFrame(i, 14 + i))
  const reading = (async () => {
    const got: Buffer[] = []
    for await (const frame of d) if (got.push(frame) === frames.length) return got
    return got
  })()
  for (const frame of frames) if (!a.write(frame)) await once(a, 'drain')
  t.same(await reading, frames)
  await Promise.all([a, b, c, d].map((end) => end.close()))
})

test('offload headers are carried', async (t) => {
  const [a, b] = createEndPair({ offload: true })
  const [plain, other] = createEndPair()
  t.ok(a.offload)
  const { end } = deviceOf(a)
  // A datagram over IPv4 whose checksum is yet to be made.
  const packet = Buffer.alloc(28 + 1000)
  packet.set([0x45, 0, 1028 >> 8, 1028 & 255, 0, 0, 0, 0, 64, 17])
  packet.writeUInt16BE(1008, 24)
  const header = Buffer.from([1, 0, 0, 0, 0, 0, 34, 0, 6, 0])
  const slab = Buffer.concat([header, Buffer.alloc(12), Buffer.from([8, 0]), packet])
  native.writeFrames(end, slab, Uint32Array.of(10, slab.length - 10 + HAS_HEADER), 0, 1)
  for await (const batch of b.batches()) {
    t.match(batch.header(0), { needsChecksum: true })
    t.ok(batch.frame(0).equals(slab.subarray(10)))
    plain.writeBatch(batch)
    break
  }
  for await (const batch of other.batches()) {
    t.equal(batch.header(0), undefined, 'a pair without offload gets whole frames')
    t.not(batch.frame(0).readUInt16BE(14 + 26), 0, 'with their checksums')
    break
  }
  await Promise.all([a, b, plain, other].map((each) => each.close()))
})

test('the end of the other end', async (t) => {
  const [a, b] = createEndPair()
  a.writeBatch([filledFrame(0, 60), filledFrame(1, 60)])
  await a.close()
  const lengths: number[] = []
  for await (const batch of b.batches()) lengths.push(batch.length)
  t.same(lengths, [2], 'what waits is read, and then the iteration ends')
  t.ok(b.destroyed)
  t.throws(() => b.writeBatch([filledFrame(0, 60)]), { code: 'EBADF' })

  const [c, d] = createEndPair()
  await d.close()
  t.throws(() => c.writeBatch([filledFrame(0, 60)]), { code: 'EPIPE' })
  await c.close()

  const [e, f] = createEndPair({ capacity: 1 })
  e.writeBatch([filledFrame(0, 60)])
  const failed = once(e, 'error')
  e.write(filledFrame(1, 60))
  await sleep(5)
  await f.close()
  t.match((await failed)[0], { code: 'EPIPE' }, 'who waits for room is woken')
  await e.close()

  const [g, h] = createEndPair()
  const got: Buffer[] = []
  for (let i = 0; i < 5; i++) g.write(filledFrame(i, 60))
  await sleep(1)
  const closing = g.close()
  for await (const frame of h) got.push(frame)
  t.equal(got.length, 5, 'a stream ends after what waits')
  await closing
})

test('nothing is left', async (t) => {
  await leavesNoDescriptor(t, 'pairs', async () => {
    for (let i = 0; i < 10; i++) {
      const [a, b] = createEndPair({ capacity: 2 })
      a.writeBatch([filledFrame(0, 60), filledFrame(1, 60), filledFrame(2, 60)])
      await (i % 2 === 0 ? a : b).close()
      await Promise.all([a.close(), b.close()])
    }
  })
})

test('options', (t) => {
  t.throws(() => createEndPair({ capacity: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => createEndPair({ capacity: 65_537 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => createEndPair({ offload: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => createEndPair({ layer: 'tcp' as never }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => createEndPair({ size: 1 } as never), { code: 'ERR_INVALID_ARG_VALUE' })
  t.end()
})

test('a worker that is ended in the middle leaves nothing', async (t) => {
  const worker = new Worker(
    `
      import('${new URL('../dist/index.js', import.meta.url).href}').then(({ createEndPair }) => {
        const { parentPort } = require('node:worker_threads')
        const [a, b] = createEndPair({ capacity: 16 })
        void (async () => { for await (const batch of b.batches()) b.writeBatch(batch) })()
        void (async () => { for await (const batch of a.batches()) a.writeBatch(batch) })()
        a.writeBatch([Buffer.alloc(60)])
        setInterval(() => a.stats().framesRead > 10 && parentPort.postMessage(a.stats().framesRead), 5)
      })
    `,
    { eval: true },
  )
  const [frames] = await once(worker, 'message')
  t.ok(frames > 10, `${frames} frames`)
  t.equal(await worker.terminate(), 1)
})
