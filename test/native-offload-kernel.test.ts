/** The kernel as the referee: what it makes of the same large frames, and whether it takes what is made here. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { native } from '../dist/native.js'
import { createOffloadFrame, isOffloadFrame, type OffloadFrame } from '../dist/packets/offload-header.js'
import { openTap, type Tap } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { needs } from './support/needs.js'
import { cut, type Joined, join as joinFrames } from './support/offload-native.js'
import { ipDo, scratch } from './support/scratch.js'
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
  segmentsOf,
} from './support/segments.js'

const uso = await needs('namespaces', 'tun', 'ip', 'kernel:6.2')
const tshark = await needs('namespaces', 'tshark')

const HEADER = 10

/** A frame with its header, as a Tap takes it. */
function offloaded({ frame, header }: Joined): Buffer {
  if (header === undefined) return frame
  const made = createOffloadFrame(frame)
  Buffer.from(made.buffer, made.byteOffset - HEADER, HEADER).set(header)
  return made
}

const headerOf = (frame: OffloadFrame) => Buffer.from(frame.buffer, frame.byteOffset - HEADER, HEADER)

/** The counters of /proc/net/snmp and snmp6 that say that a checksum was wrong. */
async function checksumErrors(namespace: Namespace): Promise<Record<string, number>> {
  const { stdout } = await namespace.exec('cat', ['/proc/net/snmp', '/proc/net/snmp6'], { check: true })
  const found: Record<string, number> = {}
  for (const [, name, value] of stdout.matchAll(/^(\S*InCsumErrors)\s+(\d+)$/gm)) found[name as string] = Number(value)
  for (const [, protocol, names, values] of stdout.matchAll(/^(\w+): ([A-Z].*)\n\1: (.*)$/gm)) {
    const at = (names as string).split(' ').indexOf('InCsumErrors')
    if (at >= 0) found[`${protocol}`] = Number((values as string).split(' ')[at])
  }
  if (!('Tcp' in found && 'Udp' in found && 'Udp6InCsumErrors' in found)) throw new Error('these are not the counters')
  return found
}

/** A router of two taps: what is written to `from`, with an offload header, comes out of `to`, whole. */
async function router(t: Test): Promise<{ from: Tap; to: Tap; namespace: Namespace }> {
  const namespace = await scratch(t)
  const set = (name: string, value: number) => namespace.sysctl.set(name, value)
  set('net.ipv4.ip_forward', 1)
  set('net.ipv6.conf.all.forwarding', 1)
  const common = { namespace, up: true }
  const addresses = (n: number) => [`10.0.${n}.1/24`, { address: `fd00:${n}::1/64`, noDad: true }]
  const from = await openTap({
    ...common,
    name: 'from',
    mac: '02:00:00:00:00:02',
    addresses: addresses(1),
    offload: true,
  })
  const to = await openTap({ ...common, name: 'to', addresses: addresses(2) })
  for (const address of ['10.0.2.7', 'fd00:2::7']) {
    await ipDo(namespace, 'neighbor', 'replace', address, 'lladdr', '02:00:00:00:00:07', 'dev', 'to')
  }
  t.teardown(async () => {
    await from.close()
    await to.close()
  })
  return { from, to, namespace }
}

/** IP packets to port 5002 that come out of a tap within its next `count` ones, without Ethernet and as before their last hop. */
async function received(tap: Tap, count: number): Promise<Buffer[]> {
  const packets: Buffer[] = []
  for await (const frame of tap.iterator({ destroyOnReturn: false })) {
    const packet = Buffer.from((frame as Buffer).subarray(14))
    const version = (packet[0] as number) >> 4
    const transport = version === 4 ? 20 : 40
    if (packet.length < transport + 4 || packet.readUInt16BE(transport + 2) !== 5002) continue
    if (version === 4) {
      // RFC 1624: the checksum of a hop limit that is one more.
      packet[8] = (packet[8] as number) + 1
      const sum = packet.readUInt16BE(10) - 0x0100
      packet.writeUInt16BE(sum < 0 ? sum + 0xffff : sum, 10)
    } else {
      packet[7] = (packet[7] as number) + 1
    }
    packets.push(packet)
    if (packets.length === count) break
  }
  return packets
}

