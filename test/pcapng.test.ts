/** pcapng written and read: held against tshark, capinfos and editcap, and against files made by hand. */
import { createReadStream, createWriteStream, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { test } from 'tap'
import { PcapngEncoder } from '../dist/capture/encoder.js'
import { CaptureError } from '../dist/capture/invalid.js'
import { type PcapngReader, pcapngReader, readCapture } from '../dist/capture/reader.js'
import type { CapturedPacket, CaptureFrame } from '../dist/capture/types.js'
import { pcapngWriter } from '../dist/capture/writer.js'
import { capinfos, editcap, HandMade, padded, scratchFolder, tshark } from './support/capture-files.js'
import { needs } from './support/needs.js'
import { numberedFrame } from './support/packets.js'

const wireshark = await needs('tshark', 'capinfos', 'editcap')
const T = 1_700_000_000_123_456_789n
const little = new HandMade(true)

async function packetsOf(bytes: Uint8Array, piece = bytes.length, options = {}): Promise<CapturedPacket[]> {
  const reader = pcapngReader(options)
  const pieces = Array.from({ length: Math.ceil(bytes.length / piece) }, (_, i) =>
    Buffer.from(bytes.subarray(i * piece, (i + 1) * piece)),
  )
  Readable.from(pieces, { objectMode: false })
    .on('error', () => {})
    .pipe(reader)
  const packets: CapturedPacket[] = []
  for await (const packet of reader) packets.push(packet)
  return packets
}

/** The packets before a file's mistake, and the mistake. */
async function mistakeIn(bytes: Uint8Array, options = {}): Promise<{ packets: number; error: CaptureError }> {
  const reader = pcapngReader(options)
  reader.end(Buffer.from(bytes))
  let packets = 0
  try {
    for await (const _ of reader) packets++
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error
    return { packets, error }
  }
  throw new Error('nothing is wrong with it')
}

async function written(frames: (Uint8Array | CaptureFrame)[], options = {}): Promise<Buffer> {
  const writer = pcapngWriter(options)
  const parts: Buffer[] = []
  await pipeline(Readable.from(frames), writer, async (source: AsyncIterable<Buffer>) => {
    for await (const part of source) parts.push(part)
  })
  return Buffer.concat(parts)
}

test('what is written, tshark reads', wireshark, async (t) => {
  const file = join(scratchFolder(t), 'written.pcapng')
  const interfaces = [
    { name: 'eth0', description: 'the first', mac: '02:00:00:00:00:01', speed: 10_000_000_000, filter: 'tcp port 80' },
    { name: 'tun0', linkType: 'raw' as const, snapshotLength: 20, comment: 'cut' },
  ]
  const writer = pcapngWriter({
    interfaces,
    comment: 'a näme',
    hardware: 'a machine',
    os: 'an os',
    application: 'a test',
  })
  const done = pipeline(writer, createWriteStream(file))
  for (let i = 0; i < 500; i++) {
    writer.write({
      data: i % 5 === 4 ? Buffer.alloc(84, 0x45) : numberedFrame(i, 60 + i),
      timestamp: T + BigInt(i) * 1_000_000_007n,
      interface: i % 5 === 4 ? 1 : 0,
      ...(i % 3 === 0 ? {} : { direction: i % 3 === 1 ? 'inbound' : 'outbound' }),
      ...(i % 7 === 0 ? { comment: `number ${i}` } : {}),
      ...(i % 11 === 0 ? { dropped: i } : {}),
      ...(i % 13 === 0 ? { originalLength: 9000 } : {}),
    })
  }
  const statistics = { received: 600, dropped: 7n, delivered: 500, systemDropped: 3, startTime: T, endTime: T + 5n }
  writer.addStatistics(0, statistics)
  writer.end()
  await done
  const fields = ['time_epoch', 'cap_len', 'len', 'interface_name', 'packet_flags_direction', 'comment', 'drop_count']
  const rows = await tshark(file, ...fields.map((field) => `frame.${field}`))
  t.equal(rows.length, 500, 'every packet')
  for (const [i, row] of rows.entries()) {
    const time = T + BigInt(i) * 1_000_000_007n
    const raw = i % 5 === 4
    const length = raw ? 84 : 60 + i
    t.same(
      row,
      [
        `${time / 1_000_000_000n}.${String(time % 1_000_000_000n).padStart(9, '0')}`,
        String(raw ? 20 : length),
        String(i % 13 === 0 ? 9000 : length),
        raw ? 'tun0' : 'eth0',
        i % 3 === 0 ? '' : `0x0000000${i % 3}`,
        i % 7 === 0 ? `number ${i}` : '',
        i % 11 === 0 ? String(i) : '',
      ],
      `packet ${i}`,
    )
  }
  const information = capinfos(file)
  for (const line of [
    /Capture comment: +a näme/,
    /Capture hardware: +a machine/,
    /Capture oper-sys: +an os/,
    /Capture application: +a test/,
    /Number of interfaces in file: 2/,
    /Description = the first/,
    /Speed = 10000000000/,
    /Filter string = tcp port 80/,
    /Encapsulation = Raw IP/,
    /Comment = cut/,
    /Time resolution = 0x09/,
    /Number of stat entries = 1/,
  ]) {
    t.match(information, line)
  }
  const reader = readCapture(file)
  const packets = (await reader.toArray()) as CapturedPacket[]
  t.equal(packets.length, 500, 'and we read it ourselves')
  t.match(packets[385], {
    timestamp: T + 385n * 1_000_000_007n,
    originalLength: 445,
    direction: 'inbound',
    comment: 'number 385',
    dropped: 385n,
    interface: { name: 'eth0', mac: '02:00:00:00:00:01', speed: 10_000_000_000, filter: 'tcp port 80' },
  })
  t.match(reader.interfaces[0]?.statistics, {
    received: 600n,
    dropped: 7n,
    delivered: 500n,
    systemDropped: 3n,
    startTime: T,
    endTime: T + 5n,
  })
})

test('what editcap writes, we read', wireshark, async (t) => {
  const folder = scratchFolder(t)
  const file = join(folder, 'ours.pcapng')
  const frames = Array.from({ length: 50 }, (_, i) => ({ data: numberedFrame(i, 60 + i), timestamp: T + BigInt(i) }))
  writeFileSync(file, await written(frames))
  for (const [format, unit] of [
    ['pcapng', 1n],
    ['nsecpcap', 1n],
    ['pcap', 1000n],
  ] as const) {
    const theirs = join(folder, format)
    editcap('-F', format, ...(format === 'pcapng' ? ['-a', '3:by editcap'] : []), file, theirs)
    const packets = (await readCapture(theirs).toArray()) as CapturedPacket[]
    t.equal(packets.length, 50, format)
    for (const [i, { timestamp, data, originalLength, interface: of }] of packets.entries()) {
      t.equal(timestamp, ((T + BigInt(i)) / unit) * unit)
      t.ok(data.equals(frames[i]!.data))
      t.equal(originalLength, 60 + i)
      t.equal(of.linkType, 'ethernet')
    }
    if (format === 'pcapng') t.equal(packets[2]?.comment, 'by editcap')
    const converted = await written(packets.map((packet) => stripped(packet)))
    t.same(
      (await packetsOf(converted)).map(({ timestamp }) => timestamp),
      packets.map(({ timestamp }) => timestamp),
      'packets as they were read can be written',
    )
  }
})

function stripped(packet: CapturedPacket): CaptureFrame {
  return Object.fromEntries(Object.entries(packet).filter(([, value]) => value !== undefined)) as never
}

test('a reader leads to a writer', async (t) => {
  const folder = scratchFolder(t)
  const [from, to] = [join(folder, 'from.pcap'), join(folder, 'to.pcapng')]
  const header = [little.u32(0xa1b23c4d), little.u16(2, 4), little.u32(0, 0, 65535, 101)]
  writeFileSync(from, Buffer.concat([...header, little.u32(5, 7, 4, 100), Buffer.from('abcd')]))
  await pipeline(
    createReadStream(from),
    pcapngReader(),
    pcapngWriter({ comment: 'was classic' }),
    createWriteStream(to),
  )
  const [packet] = (await readCapture(to).toArray()) as CapturedPacket[]
  t.match(packet, {
    timestamp: 5_000_000_007n,
    originalLength: 100,
    interface: { linkType: 'raw', snapshotLength: 65535, section: { comment: 'was classic', application: 'netkit' } },
  })
  t.equal(String(packet?.data), 'abcd')
})

test('both byte orders, every kind of block', async (t) => {
  for (const order of [true, false]) {
    const h = new HandMade(order)
    const other = new HandMade(!order)
    const end = h.u32(0)
    const bytes = Buffer.concat([
      h.section(h.option(1, 'a'), h.option(1, 'b'), h.option(4, 'app\0'), h.option(2988, '1234custom'), end),
      h.interface(
        1,
        4,
        h.option(2, 'eth0'),
        h.option(6, Buffer.from('02000000000a', 'hex')),
        h.option(11, '\0udp'),
        end,
      ),
      h.interface(101, 0, h.option(9, Buffer.of(0x86)), h.option(14, h.u64(3600n)), end),
      h.interface(147, 0, h.option(9, Buffer.of(12)), h.option(8, h.u64(2n ** 60n))),
      h.block(3, h.u32(6), padded(Buffer.from('abcd'))),
      h.block(2, h.u16(1, 7), h.u32(0, 160), h.u32(3, 5), padded(Buffer.from('xyz')), h.option(2, h.u32(1)), end),
      h.block(0x0bad, h.u32(99), padded(Buffer.from('who knows'))),
      h.block(4, h.u32(0)),
      h.packet(
        2,
        5_000_007n,
        Buffer.from('pico'),
        9,
        h.option(1, 'one'),
        h.option(1, 'two'),
        h.option(4, h.u64(3n)),
        end,
      ),
      h.block(5, h.u32(2), h.u32(0, 9000), h.option(4, h.u64(11n)), end),
      h.block(0x80000001),
      other.section(),
      other.interface(),
      other.packet(0, 5n, Buffer.from('micro')),
    ])
    for (const piece of [bytes.length, 1, 7]) {
      const packets = await packetsOf(bytes, piece)
      const what = `${order ? 'little' : 'big'} endian in pieces of ${piece}`
      t.equal(packets.length, 4, what)
      const [simple, obsolete, pico, micro] = packets as [
        CapturedPacket,
        CapturedPacket,
        CapturedPacket,
        CapturedPacket,
      ]
      t.match(simple, { timestamp: undefined, originalLength: 6, interface: { name: 'eth0', filter: 'udp' } })
      t.match(simple.interface, { mac: '02:00:00:00:00:0a', section: { comment: 'a\nb', application: 'app' } })
      t.equal(String(simple.data), 'abcd', 'as long as the interface keeps')
      t.match(obsolete, { timestamp: 3_602_500_000_000n, originalLength: 5, direction: 'inbound', dropped: 7n })
      t.match(obsolete.interface, { index: 1, linkType: 'raw' })
      t.equal(String(obsolete.data), 'xyz')
      t.match(pico, { timestamp: 5000n, originalLength: 9, comment: 'one\ntwo', dropped: 3n })
      t.match(pico.interface, { linkType: 147, speed: 2n ** 60n, statistics: { timestamp: 9n, received: 11n } })
      t.match(micro, { timestamp: 5000n, direction: undefined, interface: { index: 0, section: {} } })
      t.equal(micro.interface.name, undefined, 'interfaces of the section before are forgotten')
    }
  }
})

test('classic files', async (t) => {
  for (const order of [true, false]) {
    for (const [magic, unit] of [
      [0xa1b2c3d4, 1000n],
      [0xa1b23c4d, 1n],
    ] as const) {
      const h = new HandMade(order)
      const bytes = Buffer.concat([
        h.u32(magic),
        h.u16(2, 4),
        // The upper half of the link type: frames end in 4 bytes of checksum.
        h.u32(0, 0, 96, 0x44000001),
        h.u32(1_700_000_000, 123_456, 5, 60),
        Buffer.from('hello'),
        h.u32(1, 2, 0, 14),
      ])
      for (const piece of [bytes.length, 1]) {
        const [first, second, ...none] = await packetsOf(bytes, piece)
        t.match(first, { timestamp: 1_700_000_000_000_000_000n + 123_456n * unit, originalLength: 60 })
        t.match(first?.interface, { linkType: 'ethernet', snapshotLength: 96 })
        t.equal(String(first?.data), 'hello')
        t.match(second, { timestamp: 1_000_000_000n + 2n * unit, data: { length: 0 } })
        t.same(none, [])
      }
    }
  }
})

test('what is wrong, and where', async (t) => {
  const h = little
  const start = Buffer.concat([h.section(), h.interface(), h.packet(0, 1n, Buffer.from('good'))])
  const is = async (what: string, bytes: Uint8Array, message: RegExp, options = {}) => {
    const { packets, error } = await mistakeIn(Buffer.concat([start, bytes]), options)
    t.match(error, { name: 'CaptureError', code: 'ERR_INVALID_CAPTURE', offset: start.length, message }, what)
    t.match(error.message, `(at byte ${start.length})`)
    t.equal(packets, 1, 'after what was good')
  }
  await is('a length that is too small', h.u32(6, 8, 8), /cannot have 8 bytes/)
  await is('a length that is odd', h.u32(6, 14, 0, 0), /cannot have 14 bytes/)
  await is('a length of nearly everything', h.u32(6, 0xfffffffc, 0), /4294967292 bytes: the limit is 16777216/)
  await is('a length beyond the own limit', h.u32(6, 4100, 0), /limit is 4096/, { blockLimit: 4096 })
  const packet = h.packet(0, 1n, Buffer.from('bad!'))
  const spoilt = (at: number, value: number) => {
    const copy = Buffer.from(packet)
    copy.writeUInt32LE(value, at)
    return copy
  }
  await is('two lengths', spoilt(packet.length - 4, 40), /36 bytes at its beginning has 40 at its end/)
  await is('an interface that is not there', spoilt(8, 1), /no interface 1/)
  await is('more data than block', spoilt(20, 5), /packet of 5 bytes is longer than its block/)
  await is('a lot more', spoilt(20, 0xffffffff), /packet of 4294967295 bytes/)
  await is('too short for its type', h.block(6, h.u32(0)), /type 6 cannot have 16 bytes/)
  await is('a simple packet', h.block(3, h.u32(9)), /packet of 9 bytes/)
  await is('an option', h.packet(0, 1n, Buffer.alloc(4), 4, h.u16(1, 9), h.u32(0)), /option of 9 bytes/)
  await is('a byte order', h.block(0x0a0d0d0a, h.u32(1, 2, 3, 4)), /byte order/)
  await is('a version', h.block(0x0a0d0d0a, h.u32(0x1a2b3c4d), h.u16(2, 0), h.u32(0, 0)), /version 2\.0/)
  await is('an unknown block', Buffer.concat([h.u32(77, 16, 0), h.u32(12)]), /16 bytes at its beginning has 12/)
  const described = h.interface(1, 0, h.option(2, 'x'.repeat(3000)), h.u32(0))
  const many = Buffer.concat([described, described])
  const { error: flood } = await mistakeIn(Buffer.concat([h.section(), many]), { blockLimit: 4096 })
  t.match(flood.message, /descriptions of the interfaces have more than 4096 bytes/)

  const no = async (bytes: Uint8Array, message: RegExp) => {
    const { error } = await mistakeIn(bytes)
    t.match(error, { code: 'ERR_INVALID_CAPTURE', offset: 0, message })
  }
  await no(Buffer.from('GET / HTTP/1.1'), /no capture file/)
  await no(Buffer.from('1f8b0800', 'hex'), /createGunzip/)
  await no(Buffer.concat([h.u32(0xa1b2c3d4), h.u16(2, 3), h.u32(0, 0, 0, 1)]), /version 2\.3/)
  const record = [h.u32(0xa1b2c3d4), h.u16(2, 4), h.u32(0, 0, 0, 1), h.u32(0, 0, 0xfffffff0, 1)]
  const { error } = await mistakeIn(Buffer.concat(record))
  t.match(error, { code: 'ERR_INVALID_CAPTURE', offset: 24, message: /a record of 4294967280 bytes: the limit is/ })
})

test('a file that ends too early', async (t) => {
  const h = little
  const blocks = [
    h.section(),
    h.interface(),
    h.packet(0, 1n, Buffer.from('good')),
    h.packet(0, 1n, Buffer.from('more')),
  ]
  const bytes = Buffer.concat([...blocks, h.block(0x0bad, Buffer.alloc(40))])
  const ends = [...blocks.map((_, i) => Buffer.concat(blocks.slice(0, i + 1)).length), bytes.length]
  for (let size = 0; size < bytes.length; size++) {
    if (ends.includes(size)) {
      t.ok(await packetsOf(bytes.subarray(0, size)), `${size} bytes are whole`)
      continue
    }
    const { packets, error } = await mistakeIn(bytes.subarray(0, size))
    t.equal(packets, size < ends[2]! ? 0 : size < ends[3]! ? 1 : 2, `${size} bytes`)
    t.match(error, { code: 'ERR_TRUNCATED_CAPTURE', message: size === 0 ? /is empty/ : /ends in the middle/ })
  }
  const file = join(scratchFolder(t), 'cut.pcapng')
  writeFileSync(file, bytes.subarray(0, ends[2]! + 5))
  await t.rejects(readCapture(file).toArray(), { code: 'ERR_TRUNCATED_CAPTURE' })
  await t.rejects(readCapture(`${file}.not`).toArray(), { code: 'ENOENT' })
})

test('a large file in little memory, in any pieces', async (t) => {
  const frames = Array.from({ length: 1000 }, (_, i) => ({
    data: numberedFrame(i, 60 + (i % 1400)),
    timestamp: BigInt(i),
  }))
  const bytes = await written(frames)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 20 }), async (sizes) => {
      const pieces: Buffer[] = []
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length] as number
        pieces.push(Buffer.from(bytes.subarray(at, at + size)))
        at += size
        if (pieces.length > 2000) sizes[i % sizes.length] = 70_000
      }
      const reader = pcapngReader()
      Readable.from(pieces, { objectMode: false }).pipe(reader)
      let next = 0
      for await (const { data, timestamp } of reader) {
        if (timestamp !== BigInt(next) || !data.equals(frames[next]!.data)) throw new Error(`packet ${next} differs`)
        next++
      }
      return next === 1000
    }),
    { numRuns: 20 },
  )
  const reader = pcapngReader()
  const endless = new PassThrough()
  endless.pipe(reader)
  let pushed = 0
  for (; pushed < 500; pushed++) if (!endless.write(bytes)) break
  await turn()
  t.ok(reader.readableLength <= 2 * 256, `nobody reads, and ${reader.readableLength} packets wait`)
  endless.destroy()
  reader.destroy()
  const unknown = Buffer.concat([little.section(), little.u32(0x0bad, 200 * 1024 * 1024, 0)])
  const skipping = pcapngReader()
  skipping.write(unknown)
  const before = process.memoryUsage().arrayBuffers
  const megabyte = Buffer.alloc(1024 * 1024)
  for (let i = 0; i < 150; i++) await new Promise<void>((resolve) => skipping.write(megabyte, () => resolve()))
  const grown = process.memoryUsage().arrayBuffers - before
  t.ok(grown < 20 * 1024 * 1024, `a block that nobody knows is not kept: ${grown} bytes more`)
  skipping.destroy()
})

