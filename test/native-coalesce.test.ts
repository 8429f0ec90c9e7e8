/** Joining of frames that follow each other in one flow. */
import { constants } from 'node:os'
import { test } from 'tap'
import { native } from '../dist/native.js'
import { ALL, cut, type Joined, join } from './support/offload-native.js'
import {
  ACK,
  bytesOf,
  CWR,
  ECE,
  FIN,
  type FrameSpec,
  makeFrame,
  makeHeader,
  makeLarge,
  PSH,
  SYN,
  seeded,
  segmentsOf,
  URG,
} from './support/segments.js'

const { EINVAL, EMSGSIZE } = constants.errno

const timestamps = '0101080a0000111100002222'
const flows: Readonly<Record<string, Partial<FrameSpec> & Pick<FrameSpec, 'version' | 'protocol'>>> = {
  'TCP, IPv4': { version: 4, protocol: 'tcp', options: timestamps, flags: ACK | PSH },
  'TCP, IPv4, may be fragmented': { version: 4, protocol: 'tcp', fragment: 0 },
  'TCP, IPv4, numbers that wrap': { version: 4, protocol: 'tcp', fragment: 0, id: 0xffff, sequence: 0xffff_fff0 },
  'TCP, IPv6': { version: 6, protocol: 'tcp', options: timestamps, trafficClass: 0x28, flowLabel: 0xabcde },
  'UDP, IPv4': { version: 4, protocol: 'udp' },
  'UDP, IPv6': { version: 6, protocol: 'udp', hops: 3 },
}
const framesOf = (specs: readonly FrameSpec[]) => specs.map((spec) => makeFrame(spec).frame)

for (const [name, flow] of Object.entries(flows)) {
  test(`joined: ${name}`, async (t) => {
    for (const tags of [[], [0x8100], [0x88a8, 0x8100], 'none'] as const) {
      for (const [length, size] of [
        [2896, 1448],
        [2897, 1448],
        [5000, 1400],
        [40, 2],
        [3, 2],
        [60_000, 1000],
      ] as const) {
        const spec: FrameSpec = { ...flow, tags, payload: bytesOf(length) }
        const { frame, header } = makeLarge(spec, size)
        const joined = join(framesOf(segmentsOf(spec, size)), tags === 'none')
        t.same(joined, [{ frame, header }], `${length} bytes in ${size}, ${tags}`)
      }
    }
  })
}

/** Changes of the second of three frames, none of which lets it be joined to the first. */
const differences: Readonly<Record<string, Partial<FrameSpec>>> = {
  'another MAC address': { macs: '020000000003 020000000001' },
  'a VLAN tag': { tags: [0x8100] },
  'another class': { trafficClass: 1 },
  'another hop limit': { hops: 63 },
  'a longer payload': { payload: bytesOf(1001) },
  'no payload': { payload: Buffer.alloc(0) },
  'padding behind it': { padding: 1 },
}
const tcpDifferences: typeof differences = {
  'another flow, which leaves a gap': { ports: [5001, 5003] },
  'a gap': { sequence: 0x01020304 + 1001 },
  'an earlier sequence number': { sequence: 0x01020304 },
  'another acknowledgement': { acknowledgement: 1 },
  'another window': { window: 500 },
  'an urgent pointer': { urgent: 1 },
  'other options': { options: '0101080a0000111100002223' },
  'no options': { options: '' },
  FIN: { flags: ACK | FIN },
  SYN: { flags: ACK | SYN },
  'no ACK': { flags: 0 },
  URG: { flags: ACK | URG },
  ECE: { flags: ACK | ECE },
  CWR: { flags: ACK | CWR },
}
const ipv4Differences: typeof differences = {
  'the first fragment': { fragment: 0x2000 },
  'the reserved flag': { fragment: 0xc000 },
  'a fragment that is allowed': { fragment: 0 },
  'IP options': { ipOptions: '94040000' },
}
const ipv6Differences: typeof differences = {
  'another flow label': { flowLabel: 1 },
  'an extension header': { extensions: [[60, '00010400000000']] },
  'a fragment header': { extensions: [[44, '00000000000001']] },
}