const kinds: Readonly<Record<string, Partial<FrameSpec> & Pick<FrameSpec, 'version' | 'protocol'>>> = {
  'TCP, IPv4': { version: 4, protocol: 'tcp', options: '0101080a0000111100002222', flags: ACK | PSH },
  'TCP, IPv4, FIN and CWR, may be fragmented': {
    version: 4,
    protocol: 'tcp',
    flags: ACK | FIN | ECE | CWR,
    fragment: 0,
  },
  'TCP, IPv6': { version: 6, protocol: 'tcp', options: '0101080a0000111100002222', flags: ACK | PSH },
  'TCP, IPv6, CWR': { version: 6, protocol: 'tcp', flags: ACK | CWR, sequence: 0xffff_ff00 },
  'UDP, IPv4': { version: 4, protocol: 'udp' },
  'UDP, IPv6': { version: 6, protocol: 'udp', trafficClass: 0x28, flowLabel: 0x12345 },
}
const network = (frame: Buffer) => frame.subarray(14)

test('segments are those that the kernel makes', uso, async (t) => {
  const { from, to } = await router(t)
  for (const [name, kind] of Object.entries(kinds)) {
    for (const [length, size] of [
      [4000, 1400],
      [1401, 1400],
      [2800, 1400],
      [60_000, 1200],
      [500, 100],
    ] as const) {
      const spec: FrameSpec = { ...kind, payload: bytesOf(length) }
      const { frame, header } = makeLarge(
        spec,
        size,
        kind.flags && kind.flags & CWR ? { type: kind.version === 4 ? 0x81 : 0x84 } : {},
      )
      const segments = cut(frame, header) as Buffer[]
      from.write(offloaded({ frame, header }))
      const ofKernel = await received(to, segments.length)
      t.ok(
        segments.every((segment, i) => network(segment).equals(ofKernel[i] as Buffer)),
        `${name}, ${length} bytes in ${size}`,
      ) || t.same(segments.map(network), ofKernel)
    }
  }
})

test('the kernel cuts what was joined to what it was', uso, async (t) => {
  const { from, to } = await router(t)
  for (const [name, kind] of Object.entries(kinds)) {
    // CWR and FIN are not joined.
    const spec: FrameSpec = { ...kind, flags: ACK | PSH, payload: bytesOf(20_001) }
    const frames = segmentsOf(spec, 1203).map((each) => makeFrame(each).frame)
    const joined = joinFrames(frames) as Joined[]
    t.equal(joined.length, 1)
    for (const each of joined) from.write(offloaded(each))
    const ofKernel = await received(to, frames.length)
    t.ok(
      frames.every((frame, i) => network(frame).equals(ofKernel[i] as Buffer)),
      name,
    )
  }
})

/**
 * Two namespaces: `offload` has a tap with offload headers, `plain` one without. Between them, what comes from the one is cut, and
 * what comes from the other is joined.
 */
async function oneSided(t: Test, layer3 = false) {
  const [left, right] = [await scratch(t), await scratch(t)]
  const open = layer3 ? openTun : openTap
  const a = await open({
    namespace: left,
    up: true,
    addresses: ['10.0.1.1/24', { address: 'fd00::1/64', noDad: true }],
    offload: true,
  })
  const b = await open({
    namespace: right,
    up: true,
    addresses: ['10.0.1.2/24', { address: 'fd00::2/64', noDad: true }],
  })
  const counts = { large: 0, segments: 0, joined: 0, refused: 0 }
  const there = (async () => {
    for await (const batch of a.batches()) {
      const whole: Buffer[] = []
      for (const frame of batch) {
        if (!isOffloadFrame(frame)) throw new Error('a frame without a header')
        const segments = cut(frame, headerOf(frame), layer3)
        if (typeof segments === 'number') counts.refused++
        else whole.push(...segments)
        if (frame.header.segmentation !== 'none') {
          counts.large++
          counts.segments += (segments as Buffer[]).length
        }
      }
      b.writeBatch(whole)
    }
  })()
  const back = (async () => {
    for await (const batch of b.batches()) {
      const joined = joinFrames([...batch], layer3) as Joined[]
      counts.joined += joined.filter(({ header }) => header !== undefined).length
      a.writeBatch(joined.map(offloaded))
    }
  })()
  const close = async () => {
    await Promise.all([a.close(), b.close()])
    await Promise.all([there, back])
  }
  return { left, right, counts, close }
}

const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')

