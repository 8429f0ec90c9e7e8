/** packetFilter(): what conditions mean, held against a reading of them in JavaScript, the kernel, and tcpdump. */
import { spawnSync } from 'node:child_process'
import { test } from 'tap'
import type { FrameBatch } from '../dist/packets/batch.js'
import type { BytesCondition, PacketCondition } from '../dist/packets/filter/conditions.js'
import type { FilterInstruction } from '../dist/packets/filter/instructions.js'
import { PacketFilter, type PacketFilterInput, type PacketFilterOptions, packetFilter } from '../dist/packets/filter.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { checkPrefix } from '../dist/values/ip.js'
import { parseMac } from '../dist/values/mac.js'
import { askKernel } from './support/kernel-filter.js'
import { needs } from './support/needs.js'
import { pcapFile, secondsIn } from './support/pcap.js'
import { seeded } from './support/random.js'
import { type Rule, randomFrame, randomPacket, randomRule } from './support/random-packets.js'
import { RANGE, TYPE, VALUE } from './support/refused.js'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const list = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T])

/** The number of `size` bytes, NaN when the frame has not so many: nothing is equal to it, or more, or less. */
function numberAt(frame: Buffer, offset: number, size: number): number {
  return offset + size <= frame.length ? frame.readUIntBE(offset, size) : Number.NaN
}

function isMac(frame: Buffer, offset: number, mac: string): boolean {
  return frame.subarray(offset, offset + 6).equals(parseMac(mac) ?? Buffer.alloc(0))
}

function isIn(address: Buffer, text: string): boolean {
  const { octets, prefixLength } = checkPrefix(text, 'network', true)
  if (octets.length !== address.length) return false
  const bits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  return bits(address).slice(0, prefixLength) === bits(octets).slice(0, prefixLength)
}

/** Whether the IP packet at `base` is what is asked. */
function ipHolds(c: PacketCondition, frame: Buffer, type: number, base: number): boolean {
  const packet = frame.subarray(base)
  const isIpv4 = type === 0x0800
  if (!isIpv4 && type !== 0x86dd) return false
  if (packet.length < (isIpv4 ? 20 : 40)) return false
  const protocol = packet[isIpv4 ? 9 : 6] as number
  const names: Record<string, number> = { tcp: 6, udp: 17, sctp: 132, icmp: 1, icmpv6: 58 }
  if (c.protocol !== undefined && protocol !== (names[c.protocol] ?? c.protocol)) return false
  if (c.protocol === (isIpv4 ? 'icmpv6' : 'icmp')) return false
  const source = isIpv4 ? packet.subarray(12, 16) : packet.subarray(8, 24)
  const destination = isIpv4 ? packet.subarray(16, 20) : packet.subarray(24, 40)
  const either = (value: string | readonly string[], ...addresses: Buffer[]) =>
    list(value).some((network) => addresses.some((address) => isIn(address, network)))
  if (c.source !== undefined && !either(c.source, source)) return false
  if (c.destination !== undefined && !either(c.destination, destination)) return false
  if (c.host !== undefined && !either(c.host, source, destination)) return false
  const { sourcePort, destinationPort, port } = c
  if ((sourcePort ?? destinationPort ?? port) === undefined) return true
  if (c.protocol === undefined && ![6, 17, 132].includes(protocol)) return false
  if (isIpv4 && (packet.readUInt16BE(6) & 0x1fff) !== 0) return false
  const header = isIpv4 ? ((packet[0] as number) & 15) * 4 : 40
  if (packet.length < header + 4) return false
  const isPort = (value: NonNullable<PacketCondition['port']>, ...numbers: number[]) =>
    list(value).some((one) => {
      const [least = 0, most = least] = String(one).split('-').map(Number)
      return numbers.some((number) => least <= number && number <= most)
    })
  const [from, to] = [packet.readUInt16BE(header), packet.readUInt16BE(header + 2)]
  if (sourcePort !== undefined && !isPort(sourcePort, from)) return false
  if (destinationPort !== undefined && !isPort(destinationPort, to)) return false
  return port === undefined || isPort(port, from, to)
}

