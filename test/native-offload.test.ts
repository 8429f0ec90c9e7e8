/** What offload leaves undone, done in native code: checksums and cutting. */
import { constants } from 'node:os'
import { test } from 'tap'
import { native } from '../dist/native.js'
import { cut } from './support/offload-native.js'
import { checksum } from './support/packets.js'
import {
  ACK,
  bytesOf,
  CWR,
  ECE,
  FIN,
  type FrameSpec,
  GSO,
  makeFrame,
  makeHeader,
  makeLarge,
  PSH,
  RST,
  SYN,
  seeded,
  segmentsOf,
  URG,
  wordSum,
} from './support/segments.js'

const { EINVAL, EMSGSIZE, E2BIG, EOPNOTSUPP } = constants.errno

/** Timestamps behind two bytes of nothing. */
const timestamps = '0101080a0000111100002222'
const destinationOptions: readonly [number, string] = [60, '00010400000000']
const hopByHop: readonly [number, string] = [0, '00050200000100']
const longOptions: readonly [number, string] = [60, `01010c${'00'.repeat(12)}`]

const shapes: Readonly<Record<string, Partial<FrameSpec> & Pick<FrameSpec, 'version' | 'protocol'>>> = {
  'TCP, IPv4': { version: 4, protocol: 'tcp', options: timestamps, flags: ACK | PSH },
  'TCP, IPv6': { version: 6, protocol: 'tcp', options: timestamps, flags: ACK | PSH },
  'TCP without options, IPv4': { version: 4, protocol: 'tcp' },
  'TCP, all flags that may be, IPv4': {
    version: 4,
    protocol: 'tcp',
    flags: ACK | PSH | FIN | CWR | ECE | URG,
    urgent: 7,
  },
  'TCP, IPv4 options, may be fragmented': { version: 4, protocol: 'tcp', ipOptions: '94040000', fragment: 0 },
  'TCP, IPv4, id and sequence number that wrap': { version: 4, protocol: 'tcp', id: 0xfffe, sequence: 0xffff_ff00 },
  'TCP, IPv6, extension headers': { version: 6, protocol: 'tcp', extensions: [hopByHop, destinationOptions] },
  'UDP, IPv4': { version: 4, protocol: 'udp' },
  'UDP, IPv6': { version: 6, protocol: 'udp', trafficClass: 0xb8, flowLabel: 0x12345 },
  'UDP, IPv6, a long extension header': { version: 6, protocol: 'udp', extensions: [longOptions] },
}
const links: Readonly<Record<string, FrameSpec['tags']>> = {
  ethernet: [],
  'a VLAN tag': [0x8100],
  'a provider’s VLAN tag': [0x88a8],
  'two VLAN tags': [0x88a8, 0x8100],
  'no ethernet': 'none',
}

test('the sum of RFC 1071', async (t) => {
  // The example of its section 3.
  t.equal(native.internetSum(0, Buffer.from('0001f203f4f5f6f7', 'hex')), 0xddf2)
  t.equal(native.internetSum(0, Buffer.from('0001f203f4f5f6', 'hex')), 0xdcfb, 'an odd length: as if a zero followed')
  t.equal(native.internetSum(0xffff, Buffer.from('0001', 'hex')), 1)
  t.equal(native.internetSum(0x1234, new Uint8Array(0)), 0x1234)
  t.equal(native.internetSum(0, Buffer.alloc(65_536, 0xff)), 0xffff)
  const bytes = bytesOf(700)
  for (let length = 0; length < 200; length++) {
    for (const at of [0, 1, 2, 7]) {
      const part = Buffer.from(bytes.subarray(at, at + length))
      const [sum, right] = [native.internetSum(0xabcd, bytes.subarray(at, at + length)), 0xabcd + wordSum(part)]
      if (sum % 0xffff !== right % 0xffff) t.fail(`${length} bytes at ${at}: ${sum}`)
    }
  }
  t.throws(() => native.internetSum(0x10000, bytes), TypeError)
})

for (const [name, shape] of Object.entries(shapes)) {
  test(`segments: ${name}`, async (t) => {
    let right = 0
    for (const [link, tags] of Object.entries(links)) {
      for (const [length, size] of [
        [4000, 1448],
        [1448, 1448],
        [1449, 1448],
        [1447, 1448],
        [2896, 1448],
        [200, 1],
        [333, 7],
        [60_000, 1400],
        [65_000, 65_000],
        [0, 1448],
      ] as const) {
        const spec: FrameSpec = { ...shape, tags, payload: bytesOf(length) }
        for (const changes of [{}, { flags: 0, start: 0, offset: 0 }, { headerLength: 0 }]) {
          const { frame, header } = makeLarge(spec, size, changes)
          const segments = cut(frame, header, tags === 'none')
          const expected = segmentsOf(spec, size).map((segment) => makeFrame(segment).frame)
          const same =
            Array.isArray(segments) &&
            segments.length === expected.length &&
            segments.every((segment, i) => segment.equals(expected[i] as Buffer))
          if (!same) {
            t.same(segments, expected, `${length} bytes in ${size}, ${link}, ${JSON.stringify(changes)}`)
            return
          }
          right++
        }
      }
    }
    t.equal(right, 5 * 10 * 3)
  })
}