for (const [name, flow] of Object.entries(flows)) {
  test(`left alone: ${name}`, async (t) => {
    const spec: FrameSpec = { ...flow, flags: ACK, payload: bytesOf(3000) }
    const good = segmentsOf(spec, 1000)
    t.equal((join(framesOf(good)) as Joined[]).length, 1)
    const cases: Record<string, Partial<FrameSpec>> = { ...differences }
    if (flow.protocol === 'tcp') Object.assign(cases, tcpDifferences)
    if (flow.version === 4 && flow.fragment !== 0) Object.assign(cases, ipv4Differences)
    if (flow.version === 6) Object.assign(cases, ipv6Differences)
    for (const [what, change] of Object.entries(cases)) {
      if (what === 'no options' && flow.options === undefined) continue
      const frames = framesOf(good.map((each, i) => (i === 1 ? { ...each, ...change } : each)))
      const joined = join(frames) as Joined[]
      t.notOk(joined[0]?.header, `${what}: the first stays alone`)
      t.same(joined[0], { frame: frames[0] })
      t.same(
        joined.flatMap((each) => (each.header ? cut(each.frame, each.header) : each.frame)),
        frames,
        what,
      )
    }
    const frames = framesOf(good)
    for (const [what, at, of] of [
      ['a wrong checksum of the payload', (frames[1] as Buffer).length - 1, 1],
      ['a wrong checksum of the header', 14 + (flow.version === 4 ? 8 : 7), 1],
      ['a wrong checksum of the first', (frames[0] as Buffer).length - 1, 0],
    ] as const) {
      const spoilt = frames.map((frame) => Buffer.from(frame))
      ;(spoilt[of] as Buffer)[at] = ((spoilt[of] as Buffer)[at] as number) ^ 1
      const joined = join(spoilt) as Joined[]
      t.same(joined[0], { frame: spoilt[0] }, what)
      t.ok(joined[of]?.frame.equals(spoilt[of] as Buffer))
    }
    t.same(
      join(frames, true),
      frames.map((frame) => ({ frame })),
      'Ethernet called IP',
    )
  })
}

test('what the writer takes', async (t) => {
  for (const [name, flow] of Object.entries(flows)) {
    const frames = framesOf(segmentsOf({ ...flow, payload: bytesOf(3000) }, 1000))
    const own = flow.protocol === 'udp' ? 0x61 : flow.version === 4 ? 0x03 : 0x05
    t.equal((join(frames, false, own) as Joined[]).length, 1, name)
    for (const offloads of [0, 1, own & ~1, ALL & ~own, ALL & ~(own & 0x7e), 0x21, 0x41]) {
      t.same(
        join(frames, false, offloads),
        frames.map((frame) => ({ frame })),
        `${name}, ${offloads}`,
      )
    }
  }
})

test('a run ends with a shorter frame, with PSH, at 65,535 bytes, at 128 datagrams', async (t) => {
  const tcp: FrameSpec = { version: 4, protocol: 'tcp', payload: bytesOf(4500) }
  const segments = segmentsOf(tcp, 1000)
  const pushed = segments.map((each, i) => (i === 1 ? { ...each, flags: ACK | PSH } : each))
  const sizes = (result: Joined[] | number) => (result as Joined[]).map(({ frame }) => frame.length - 54)
  t.same(sizes(join(framesOf(pushed))), [2000, 2500])
  const [first] = join(framesOf(pushed)) as Joined[]
  t.equal(first?.frame[47], ACK | PSH)
  t.same(sizes(join(framesOf(pushed.slice(1)))), [1000, 2500], 'alone, it stays alone')

  const [a, b, c] = [0, 1000, 1500].map((at, i) => ({
    ...tcp,
    payload: tcp.payload.subarray(at, [1000, 1500, 2000][i]),
    sequence: 0x01020304 + at,
  })) as [FrameSpec, FrameSpec, FrameSpec]
  t.same(sizes(join(framesOf([a, b, c]))), [1500, 500])

  // 20 + 20 + 65,495 bytes are the most.
  const exact = bytesOf(65_496)
  const most = (length: number, size: number) =>
    sizes(join(framesOf(segmentsOf({ ...tcp, payload: exact.subarray(0, length) }, size))))
  t.same(most(65_495, 13_099), [65_495])
  t.same(most(65_496, 13_099), [65_495, 1])
  t.same(most(65_496, 13_100), [52_400, 13_096])
  const six = segmentsOf({ ...tcp, version: 6, payload: exact.subarray(0, 65_480) }, 13_095)
  t.same(
    (join(framesOf(six)) as Joined[]).map(({ frame }) => frame.length - 14),
    [60 + 65_475, 60 + 5],
    'with IPv6, all of the packet counts',
  )
  const udp = segmentsOf({ version: 4, protocol: 'udp', payload: exact.subarray(0, 300) }, 2)
  t.same(
    (join(framesOf(udp)) as Joined[]).map(({ frame }) => frame.length - 42),
    [256, 44],
  )
})

