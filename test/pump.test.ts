/** Native pumps: what they carry, how they are steered, and every way in which they end. */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { test } from 'tap'
import type { PumpOptions } from '../dist/pump/options.js'
import { type Pump, startPump } from '../dist/pump/pump.js'
import { createTee } from '../dist/pump/tee.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { openTap } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { eventually, leavesNoDescriptor, threads } from './support/counting.js'
import { needs } from './support/needs.js'
import { numberedFrame, numberOf } from './support/packets.js'
import { askProgram, runProgram } from './support/program.js'
import { arrivals, cable, echo, line, send } from './support/pumps.js'
import { ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip', 'ping')
const state = { code: 'ERR_INVALID_STATE' }
const invalid = { code: 'ERR_INVALID_ARG_VALUE' }
const type = { code: 'ERR_INVALID_ARG_TYPE' }

for (const [left, right] of [
  [true, true],
  [true, false],
  [false, true],
  [false, false],
]) {
  const names = [left, right].map((offload) => (offload ? 'offload' : 'plain'))
  test(`TCP between ${names.join(' and ')}`, tun, async (t) => {
    const ends = await cable(t, { offload: left as boolean }, { offload: right as boolean })
    const pump = startPump(ends.a, ends.b)
    for (const host of ['10.0.1.2', 'fd00::2']) t.ok(await echo(ends, host, 3_000_000), `${host}: 3 MB there and back`)
    // Of a pump that runs, the kernel's own frames would be counted here and not yet there.
    await pump.close()
    const { forward, backward } = pump.stats()
    t.ok(forward.bytes > 6_000_000 && backward.bytes > 6_000_000)
    t.match(ends.a.stats(), { framesRead: forward.frames, bytesRead: forward.bytes })
    t.match(ends.b.stats(), { framesRead: backward.frames, bytesRead: backward.bytes })
    if (left) t.ok(forward.bytes / forward.frames > 3000, 'frames are large')
    else if (right) t.ok(ends.b.stats().framesWritten < forward.frames / 2, 'segments are joined')
    t.match(await pump.done, { reason: 'closed' })
  })
}

test('busyPoll: frames arrive as ever, and a pump that has nothing to do sleeps', async (t) => {
  const [a, near] = createEndPair()
  const [far, b] = createEndPair()
  const pump = startPump(near, far, { busyPoll: 0.2 })
  let frames = 0
  b.onBatch((batch) => {
    frames += batch.length
  })
  for (let i = 0; i < 50; i++) {
    a.writeBatch([Buffer.alloc(60, i)])
    await delay(1)
  }
  t.ok(await eventually(() => frames === 50), `${frames} of 50`)
  const sleeps = () =>
    readdirSync('/proc/self/task').some((thread) =>
      / \(netkit-pump\) S /.test(` ${readFileSync(`/proc/self/task/${thread}/stat`, 'latin1')}`),
    )
  t.ok(await eventually(sleeps), 'it sleeps when nothing comes')
  await pump.close()
  for (const wrong of [-1, 11, Number.NaN, '1']) t.throws(() => startPump(near, far, { busyPoll: wrong as number }))
  await Promise.all([a, b, near, far].map((end) => end.close()))
})

test('tuns', tun, async (t) => {
  const [left, right] = [await scratch(t), await scratch(t)]
  const a = await openTun({ namespace: left, addresses: ['10.0.1.1/24'], up: true, offload: true })
  const b = await openTun({ namespace: right, addresses: ['10.0.1.2/24'], up: true })
  const pump = startPump(a, b)
  t.equal(pump.layer, 'ip')
  t.ok(await echo({ left, right, a, b } as never, '10.0.1.2', 1_000_000))
  pump.set({ filter: { protocol: 'tcp' } })
  const { exitCode } = await left.exec('ping', ['-c1', '-W0.3', '10.0.1.2'])
  t.equal(exitCode, 1, 'a filter of conditions knows that these are IP packets')
  t.ok(pump.stats().forward.filtered > 0)
  t.ok(await echo({ left, right, a, b } as never, '10.0.1.2', 10_000))
  const tee = createTee()
  t.throws(() => pump.tee(tee), { ...invalid, message: /layer/ })
  const tap = await openTap({ namespace: left })
  const other = await openTun({ namespace: left })
  t.throws(() => startPump(tap, other), { ...invalid, message: /tap0 and tun\d must both carry/ })
  await Promise.all([tap, other, a, b, tee].map((end) => end.close()))
  t.match(await pump.done, { reason: 'end-closed' })
})

test('one direction', tun, async (t) => {
  const { left, a, b } = await cable(t)
  const pump = startPump(a, b, { direction: 'forward' })
  const { exitCode } = await left.exec('ping', ['-c1', '-W0.3', '10.0.1.2'])
  t.equal(exitCode, 1)
  t.ok(pump.stats().forward.frames > 0)
  t.equal(pump.stats().backward.frames, 0)
  const { value } = await b.batches().next()
  t.ok((value?.length ?? 0) > 0, 'the other end can be read')
  a.writeBatch([numberedFrame(1)])
  t.throws(() => b.writeBatch([numberedFrame(1)]), { ...state, message: /written by a pump/ })
  await pump.close()
  b.writeBatch([numberedFrame(1)])
})

test('a filter', async (t) => {
  const way = line(t, { filter: { bytes: { offset: 14, size: 4, mask: 1, value: 0 } } })
  await send(way, 1000)
  const seen = await arrivals(way, 1000)
  t.equal(seen.length, 500)
  t.ok(seen.every(({ number }) => number % 2 === 0))
  t.equal(way.pump.stats().forward.filtered, 500)
  way.pump.set({ filter: undefined })
  await send(way, 100)
  t.match(way.pump.stats().forward, { frames: 1100, filtered: 500 })
})

test('pause and resume', async (t) => {
  const way = line(t)
  await send(way, 10)
  way.pump.pause()
  t.ok(way.pump.paused)
  await delay(20)
  const { frames } = way.pump.stats().forward
  way.from.writeBatch(Array.from({ length: 100 }, (_, i) => numberedFrame(10 + i)))
  await delay(30)
  t.equal(way.pump.stats().forward.frames, frames, 'nothing passes')
  way.pump.resume()
  t.notOk(way.pump.paused)
  t.equal((await arrivals(way, 110)).length, 110, 'and then all')
  way.pump.pause()
  await way.pump.close()
  t.match(await way.pump.done, { reason: 'closed' }, 'a paused pump closes')
})

test('tees', async (t) => {
  const way = line(t, { loss: 50, seed: 1 })
  const [all, rest, cut] = [createTee(), createTee(), createTee({ snapshotLength: 20 })]
  way.pump.tee(all, { at: 'read' })
  way.pump.tee(rest)
  way.pump.tee(cut, { direction: 'backward' })
  way.pump.tee(cut, { direction: 'forward' })
  const before = BigInt(Date.now()) * 1_000_000n
  await send(way, 1000, 300)
  const { lost } = way.pump.stats().forward
  t.match(all.stats(), { framesWritten: 1000, dropped: 0 })
  t.match(rest.stats(), { framesWritten: 1000 - lost })
  let frames = 0
  for await (const batch of all.batches({ details: true, max: 100 })) {
    for (let i = 0; i < batch.length; i++) {
      if (numberOf(batch.frame(i)) !== frames++ || batch.size(i) !== 300) t.fail('not as it was sent')
      if (batch.time(i) < before || batch.direction(i) !== 'inbound') t.fail('time or direction')
    }
    if (frames === 1000) break
  }
  const { value: batch } = await cut.batches({ details: true }).next()
  t.equal(batch?.size(0), 20)
  t.equal(batch?.originalLength(0), 300)
  way.pump.untee(rest)
  way.pump.untee(rest)
  await send(way, 100)
  t.equal(rest.stats().framesWritten, 1000 - lost)
  await all.close()
  await send(way, 1000)
  t.pass('a tee may be closed while a pump fills it')
  await Promise.all([rest.close(), cut.close()])
})

test('a tee that is full loses copies, and counts them', async (t) => {
  const way = line(t)
  const tee = createTee({ capacity: 128 * 1024 })
  way.pump.tee(tee)
  await send(way, 1000, 1000)
  const { framesWritten, dropped } = tee.stats()
  t.equal(framesWritten + (dropped ?? 0), 1000)
  t.ok(framesWritten >= 120 && framesWritten <= 128, `${framesWritten} have room`)
  t.equal((await arrivals(way, 1000)).length, 1000, 'the pump does not care')
  const more = Array.from({ length: 8 }, () => createTee())
  for (const each of more.slice(1)) way.pump.tee(each)
  t.throws(() => way.pump.tee(more[0] as never), { ...invalid, message: /eight/ })
  t.throws(() => way.pump.tee({} as never), type)
  t.throws(() => way.pump.untee({} as never), type)
  await Promise.all([tee, ...more].map((each) => each.close()))
})

test('an end is used in one way', tun, async (t) => {
  const { a, b } = await cable(t)
  const pump = startPump(a, b)
  await t.rejects(a.batches().next(), { ...state, message: /read by a pump/ })
  t.throws(() => a.writeBatch([numberedFrame(1)]), { ...state, message: /written by a pump/ })
  t.throws(() => startPump(a, b), state)
  await t.rejects(a[Symbol.asyncIterator]().next(), { ...state, message: /read by a pump/ })
  for (const read of [() => a.onBatch(() => {}), () => a.pollBatch(0)]) {
    t.throws(read, { ...state, message: /read by a pump/ })
  }
  t.ok(pump.running && !a.destroyed, 'what is refused ends neither the pump nor the end')
  t.equal(inspect(pump), `Pump { ${a.name}, ${b.name} }`)
  t.equal(inspect({ a }), `{ a: Tap { ${a.name} } }`, 'an end is shown by its name')
  await pump.close()
  const batches = a.batches()
  const pending = batches.next()
  t.throws(() => startPump(a, b), { ...state, message: /is being read/ })
  const again = startPump(b, a, { direction: 'forward' })
  await again.close()
  await batches.return()
  await pending
  t.throws(() => startPump(a, a), { ...invalid, message: /different/ })
  t.throws(() => startPump(a, {} as never), type)
  t.throws(() => startPump(a, b, { direction: 'up' as never }), invalid)
  t.throws(() => startPump(a, b, { speed: 1 } as never), invalid)
  t.throws(() => startPump(a, b, { signal: 1 as never }), type)
  const last = startPump(a, b)
  t.ok(last.running, 'what failed has claimed nothing')
  await b.close()
  t.match(await last.done, { reason: 'end-closed', end: 'b' })
  t.throws(() => startPump(a, b), { code: 'EBADF' })
  t.throws(() => startPump(b, a), { code: 'EBADF' })
})

test('every way to end', tun, async (t) => {
  const before = threads()
  const gone = { name: 'NetkitError', code: 'ENODEV' }
  await leavesNoDescriptor(t, 'a pump', async () => {
    const ends = async (body: (pump: Pump, parts: Awaited<ReturnType<typeof cable>>) => unknown, options = {}) => {
      const parts = await cable(t)
      const pump = startPump(parts.a, parts.b, options)
      await parts.left.exec('ping', ['-c1', '-W2', '10.0.1.2'])
      await body(pump, parts)
      const end = await pump.done
      t.notOk(pump.running)
      t.ok(pump.stats().forward.frames > 0, 'stats stay')
      await pump.close()
      await Promise.all([parts.a.close(), parts.b.close(), parts.left.delete(), parts.right.delete()])
      return end
    }
    t.same(await ends((pump) => pump.close()), { reason: 'closed' })
    t.same(await ends((_, { a }) => a.close()), { reason: 'end-closed', end: 'a' })
    t.same(await ends((_, { b }) => void b.destroy()), { reason: 'end-closed', end: 'b' })
    const controller = new AbortController()
    const aborted = await ends(() => controller.abort(new Error('why')), { signal: controller.signal })
    t.match(aborted, { reason: 'aborted', error: { name: 'AbortError', cause: { message: 'why' } } })
    t.match(
      await ends((_, { left }) => ipDo(left, 'link', 'delete', 'tap1')),
      { reason: 'end-gone', end: 'a', error: { ...gone, message: /tap1 was deleted/ } },
      'the device is deleted',
    )
    t.match(
      await ends((_, { right }) => ipDo(right, 'link', 'delete', 'tap2'), { direction: 'forward' }),
      { reason: 'end-gone', end: 'b', error: gone },
      'one that nobody reads',
    )
    t.match(
      await ends((_, { right }) => ipDo(right, 'link', 'delete', 'tap2'), { delay: 1000, rate: '1mbit' }),
      { reason: 'end-gone', end: 'b', error: gone },
      'while frames wait',
    )
  })
  t.ok(await eventually(() => threads() <= before), 'no thread is left')

  const { a, b } = await cable(t)
  const never = startPump(a, b, { signal: AbortSignal.abort() })
  t.match(await never.done, { reason: 'aborted' })
  await Promise.all([never.close(), never.close()])
  {
    await using disposed = startPump(a, b)
    t.ok(disposed.running)
  }
  const last = startPump(a, b)
  const [fd] = await a.release()
  t.match(await last.done, { reason: 'end-closed', end: 'a' }, 'release() ends the pump first')
  const { closeSync } = await import('node:fs')
  closeSync(fd as number)
})

test('a link that is down refuses, and goes on when it is up', tun, async (t) => {
  const { left, a, b } = await cable(t)
  const pump = startPump(a, b)
  t.equal((await left.exec('ping', ['-c1', '-W2', '10.0.1.2'])).exitCode, 0)
  await b.link.set({ up: false })
  t.equal((await left.exec('ping', ['-c2', '-i0.05', '-W0.2', '10.0.1.2'])).exitCode, 1)
  t.ok(pump.stats().forward.refused >= 2)
  t.match(b.stats().lastRefusal, { code: 'EIO' })
  t.ok(pump.running)
  await b.link.set({ up: true })
  t.equal((await left.exec('ping', ['-c1', '-W2', '10.0.1.2'])).exitCode, 0)
  await a.link.set({ up: false })
  await a.link.set({ up: true })
  t.equal((await left.exec('ping', ['-c1', '-W2', '10.0.1.2'])).exitCode, 0)
  await pump.close()
})

test('everything goes in the middle of a flood', tun, async (t) => {
  for (const which of ['tap1', 'tap2', 'close', 'end'] as const) {
    const { left, right, a, b } = await cable(t)
    const pump = startPump(a, b)
    const stop = new AbortController()
    const options = { signal: stop.signal }
    const flood = left.exec('ping', ['-f', '-w', '20', '-s', '1400', '10.0.1.2'], options).catch(() => {})
    t.ok(await eventually(() => pump.stats().backward.frames > 500))
    if (which === 'close') await pump.close()
    else if (which === 'end') await b.close()
    else await ipDo(which === 'tap1' ? left : right, 'link', 'delete', which)
    const { reason } = await pump.done
    t.equal(reason, which === 'close' ? 'closed' : which === 'end' ? 'end-closed' : 'end-gone')
    stop.abort()
    await Promise.all([a.close(), b.close(), flood])
  }
})

test('the namespace is deleted under it', tun, async (t) => {
  const { left, right, a, b } = await cable(t)
  const pump = startPump(a, b)
  await right.delete()
  // The descriptor of a tap keeps its namespace.
  t.equal((await left.exec('ping', ['-c1', '-W2', '10.0.1.2'])).exitCode, 0)
  t.ok(pump.running)
  await b.close()
  t.match(await pump.done, { reason: 'end-closed', end: 'b' })
})

const start = `
  import { createNamespace, openTap, startPump } from './dist/index.js'
  const box = await createNamespace()
  const [a, b] = [await openTap({ namespace: box, up: true }), await openTap({ namespace: box, up: true })]
  const pump = startPump(a, b, { delay: 10 })
`

test('the process ends with running pumps', tun, async (t) => {
  const unreferenced = await runProgram(`${start}; pump.unref(); console.log('started')`)
  t.match(unreferenced, { exitCode: 0, stdout: 'started\n', stderr: '' }, 'unref')
  const exit = await runProgram(`${start}; process.exit(7)`)
  t.match(exit, { exitCode: 7, stderr: '' }, 'process.exit')
  const kept = await askProgram(`${start}
    pump.unref().ref()
    setTimeout(() => pump.close(), 50).unref()
    const { reason } = await pump.done
    console.log(JSON.stringify(reason))`)
  t.equal(kept, 'closed', 'a running pump keeps the process alive')
})

test('a worker ends with running pumps', tun, async (t) => {
  const source = `
    import { readdirSync } from 'node:fs'
    import { Worker } from 'node:worker_threads'
    import './dist/index.js'
    const worker = () => new Worker(
      ${JSON.stringify(`${start}; (await import('node:worker_threads')).parentPort.postMessage('up')`)}.replaceAll('./dist', process.cwd() + '/dist'),
      { eval: true },
    )
    const count = (folder) => readdirSync('/proc/self/' + folder).length
    const run = async () => {
      const one = worker()
      await new Promise((resolve, reject) => one.once('message', resolve).once('error', reject))
      const inside = count('task')
      await one.terminate()
      return inside
    }
    await run()
    const before = [count('fd'), count('task')]
    let inside
    for (let i = 0; i < 3; i++) inside = await run()
    console.log(JSON.stringify({ before, inside, after: [count('fd'), count('task')] }))
  `
  const { before, inside, after } = await askProgram(source)
  t.ok(inside > before[1], 'the pump had a thread')
  t.same(after, before, 'nothing is left')
})

test('nobody holds the pump, and it runs on', tun, async (t) => {
  const source = `${start}
    await pump.close()
    let weak
    ;(() => {
      const other = startPump(a, b)
      weak = new WeakRef(other)
      other.unref()
    })()
    for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)) }
    console.log(JSON.stringify(weak.deref()?.running === true))
    process.exit()
  `
  t.equal(await askProgram(source, { node: ['--expose-gc'] }), true)
})

test('a flood in both directions is carried or counted', async (t) => {
  const [a, b] = [createTee({ capacity: 2 ** 24 }), createTee({ capacity: 2 ** 24 })]
  const out = [createTee({ capacity: 2 ** 24 }), createTee({ capacity: 2 ** 24 })] as const
  const pumps = [startPump(a, out[0], { direction: 'forward' }), startPump(b, out[1], { direction: 'forward' })]
  const frames = Array.from({ length: 500 }, (_, i) => numberedFrame(i, 64 + (i % 1400)))
  for (let i = 0; i < 40; i++) {
    a.writeBatch(frames)
    b.writeBatch(frames)
    if (i % 4 === 3) await delay(1)
  }
  const settled = () =>
    pumps.every((pump, i) => pump.stats().forward.frames === ([a, b][i]?.stats().framesWritten ?? -1))
  t.ok(await eventually(settled))
  for (const [i, end] of [a, b].entries()) {
    const read = end.stats()
    const written = out[i]?.stats()
    t.equal(read.framesWritten + (read.dropped ?? 0), 20_000)
    t.equal((written?.framesWritten ?? 0) + (written?.dropped ?? 0), read.framesWritten)
    t.equal(pumps[i]?.stats().forward.refused, written?.dropped)
  }
  await Promise.all(pumps.map((pump) => pump.close()))
  await Promise.all([a, b, ...out].map((end) => end.close()))
})

test('a tee as a stream', async (t) => {
  const tee = createTee()
  tee.write(numberedFrame(5))
  const [frame] = await once(tee, 'data')
  t.equal(numberOf(frame), 5)
  await tee.close()
  t.throws(() => createTee({ capacity: 1 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => createTee({ snapshotLength: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => createTee({ layer: 'tcp' as never }), invalid)
  t.throws(() => createTee({ size: 1 } as never), invalid)
})

test('errors name the options as they were given', async (t) => {
  const [a, b] = createEndPair()
  const [c, d] = createEndPair()
  const says = (options: PumpOptions, message: string | RegExp) => t.throws(() => startPump(b, c, options), { message })
  says({ loss: 200 }, 'options.loss must be from 0 to 100, not 200')
  says({ backward: { loss: 200 } }, 'options.backward.loss must be from 0 to 100, not 200')
  says({ forward: { limit: { frames: 0 } } }, /^options\.forward\.limit\.frames /)
  const pump = startPump(b, c, { backward: { loss: 5 } })
  t.throws(() => pump.set({ backward: { loss: -1 } }), { message: /^options\.backward\.loss / })
  await Promise.all([pump.close(), ...[a, b, c, d].map((end) => end.close())])
})