test('the reader as a stream', async (t) => {
  const bytes = await written(Array.from({ length: 600 }, (_, i) => numberedFrame(i)))
  const file = join(scratchFolder(t), 'file.pcapng')
  writeFileSync(file, bytes)
  let seen = 0
  for await (const packet of readCapture(file)) {
    t.equal(packet.data.readUInt32BE(14), seen)
    if (++seen === 3) break
  }
  const heard = await new Promise<number>((resolve, reject) => {
    let count = 0
    const reader: PcapngReader = readCapture(new URL(`file://${file}`))
    reader.on('data', () => {
      count++
      if (count % 100 === 0) {
        reader.pause()
        setImmediate(() => reader.resume())
      }
    })
    reader.on('end', () => resolve(count)).on('error', reject)
  })
  t.equal(heard, 600, 'with events and pauses')
  const broken = pcapngReader()
  broken.end(Buffer.concat([bytes, Buffer.from('rubbish')]))
  let count = 0
  broken.on('data', () => count++)
  const [error] = await new Promise<Error[]>((resolve) => broken.on('error', (...args) => resolve(args)))
  t.match(error, { code: 'ERR_TRUNCATED_CAPTURE', offset: bytes.length })
  t.equal(count, 600, 'an error comes after what was good')
})

test('the writer as a stream', async (t) => {
  t.same(await packetsOf(await written([])), [], 'an empty file')
  const before = BigInt(Date.now()) * 1_000_000n
  const [now] = await packetsOf(await written([Buffer.alloc(14)]))
  const passed = Number((now?.timestamp ?? 0n) - before)
  t.ok(passed > -2e6 && passed < 10e9, `a frame without a time has that of now: ${passed} ns later`)
  t.match(now, { direction: undefined, comment: undefined, dropped: undefined, originalLength: 14 })

  const eth1 = { name: 'eth1' }
  const late = await packetsOf(
    await written([
      { data: Buffer.alloc(14), interface: eth1 },
      { data: Buffer.alloc(15) },
      { data: Buffer.alloc(16), interface: { name: 'tun0', linkType: 'raw' } },
      { data: Buffer.alloc(17), interface: eth1 },
    ]),
  )
  t.same(
    late.map(({ interface: of }) => [of.index, of.name]),
    [
      [0, 'eth1'],
      [0, 'eth1'],
      [1, 'tun0'],
      [0, 'eth1'],
    ],
  )
  const cut = await packetsOf(await written([numberedFrame(1, 1500)], { snapshotLength: 17 }))
  t.match(cut[0], { originalLength: 1500, data: { length: 17 } })

  const writer = pcapngWriter()
  const part = new Promise<Buffer>((resolve) => writer.on('data', resolve))
  t.equal((await part).readUInt32LE(8), 0x1a2b3c4d, 'the beginning comes before the first frame')
  writer.destroy()

  const slow = pcapngWriter()
  let taken = 0
  while (taken < 5000 && slow.write(numberedFrame(taken, 1000))) taken++
  await turn()
  while (taken < 5000 && slow.write(numberedFrame(taken, 1000))) taken++
  t.ok(taken < 100, `nobody reads, and ${taken} frames were taken`)
  slow.end()
  t.equal((await packetsOf(Buffer.concat((await slow.toArray()) as Buffer[]))).length, taken + 2, 'none is lost')
})

