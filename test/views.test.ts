/** The views of packets: fields that are written and read, sums, and the Buffer's end. */
import { deepStrictEqual, strictEqual } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import {
  arp,
  ethernet,
  fillTransportChecksum,
  icmp,
  ipVersion,
  ipv4,
  ipv6,
  isTransportChecksumRight,
  macNumber,
  tcp,
  udp,
  vlan,
} from '../dist/index.js'
import { rangeChecksum } from '../dist/packets/views/checksum.js'
import { needs } from './support/needs.js'
import { checksum } from './support/packets.js'
import { pcapFile } from './support/pcap.js'
import { seeded } from './support/random.js'
import { changers, fields, readers } from './support/views.js'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

function holds(t: Test, what: string, property: fc.IRawProperty<unknown>, numRuns = 200): void {
  try {
    fc.assert(property, { numRuns })
    t.pass(what)
  } catch (error) {
    t.fail(what, { found: (error as Error).message })
  }
}

const mac = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map((octets) => [...octets].map((o) => o.toString(16).padStart(2, '0')).join(':'))
const bits = (count: number) => fc.nat({ max: 2 ** count - 1 })
const ip4 = fc.ipV4()
const ip6 = fc
  .tuple(...Array.from({ length: 8 }, () => fc.integer({ min: 1, max: 0xffff })))
  .map((words) => words.map((word) => word.toString(16)).join(':'))
const fours = fc.integer({ min: 5, max: 15 }).map((words) => 4 * words)

/** What each setter takes. */
const values: Record<string, fc.Arbitrary<unknown>> = {
  'ethernet.setDestination': mac,
  'ethernet.setSource': mac,
  'ethernet.setType': bits(16),
  'vlan.setType': bits(16),
  'vlan.setId': bits(12),
  'vlan.setPriority': bits(3),
  'vlan.setDropEligible': fc.boolean(),
  'arp.setOperation': bits(16),
  'arp.setSenderMac': mac,
  'arp.setSenderIp': ip4,
  'arp.setTargetMac': mac,
  'arp.setTargetIp': ip4,
  'ipv4.setHeaderLength': fours,
  'ipv4.setDscp': bits(6),
  'ipv4.setEcn': bits(2),
  'ipv4.setTotalLength': bits(16),
  'ipv4.setIdentification': bits(16),
  'ipv4.setDontFragment': fc.boolean(),
  'ipv4.setMoreFragments': fc.boolean(),
  'ipv4.setFragmentOffset': bits(13).map((eighths) => 8 * eighths),
  'ipv4.setTimeToLive': bits(8),
  'ipv4.setProtocol': bits(8),
  'ipv4.setChecksum': bits(16),
  'ipv4.setSource': ip4,
  'ipv4.setDestination': ip4,
  'ipv6.setTrafficClass': bits(8),
  'ipv6.setFlowLabel': bits(20),
  'ipv6.setPayloadLength': bits(16),
  'ipv6.setNextHeader': bits(8),
  'ipv6.setHopLimit': bits(8),
  'ipv6.setSource': ip6,
  'ipv6.setDestination': ip6,
  'udp.setSourcePort': bits(16),
  'udp.setDestinationPort': bits(16),
  'udp.setLength': bits(16),
  'udp.setChecksum': bits(16),
  'tcp.setSourcePort': bits(16),
  'tcp.setDestinationPort': bits(16),
  'tcp.setSequence': bits(32),
  'tcp.setAcknowledgement': bits(32),
  'tcp.setHeaderLength': fours.map((length) => length as number),
  'tcp.setFlags': bits(8),
  'tcp.setWindow': bits(16),
  'tcp.setChecksum': bits(16),
  'tcp.setUrgentPointer': bits(16),
  'icmp.setType': bits(8),
  'icmp.setCode': bits(8),
  'icmp.setChecksum': bits(16),
  'icmp.setIdentifier': bits(16),
  'icmp.setSequence': bits(16),
}