test('a segment, byte by byte', async (t) => {
  // Made by hand: 6 bytes of payload cut to 4, in TCP over IPv4. The sum of the pseudo header, 26 bytes long, is there:
  // 0a00 + 0001 + 0a00 + 0002 + 6 + 1a.
  const frame = Buffer.from(
    '020000000002020000000001 0800 4500002e00ff40004006 0000 0a000001 0a000002 0050 0051 000000fe 00000001 5019 0100 1423 0000 0102030405ff'.replaceAll(
      ' ',
      '',
    ),
    'hex',
  )
  const header = makeHeader({ type: GSO.tcp4, headerLength: 54, size: 4, start: 34, offset: 16 })
  const [first, second] = cut(frame, header) as Buffer[]
  // 0050 + 0051 + 00fe + 0001 + 5010 + 0100 + 0102 + 0304 = 56b6; with the pseudo header's 1403 + 6 + 18: 6ad7.
  const right = '4500002c00ff4000400625cb0a0000010a0000020050005100000' + '0fe00000001501001009528000001020304'
  t.equal(first?.toString('hex', 14), right)
  t.equal(second?.toString('hex', 14, 20), '4500002a0100')
  t.equal(second?.readUInt32BE(38), 0x102, 'the next sequence number')
  t.equal(second?.[47], 0x19, 'ACK, PSH and FIN')
  t.equal(second?.toString('hex', 54), '05ff')
})

test('a checksum that is wanting', async (t) => {
  for (const [name, shape] of Object.entries(shapes)) {
    for (const length of [0, 1, 2, 33, 1400]) {
      const spec = { ...shape, payload: bytesOf(length) }
      const { frame, transport } = makeFrame({ ...spec, partial: true })
      const offset = shape.protocol === 'tcp' ? 16 : 6
      const before = Buffer.from(frame)
      const made = cut(frame, makeHeader({ start: transport, offset }))
      t.same(made, [makeFrame(spec).frame], `${name}, ${length} bytes`)
      t.ok(frame.equals(before), 'the frame itself stays as it is')
    }
  }
  const { frame } = makeFrame({ version: 4, protocol: 'udp', payload: bytesOf(10) })
  t.same(cut(frame, makeHeader({ flags: 0 })), [frame], 'none: a copy')
  t.same(cut(frame, makeHeader({ flags: 2 })), [frame], 'one that was found right')
  t.same(cut(Buffer.alloc(0), makeHeader({ flags: 0 })), [Buffer.alloc(0)])
  t.same(cut(frame, makeHeader({ flags: 0, start: 0xffff, offset: 0xffff })), [frame], 'nobody looks at the places')

  const icmp = Buffer.concat([frame.subarray(0, 34), Buffer.from('080000000001000268656c6c6f', 'hex')])
  icmp[23] = 1
  const [made] = cut(icmp, makeHeader({ start: 34, offset: 2 })) as Buffer[]
  t.equal(made?.readUInt16BE(36), checksum(Buffer.from(icmp.subarray(34))), 'any protocol: ICMP')
})

test('a UDP checksum that comes out as 0 is written as 0xffff', async (t) => {
  for (const version of [4, 6] as const) {
    const spec: FrameSpec = { version, protocol: 'udp', payload: Buffer.from([0, 0]) }
    const { frame, transport, payload } = makeFrame(spec)
    // With the payload that makes the sum 0xffff.
    const last = Buffer.alloc(2)
    last.writeUInt16BE(frame.readUInt16BE(transport + 6))
    const made = makeFrame({ ...spec, payload: last, partial: true })
    const [whole] = cut(made.frame, makeHeader({ start: transport, offset: 6 })) as Buffer[]
    t.equal(whole?.readUInt16BE(transport + 6), 0xffff)
    t.equal(wordSum(Buffer.from((whole as Buffer).subarray(payload))), last.readUInt16BE())
    const large = makeLarge({ ...spec, payload: Buffer.concat([last, last, last]) }, 2)
    for (const segment of cut(large.frame, large.header) as Buffer[])
      t.equal(segment.readUInt16BE(transport + 6), 0xffff)
  }
})

