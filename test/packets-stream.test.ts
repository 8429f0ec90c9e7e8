/** Packet ends as streams: what was written when they are closed, and what becomes of them when the peer has gone. */
import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { createEndPair } from '../dist/sockets/pair.js'
import { serveQemuStream } from '../dist/sockets/qemu-server.js'
import { openQemuStream } from '../dist/sockets/qemu-stream.js'
import { runProgram } from './support/program.js'
import { filledFrame, folder } from './support/sockets.js'

const frames = (count: number) => Array.from({ length: count }, (_, i) => filledFrame(i, 60))

test('a full end that is closed tells all who wait', async (t) => {
  const [a, b] = createEndPair({ capacity: 1 })
  const told: string[] = []
  const tell = (error?: Error | null) => told.push((error as { code?: string } | undefined)?.code ?? 'written')
  a.on('error', (error) => t.fail(`an error event: ${error.message}`))
  const reading = a[Symbol.asyncIterator]().next()
  for (const frame of frames(4)) a.write(frame, tell)
  await sleep(5)
  a.write(filledFrame(5, 60), tell)
  a.end(tell)
  await sleep(5)
  t.same(told, ['written'], 'one had room')
  await a.close()
  t.same(told, ['written', ...Array(5).fill('ABORT_ERR')])
  t.same(await reading, { done: true, value: undefined }, 'who reads it is told of no error')
  await b.close()
})

test('pipeline into an end', async (t) => {
  const [a, b] = createEndPair({ capacity: 4 })
  const got: Buffer[] = []
  b.on('data', (frame: Buffer) => got.push(frame))
  await pipeline(Readable.from(frames(50)), a)
  t.notOk(a.destroyed, 'it can still be read')
  const over = once(b, 'close')
  await a.close()
  await over
  t.same(got, frames(50))

  const [c, d] = createEndPair({ capacity: 4 })
  const stuck = pipeline(Readable.from(frames(50)), c)
  await sleep(5)
  await Promise.all([t.rejects(stuck, { code: 'ABORT_ERR' }), c.close()])
  await d.close()
})

test('pipeline from an end whose peer goes', async (t) => {
  for (const count of [0, 1, 50]) {
    const [a, b] = createEndPair()
    let got = 0
    const slow = new Writable({
      objectMode: true,
      highWaterMark: 1,
      write(_frame, _encoding, callback) {
        got++
        setImmediate(callback)
      },
    })
    const all = pipeline(b, slow)
    a.writeBatch(frames(count))
    await sleep(2)
    await a.close()
    await all
    t.equal(got, count)
    t.ok(b.destroyed)
  }
})

test('an end whose peer is gone rests while its frames wait to be read', async (t) => {
  const [a, b] = createEndPair()
  const path = `${await folder(t)}/socket`
  let accepted = (_end: Readable & { close(): Promise<void> }) => {}
  const here = new Promise<Readable & { close(): Promise<void> }>((resolve) => {
    accepted = resolve
  })
  await using server = await serveQemuStream({ path }, (end) => accepted(end))
  const there = await openQemuStream({ path })
  for (const [writer, reader] of [
    [a, b],
    [there, await here],
  ] as const) {
    let readable = 0
    reader.on('readable', () => readable++)
    writer.write(filledFrame(1, 60))
    while (readable === 0) await sleep(1)
    await writer.close()
    await sleep(50)
    t.ok(reader.listenerCount('end') <= 1, 'no listeners pile up')
    t.notOk(reader.destroyed)
    t.same(reader.read(), filledFrame(1, 60))
    const closed = once(reader, 'close')
    t.equal(reader.read(), null)
    await closed
  }
  t.equal(server.ends.size, 0)
})

test('an empty selection is a batch, too', async (t) => {
  const [a, b] = createEndPair()
  a.writeBatch(frames(3))
  for await (const batch of b.batches()) {
    const none = batch.select(() => false)
    t.equal(none.length, 0)
    t.same([...none], [])
    t.equal(none.select([]).length, 0)
    t.equal(b.writeBatch(none), 0)
    t.throws(() => none.frame(0), { code: 'ERR_INVALID_ARG_VALUE' })
    break
  }
  await Promise.all([a.close(), b.close()])
})

test('a reader does not keep the process when it is told so', async (t) => {
  const source = (more: string) => `
    import { createEndPair } from './dist/index.js'
    const [a] = createEndPair()
    globalThis.kept = [a, a.batches().next()]
    setTimeout(() => process.exit(7), 100).unref()
    ${more}
  `
  t.match(await runProgram(source('')), { exitCode: 7 })
  t.match(await runProgram(source('a.unref()')), { exitCode: 0, stderr: '' })
  t.match(await runProgram(source('a.unref().ref()')), { exitCode: 7 })
})