test('flows between each other: each keeps its order', async (t) => {
  const random = seeded(7)
  const specs = Array.from({ length: 40 }, (_, i): FrameSpec[] => {
    const flow = Object.values(flows)[i % 6] as (typeof flows)[string]
    const spec: FrameSpec = { ...flow, ports: [6000 + i, 80], payload: bytesOf(1000 + random(20_000), i + 1) }
    return segmentsOf(spec, 100 + random(1300))
  })
  const queues = specs.map((each) => framesOf(each))
  const mixed: Buffer[] = []
  while (queues.some((queue) => queue.length > 0)) {
    const queue = queues[random(queues.length)] as Buffer[]
    for (let count = 1 + random(10); count > 0; count--) mixed.push(...queue.splice(0, 1))
  }
  const joined = join(mixed) as Joined[]
  t.ok(joined.length < mixed.length / 2, `${mixed.length} frames became ${joined.length}`)
  const back = joined.flatMap(({ frame, header }) => (header ? (cut(frame, header) as Buffer[]) : [frame]))
  const ofFlow = (frames: Buffer[], port: number) =>
    frames.filter((frame) => frame.readUInt16BE(frame.readUInt16BE(12) === 0x0800 ? 34 : 54) === port)
  for (let i = 0; i < 40; i++) t.same(ofFlow(back, 6000 + i), ofFlow(mixed, 6000 + i))
})

test('nothing overtakes what it may belong to', async (t) => {
  const udp: FrameSpec = { version: 4, protocol: 'udp', payload: bytesOf(3000) }
  const [a, b, c] = framesOf(segmentsOf(udp, 1000)) as [Buffer, Buffer, Buffer]
  const other = makeFrame({ ...udp, ports: [1, 2], payload: bytesOf(9) }).frame
  t.same(
    (join([a, other, b, c]) as Joined[]).map(({ frame }) => frame.length),
    [42 + 3000, 42 + 9],
    'a datagram of another flow is no hindrance',
  )
  // A fragment of a datagram has the flow's addresses, and no ports.
  const fragment = makeFrame({ ...udp, fragment: 0x2010, payload: bytesOf(9) }).frame
  for (const [what, between] of [
    ['a fragment', fragment],
    ['ARP', Buffer.from(`ffffffffffff0200000000010806${'00'.repeat(46)}`, 'hex')],
    ['nothing that can be read', Buffer.alloc(3)],
    ['nothing', Buffer.alloc(0)],
    ['a datagram without checksum', Buffer.concat([a.subarray(0, 40), Buffer.alloc(2), a.subarray(42)])],
  ] as const) {
    t.same(
      (join([a, between, b, c]) as Joined[]).map(({ frame }) => frame.length),
      [a.length, between.length, 42 + 2000],
      what,
    )
  }
})