/** Whether a condition holds, with so many bytes of VLAN tags before the type. */
function holds(c: PacketCondition, frame: Buffer, tags = 0): boolean {
  if (c.vlan !== undefined && c.vlan !== false) {
    if (![0x8100, 0x88a8, 0x9100].includes(numberAt(frame, 12 + tags, 2))) return false
    if (c.vlan !== true && (numberAt(frame, 14 + tags, 2) & 0xfff) !== c.vlan) return false
    const { vlan: _, ...rest } = c
    return holds(rest, frame, tags + 4)
  }
  const type = numberAt(frame, 12 + tags, 2)
  const types: Record<string, number> = { ip: 0x0800, ipv6: 0x86dd, arp: 0x0806, '802.1q': 0x8100 }
  const isBytes = ({ offset, size = 1, mask = 2 ** (8 * size) - 1, value }: BytesCondition) => {
    const number = numberAt(frame, offset < 12 ? offset : offset + tags, size)
    return !Number.isNaN(number) && (number & mask) >>> 0 === value
  }
  const isIp = [c.source, c.destination, c.host, c.sourcePort, c.destinationPort, c.port].some((v) => v !== undefined)
  const checks = [
    () => c.vlan !== false || ![0x8100, 0x88a8, 0x9100].includes(type),
    () => c.minimumLength === undefined || frame.length >= c.minimumLength,
    () => c.maximumLength === undefined || frame.length <= c.maximumLength,
    () => c.etherType === undefined || type === (types[c.etherType] ?? c.etherType),
    () => c.arp === undefined || (type === 0x0806) === c.arp,
    () => c.broadcast === undefined || isMac(frame, 0, 'ff:ff:ff:ff:ff:ff') === c.broadcast,
    () => c.multicast === undefined || (((frame[0] as number) & 1) === 1) === c.multicast,
    () => c.sourceMac === undefined || isMac(frame, 6, c.sourceMac),
    () => c.destinationMac === undefined || isMac(frame, 0, c.destinationMac),
    () => c.mac === undefined || isMac(frame, 0, c.mac) || isMac(frame, 6, c.mac),
    () => c.bytes === undefined || list(c.bytes).every(isBytes),
    () =>
      (c.protocol === 'arp' ? type === 0x0806 : c.protocol === undefined && !isIp) ||
      ipHolds(c, frame, type, 14 + tags),
    () => c.all?.every((one) => holds(one, frame, tags)) ?? true,
    () => c.any?.some((one) => holds(one, frame, tags)) ?? true,
    () => c.not === undefined || !holds(c.not, frame, tags),
  ]
  return checks.every((check) => check())
}

/** All rules with all frames: how many matched. */
function compare(rules: readonly PacketCondition[], frames: readonly Buffer[], say: (what: string) => void): number {
  let matched = 0
  for (const condition of rules) {
    const filter = packetFilter(condition)
    for (const frame of frames) {
      const found = filter.matches(frame)
      if (found) matched++
      if (found !== holds(condition, frame))
        say(`${JSON.stringify(condition)} ${found ? 'matches' : 'does not match'} ${frame.toString('hex')}`)
    }
  }
  return matched
}

test('conditions mean what they say, also for frames that are cut', (t) => {
  const random = seeded(1)
  const frames = Array.from({ length: 100 }, () => randomFrame(random, false))
  const rules = Array.from({ length: 300 }, () => randomRule(random)[0])
  const matched = compare(rules, frames, (what) => t.fail(what))
  const all = rules.length * frames.length
  t.ok(matched > all / 10 && matched < (9 * all) / 10, `${matched} of ${all} matched`)
  t.end()
})