test('what is written is read, and no other field changes', (t) => {
  t.same(fields.map(({ name }) => name).sort(), Object.keys(values).sort(), 'each setter has its values here')
  const any = fc.uint8Array({ minLength: 80, maxLength: 80 })
  for (const { name, read, write } of fields) {
    const view = name.split('.')[0]
    const others = fields.filter((other) => other.name.startsWith(`${view}.`) && other.name !== name)
    const property = fc.property(
      any,
      fc.nat({ max: 20 }),
      values[name] as fc.Arbitrary<unknown>,
      (bytes, offset, value) => {
        const buffer = Buffer.from(bytes)
        const before = others.map((other) => other.read(buffer, offset))
        write(buffer, offset, value as never)
        strictEqual(read(buffer, offset), value)
        const version = name === 'ipv4.setHeaderLength' ? 4 : undefined
        if (version !== undefined) strictEqual(ipVersion(buffer, offset), version)
        deepStrictEqual(
          others.map((other) => other.read(buffer, offset)),
          before,
        )
      },
    )
    holds(t, name, property)
  }
  t.end()
})

test('beyond the end is a RangeError, and nothing is written', (t) => {
  for (const [name, call] of [...readers, ...changers]) {
    if (name === 'rangeChecksum') continue
    for (const length of [0, 1]) {
      const buffer = Buffer.alloc(length + 5, 0x45)
      // The last field of each lies behind so few bytes, or is the only one.
      const offset = buffer.length + (length === 0 ? 0 : 100)
      t.throws(() => call(buffer, offset), RangeError, `${name} at ${offset} of ${buffer.length}`)
      t.ok(buffer.every((byte) => byte === 0x45))
    }
  }
  for (const { name, read, write } of fields) {
    const whole = Buffer.alloc(80)
    const value = fc.sample(values[name] as fc.Arbitrary<unknown>, { numRuns: 1, seed: 1 })[0]
    write(whole, 0, value as never)
    for (let length = 0; length < 80; length++) {
      const cut = Buffer.alloc(length, 0x45)
      let fits = true
      try {
        read(cut, 0)
      } catch (error) {
        if (!(error instanceof RangeError)) t.fail(`${name}: ${error}`)
        fits = false
      }
      if (fits) continue
      t.throws(() => write(cut, 0, value as never), RangeError, `${name} of ${length} bytes`)
      if (!cut.every((byte) => byte === 0x45)) t.fail(`${name} has written a part`)
    }
  }
  t.end()
})

test('an ARP frame', (t) => {
  const frame = hex('ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002')
  t.equal(ethernet.destination(frame), 'ff:ff:ff:ff:ff:ff')
  t.ok(ethernet.isBroadcast(frame) && ethernet.isMulticast(frame))
  t.equal(ethernet.source(frame), '02:00:00:00:00:01')
  t.equal(ethernet.sourceNumber(frame), 0x020000000001)
  t.equal(ethernet.destinationNumber(frame), 0xffffffffffff)
  t.equal(macNumber(frame, 6), 0x020000000001)
  t.equal(ethernet.type(frame), 0x0806)
  const at = ethernet.payloadOffset(frame)
  t.equal(at, ethernet.headerLength)
  t.ok(arp.isIpv4(frame, at))
  t.equal(arp.operation(frame, at), arp.request)
  t.equal(arp.senderMac(frame, at), '02:00:00:00:00:01')
  t.equal(arp.senderMacNumber(frame, at), 0x020000000001)
  t.equal(arp.senderIp(frame, at), '10.0.0.1')
  t.equal(arp.senderIpNumber(frame, at), 0x0a000001)
  t.equal(arp.targetMacNumber(frame, at), 0)
  t.equal(arp.targetIp(frame, at), '10.0.0.2')
  t.equal(arp.targetIpNumber(frame, at), 0x0a000002)
  arp.swap(frame, at)
  arp.setSenderMac(frame, at, '02-00-00-00-00-0A')
  ethernet.setDestination(frame, 0, ethernet.source(frame))
  t.equal(
    frame.toString('hex'),
    hex('020000000001 020000000001 0806 0001 0800 06 04 0001 02000000000a 0a000002 020000000001 0a000001').toString(
      'hex',
    ),
  )
  const fresh = Buffer.alloc(arp.length)
  t.notOk(arp.isIpv4(fresh, 0))
  arp.setIpv4(fresh, 0)
  t.ok(arp.isIpv4(fresh, 0))
  t.end()
})

test('VLAN tags', (t) => {
  const frame = hex('020000000002 020000000001 88a8 0064 8100 b005 0800 45')
  t.equal(ethernet.type(frame), 0x88a8)
  t.equal(ethernet.payloadOffset(frame), 22)
  t.equal(ethernet.payloadType(frame), 0x0800)
  t.equal(vlan.id(frame, vlan.first), 100)
  const inner = vlan.first + vlan.length
  t.equal(vlan.type(frame, inner), 0x8100)
  t.equal(vlan.id(frame, inner), 5)
  t.equal(vlan.priority(frame, inner), 5)
  t.equal(vlan.dropEligible(frame, inner), true)
  t.throws(() => ethernet.payloadOffset(frame.subarray(0, 17)), RangeError)
  ethernet.swap(frame)
  t.equal(ethernet.source(frame), '02:00:00:00:00:02')
  t.equal(ethernet.destination(frame), '02:00:00:00:00:01')
  t.end()
})