test('padding behind the packet is not payload', async (t) => {
  const spec: FrameSpec = { version: 4, protocol: 'tcp', payload: bytesOf(2000), padding: 9 }
  const { frame, header } = makeLarge(spec, 1448)
  t.same(
    cut(frame, header),
    segmentsOf(spec, 1448).map((segment) => makeFrame(segment).frame),
  )
})

test('header and frame that contradict each other', async (t) => {
  const spec: FrameSpec = { version: 4, protocol: 'tcp', payload: bytesOf(3000) }
  const six: FrameSpec = { ...spec, version: 6 }
  const udp: FrameSpec = { ...spec, protocol: 'udp' }
  const good = makeLarge(spec, 1000)
  const edited = (at: number, value: number, from: { frame: Buffer; header: Buffer } = good) => {
    const frame = Buffer.from(from.frame)
    frame[at] = value
    return { frame, header: from.header }
  }
  const cases: Readonly<Record<string, { frame: Buffer; header: Buffer; layer3?: boolean }>> = {
    'no size': makeLarge(spec, 0),
    'IPv4 called IPv6': makeLarge(spec, 1000, { type: GSO.tcp6 }),
    'IPv6 called IPv4': makeLarge(six, 1000, { type: GSO.tcp4 }),
    'TCP called UDP': makeLarge(spec, 1000, { type: GSO.udp }),
    'UDP called TCP': makeLarge(udp, 1000, { type: GSO.tcp4 }),
    'UDP with ECN': makeLarge(udp, 1000, { type: GSO.udp | GSO.ecn }),
    'nothing with ECN': makeLarge(spec, 0, { type: GSO.ecn }),
    'a checksum from elsewhere': makeLarge(spec, 1000, { start: 36 }),
    'a checksum to elsewhere': makeLarge(spec, 1000, { offset: 6 }),
    'Ethernet called IP': { ...good, layer3: true },
    'IP called Ethernet': makeLarge({ ...spec, tags: 'none' }, 1000),
    'three tags': makeLarge({ ...spec, tags: [0x88a8, 0x8100, 0x8100] }, 1000),
    SYN: makeLarge({ ...spec, flags: SYN }, 1000),
    RST: makeLarge({ ...spec, flags: RST | ACK }, 1000),
    'a fragment': makeLarge({ ...spec, fragment: 0x2000 }, 1000),
    'a last fragment': makeLarge({ ...spec, fragment: 0x0001 }, 1000),
    'an IPv6 fragment': makeLarge({ ...six, extensions: [[44, '00000100000001']] }, 1000),
    'no IP version': edited(14, 0x55),
    'the other type of Ethernet': edited(12, 0x86),
    'a longer packet than the frame': { ...good, frame: good.frame.subarray(0, -1) },
    'an IP header of 16 bytes': edited(14, 0x44),
    'an IP header longer than the packet': edited(17, 0x10, edited(16, 0)),
    'a TCP header of 16 bytes': edited(46, 0x40),
    'an extension header longer than the packet': edited(
      55,
      0xff,
      makeLarge({ ...six, extensions: [destinationOptions], payload: bytesOf(500) }, 100, { flags: 0 }),
    ),
    'more extension headers than eight': makeLarge({ ...six, extensions: Array(9).fill(destinationOptions) }, 1000),
    'a UDP length that is not the packet’s': edited(39, 0, makeLarge(udp, 1000)),
    'a checksum beyond the end': { ...good, header: makeHeader({ start: good.frame.length - 16, offset: 15 }) },
    'a checksum far beyond the end': { ...good, header: makeHeader({ start: 0xffff, offset: 0xffff }) },
    'no frame': { ...good, frame: Buffer.alloc(0) },
    'half a header': { ...good, header: good.header.subarray(0, 9) },
  }
  for (const [name, { frame, header, layer3 }] of Object.entries(cases)) {
    // Behind it there is what could be a TCP header; and, for a sanitizer, nothing.
    const memory = Buffer.alloc(8192, 0x50)
    frame.copy(memory)
    t.equal(cut(memory.subarray(0, frame.length), header, layer3), -EINVAL, name)
    t.equal(cut(new Uint8Array(frame), header, layer3), -EINVAL, name)
    if (header[1] !== 0) t.ok(native.segmentRoom(frame, header, layer3 ?? false) <= 0, `${name}: no room`)
  }
  t.equal(
    cut(makeLarge(udp, 1000, { type: GSO.fragments }).frame, makeHeader({ type: 3, size: 1000 })),
    -EOPNOTSUPP,
    'UFO',
  )
  t.equal(cut(good.frame, makeHeader({ type: 0x25, size: 1000 })), -EOPNOTSUPP, 'tunnels')
  const sctp = edited(23, 132)
  t.equal(cut(sctp.frame, makeHeader({ start: 34, offset: 8 })), -EOPNOTSUPP, 'SCTP has another sum')
})