test('each condition, alone', (t) => {
  const random = seeded(2)
  const frames = Array.from({ length: 200 }, () => randomFrame(random, false))
  const rules: PacketCondition[] = [
    {},
    { etherType: 'ip' },
    { etherType: '802.1q' },
    { etherType: 0x88cc },
    { arp: true },
    { arp: false },
    { vlan: true },
    { vlan: false },
    { vlan: 5 },
    { vlan: true, all: [{ vlan: 5 }] },
    { vlan: 1, any: [{ vlan: 5, port: 80 }, { etherType: 'ipv6' }] },
    { vlan: 1, not: { vlan: true } },
    { vlan: 1, bytes: { offset: 14, mask: 0xf0, value: 0x40 } },
    { vlan: 1, bytes: { offset: 0, size: 4, value: 0x02000000 } },
    { vlan: false, not: { port: 80 } },
    { protocol: 'udp' },
    { protocol: 'icmp' },
    { protocol: 'icmpv6' },
    { protocol: 58 },
    { protocol: 'arp' },
    { source: '10.0.0.0/8' },
    { source: '10.9.9.9/8' },
    { source: ['10.0.0.1', 'fd00::1', '192.0.2.0/24'] },
    { destination: 'fd00::/16' },
    { host: '0.0.0.0/0' },
    { host: '::/0' },
    { port: 80 },
    { port: '80' },
    { port: [53, '100-500'] },
    { sourcePort: 80, destinationPort: '1-1000', host: ['10.0.0.0/8', 'fd00::/8'] },
    { protocol: 'sctp', port: [53, 80] },
    { minimumLength: 60 },
    { minimumLength: 14 },
    { maximumLength: 60 },
    { minimumLength: 50, maximumLength: 60 },
    { bytes: { offset: 30, size: 2, value: 80 } },
    {
      bytes: [
        { offset: 12, size: 2, value: 0x0800 },
        { offset: 23, value: 17 },
      ],
    },
    { bytes: { offset: 40, size: 4, mask: 0, value: 0 } },
    { bytes: { offset: 14, mask: 0x0f, value: 0x45 } },
    { all: [] },
    { any: [] },
    { not: {} },
    { not: { bytes: { offset: 60, value: 0 } } },
    { mac: '02:00:00:00:00:01', broadcast: false },
    { any: [{ protocol: 'tcp', port: 80 }, { arp: true }], not: { source: '10.0.0.0/8' } },
  ]
  compare(rules, frames, (what) => t.fail(what))
  for (const one of rules.slice(1))
    compare([{ not: one }, { all: [one, { any: [one, {}] }] }], frames, (what) => t.fail(what))
  t.end()
})

test('packets of a tun', (t) => {
  const random = seeded(3)
  const packets = Array.from({ length: 300 }, () => {
    const packet = randomPacket(random)
    return random.once(4) ? packet.subarray(0, 1 + random.below(packet.length)) : packet
  })
  const rules: PacketCondition[] = [
    { etherType: 'ip' },
    { etherType: 'ipv6' },
    { port: 80 },
    { protocol: 'udp', source: ['10.0.0.0/8', 'fd00::1'] },
    { not: { protocol: 'tcp' } },
    { bytes: { offset: 9, value: 17 } },
    { minimumLength: 40, any: [{ host: 'fd00::/16' }, { sourcePort: '1-100' }] },
  ]
  for (const condition of rules) {
    const filter = packetFilter(condition, { layer3: true })
    for (const packet of packets) {
      const type = (packet[0] as number) >> 4 === 4 ? '0800' : '86dd'
      const frame = Buffer.concat([hex('020000000001 020000000002'), hex(type), packet])
      const shifted = { ...condition }
      if (condition.bytes !== undefined) shifted.bytes = { offset: 23, value: 17 }
      if (condition.minimumLength !== undefined) shifted.minimumLength = 54
      if (filter.matches(packet) !== holds(shifted, frame))
        t.fail(`${JSON.stringify(condition)}: ${packet.toString('hex')}`)
    }
  }
  t.end()
})

