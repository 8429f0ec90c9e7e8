/** Captures to files: rotation, files that cannot be written, files that are slow. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { numberedPath } from '../dist/capture/file-output.js'
import { capture, readCapture } from '../dist/index.js'
import { scratchFolder, tshark } from './support/capture-files.js'
import { broadcast, numbersIn, quietTap } from './support/capture-taps.js'
import { eventually, leavesNoDescriptor, resident } from './support/counting.js'
import { needs } from './support/needs.js'

const tun = await needs('namespaces', 'tun')
const shark = await needs('namespaces', 'tun', 'tshark')
const pipes = await needs('namespaces', 'tun', 'mkfifo', 'sleep')

const range = (first: number, end: number) => Array.from({ length: end - first }, (_, i) => first + i)

test('names', async (t) => {
  t.equal(numberedPath('/tmp/left.pcapng', 1), '/tmp/left-00001.pcapng')
  t.equal(numberedPath('a.b/left', 123_456), 'a.b/left-123456')
})

test('files of a limited size', shark, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  const told: string[] = []
  const rotate = { bytes: 8192, onFile: (file: string) => told.push(basename(file)) }
  const running = await capture({ end: tap, file: join(folder, 'left.pcapng'), rotate, comment: 'in parts' })
  await broadcast(namespace, 0, 1000)
  t.ok(await eventually(() => running.stats().frames === 1000))
  t.match(running.stats().file, /left-000\d\d\.pcapng$/)
  await running.close()
  const names = readdirSync(folder).sort()
  t.ok(names.length > 10, `${names.length} files`)
  t.same(told, names, 'each was told of when it was complete')
  t.same(names[0], 'left-00001.pcapng')
  const all: number[] = []
  let bytes = 0
  for (const name of names) {
    const { size } = statSync(join(folder, name))
    bytes += size
    t.ok(size <= 8192 && (size > 8192 - 200 || name === names.at(-1)), `${name} has ${size} bytes`)
    const reader = readCapture(join(folder, name))
    const packets = (await reader.toArray()) as unknown[]
    t.match(reader.interfaces[0], { name: 'tap0', section: { comment: 'in parts' }, statistics: { dropped: 0n } })
    t.equal((await tshark(join(folder, name), 'frame.number')).length, packets.length, 'tshark reads as many')
    all.push(...(await numbersIn(join(folder, name))))
  }
  t.same(all, range(0, 1000), 'together they have every frame, in order')
  t.match(await running.done, { frames: 1000, frameBytes: 60_000, dropped: 0, bytes })
})

test('only the last files are kept', tun, async (t) => {
  const folder = scratchFolder(t)
  writeFileSync(join(folder, 'left-00001.pcapng'), 'old')
  writeFileSync(join(folder, 'left-other.pcapng'), 'kept')
  const { namespace, tap } = await quietTap(t)
  const rotate = { bytes: 4096, files: 3 }
  const running = await capture({ end: tap, file: join(folder, 'left.pcapng'), rotate })
  await broadcast(namespace, 0, 500)
  t.ok(await eventually(() => running.stats().frames === 500))
  await running.close()
  const names = readdirSync(folder).sort()
  t.equal(names.length, 4)
  t.equal(names.pop(), 'left-other.pcapng', 'a file of another name stays')
  const last = Number(/(\d+)\.pcapng/.exec(names[2] as string)?.[1])
  t.same(
    names,
    [last - 2, last - 1, last].map((number) => basename(numberedPath('left.pcapng', number))),
  )
  const numbers = (await Promise.all(names.map((name) => numbersIn(join(folder, name))))).flat()
  t.same(numbers, range(500 - numbers.length, 500), 'they have the last frames')
})

test('a new file from time to time', tun, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  const told: string[] = []
  const rotate = { interval: 50, onFile: (file: string) => told.push(file) }
  const running = await capture({ end: tap, file: join(folder, 'left.pcapng'), rotate })
  await delay(120)
  t.same(readdirSync(folder), ['left-00001.pcapng'], 'a file without frames goes on')
  await broadcast(namespace, 0, 5)
  t.ok(await eventually(() => told.length === 1))
  t.same(await numbersIn(told[0] as string), range(0, 5), 'it is complete while the capture runs')
  await broadcast(namespace, 5, 5)
  t.ok(await eventually(() => told.length === 2))
  t.same(await numbersIn(told[1] as string), range(5, 10))
  await running.close()
  t.equal(told.length, 3)
  t.same(await numbersIn(told[2] as string), [])
})

test('frames larger than a file', tun, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  await tap.link.set({ mtu: 9000 })
  const running = await capture({ end: tap, file: join(folder, 'large.pcapng'), rotate: { bytes: 4096 } })
  await broadcast(namespace, 0, 10, 8000)
  t.ok(await eventually(() => running.stats().frames === 10))
  await running.close()
  const names = readdirSync(folder).sort()
  t.equal(names.length, 10, 'each has a file of its own')
  t.same((await Promise.all(names.map((name) => numbersIn(join(folder, name))))).flat(), range(0, 10))
})

test('what was written before a crash can be read', tun, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  const file = join(folder, 'live.pcapng')
  const running = await capture({ end: tap, file })
  await broadcast(namespace, 0, 20)
  t.ok(await eventually(() => running.stats().frames === 20))
  t.ok(await eventually(() => statSync(file).size === running.stats().bytes))
  t.same(await numbersIn(file), range(0, 20), 'the file is whole while the capture runs')
  await running.close()
})

test('a file that cannot be made', tun, async (t) => {
  const folder = scratchFolder(t)
  const { tap } = await quietTap(t)
  await leavesNoDescriptor(t, 'failing', async () => {
    await t.rejects(capture({ end: tap, file: join(folder, 'not', 'there') }), { code: 'ENOENT' })
    await t.rejects(capture({ end: tap, file: folder }), { code: 'EISDIR' })
    await t.rejects(capture({ end: tap, file: '/dev/full' }), { code: 'ENOSPC' })
  })
  t.notOk(tap.destroyed, 'the end is still there')
  const running = await capture({ end: tap, file: join(folder, 'there') })
  await running.close()
  t.ok(existsSync(join(folder, 'there')), 'and can be captured')
})

test('a file that fails later', pipes, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  const pipe = join(folder, 'pipe')
  await namespace.exec('mkfifo', [pipe], { check: true })
  const reader = spawn('sh', ['-c', `exec sleep 30 < ${pipe}`])
  const running = await capture({ end: tap, file: pipe })
  await broadcast(namespace, 0, 10)
  t.ok(await eventually(() => running.stats().frames === 10))
  reader.kill()
  await once(reader, 'close')
  await broadcast(namespace, 10, 10)
  await t.rejects(running.done, { code: 'EPIPE' })
  await t.rejects(running.close(), { code: 'EPIPE' }, 'closing says so too')
  t.notOk(tap.destroyed)
})

test('a file that is slow costs frames, not memory', pipes, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  const pipe = join(folder, 'pipe')
  await namespace.exec('mkfifo', [pipe], { check: true })
  // Opens it, and reads nothing.
  const reader = spawn('sh', ['-c', `exec sleep 30 < ${pipe}`])
  const running = await capture({ end: tap, file: pipe })
  const before = resident()
  let ticks = 0
  const timer = setInterval(() => ticks++, 5)
  for (let i = 0; i < 12; i++) await broadcast(namespace, 500 * i, 500, 1400)
  clearInterval(timer)
  const { frames, dropped, bytes } = running.stats()
  t.ok(ticks > 3, 'the event loop goes on')
  t.ok(bytes < 5 * 1024 * 1024, `${bytes} bytes were made, of 8 million`)
  t.ok(dropped > 1000, `${dropped} frames were lost`)
  t.ok(frames + dropped <= 6000)
  t.ok(resident() - before < 20 * 1024 * 1024, `${resident() - before} bytes more`)
  reader.kill()
  await t.rejects(running.close(), { code: 'EPIPE' })
})