test('ids of IPv4', async (t) => {
  for (const protocol of ['tcp', 'udp'] as const) {
    const spec: FrameSpec = { version: 4, protocol, payload: bytesOf(4000) }
    const lengths = (fragment: number, ids: number[]) => {
      const specs = segmentsOf({ ...spec, fragment }, 1000).map((each, i) => ({ ...each, id: ids[i] as number }))
      return (join(framesOf(specs)) as Joined[]).map(({ frame }) => frame.length - (protocol === 'tcp' ? 54 : 42))
    }
    t.same(lengths(0, [7, 8, 9, 10]), [4000])
    t.same(lengths(0, [7, 8, 10, 11]), [2000, 2000], 'one is missing')
    t.same(lengths(0, [7, 7, 7, 7]), [1000, 1000, 1000, 1000])
    t.same(lengths(0x4000, [7, 7, 0, 99]), [4000], 'they mean nothing in what must not be fragmented')
  }
})

test('frames that have a header already', async (t) => {
  const spec: FrameSpec = { version: 4, protocol: 'tcp', payload: bytesOf(5000) }
  const segments = framesOf(segmentsOf(spec, 1000)) as [Buffer, Buffer, Buffer, Buffer, Buffer]
  const nothing = makeHeader({ flags: 0 })
  const valid = makeHeader({ flags: 2 })
  const large = makeLarge(spec, 1000)
  t.same(
    join(segments.map((frame, i) => ({ frame, header: i % 2 ? nothing : valid }))),
    [{ frame: large.frame, header: large.header }],
    'that says nothing',
  )
  t.same(join([{ frame: segments[0], header: valid }]), [{ frame: segments[0], header: valid }])
  const wanting = makeHeader({ start: 34, offset: 16 })
  const mixed = [segments[0], segments[1], { frame: segments[2], header: wanting }, segments[3], segments[4]]
  t.same(
    (join(mixed) as Joined[]).map(({ frame, header }) => [frame.length - 54, header?.[1]]),
    [
      [2000, 1],
      [1000, 0],
      [2000, 1],
    ],
    'that wants a checksum',
  )
  const cutLater = { frame: large.frame, header: large.header }
  t.same(join([cutLater, segments[0], cutLater]), [cutLater, { frame: segments[0] }, cutLater], 'that is large')
})

test('spans that lie, and no room', async (t) => {
  const frames = framesOf(segmentsOf({ version: 4, protocol: 'tcp', payload: bytesOf(2000) }, 1000))
  const slab = new Uint8Array(Buffer.concat(frames))
  const size = (frames[0] as Buffer).length
  const run = (spans: number[], out: number, places = 2, position = 0, offloads = ALL) =>
    native.coalesceFrames(
      slab,
      Uint32Array.from(spans),
      spans.length / 2,
      false,
      offloads,
      new Uint8Array(out),
      position,
      new Uint32Array(2 * places),
    )
  const good = [0, size, size, size]
  t.equal(run(good, 10 + 54 + 2000), 1)
  t.equal(run(good, 10 + 54 + 1999), -EMSGSIZE)
  t.equal(run(good, 64 + 10 + 54 + 2000, 2, 1), 1)
  t.equal(run(good, 5000, 0), -EMSGSIZE)
  t.equal(run(good, 5000, 1, 0, 0), -EMSGSIZE, 'two frames')
  t.equal(run(good, 5000, 2, 2 ** 53 - 1), -EMSGSIZE)
  t.equal(run([], 0, 0), 0)
  for (const lie of [
    [slab.length + 1, 0],
    [slab.length, 1],
    [1, slab.length],
    [0xffff_ffff, 0x7fff_ffff],
    [0, 0x8000_0000 + size],
    [9, 0x8000_0000 + size],
    [0, 0xffff_ffff],
  ]) {
    t.equal(run([...good, ...lie], 5000, 3), -EINVAL)
  }
  t.throws(() => native.coalesceFrames(slab, new Uint32Array(2), 1, 1 as never, 0, slab, 0, new Uint32Array(2)))
  t.equal(
    native.coalesceFrames(slab, new Uint32Array(2), 2, false, 0, new Uint8Array(9), 0, new Uint32Array(2)),
    -EINVAL,
  )
})