/** Filters that are longer than a jump. */
function longRules(): PacketCondition[] {
  const ports = Array.from({ length: 400 }, (_, i) => 10_000 + 2 * i)
  const hosts = Array.from({ length: 300 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)
  return [
    { port: [...ports, 80] },
    { not: { host: [...hosts.slice(5), '10.1.2.3'] } },
    {
      any: [
        { destinationPort: ports },
        { all: [{ source: hosts }, { not: { sourcePort: [...ports, 443] } }] },
        { arp: true },
      ],
    },
    {
      vlan: 5,
      any: [{ host: hosts.slice(0, 100), port: ports.slice(0, 100) }, { destination: ['10.0.0.1', 'fd00::1'] }],
    },
    { any: Array.from({ length: 500 }, (_, i) => ({ bytes: { offset: 14 + (i % 60), value: i >> 1 } })) },
  ]
}

test('long filters', (t) => {
  const random = seeded(4)
  const frames = Array.from({ length: 100 }, () => randomFrame(random, false))
  compare(longRules(), frames, (what) => t.fail(what.slice(0, 2000)))
  // Jumps of every length around the longest that there is: when a test holds, when it does not, and both at once.
  const zeros = [Buffer.alloc(400), Buffer.alloc(400).fill(1, 150), Buffer.alloc(299)]
  const places = (count: number) => Array.from({ length: count }, (_, i) => ({ bytes: { offset: i, value: 0 } }))
  const networks = (count: number) => Array.from({ length: count }, (_, i) => `fd00:${i.toString(16)}::/32`)
  for (let count = 0; count < 16; count++) {
    const rules: PacketCondition[] = [
      { minimumLength: 300, all: places(120 + count) },
      { minimumLength: 300, maximumLength: 500, all: places(120 + count) },
      { minimumLength: 300, any: [{ not: { all: places(120 + count) } }, { maximumLength: 350 }] },
      { source: ['10.0.0.1', ...networks(240 + count)] },
    ]
    compare(rules, [...zeros, ...frames], (what) => t.fail(what.slice(0, 2000)))
  }
  const [filter] = longRules().map((rule) => packetFilter(rule))
  t.ok(
    filter?.instructions.some(({ code }) => code === 0x05),
    'there are plain jumps',
  )
  const many = Array.from({ length: 4200 }, (_, i) => i)
  t.throws(() => packetFilter({ port: many }), { code: 'ERR_OUT_OF_RANGE', message: /the number of instructions/ })
  t.end()
})

test('the kernel decides alike', await needs('cc'), (t) => {
  const random = seeded(5)
  const frames = Array.from({ length: 40 }, () => randomFrame(random, false))
  const rules = [...longRules(), ...Array.from({ length: 300 }, () => randomRule(random)[0])]
  const filters = rules.map((rule) => packetFilter(rule, { snapshotLength: 20 }))
  const kernel = askKernel(filters.map(({ bytes }) => ({ program: bytes, frames })))
  filters.forEach((filter, i) => {
    t.equal(kernel[i]?.errno, 0, 'it is taken')
    const kept = frames.map((frame) => Math.min(filter.run(frame), frame.length))
    t.same(kernel[i]?.kept, kept)
  })
  t.end()
})

/** The numbers of those frames that tcpdump passes. */
function tcpdump(expression: string, frames: readonly Buffer[]): number[] {
  const args = ['-r', '-', '-w', '-', expression]
  const { status, stdout, stderr } = spawnSync('tcpdump', args, { input: pcapFile(frames) })
  if (`${stderr}`.includes('rejects all packets')) return []
  if (status !== 0) throw new Error(`tcpdump: ${stderr}`)
  return secondsIn(stdout)
}

// Root of a user namespace cannot become the user that tcpdump wants to be.
const dump = await needs('root', 'tcpdump')

test('tcpdump decides alike', dump, (t) => {
  const random = seeded(6)
  const frames = Array.from({ length: 300 }, () => randomFrame(random, true))
  let matched = 0
  for (let i = 0; i < 60; i++) {
    const [condition, expression]: Rule = randomRule(random)
    const filter = packetFilter(condition)
    const found = frames.flatMap((frame, j) => (filter.matches(frame) ? [j] : []))
    matched += found.length
    t.same(found, tcpdump(expression, frames), `${JSON.stringify(condition)} is ${expression}`)
  }
  t.ok(matched > 2000 && matched < 16_000, `${matched} matched`)
  t.end()
})

test('programs of tcpdump, and their text', dump, (t) => {
  const expressions = [
    'tcp port 80',
    'vlan 5 and ip6',
    'len > 100 and ether[0] & 1 = 0',
    'ip[2:2] - ((ip[0] & 0xf) << 2) > ip[8] * 3 / 7 or ip[1] ^ 3 = ip[2] % 7 | ip[3]',
    'icmp6 or arp or ether host 02:00:00:00:00:01',
    'tcp[tcpflags] & tcp-syn != 0 and tcp[12:2] >> 4 >= ip[3]',
  ]
  const random = seeded(7)
  const frames = Array.from({ length: 100 }, () => randomFrame(random, true))
  for (const expression of expressions) {
    const ask = (flag: string) => {
      const { stdout } = spawnSync('tcpdump', ['-y', 'EN10MB', flag, expression], { encoding: 'utf8' })
      return stdout.trimEnd().split('\n')
    }
    const program = ask('-ddd')
      .slice(1)
      .map((line) => line.split(' ').map(Number))
      .map(([code = 0, jt = 0, jf = 0, k = 0]): FilterInstruction => ({ code, jt, jf, k }))
    const filter = packetFilter(program)
    t.same(
      `${filter}`.split('\n').map((line) => line.trimEnd()),
      ask('-d').map((line) => line.trimEnd()),
      expression,
    )
    const found = frames.flatMap((frame, j) => (filter.matches(frame) ? [j] : []))
    t.same(found, tcpdump(expression, frames))
  }
  t.end()
})

test('the text of a filter', (t) => {
  const lines = [
    '(000) ldh      [12]',
    '(001) jeq      #0x800           jt 2\tjf 16',
    '(002) ld       #pktlen',
    '(003) jge      #0x22            jt 4\tjf 26',
    '(004) ldb      [23]',
    '(005) jeq      #0x6             jt 6\tjf 26',
    '(006) ldh      [20]',
    '(007) jset     #0x1fff          jt 26\tjf 8',
    '(008) ldxb     4*([14]&0xf)',
    '(009) ld       #pktlen',
    '(010) sub      #18',
    '(011) jge      x                jt 12\tjf 26',
    '(012) ldh      [x + 14]',
    '(013) jeq      #0x50            jt 25\tjf 14',
    '(014) ldh      [x + 16]',
    '(015) jeq      #0x50            jt 25\tjf 26',
    '(016) jeq      #0x86dd          jt 17\tjf 26',
    '(017) ld       #pktlen',
    '(018) jge      #0x3a            jt 19\tjf 26',
    '(019) ldb      [20]',
    '(020) jeq      #0x6             jt 21\tjf 26',
    '(021) ldh      [54]',
    '(022) jeq      #0x50            jt 25\tjf 23',
    '(023) ldh      [56]',
  ]
  const text = `${packetFilter({ protocol: 'tcp', port: 80 })}`
  t.same(text.split('\n').slice(0, 24), lines, 'nothing is asked twice')
  const code = (codes: number[], k = 0x10) => codes.map((one) => ({ code: one, jt: 0, jf: 0, k }))
  const odd = [
    ...code([0x02, 0x03, 0x60, 0x61], 3),
    ...code([0x00, 0x01, 0x40, 0x80, 0x81, 0x07, 0x87, 0x84, 0x8c & 0xf4]),
  ]
  const rest = [...code([0x30], 0xfffff014), ...code([0x05], 0), ...code([0x16])]
  t.same(
    `${packetFilter([...odd, ...rest])}`.split('\n').map((line) => line.slice(6).trimEnd().replace(/ +/g, ' ')),
    [
      ...['st M[3]', 'stx M[3]', 'ld M[3]', 'ldx M[3]', 'ld #0x10', 'ldx #0x10', 'ld [x + 16]', 'ld #pktlen'],
      ...['ldx #pktlen', 'tax', 'txa', 'neg', 'neg', 'ldb [mark]', 'ja 15', 'ret'],
    ],
  )
  t.end()
})

test('programs as they are', (t) => {
  const made = packetFilter({ arp: true }, { snapshotLength: 96 })
  t.same(made.instructions, [
    { code: 0x28, jt: 0, jf: 0, k: 12 },
    { code: 0x15, jt: 0, jf: 1, k: 0x0806 },
    { code: 0x06, jt: 0, jf: 0, k: 96 },
    { code: 0x06, jt: 0, jf: 0, k: 0 },
  ])
  t.equal(made.bytes.toString('hex'), '280000000c000000150000010608000006000000600000000600000000000000')
  for (const same of [made.bytes, new Uint8Array(made.bytes), made.instructions, [...made.instructions]]) {
    t.same(packetFilter(same as PacketFilterInput).bytes, made.bytes)
  }
  t.equal(packetFilter(made), made)
  const bytes = made.bytes
  bytes.fill(0)
  t.not(made.bytes[0], 0, 'bytes are a copy')
  t.throws(() => Object.assign(made.instructions, { 0: null }), TypeError, 'instructions cannot be changed')
  const arp = Buffer.alloc(60)
  arp.writeUInt16BE(0x0806, 12)
  t.equal(made.run(arp), 96)
  t.equal(packetFilter({}).run(arp), 262_144)
  const slab = Buffer.concat([Buffer.alloc(100), arp, Buffer.alloc(9)])
  t.ok(made.matches(slab, 100, 60))
  t.ok(made.matches(slab, 100))
  t.notOk(made.matches(slab, 99, 60))
  t.notOk(made.matches(slab, 100, 13), 'the type is behind its end')
  t.notOk(made.matches(slab.subarray(0, 0)))
  for (const [offset, length] of [
    [-1, 1],
    [170, 1],
    [100, 70],
    [0.5, 1],
  ]) {
    t.throws(() => made.matches(slab, offset, length), { code: /ERR_OUT_OF_RANGE|ERR_INVALID_ARG_TYPE/ })
  }
  t.throws(() => made.matches('x' as never), { code: 'ERR_INVALID_ARG_TYPE' })
  const kernelOnly = packetFilter([
    { code: 0x20, jt: 0, jf: 0, k: 0xfffff008 },
    { code: 0x16, jt: 0, jf: 0, k: 0 },
  ])
  t.throws(() => kernelOnly.matches(arp), { name: 'NetkitError', code: 'EOPNOTSUPP' })
  t.ok(made instanceof PacketFilter)
  t.end()
})

test('the frames of a batch', async (t) => {
  const random = seeded(10)
  const frames = Array.from({ length: 600 }, () => Buffer.concat([randomFrame(random, true), Buffer.alloc(8)]))
  const [a, b] = createEndPair()
  const filter = packetFilter({ any: [{ port: 80 }, { arp: true }] })
  const wanted = frames.filter((frame) => filter.matches(frame))
  t.equal(a.writeBatch(frames), frames.length)
  const found: Buffer[] = []
  let seen = 0
  let last: FrameBatch | undefined
  for await (const batch of b.batches({ max: 400 })) {
    last = batch
    const some = filter.select(batch)
    for (let i = 0; i < some.length; i++) found.push(some.copy(i))
    seen += batch.length
    if (seen === frames.length) break
  }
  t.ok(wanted.length > 50 && wanted.length < 550, `${wanted.length} match`)
  t.ok(Buffer.concat(found).equals(Buffer.concat(wanted)))
  t.throws(() => filter.select(last as FrameBatch), { code: 'ERR_INVALID_STATE' })
  t.throws(() => filter.select(frames as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await Promise.all([a.close(), b.close()])
})

test('what is refused', (t) => {
  const wrong: [condition: unknown, code: string, message: RegExp, options?: PacketFilterOptions][] = [
    [undefined, TYPE, /filter must be conditions/],
    ['tcp', TYPE, /filter must be conditions/],
    [{ protocl: 'tcp' }, VALUE, /'protocl'.*protocol/],
    [{ any: { arp: true } }, TYPE, /filter\.any must be an array/],
    [{ any: [{}, { not: { prot: 1 } }] }, VALUE, /filter\.any\[1\]\.not/],
    [{ protocol: 'tpc' }, VALUE, /filter\.protocol/],
    [{ protocol: 256 }, RANGE, /filter\.protocol/],
    [{ protocol: 'icmp', port: 7 }, VALUE, /icmp has no ports/],
    [{ protocol: 'arp', host: '10.0.0.1' }, VALUE, /filter\.host/],
    [{ port: 65_536 }, VALUE, /filter\.port 65536/],
    [{ port: '90-80' }, VALUE, /the smaller first/],
    [{ port: -1 }, VALUE, /filter\.port/],
    [{ port: [80, 'http'] }, VALUE, /filter\.port\[1\]/],
    [{ port: [] }, VALUE, /one or more/],
    [{ sourcePort: true }, TYPE, /filter\.sourcePort/],
    [{ source: '10.0.0' }, VALUE, /filter\.source/],
    [{ source: '10.0.0.0/33' }, VALUE, /prefix length/],
    [{ source: 10 }, TYPE, /filter\.source/],
    [{ source: '10.0.0.1', destination: 'fd00::1' }, VALUE, /IPv4 and IPv6/],
    [{ protocol: 'icmpv6', host: '10.0.0.1' }, VALUE, /IPv4 and IPv6/],
    [{ mac: '02:00:00:00:00' }, VALUE, /filter\.mac/],
    [{ broadcast: 1 }, TYPE, /filter\.broadcast/],
    [{ vlan: 4095 }, RANGE, /filter\.vlan/],
    [{ vlan: '5' }, TYPE, /filter\.vlan/],
    [{ etherType: 'all' }, VALUE, /filter\.etherType/],
    [{ etherType: 0x10000 }, RANGE, /filter\.etherType/],
    [{ minimumLength: -1 }, RANGE, /filter\.minimumLength/],
    [{ bytes: { offset: 0, size: 3, value: 0 } }, VALUE, /filter\.bytes\.size/],
    [{ bytes: { offset: 0, value: 256 } }, RANGE, /filter\.bytes\.value/],
    [{ bytes: [{ offset: 0, value: 1, masc: 1 }] }, VALUE, /filter\.bytes\[0\]/],
    [{ bytes: { offset: 70_000, value: 1 } }, RANGE, /filter\.bytes\.offset/],
    [{ vlan: 1, bytes: { offset: 11, size: 2, value: 1 } }, VALUE, /tag lies between/],
    [{ arp: true }, VALUE, /no Ethernet header/, { layer3: true }],
    [{ any: [{ mac: '02:00:00:00:00:01' }] }, VALUE, /filter\.any\[0\]\.mac/, { layer3: true }],
    [{ protocol: 'arp' }, VALUE, /no Ethernet header/, { layer3: true }],
    [{ etherType: 'arp' }, VALUE, /IPv4 or IPv6/, { layer3: true }],
    [{}, RANGE, /options\.snapshotLength/, { snapshotLength: 0 }],
    [{}, TYPE, /options\.layer3/, { layer3: 1 as never }],
    [{}, VALUE, /layer3/, { layer: 3 } as never],
    [new Uint8Array(7), VALUE, /no multiple/],
    [new Uint8Array(0), VALUE, /from 1 to 4096 instructions, not 0/],
    [new Uint8Array(8), VALUE, /ends with a ret/],
    [[{ code: 0x15, jt: 3, jf: 0, k: 1 }], VALUE, /does not take instruction 0/],
    [[{ code: 1 }], TYPE, /filter\[0\]\.jt/],
    [[{ code: 6, jt: 0, jf: 0, k: -1 }], RANGE, /filter\[0\]\.k/],
    [packetFilter({}), VALUE, /only conditions have options/, { layer3: true }],
  ]
  for (const [condition, code, message, options] of wrong) {
    t.throws(() => packetFilter(condition as never, options), { code, message }, String(message))
  }
  let deep: PacketCondition = {}
  for (let i = 0; i < 200; i++) deep = { not: deep }
  t.throws(() => packetFilter(deep), { code: VALUE, message: /nested more than/ })
  const circular: { not?: unknown } = {}
  circular.not = circular
  t.throws(() => packetFilter(circular as PacketCondition), { code: VALUE })
  t.end()
})