for (const [what, layer3] of [
  ['a tap', false],
  ['a tun', true],
] as const) {
  test(`TCP between ${what} with offload and one without`, uso, async (t) => {
    const { left, right, counts, close } = await oneSided(t, layer3)
    const data = bytesOf(8_000_003, 3)
    for (const host of ['10.0.1.2', 'fd00::2']) {
      // What the server receives, it sends back when it has all.
      const server = await right.listen({ port: 0, host })
      server.on('connection', (socket) => {
        const parts: Buffer[] = []
        let bytes = 0
        socket.on('data', (part: Buffer) => {
          parts.push(part)
          bytes += part.length
          if (bytes === data.length) socket.end(Buffer.concat(parts))
        })
      })
      const { port } = server.address() as { port: number }
      const socket = await left.connect({ host, port })
      socket.write(data)
      const parts: Buffer[] = []
      for await (const part of socket) parts.push(part)
      t.equal(hash(Buffer.concat(parts)), hash(data), host)
      server.close()
    }
    t.ok(counts.large > 100 && counts.segments >= 2 * counts.large && counts.joined > 100, JSON.stringify(counts))
    t.equal(counts.refused, 0)
    for (const namespace of [left, right]) {
      for (const [name, count] of Object.entries(await checksumErrors(namespace))) t.equal(count, 0, name)
    }
    await close()
  })
}

/** SOL_UDP's UDP_SEGMENT and UDP_GRO, linux/udp.h. */
const [SOL_UDP, UDP_SEGMENT] = [17, 103]

test('datagrams between a tap with offload and one without', uso, async (t) => {
  const { left, right, counts, close } = await oneSided(t)
  // struct sockaddr_in and sockaddr_in6, of port 7000.
  for (const [type, family, address] of [
    ['udp4', 2, `02001b580a000102${'00'.repeat(8)}`],
    ['udp6', 10, `0a001b5800000000fd00${'00'.repeat(13)}0200000000`],
  ] as const) {
    const there = await right.bindDatagram({ type, port: 7000 })
    const fd = await native.openSocket(left.fd, family, 2, 0)
    t.equal(native.connectSocket(fd, Buffer.from(address, 'hex')), 0)
    const size = Buffer.alloc(4)
    size.writeInt32LE(1000)
    t.equal(native.setSocketOption(fd, SOL_UDP, UDP_SEGMENT, size), 0)
    const found: Buffer[] = []
    there.on('message', (message) => found.push(message))
    for (let i = 0; i < 20; i++) {
      const data = bytesOf(20_001 + i, i + 1)
      writeSync(fd, data)
      for (let waited = 0; found.length < 21 && waited < 500; waited++) await delay(10)
      t.same(
        found.map(({ length }) => length),
        [...Array(20).fill(1000), 1 + i],
      )
      t.ok(Buffer.concat(found.splice(0)).equals(data))
    }
    await native.closeDescriptor(fd)
    there.close()
    await once(there, 'close')
  }
  t.ok(counts.large >= 40 && counts.segments >= 40 * 21, JSON.stringify(counts))
  for (const [name, count] of Object.entries(await checksumErrors(right))) t.equal(count, 0, name)
  await close()
})