test('cutting and joining, again and again, give the same', async (t) => {
  const seed = Number(process.env.NETKIT_SEED ?? Date.now() % 0xffff_ffff)
  t.comment(`NETKIT_SEED=${seed}`)
  const random = seeded(seed)
  let same = 0
  for (let i = 0; i < 150; i++) {
    const flow = Object.values(flows)[random(6)] as (typeof flows)[string]
    const tags = [[], [0x8100], [0x88a8, 0x8100], 'none'][random(4)] as FrameSpec['tags']
    const size = 1 + random(random(2) === 0 ? 9000 : 1500)
    const most = Math.min(65_000, size * (flow.protocol === 'udp' ? 128 : 1024))
    const length = Math.min(most, size + 1 + random(random(2) === 0 ? 64_000 : 5000))
    const spec: FrameSpec = {
      ...flow,
      tags,
      id: random(0x1_0000),
      sequence: random(0x1_0000_0000),
      payload: bytesOf(length, i + 1),
    }
    const { frame, header } = makeLarge(spec, size)
    const segments = cut(frame, header, tags === 'none') as Buffer[]
    const joined = join(segments, tags === 'none')
    if (
      !Array.isArray(joined) ||
      joined.length !== 1 ||
      !joined[0]?.frame.equals(frame) ||
      !joined[0]?.header?.equals(header)
    )
      t.same(joined, [{ frame, header }], `${length} bytes in ${size}`)
    else same++
  }
  t.equal(same, 150)
})

test('whatever is in them, nothing else is read or written, and no payload is lost', async (t) => {
  const seed = Number(process.env.NETKIT_SEED ?? Date.now() % 0xffff_ffff)
  t.comment(`NETKIT_SEED=${seed}`)
  const random = seeded(seed)
  const specs = Object.values(flows).flatMap((flow, i) =>
    [[], [0x8100]].flatMap((tags) => segmentsOf({ ...flow, tags, payload: bytesOf(5000, i + 1) }, 300 + random(500))),
  )
  const frames = framesOf(specs)
  let joinedRuns = 0
  const end = Date.now() + 1500
  while (Date.now() < end) {
    const start = random(frames.length)
    const input = frames.slice(start, start + 1 + random(24)).map((original): Joined => {
      let frame = Buffer.from(original)
      const header =
        random(4) === 0 ? makeHeader({ flags: random(5), type: random(8) === 0 ? random(6) : 0 }) : undefined
      if (random(4) !== 0) return header ? { frame, header } : { frame }
      for (let changes = random(3); changes > 0 && frame.length > 0; changes--) {
        if (random(6) === 0) frame = frame.subarray(0, random(frame.length + 1))
        else frame[random(Math.min(80, frame.length))] = random(256)
      }
      return header ? { frame, header } : { frame }
    })
    const layer3 = random(30) === 0
    const joined = join(input, layer3, random(4) === 0 ? random(128) : ALL)
    if (!Array.isArray(joined)) {
      t.fail(`refused: ${joined}`)
      break
    }
    // What was joined can be cut, and then every frame is there once, unless its id meant nothing.
    const back = joined.flatMap((each): Buffer[] => {
      if (each.header === undefined || input.some(({ frame }) => frame.equals(each.frame))) return [each.frame]
      joinedRuns++
      const segments = cut(each.frame, each.header, layer3)
      if (!Array.isArray(segments)) t.fail(`what was joined cannot be cut: ${segments}`)
      return segments as Buffer[]
    })
    const withoutId = (frame: Buffer) => {
      const copy = Buffer.from(frame)
      const network = layer3 ? 0 : copy.length > 14 && copy.readUInt16BE(12) === 0x8100 ? 18 : 14
      if (copy.length > network + 12 && (copy[network] as number) >> 4 === 4 && (copy[network + 6] as number) & 0x40) {
        copy.fill(0, network + 4, network + 6)
        copy.fill(0, network + 10, network + 12)
      }
      return copy.toString('latin1')
    }
    const [there, here] = [input.map(({ frame }) => withoutId(frame)).sort(), back.map(withoutId).sort()]
    if (there.length !== here.length || there.some((frame, i) => frame !== here[i])) {
      t.same(here, there, 'the same frames')
      break
    }
  }
  t.ok(joinedRuns > 100, `${joinedRuns} runs`)
})
