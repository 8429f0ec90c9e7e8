/** Captures of links, taps, pumps and ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { linkTypeOfHardware } from '../dist/capture/hardware.js'
import {
  type CapturedPacket,
  capture,
  createEndPair,
  createNamespace,
  openTap,
  openTun,
  packetFilter,
  pcapngReader,
  readCapture,
  startPump,
} from '../dist/index.js'
import { scratchFolder, tshark } from './support/capture-files.js'
import { broadcast, broadcastNumber, numbersIn, quietTap } from './support/capture-taps.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { numberedFrame } from './support/packets.js'
import { askProgram } from './support/program.js'
import { ipDo, joined, scratch } from './support/scratch.js'

const able = await needs('namespaces', 'ip', 'ping')
const tun = await needs('namespaces', 'tun')
const shark = await needs('namespaces', 'ip', 'ping', 'tshark')
const sharkTun = await needs('namespaces', 'tun', 'tshark')

const range = (first: number, end: number) => Array.from({ length: end - first }, (_, i) => first + i)
const now = () => BigInt(Date.now()) * 1_000_000n

async function packetsIn(file: string): Promise<CapturedPacket[]> {
  return (await readCapture(file).toArray()) as CapturedPacket[]
}

test('a link, in both directions', shark, async (t) => {
  const file = join(scratchFolder(t), 'left.pcapng')
  const [left] = await joined(t)
  const link = await left.links.get('left')
  await link.set({ alias: 'to the right' })
  const began = now()
  const running = await capture({ link: await link.refresh().then(() => link), file })
  const { exitCode } = await left.exec('ping', ['-c5', '-i0.01', '-W2', '10.0.1.2'])
  t.equal(exitCode, 0)
  // Nothing is waited for: what the kernel has goes into the file.
  await running.close()
  const ended = now()
  const packets = (await packetsIn(file)).filter(({ data }) => data.readUInt16BE(12) === 0x800)
  t.equal(packets.length, 10, 'each request and each reply')
  let last = began
  for (const [i, { timestamp = 0n, direction, data, originalLength }] of packets.entries()) {
    t.equal(direction, i % 2 === 0 ? 'outbound' : 'inbound')
    t.equal(data[34], i % 2 === 0 ? 8 : 0)
    t.equal(originalLength, 98)
    t.ok(timestamp >= last - 2_000_000n && timestamp <= ended + 2_000_000n, 'the time grows')
    last = timestamp
  }
  t.ok(
    packets.some(({ timestamp = 0n }) => timestamp % 1000n !== 0n),
    'with nanoseconds',
  )
  t.match(packets[0]?.interface, {
    name: 'left',
    description: 'to the right',
    mac: link.mac,
    linkType: 'ethernet',
    statistics: { dropped: 0n },
  })
  t.equal(packets[0]?.interface.statistics?.delivered, BigInt((await packetsIn(file)).length))
  const rows = await tshark(
    file,
    'frame.time_epoch',
    'frame.interface_name',
    'frame.packet_flags_direction',
    'icmp.type',
  )
  const icmp = rows.filter((row) => row[3] !== '')
  t.same(
    icmp.map(([time = '', ...rest]) => [BigInt(time.replace('.', '')), ...rest]),
    packets.map(({ timestamp, direction }) => [
      timestamp,
      'left',
      direction === 'inbound' ? '0x00000001' : '0x00000002',
      direction === 'inbound' ? '0' : '8',
    ]),
    'tshark reads the same',
  )
  t.match(await running.done, { dropped: 0, file })
})

test('snapshot length, filter, promiscuity, ring', able, async (t) => {
  const folder = scratchFolder(t)
  const [left] = await joined(t)
  const run = async (name: string, options: object) => {
    const running = await capture({ link: 'left', namespace: left, file: join(folder, name), ...options })
    await left.exec('ping', ['-c3', '-i0.01', '-W2', '-s400', '10.0.1.2'], { check: true })
    await running.close()
    return packetsIn(join(folder, name))
  }
  const isPing = ({ data }: CapturedPacket) => data.readUInt16BE(12) === 0x800
  const cut = (await run('cut', { snapshotLength: 96 })).filter(isPing)
  t.equal(cut.length, 6)
  for (const { data, originalLength } of cut) t.same([data.length, originalLength], [96, 442])
  t.equal(cut[0]?.interface.snapshotLength, 96)

  const conditions = { protocol: 'icmp', source: '10.0.1.2' } as const
  const filtered = await run('filtered', { filter: conditions, snapshotLength: 50 })
  t.equal(filtered.length, 3, 'conditions')
  for (const { data, direction } of filtered) t.same([data.length, direction], [50, 'inbound'])
  t.equal(filtered[0]?.interface.filter, JSON.stringify(conditions), 'the file says which')
  t.equal((await run('program', { filter: packetFilter(conditions) })).length, 3, 'a filter')
  t.equal((await run('ring', { ring: true })).filter(isPing).length, 6, 'a ring')
  t.equal((await run('small', { ring: { timeout: 60, blocks: 2 } })).filter(isPing).length, 6, 'a ring that is late')

  const running = await capture({ link: 'left', namespace: left, promiscuous: true })
  const [{ promiscuity }] = JSON.parse((await left.exec('ip', ['-j', '-d', 'link', 'show', 'left'])).stdout)
  t.equal(promiscuity, 1)
  await running.close()
})

test('several links in one file', shark, async (t) => {
  const file = join(scratchFolder(t), 'both.pcapng')
  const red = await scratch(t)
  await ipDo(red, 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two')
  for (const name of ['one', 'two']) await ipDo(red, 'link', 'set', name, 'up')
  const running = await capture({ link: ['one', 'two', 'lo'], namespace: red, file })
  await eventually(() => running.stats().frames >= 4)
  await running.close()
  const names = new Set((await tshark(file, 'frame.interface_name')).map(([name]) => name))
  t.ok(names.has('one') && names.has('two'))
  const reader = readCapture(file)
  await reader.toArray()
  t.same(
    reader.interfaces.map(({ name, linkType }) => [name, linkType]),
    [
      ['one', 'ethernet'],
      ['two', 'ethernet'],
      ['lo', 'ethernet'],
    ],
  )
  await leavesNoDescriptor(t, 'a link that is not there', async () => {
    await t.rejects(capture({ link: ['one', 'three'], namespace: red, file }), { code: 'ENODEV' })
  })
})

test('a tap and a tun', tun, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  const file = join(folder, 'tap.pcapng')
  const running = await capture({ tap, file })
  await broadcast(namespace, 0, 20)
  tap.writeBatch([numberedFrame(77), numberedFrame(78)])
  let read = 0
  for await (const _ of tap.iterator({ destroyOnReturn: false })) if (++read === 20) break
  await running.close()
  const packets = await packetsIn(file)
  t.same(
    packets.map(broadcastNumber).filter((number) => number !== undefined),
    range(0, 20),
    'what the tap reads',
  )
  const written = packets.filter(({ data }) => data.readUInt16BE(12) === 0x88b5)
  t.same(
    written.map(({ data, direction }) => [data.readUInt32BE(14), direction]),
    [
      [77, 'inbound'],
      [78, 'inbound'],
    ],
    'and what is written to it',
  )
  t.notOk(tap.destroyed, 'the tap stays open')

  const level = await openTun({ namespace, addresses: ['10.0.9.1/24'], up: true })
  const raw = join(folder, 'tun.pcapng')
  const second = await capture({ tap: level, file: raw, filter: { protocol: 'udp' } })
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  await new Promise((resolve) => socket.send('hello', 9, '10.0.9.2', resolve))
  socket.close()
  await second.close()
  const [packet] = await packetsIn(raw)
  t.equal(packet?.interface.linkType, 'raw')
  t.equal(packet?.data[0], 0x45, 'an IP packet')
  t.equal(String(packet?.data.subarray(28)), 'hello')
  await level.close()
})

test('a pump', sharkTun, async (t) => {
  const file = join(scratchFolder(t), 'pump.pcapng')
  const [red, blue] = [await scratch(t), await scratch(t)]
  const a = await openTap({ namespace: red, name: 'a', addresses: ['10.0.3.1/24'], up: true })
  const b = await openTap({ namespace: blue, name: 'b', addresses: ['10.0.3.2/24'], up: true })
  const pump = startPump(a, b)
  const running = await capture({ pump, file, snapshotLength: 60 })
  const { exitCode } = await red.exec('ping', ['-c5', '-i0.01', '-W2', '10.0.3.2'])
  t.equal(exitCode, 0)
  await running.close()
  const packets = (await packetsIn(file)).filter(({ data }) => data.readUInt16BE(12) === 0x800)
  t.same(
    packets.map(({ direction, data, originalLength }) => [direction, data.length, originalLength]),
    range(0, 10).map((i) => [i % 2 === 0 ? 'inbound' : 'outbound', 60, 98]),
  )
  t.match(packets[0]?.interface, { name: 'a-b', statistics: { dropped: 0n } })
  t.equal((await tshark(file, 'frame.number')).length, (await packetsIn(file)).length)

  const icmp = await capture({ pump, file, filter: { protocol: 'icmp' } })
  await red.exec('ping', ['-c2', '-i0.01', '-W2', '10.0.3.2'], { check: true })
  t.ok(await eventually(() => icmp.stats().frames === 4))
  await pump.close()
  t.match(await icmp.done, { frames: 4 }, 'the capture ends with its pump')
  await Promise.all([a.close(), b.close()])
})

test('an end', tun, async (t) => {
  const file = join(scratchFolder(t), 'end.pcapng')
  const { namespace, tap } = await quietTap(t)
  const running = await capture({ end: tap, file, filter: { protocol: 'udp' } })
  t.throws(() => tap.onBatch(() => {}), { code: 'ERR_INVALID_STATE' }, 'it cannot be read by others')
  await broadcast(namespace, 0, 300)
  await running.close()
  t.same(await numbersIn(file), range(0, 300), 'what waited in the kernel is there')
  const odd = await capture({
    end: tap,
    file,
    // The last byte of the number is even.
    filter: { bytes: { offset: 45, mask: 1, value: 0 } },
  })
  await broadcast(namespace, 0, 301)
  await odd.close()
  t.same(
    await numbersIn(file),
    range(0, 151).map((i) => 2 * i),
    'some of each batch',
  )
  const [one, other] = createEndPair()
  const pair = await capture({ end: one, file })
  other.writeBatch(range(0, 10).map((i) => numberedFrame(i)))
  t.ok(await eventually(() => pair.stats().frames === 10))
  await other.close()
  await pair.done.catch(() => {})
  t.equal((await packetsIn(file)).length, 10, 'an end whose other end is closed')
  await one.close()
})

test('a stream, live', sharkTun, async (t) => {
  const { namespace, tap } = await quietTap(t)
  await using running = await capture({ tap })
  const child = spawn('tshark', [
    '-n',
    '-l',
    '-i',
    '-',
    '-T',
    'fields',
    '-e',
    'udp.length',
    '-e',
    'frame.interface_name',
  ])
  let printed = ''
  child.stdout.on('data', (part) => {
    printed += part
  })
  const piping = pipeline(running.stream, child.stdin).catch(() => {})
  const rows = () => printed.split('\n').filter((line) => line !== '')
  await broadcast(namespace, 0, 5, 100)
  t.ok(await eventually(() => rows().length === 5, 15_000), 'tshark shows frames while the capture runs')
  await broadcast(namespace, 5, 3, 200)
  t.ok(await eventually(() => rows().length === 8, 15_000))
  t.same(rows(), [...Array(5).fill('108\ttap0'), ...Array(3).fill('208\ttap0')])
  await running.close()
  const [code] = await once(child, 'close')
  t.equal(code, 0, 'and ends with it')
  await piping
})

test('a stream that nobody reads, and one that is given up', tun, async (t) => {
  const { namespace, tap } = await quietTap(t)
  const idle = await capture({ tap, comment: 'kept' })
  for (let i = 0; i < 10; i++) await broadcast(namespace, 100 * i, 100, 1400)
  const { bytes, frames } = idle.stats()
  t.ok(bytes < 1024 * 1024, `${bytes} bytes of a million and a half were made`)
  await idle.close()
  t.equal(idle.stats().frames + idle.stats().dropped, 1000, `${frames} frames before the end`)
  const packets = (await idle.stream.pipe(pcapngReader()).toArray()) as CapturedPacket[]
  t.equal(packets.length, idle.stats().frames, 'the rest comes with the end, and is whole')
  t.match(packets[0]?.interface.section, { comment: 'kept' })

  const given = await capture({ tap })
  given.stream.destroy()
  t.match(await given.done, { frames: 0 }, 'a stream that is destroyed ends the capture')
  const file = await capture({ tap, file: join(scratchFolder(t), 'file') })
  t.throws(() => file.stream, { code: 'ERR_INVALID_STATE' })
  await file.close()
  await file.close()
})

test('signals', tun, async (t) => {
  const folder = scratchFolder(t)
  const { namespace, tap } = await quietTap(t)
  const file = join(folder, 'left.pcapng')
  await t.rejects(capture({ tap, file, signal: AbortSignal.abort() }), { name: 'AbortError' })
  const ending = new AbortController()
  await leavesNoDescriptor(t, 'aborting', async () => {
    const running = await capture({ tap, file, signal: ending.signal })
    await broadcast(namespace, 0, 10)
    ending.abort()
    t.match(await running.done, { frames: 10 }, 'an end without an error')
    await running.close()
  })
  t.same(await numbersIn(file), range(0, 10))
  t.match((await packetsIn(file))[0]?.interface.statistics, { received: 10n }, 'the file is complete')
  await leavesNoDescriptor(t, 'aborting at every moment', async () => {
    for (let i = 0; i < 30; i++) {
      const controller = new AbortController()
      const started = capture({ tap, file, signal: controller.signal })
      if (i % 3 === 0) await Promise.resolve()
      else await delay(i / 10)
      controller.abort()
      await started.then(
        (running) => running.done,
        (error) => t.equal(error.name, 'AbortError'),
      )
    }
  })
})

test('links that go', able, async (t) => {
  const folder = scratchFolder(t)
  const file = join(folder, 'gone.pcapng')
  await leavesNoDescriptor(t, 'links that go', async () => {
    const red = await createNamespace()
    await ipDo(red, 'link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1')
    for (const name of ['d0', 'd1']) await ipDo(red, 'link', 'set', name, 'up')
    const running = await capture({ link: 'd0', namespace: red, file })
    await ipDo(red, 'link', 'set', 'd0', 'down')
    await delay(20)
    await ipDo(red, 'link', 'set', 'd0', 'up')
    const before = running.stats().frames
    await ipDo(red, 'address', 'add', '10.0.7.1/24', 'dev', 'd0')
    await ipDo(red, 'neighbor', 'add', '10.0.7.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'd0')
    await red.exec('ping', ['-c2', '-i0.01', '-W0.01', '10.0.7.2'])
    t.ok(await eventually(() => running.stats().frames >= before + 2), 'a link that was down goes on')
    await ipDo(red, 'link', 'delete', 'd0')
    await t.rejects(running.done, { code: 'ENODEV', message: /d0/ })
    await t.rejects(running.close(), { code: 'ENODEV' })
    const packets = await packetsIn(file)
    t.ok(packets.length >= 2, 'the file is complete')
    t.ok(packets[0]?.interface.statistics)
    await red[Symbol.asyncDispose]()
  })
})

test('links that cannot be captured', await needs('namespaces', 'ip', 'kind:gre'), async (t) => {
  const red = await scratch(t)
  await ipDo(red, 'link', 'add', 'gre1', 'type', 'gre', 'local', '10.0.0.1', 'remote', '10.0.0.2')
  await t.rejects(capture({ link: 'gre1', namespace: red }), { code: 'EOPNOTSUPP', message: /hardware type 778/ })
  await t.rejects(capture({ link: 'none', namespace: red }), { code: 'ENODEV' })
})

test('a process ends when its capture does', tun, async (t) => {
  const source = `
    import { createNamespace, openTap, capture } from './dist/index.js'
    const namespace = await createNamespace()
    const tap = await openTap({ namespace, name: 'tap0', up: true })
    const running = await capture({ tap })
    running.stream.resume()
    setTimeout(() => { running.close().then(() => tap.close()).then(() => console.log(JSON.stringify('closed'))) }, 100)
  `
  t.equal(await askProgram(source), 'closed')
})

test('options', tun, async (t) => {
  const { tap } = await quietTap(t)
  const fails = (options: unknown, code: string, message: RegExp) =>
    t.rejects(capture(options as never), { code, message }, JSON.stringify(Object.keys(options as object)))
  await fails({}, 'ERR_INVALID_ARG_VALUE', /one of link, tap, pump, end/)
  await fails({ tap, link: 'lo' }, 'ERR_INVALID_ARG_VALUE', /'link and tap': one of/)
  await fails({ tap: 'tap0' }, 'ERR_INVALID_ARG_TYPE', /options\.tap/)
  await fails({ pump: tap }, 'ERR_INVALID_ARG_TYPE', /options\.pump/)
  await fails({ end: {} }, 'ERR_INVALID_ARG_TYPE', /options\.end/)
  await fails({ link: [] }, 'ERR_INVALID_ARG_VALUE', /options\.link/)
  await fails({ link: [{}] }, 'ERR_INVALID_ARG_TYPE', /options\.link\[0\]/)
  await fails({ tap, namespace: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.namespace/)
  await fails({ tap, file: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.file/)
  await fails({ tap, snapshotLength: 0 }, 'ERR_OUT_OF_RANGE', /options\.snapshotLength/)
  await fails({ tap, snaplen: 96 }, 'ERR_INVALID_ARG_VALUE', /snaplen/)
  await fails({ tap, filter: { protocoll: 'tcp' } }, 'ERR_INVALID_ARG_VALUE', /protocol/)
  await fails({ tap, rotate: { bytes: 5000 } }, 'ERR_INVALID_ARG_VALUE', /have a file/)
  await fails({ tap, file: 'x', rotate: { files: 3 } }, 'ERR_INVALID_ARG_VALUE', /'bytes' or 'interval'/)
  await fails({ tap, file: 'x', rotate: { bytes: 10 } }, 'ERR_OUT_OF_RANGE', /rotate\.bytes/)
  await fails({ tap, file: 'x', rotate: { bytes: 5000, size: 1 } }, 'ERR_INVALID_ARG_VALUE', /'size'/)
  await fails({ tap, comment: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.comment/)
  await fails({ tap, signal: {} }, 'ERR_INVALID_ARG_TYPE', /signal/)
})

test('what frames of a link begin with', async (t) => {
  t.equal(linkTypeOfHardware(1), 1, 'Ethernet')
  t.equal(linkTypeOfHardware(772), 1, 'the loopback')
  t.equal(linkTypeOfHardware(0xfffe), 101, 'a tun')
  t.equal(linkTypeOfHardware(778), undefined, 'GRE')
})