test('a writer takes what it said that it takes, and the rest is cut for it', uso, async (t) => {
  const { from } = await router(t)
  const [CSUM, TSO4, TSO6, ECN, USO4, USO6] = [1, 2, 4, 8, 0x20, 0x40]
  const tcp: FrameSpec = { version: 4, protocol: 'tcp', payload: bytesOf(4000) }
  const six: FrameSpec = { ...tcp, version: 6 }
  const udp: FrameSpec = { ...tcp, protocol: 'udp' }
  const wanting = makeFrame({ ...tcp, partial: true })
  const frames: Readonly<Record<string, Joined>> = {
    whole: makeFrame(tcp),
    checksum: { ...wanting, header: makeHeader({ start: 34, offset: 16 }) },
    tcp4: makeLarge(tcp, 1400),
    ecn4: makeLarge(tcp, 1400, { type: 0x81 }),
    tcp6: makeLarge(six, 1400),
    ecn6: makeLarge(six, 1400, { type: 0x84 }),
    udp: makeLarge(udp, 1400),
  }
  // Frames as they are count one, the others three.
  for (const [offloads, asTheyAre] of [
    [0, []],
    [CSUM, []],
    [CSUM | TSO4, ['tcp4']],
    [CSUM | TSO6, ['tcp6']],
    [CSUM | TSO4 | ECN, ['tcp4', 'ecn4']],
    [CSUM | TSO6 | ECN, ['tcp6', 'ecn6']],
    [CSUM | ECN, []],
    [CSUM | USO4, []],
    [CSUM | USO4 | USO6, ['udp']],
    [CSUM | TSO4 | TSO6 | ECN | USO4 | USO6, ['tcp4', 'ecn4', 'tcp6', 'ecn6', 'udp']],
    [TSO4 | TSO6 | ECN | USO4 | USO6, []],
  ] as const) {
    const end = native.createTunEnd(from.fds[0] as number, 0, 1, offloads)
    const counters = new Float64Array(8)
    for (const [name, { frame, header }] of Object.entries(frames)) {
      const slab = Buffer.concat([header ?? Buffer.alloc(10), frame])
      const before = counters[2] as number
      const span = Uint32Array.of(10, (frame.length | (header ? 0x8000_0000 : 0)) >>> 0)
      t.equal(native.writeFrames(end, slab, span, 0, 1), 1)
      native.endCounters(end, counters)
      const isOne = name === 'whole' || name === 'checksum' || (asTheyAre as readonly string[]).includes(name)
      t.equal((counters[2] as number) - before, isOne ? 1 : 3, `${name}, with ${offloads}`)
    }
    t.equal(counters[4], 0, 'none is refused')
  }
  const refuser = native.createTunEnd(from.fds[0] as number, 0, 1, 0)
  const counters = new Float64Array(8)
  const bad = makeLarge(tcp, 0)
  const slab = Buffer.concat([bad.header, bad.frame])
  t.equal(native.writeFrames(refuser, slab, Uint32Array.of(10, (bad.frame.length | 0x8000_0000) >>> 0), 0, 1), 1)
  native.endCounters(refuser, counters)
  t.same([counters[2], counters[4], counters[6]], [0, 1, constants.errno.EINVAL], 'one that contradicts itself is')
})

/** A capture file (pcap, of Ethernet frames) of frames. */
function pcap(frames: readonly Buffer[]): Buffer {
  const file = Buffer.alloc(24)
  for (const [i, value] of [0xa1b2c3d4, 0x00040002, 0, 0, 0x40000, 1].entries()) file.writeUInt32LE(value, 4 * i)
  const records = frames.map((frame) => {
    const record = Buffer.alloc(16)
    record.writeUInt32LE(frame.length, 8)
    record.writeUInt32LE(frame.length, 12)
    return Buffer.concat([record, frame])
  })
  return Buffer.concat([file, ...records])
}

test('tshark finds nothing wrong with a segment', tshark, async (t) => {
  const namespace = await scratch(t)
  const frames: Buffer[] = []
  for (const kind of Object.values(kinds)) {
    for (const tags of [[], [0x8100], [0x88a8, 0x8100]]) {
      const changes: Partial<FrameSpec>[] =
        kind.version === 4
          ? [{}, { ipOptions: '94040000' }]
          : [{}, { extensions: [[0, '00050200000100'] as const, [60, '00010400000000'] as const] }]
      for (const change of changes) {
        const { frame, header } = makeLarge({ ...kind, ...change, tags, payload: bytesOf(2503) }, 1000)
        frames.push(...(cut(frame, header) as Buffer[]))
      }
    }
  }
  const spoilt = Buffer.from(frames[0] as Buffer)
  spoilt[60] = (spoilt[60] as number) ^ 1
  const checks = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`])
  const fields = ['ip', 'tcp', 'udp'].flatMap((name) => ['-e', `${name}.checksum.status`])
  const file = join(t.testdir({ 'frames.pcap': pcap([...frames, spoilt]) }), 'frames.pcap')
  const { stdout } = await namespace.exec('tshark', ['-n', '-r', file, '-T', 'fields', ...checks, ...fields], {
    check: true,
  })
  // 1: good, 0: bad, nothing: no such header.
  const lines = stdout.replace(/\n$/, '').split('\n')
  t.equal(lines.length, frames.length + 1)
  t.equal(lines.pop(), '1\t0\t', 'it can tell')
  for (const line of new Set(lines)) t.match(line, /^1?\t(1\t|\t1)$/)
})