test('frames that cannot be written', async (t) => {
  const fails = async (frame: unknown, code: string, message: RegExp) => {
    const writer = pcapngWriter()
    writer.resume()
    writer.write(frame)
    await t.rejects(finished(writer), { code, message })
  }
  await fails('text', 'ERR_INVALID_ARG_TYPE', /^frame must be a Buffer or an object with data/)
  await fails({}, 'ERR_INVALID_ARG_TYPE', /^frame\.data/)
  await fails({ data: Buffer.alloc(1), time: 1n }, 'ERR_INVALID_ARG_VALUE', /'time': is not an option/)
  await fails({ data: Buffer.alloc(1), timestamp: 1 }, 'ERR_INVALID_ARG_TYPE', /^frame\.timestamp/)
  await fails({ data: Buffer.alloc(1), timestamp: -1n }, 'ERR_OUT_OF_RANGE', /^frame\.timestamp/)
  await fails({ data: Buffer.alloc(1), interface: 1 }, 'ERR_OUT_OF_RANGE', /^frame\.interface/)
  await fails({ data: Buffer.alloc(1), direction: 'up' }, 'ERR_INVALID_ARG_VALUE', /^frame\.direction/)
  await fails({ data: Buffer.alloc(1), comment: 'x'.repeat(65_536) }, 'ERR_INVALID_ARG_VALUE', /65536 bytes/)
  await fails({ data: Buffer.alloc(1), dropped: 1.5 }, 'ERR_INVALID_ARG_TYPE', /^frame\.dropped/)
  for (const [options, code] of [
    [{ snapshotLength: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ interfaces: {} }, 'ERR_INVALID_ARG_TYPE'],
    [{ interfaces: [{ linkType: 'token-ring' }] }, 'ERR_INVALID_ARG_VALUE'],
    [{ interfaces: [{ mac: 'no' }] }, 'ERR_INVALID_ARG_VALUE'],
    [{ interfaces: [{ speed: -1 }] }, 'ERR_OUT_OF_RANGE'],
    [{ interfaces: [{ named: 'eth0' }] }, 'ERR_INVALID_ARG_VALUE'],
    [{ comment: 5 }, 'ERR_INVALID_ARG_TYPE'],
    [{ comments: 'x' }, 'ERR_INVALID_ARG_VALUE'],
  ] as const) {
    t.throws(() => pcapngWriter(options as never), { code }, JSON.stringify(options))
  }
  t.throws(() => pcapngReader({ blockLimit: 1 }), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => pcapngReader({ limit: 1 } as never), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => readCapture(5 as never), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('whole batches are written as single frames are', async (t) => {
  const encoder = new PcapngEncoder({ snapshotLength: 700, os: 'x' })
  const single = new PcapngEncoder({ snapshotLength: 700, os: 'x' })
  const header = [encoder.section(), encoder.interface({ name: 'eth0' })]
  t.same([single.section(), single.interface({ name: 'eth0' })], header)
  const frames = Array.from({ length: 300 }, (_, i) => numberedFrame(i, 18 + ((i * 37) % 1500)).fill(i, 18))
  const slab = Buffer.allocUnsafeSlow(1024 * 1024)
  const spans = new Uint32Array(2 * frames.length)
  const details = new Uint32Array(4 * frames.length)
  let position = 0
  const wanted: Buffer[] = []
  frames.forEach((frame, i) => {
    // Some have an offload header before them: they are not aligned.
    const offset = position + (i % 4 === 0 ? 10 : 0)
    frame.copy(slab, offset)
    spans.set([offset, i % 4 === 0 ? (frame.length | 0x80000000) >>> 0 : frame.length], 2 * i)
    const time = i % 5 === 0 ? 0n : T + BigInt(i)
    details.set([Number(time & 0xffffffffn), Number(time >> 32n), frame.length + (i % 6), i % 3], 4 * i)
    position = (offset + frame.length + 63) & ~63
    wanted.push(
      single.frame({
        data: frame,
        timestamp: time === 0n ? 9n : time,
        originalLength: frame.length + (i % 6),
        ...(i % 3 === 0 ? {} : { direction: i % 3 === 1 ? 'inbound' : 'outbound' }),
      }),
    )
  })
  const out = Buffer.allocUnsafeSlow(64 * 1024).fill(0xee)
  const got: Buffer[] = []
  for (let done = 0; done < frames.length; ) {
    const count = encoder.fill(out, 0, out.length, { slab, spans, details, timestamp: 9n }, done, frames.length, 0)
    t.ok(count > 0, `${count} frames fill ${encoder.end} of ${out.length} bytes`)
    got.push(Buffer.from(out.subarray(0, encoder.end)))
    done += count
  }
  t.ok(Buffer.concat(got).equals(Buffer.concat(wanted)), 'byte for byte')
  t.equal((await packetsOf(Buffer.concat([...header, ...got]))).length, 300)
  t.throws(() => encoder.statistics(1, {}), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => new PcapngEncoder().frame(Buffer.alloc(1)), { code: 'ERR_OUT_OF_RANGE' })
})

test('the corpus of the fuzzer is read', async (t) => {
  const lines = readFileSync('test/fuzz/corpus/pcapng.hex', 'latin1').split('\n')
  const files = lines.filter((line) => line !== '' && !line.startsWith('#'))
  t.ok(files.length >= 8)
  for (const hex of files) t.ok((await packetsOf(Buffer.from(hex, 'hex'))).length > 0)
})