test('no room', async (t) => {
  const { frame, header } = makeLarge({ version: 4, protocol: 'tcp', payload: bytesOf(3000) }, 1000)
  // 54 bytes of headers: each segment takes 1,088 bytes, the last 1,054.
  const needed = 2 * 1088 + 1054
  const at = (size: number, position: number, places: number) =>
    native.segmentFrame(frame, header, false, new Uint8Array(size), position, new Uint32Array(2 * places))
  t.equal(at(needed, 0, 3), 3)
  t.equal(at(needed - 1, 0, 3), -EMSGSIZE)
  t.equal(at(needed + 64, 1, 3), 3)
  t.equal(at(needed + 63, 1, 3), -EMSGSIZE)
  t.equal(at(needed, 0, 2), -E2BIG)
  for (const position of [needed + 1, 2 ** 32, 2 ** 53 - 1]) t.equal(at(needed, position, 3), -EMSGSIZE)
  t.equal(native.segmentRoom(frame, header, false), 63 + 3 * 1088)
  const whole = makeHeader({ flags: 0 })
  t.equal(native.segmentFrame(frame, whole, false, new Uint8Array(10_000), 0, new Uint32Array(1)), -E2BIG)
  t.equal(native.segmentFrame(frame, whole, false, new Uint8Array(100), 0, new Uint32Array(2)), -EMSGSIZE)
  t.equal(native.segmentFrame(frame, whole, false, new Uint8Array(4000), 2 ** 53 - 1, new Uint32Array(2)), -EMSGSIZE)
})

test('whatever is in them, nothing else is read or written, and no payload is lost', async (t) => {
  const seed = Number(process.env.NETKIT_SEED ?? Date.now() % 0xffff_ffff)
  t.comment(`NETKIT_SEED=${seed}`)
  const random = seeded(seed)
  const large = Object.values(shapes).flatMap((shape) =>
    Object.values(links).map((tags) => {
      const spec: FrameSpec = { ...shape, tags, payload: bytesOf(1 + random(3000), seed) }
      return { ...makeLarge(spec, 1 + random(1448)), layer3: tags === 'none' }
    }),
  )
  const results = new Map<number, number>()
  const slab = new Uint8Array(1 << 19)
  const places = new Uint32Array(2 * 4096)
  const end = Date.now() + 1500
  while (Date.now() < end) {
    for (let i = 0; i < 200; i++) {
      const from = large[random(large.length)] as (typeof large)[number]
      // Memory of their own, of exactly the size.
      let frame = new Uint8Array(from.frame)
      const header = new Uint8Array(from.header)
      for (let changes = random(4); changes > 0; changes--) {
        const at = random(Math.min(frame.length, 90))
        if (random(3) === 0) header[random(10)] = random(256)
        else if (random(4) === 0) frame = frame.slice(0, random(frame.length + 1))
        else if (frame.length > 0) frame[at] = random(2) === 0 ? random(256) : (frame[at] as number) ^ (1 << random(8))
        if (frame.length === 0) break
      }
      const layer3 = random(20) === 0 ? !from.layer3 : from.layer3
      const room = native.segmentRoom(frame, header, layer3)
      const count = native.segmentFrame(frame, header, layer3, slab, 0, places)
      results.set(Math.min(count, 2), (results.get(Math.min(count, 2)) ?? 0) + 1)
      if (count < 0) {
        if (count !== -EMSGSIZE && count !== -E2BIG && header[1] !== 0 && room !== 0) t.fail('room for what is refused')
        continue
      }
      let bytes = 0
      for (let j = 0; j < count; j++) {
        const [at, length] = [places[2 * j] as number, places[2 * j + 1] as number]
        if (at % 64 !== 0 || at + length > room) t.fail(`a segment at ${at} of ${length} bytes, in ${room}`)
        bytes += length
      }
      if (header[1] === 0 && bytes !== frame.length) t.fail(`${frame.length} bytes became ${bytes}`)
      const size = (header[4] as number) | ((header[5] as number) << 8)
      if (header[1] !== 0 && count > 1) {
        // Each begins with the headers, and all but the last have `size` bytes more.
        const headers = (places[1] as number) - size
        if (bytes - count * headers > frame.length - headers) t.fail('more payload than there was')
        const joined = Buffer.concat(
          Array.from({ length: count }, (_, j) => {
            const at = places[2 * j] as number
            return slab.slice(at + headers, at + (places[2 * j + 1] as number))
          }),
        )
        if (!joined.equals(frame.subarray(headers, headers + joined.length))) t.fail('another payload')
      }
    }
  }
  t.ok((results.get(2) ?? 0) > 100 && (results.get(1) ?? 0) > 20 && (results.get(-EINVAL) ?? 0) > 100)
  t.comment(JSON.stringify([...results]))
})