test('wrong values', (t) => {
  const buffer = Buffer.alloc(60)
  const value = { code: 'ERR_INVALID_ARG_VALUE' }
  t.throws(() => ethernet.setSource(buffer, 0, '02:00'), value)
  t.throws(() => ipv4.setSource(buffer, 0, 'fd00::1'), value)
  t.throws(() => ipv6.setSource(buffer, 0, '10.0.0.1'), value)
  t.throws(() => ipv4.setSource(buffer, 0, 10 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => udp.setLength(buffer, 0, 65_536), { code: 'ERR_OUT_OF_RANGE' })
  t.ok(buffer.every((byte) => byte === 0))
  t.end()
})

test('the Internet checksum', (t) => {
  // The example of RFC 1071, section 3.
  t.equal(rangeChecksum(hex('0001 f203 f4f5 f6f7')), ~0xddf2 & 0xffff)
  t.equal(rangeChecksum(Buffer.alloc(0)), 0xffff)
  t.equal(rangeChecksum(hex('01')), 0xfeff)
  const bytes = fc.uint8Array({ maxLength: 1600 })
  holds(
    t,
    'as it is defined',
    fc.property(bytes, (data) => strictEqual(rangeChecksum(Buffer.from(data)), checksum(data))),
  )
  const parts = fc.property(bytes, fc.nat(), fc.nat({ max: 0xffff }), (data, at, initial) => {
    const buffer = Buffer.from(data)
    const middle = (at % (buffer.length + 1)) & ~1
    const first = rangeChecksum(buffer, 0, middle, initial)
    const whole = Buffer.concat([Buffer.from([initial >> 8, initial & 0xff]), buffer])
    // Zero has two forms.
    const plain = (sum: number) => sum % 0xffff
    strictEqual(plain(rangeChecksum(buffer, middle, buffer.length, ~first & 0xffff)), plain(rangeChecksum(whole)))
  })
  holds(t, 'in parts', parts)
  for (const size of [380, 384, 386, 1500]) {
    t.equal(rangeChecksum(Buffer.alloc(size, 0xff)), 0)
    t.throws(() => rangeChecksum(Buffer.alloc(size), 0, size + 1), RangeError)
  }
  t.end()
})

/** An IP packet of a protocol, with a payload of so many bytes; its sum is not made. */
function packetOf(version: 4 | 6, protocol: number, length: number, options = 0): Buffer {
  const header = version === 4 ? 20 + options : 40
  const packet = Buffer.alloc(header + length)
  if (version === 4) {
    ipv4.setHeaderLength(packet, 0, header)
    ipv4.setTotalLength(packet, 0, packet.length)
    ipv4.setTimeToLive(packet, 0, 64)
    ipv4.setProtocol(packet, 0, protocol)
    ipv4.setSource(packet, 0, '10.0.0.1')
    ipv4.setDestination(packet, 0, '10.0.0.2')
  } else {
    ipv6.setVersion(packet, 0)
    ipv6.setPayloadLength(packet, 0, length)
    ipv6.setNextHeader(packet, 0, protocol)
    ipv6.setHopLimit(packet, 0, 64)
    ipv6.setSource(packet, 0, 'fd00::1')
    ipv6.setDestination(packet, 0, 'fd00::2')
  }
  return packet
}

const cases: [version: 4 | 6, protocol: number, header: number][] = [
  [4, 1, 8],
  [4, 6, 20],
  [4, 17, 8],
  [6, 6, 20],
  [6, 17, 8],
  [6, 58, 8],
]

test('sums of packets', (t) => {
  const random = seeded(8)
  for (const [version, protocol, header] of cases) {
    for (let i = 0; i < 60; i++) {
      const packet = packetOf(version, protocol, header + random.below(i % 3 === 0 ? 1400 : 40), 4 * random.below(4))
      const start = version === 4 ? ipv4.headerLength(packet, 0) : 40
      packet.set(random.bytes(packet.length - start), start)
      if (protocol === 17) udp.setLength(packet, start, packet.length - start)
      // In the middle of a Buffer, with something behind it.
      const buffer = Buffer.concat([random.bytes(14), packet, random.bytes(5)])
      const what = `IPv${version}, protocol ${protocol}`
      if (!fillTransportChecksum(buffer, 14)) t.fail(what)
      if (isTransportChecksumRight(buffer, 14) !== true) t.fail(`${what} is wrong`)
      const at = 14 + start + random.below(packet.length - start)
      buffer[at] = (buffer[at] as number) ^ 0x10
      if (isTransportChecksumRight(buffer, 14) !== false) t.fail(`${what} is right although it was spoilt at ${at}`)
      if (version === 4) {
        ipv4.fillChecksum(buffer, 14)
        t.ok(ipv4.isChecksumRight(buffer, 14))
        t.equal(checksum(buffer.subarray(14, 14 + start)), 0)
        ipv4.setTimeToLive(buffer, 14, 63)
        t.notOk(ipv4.isChecksumRight(buffer, 14))
      }
    }
  }
  t.end()
})

test('packets that have no sum of their own', (t) => {
  const fragment = packetOf(4, 17, 30)
  ipv4.setMoreFragments(fragment, 0, true)
  t.ok(ipv4.isFragment(fragment, 0))
  const others = [fragment, packetOf(4, 47, 30), packetOf(6, 44, 30), packetOf(6, 1, 30), packetOf(4, 58, 30)]
  for (const packet of others) {
    const before = Buffer.from(packet)
    t.equal(fillTransportChecksum(packet, 0), false)
    t.equal(isTransportChecksumRight(packet, 0), undefined)
    t.same(packet, before)
  }
  const none = packetOf(4, 17, 8)
  t.equal(isTransportChecksumRight(none, 0), undefined, 'UDP over IPv4 may do without')
  t.equal(isTransportChecksumRight(packetOf(6, 17, 8), 0), false, 'and over IPv6 may not')

  // A UDP sum that would be 0 is written as its other form.
  const zero = packetOf(4, 17, 10)
  udp.setLength(zero, 20, 10)
  fillTransportChecksum(zero, 0)
  zero.writeUInt16BE(udp.checksum(zero, 20), 28)
  fillTransportChecksum(zero, 0)
  t.equal(udp.checksum(zero, 20), 0xffff)
  t.equal(isTransportChecksumRight(zero, 0), true)

  t.throws(() => fillTransportChecksum(packetOf(4, 6, 19), 0), {
    name: 'RangeError',
    message: /shorter than its headers/,
  })
  const lying = packetOf(4, 6, 30)
  ipv4.setTotalLength(lying, 0, 51)
  t.throws(() => fillTransportChecksum(lying, 0), RangeError)
  lying[0] = 0x44
  t.throws(() => isTransportChecksumRight(lying, 0), RangeError)
  t.notOk(ipv4.isChecksumRight(lying, 0))
  t.end()
})

test('tshark finds the sums right', await needs('tshark'), (t) => {
  const random = seeded(9)
  const packets = cases.map(([version, protocol, header]) => {
    const packet = packetOf(version, protocol, header + 20, 8)
    const start = version === 4 ? ipv4.headerLength(packet, 0) : 40
    if (version === 4) packet.fill(1, 20, start)
    packet.set(random.bytes(20), start + header)
    if (protocol === 1) icmp.setType(packet, start, 8)
    if (protocol === 58) icmp.setType(packet, start, 128)
    if (protocol === 6) {
      tcp.setHeaderLength(packet, start, 20)
      tcp.setFlags(packet, start, tcp.ack | tcp.psh)
    }
    if (protocol === 17) udp.setLength(packet, start, packet.length - start)
    fillTransportChecksum(packet, 0)
    if (version === 4) ipv4.fillChecksum(packet, 0)
    return packet
  })
  const sums = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'].map((name) => `${name}.checksum.status`)
  const checks = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`])
  const file = join(t.testdir({}), 'packets.pcap')
  writeFileSync(file, pcapFile(packets, 101))
  const args = ['-r', file, '-T', 'fields', '-E', 'separator=,', ...sums.flatMap((name) => ['-e', name]), ...checks]
  const { stdout, stderr } = spawnSync('tshark', args, { encoding: 'utf8' })
  t.same(stdout.trim().split('\n'), ['1,,,1,', '1,1,,,', '1,,1,,', ',1,,,', ',,1,,', ',,,,1'], stderr)
  t.end()
})
