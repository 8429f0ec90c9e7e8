/** Packet sockets on real links: what they read and write. */
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { createNamespace } from '../dist/namespace/open.js'
import type { PacketSocketOptions } from '../dist/sockets/packet-options.js'
import { openPacketSocket, type PacketSocket } from '../dist/sockets/packet-socket.js'
import { openTun } from '../dist/tuntap/tun.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { filled, open, quietPair, tagged, take, takeUntil } from './support/packet-socket.js'
import { checksum, numberedFrame, numberOf } from './support/packets.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const shark = await needs('namespaces', 'tshark')

/** Instructions of classic BPF. */
const returns = (k: number) => ({ code: 6, jt: 0, jf: 0, k })
const loadHalf = (k: number) => ({ code: 0x28, jt: 0, jf: 0, k })
const loadWord = (k: number) => ({ code: 0x20, jt: 0, jf: 0, k })
const ifEqual = (k: number, jt: number, jf: number) => ({ code: 0x15, jt, jf, k })
/** Frames whose number is even. */
const evenOnly = [loadWord(14), { code: 0x45, jt: 1, jf: 0, k: 1 }, returns(0xffff), returns(0)]

for (const ring of [false, true]) {
  const how = ring ? 'through a ring' : 'from the socket'

  test(`frames of every size cross a link, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    for (const link of [left, right]) await link.set({ mtu: 9000 })
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ring })
    const sizes = [18, 60, 64, 100, 500, 1500, 1514, 1515, 2048, 2100, 4000, 8999, 9014]
    for (let i = 0; i < 1100; i++) sizes.push(18 + ((i * 37) % 8990))
    const sent = sizes.map((size, i) => filled(i, size))
    const reading = take(receiver, sent.length)
    for (let i = 0; i < sent.length; i += 50) {
      t.equal(sender.writeBatch(sent.slice(i, i + 50)), sent.slice(i, i + 50).length)
      await delay(1)
    }
    const got = await reading
    t.equal(got.length, sent.length)
    const wrong = got.findIndex((frame, i) => !frame.equals(sent[i] as Buffer))
    t.equal(wrong, -1, 'in order, and as they were')
    t.match(sender.stats(), { framesWritten: sent.length, refused: 0, framesRead: 0, dropped: 0 })
    t.match(receiver.stats(), { framesRead: sent.length, truncated: 0, dropped: 0 })
  })

  test(`the MTU grows while the socket is open, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ring })
    for (const link of [left, right]) await link.set({ mtu: 65_000 })
    const sent = Array.from({ length: 100 }, (_, i) => filled(i, i % 3 === 0 ? 60 : 1400 + i * 630))
    const reading = take(receiver, sent.length)
    for (const frame of sent) sender.writeBatch([frame])
    const got = await reading
    t.equal(
      got.findIndex((frame, i) => !frame.equals(sent[i] as Buffer)),
      -1,
    )
    t.match(receiver.stats(), { framesRead: 100, truncated: 0, dropped: 0 })
  })

  test(`VLAN tags that the kernel took off are put back, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ring })
    const sent = [
      tagged(filled(0, 60), 7),
      tagged(filled(1, 1514), 0xe123),
      tagged(filled(2, 300), 5, 0x88a8),
      tagged(tagged(filled(3, 200), 100), 200, 0x88a8),
      tagged(filled(4, 60), 0),
      filled(5, 60),
    ]
    sender.writeBatch(sent)
    const got = await take(receiver, sent.length)
    for (const [i, frame] of sent.entries()) t.ok(got[i]?.equals(frame), `frame ${i}`)
  })

  test(`times, directions and lengths, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const filter = [returns(40)]
    const receiver = await open(t, { link: right, ring, direction: 'both', filter })
    const other = await open(t, { link: right })
    const before = BigInt(Date.now() - 1) * 1_000_000n
    sender.writeBatch([filled(0, 100), tagged(filled(1, 60), 9)])
    other.writeBatch([filled(2, 500)])
    const seen = []
    for await (const batch of receiver.batches({ details: true })) {
      for (let i = 0; i < batch.length; i++) {
        const near = batch.time(i) >= before && batch.time(i) <= BigInt(Date.now() + 1) * 1_000_000n
        t.ok(near, `${batch.time(i)} is near now`)
        seen.push([batch.size(i), batch.originalLength(i), batch.direction(i)])
      }
      if (seen.length === 3) break
    }
    t.same(seen, [
      [40, 100, 'inbound'],
      // The filter kept 40 bytes of a frame whose tag had been taken off.
      [44, 64, 'inbound'],
      [40, 500, 'outbound'],
    ])
  })

  test(`frames that have no room are counted, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const options: PacketSocketOptions = ring ? { ring: { blocks: 2, blockSize: 131_072 } } : { receiveBuffer: 16_384 }
    const receiver = await open(t, { link: right, ...options })
    const frames = Array.from({ length: 100 }, (_, i) => filled(i, 1000))
    for (let i = 0; i < 10; i++) t.equal(sender.writeBatch(frames), 100)
    let read = 0
    receiver.onBatch((batch) => {
      read += batch.length
    })
    t.ok(await eventually(() => read + (receiver.stats().dropped ?? 0) === 1000))
    const { dropped, framesRead } = receiver.stats()
    t.ok((dropped as number) > 100 && framesRead > 4, `${dropped} dropped, ${framesRead} read`)
    t.equal(receiver.stats().dropped, dropped, 'reading the number does not take it away')
    await receiver.close()
    t.equal(receiver.stats().dropped, dropped, 'nor does closing')
  })

  test(`a filter lets through what it should, ${how}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const asBytes = Buffer.alloc(8 * evenOnly.length)
    evenOnly.forEach(({ code, jt, jf, k }, i) => {
      asBytes.writeUInt16LE(code, 8 * i)
      asBytes[8 * i + 2] = jt
      asBytes[8 * i + 3] = jf
      asBytes.writeUInt32LE(k, 8 * i + 4)
    })
    const receivers: PacketSocket[] = []
    for (const filter of [evenOnly, asBytes, { bytes: asBytes }])
      receivers.push(await open(t, { link: right, ring, filter }))
    sender.writeBatch(Array.from({ length: 21 }, (_, i) => filled(i, 60)))
    for (const receiver of receivers) {
      const got = await take(receiver, 11)
      t.same(got.map(numberOf), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
      t.equal(receiver.stats().dropped, 0)
    }
  })
}

test('a stream of frames', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const sender = await open(t, { link: 'left', namespace: left.namespace })
  const receiver = await open(t, { link: right.index, namespace: right.namespace })
  t.equal(receiver.name, 'right')
  t.equal(receiver.link?.index, right.index)
  t.equal(receiver.fanoutGroup, undefined)
  for (let i = 0; i < 100; i++) sender.write(filled(i, 60 + i))
  let number = 0
  for await (const frame of receiver) {
    t.ok(filled(number, 60 + number).equals(frame))
    if (++number === 100) break
  }
  t.ok(receiver.destroyed, 'break closes it')
})

test('directions: what comes in, what others send, both; never what the socket sent', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const remote = await open(t, { link: left })
  const local = await open(t, { link: right })
  const sockets = []
  for (const direction of [undefined, 'inbound', 'outbound', 'both'] as const) {
    sockets.push(await open(t, { link: right, ...(direction ? { direction } : {}) }))
  }
  const own = await open(t, { link: right, direction: 'both' })
  remote.writeBatch([filled(1, 60)])
  local.writeBatch([filled(2, 60)])
  own.writeBatch([filled(3, 60)])
  remote.writeBatch([filled(9, 60)])
  local.writeBatch([filled(10, 60)])
  const numbers = async (socket: PacketSocket, last: number) =>
    (await takeUntil(socket, (frame) => numberOf(frame) === last)).map(numberOf)
  const [usual, inbound, outbound, both] = sockets as [PacketSocket, PacketSocket, PacketSocket, PacketSocket]
  t.same(await numbers(usual, 9), [1, 9])
  t.same(await numbers(inbound, 9), [1, 9])
  t.same(await numbers(outbound, 10), [2, 3, 10])
  t.same(await numbers(both, 10), [1, 2, 3, 9, 10])
  t.same(await numbers(own, 10), [1, 2, 9, 10])
})

test('no frame of another link, and none that the filter does not pass, is ever read', namespaces, async (t) => {
  const { namespace, left, right } = await quietPair(t)
  const sender = await open(t, { link: left })
  const flood = setInterval(() => sender.writeBatch(Array.from({ length: 50 }, (_, i) => filled(i, 60))), 0)
  t.teardown(() => clearInterval(flood))
  await namespace.links.get('lo').then((link) => link.set({ up: true }))
  const filter = [loadWord(14), ifEqual(49, 0, 1), returns(0xffff), returns(0)]
  for (let i = 0; i < 30; i++) {
    // Nothing comes in through lo.
    const elsewhere = await openPacketSocket({ link: 'lo', namespace })
    const picky = await openPacketSocket({ link: right, filter })
    const shared = await openPacketSocket({ link: right, filter, fanout: { mode: 'hash' } })
    await delay(2)
    for (const socket of [picky, shared]) {
      const got = await take(socket, 1)
      if (got.some((frame) => numberOf(frame) !== 49)) t.fail(`it read ${got.map(numberOf)}`)
    }
    await elsewhere.close()
    t.equal(elsewhere.stats().framesRead, 0)
    await picky.close()
    await shared.close()
  }
})

/** The sum over what the checksum of UDP over IPv4 covers: 0 when it is right. */
function udpSum(packet: Buffer): number {
  const length = packet.readUInt16BE(24)
  return checksum(
    Buffer.concat([
      packet.subarray(12, 20),
      Buffer.from([0, 17]),
      packet.subarray(24, 26),
      packet.subarray(20, 20 + length),
    ]),
  )
}

/** A UDP datagram over IPv4 of a flow. */
function ofFlow(flow: number, number: number): Buffer {
  const frame = numberedFrame(0, 60)
  frame.writeUInt16BE(0x0800, 12)
  frame.fill(0, 14)
  frame.set([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 14)
  frame.writeUInt16BE(1000 + flow, 34)
  frame.writeUInt16BE(9, 36)
  frame.writeUInt16BE(26, 38)
  frame.writeUInt32BE(number, 42)
  return frame
}

test('a fanout gives each frame to one socket, by flow', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const sender = await open(t, { link: left })
  const first = await open(t, { link: right, fanout: { mode: 'hash' } })
  const group = first.fanoutGroup as number
  t.type(group, 'number')
  const sockets = [first]
  while (sockets.length < 4) sockets.push(await open(t, { link: right, fanout: { mode: 'hash', group } }))
  t.same(
    sockets.map((socket) => socket.fanoutGroup),
    [group, group, group, group],
  )
  const owners = new Map<number, Set<number>>()
  let got = 0
  for (const [index, socket] of sockets.entries()) {
    socket.onBatch((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const flow = batch.frame(i).readUInt16BE(34)
        if (!owners.has(flow)) owners.set(flow, new Set())
        owners.get(flow)?.add(index)
        got++
      }
    })
  }
  for (let round = 0; round < 10; round++) {
    sender.writeBatch(Array.from({ length: 64 }, (_, flow) => ofFlow(flow, round)))
  }
  t.ok(await eventually(() => got >= 640))
  await delay(20)
  t.equal(got, 640, 'each frame once')
  t.equal(owners.size, 64)
  t.ok(
    [...owners.values()].every((of) => of.size === 1),
    'a flow has one socket',
  )
  const used = new Set([...owners.values()].flatMap((of) => [...of]))
  t.ok(used.size >= 3, `${used.size} of 4 sockets got something`)
})

test('other ways of a fanout', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const sender = await open(t, { link: left })
  const shared = async (fanouts: NonNullable<PacketSocketOptions['fanout']>[]) => {
    const sockets: PacketSocket[] = []
    for (const fanout of fanouts) sockets.push(await openPacketSocket({ link: right, fanout }))
    sender.writeBatch(Array.from({ length: 40 }, (_, i) => filled(i, 60)))
    const counts = () => sockets.map((socket) => socket.stats().framesRead)
    for (const socket of sockets) socket.onBatch(() => {})
    t.ok(await eventually(() => counts().reduce((sum, count) => sum + count, 0) === 40))
    const result = counts()
    for (const socket of sockets) await socket.close()
    return result
  }
  t.same(
    await shared([
      { mode: 'lb', group: 5 },
      { mode: 'lb', group: 5 },
    ]),
    [20, 20],
  )
  const toSecond = [returns(1)]
  t.same(
    await shared([
      { mode: 'cbpf', group: 6, program: toSecond, defragment: true, rollover: true },
      { mode: 'cbpf', group: 6, program: toSecond, defragment: true, rollover: true },
    ]),
    [0, 40],
  )
  for (const mode of ['cpu', 'rnd', 'rollover', 'qm'] as const) await shared([{ mode }])

  const one = await open(t, { link: right, fanout: { mode: 'lb', group: 7 } })
  t.equal(one.fanoutGroup, 7)
  await t.rejects(openPacketSocket({ link: right, fanout: { mode: 'hash', group: 7 } }), {
    code: 'EINVAL',
    syscall: 'PACKET_FANOUT',
    hint: /another mode/,
  })
  const outgoing = await open(t, { link: left, direction: 'inbound', fanout: { mode: 'lb' } })
  const both = await open(t, { link: left, direction: 'both', fanout: { mode: 'lb' } })
  sender.writeBatch([filled(1, 60)])
  one.writeBatch([filled(2, 60)])
  t.same((await take(outgoing, 1)).map(numberOf), [2])
  t.same((await take(both, 2)).map(numberOf), [1, 2])
})

test('an Ethernet protocol alone', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const sender = await open(t, { link: left })
  const ip = await open(t, { link: right, protocol: 'ip' })
  const experiments = await open(t, { link: right, protocol: 0x88b5 })
  sender.writeBatch([filled(1, 60), ofFlow(1, 1), filled(2, 60), ofFlow(1, 2)])
  t.same(
    (await take(ip, 2)).map((frame) => frame.readUInt32BE(42)),
    [1, 2],
  )
  t.same((await take(experiments, 2)).map(numberOf), [1, 2])
})

test('what the kernel does not send is refused and counted', namespaces, async (t) => {
  const { left } = await quietPair(t)
  const socket = await open(t, { link: left })
  const last = (frame: Buffer) => {
    t.equal(socket.writeBatch([filled(1, 60), frame, filled(2, 60)]), 3)
    return socket.stats().lastRefusal?.code
  }
  t.equal(last(Buffer.alloc(13)), 'EINVAL')
  t.equal(last(Buffer.alloc(0)), 'EINVAL')
  t.equal(last(filled(3, 1515)), 'EMSGSIZE')
  t.equal(last(filled(3, 65_600)), 'EMSGSIZE')
  t.match(socket.stats(), { framesWritten: 8, refused: 4 })
  t.equal(last(tagged(filled(3, 1514), 5)), 'EMSGSIZE', 'a tag is not counted to the MTU')
  t.match(socket.stats(), { framesWritten: 11, refused: 4 })
})

test('all links of a namespace', namespaces, async (t) => {
  const { namespace, left, right } = await quietPair(t)
  const all = await open(t, { allLinks: true, namespace })
  t.equal(all.link, undefined)
  const sender = await open(t, { link: left })
  const other = await open(t, { link: right })
  sender.writeBatch([filled(1, 60)])
  other.writeBatch([filled(2, 60)])
  t.same((await take(all, 2)).map(numberOf), [1, 2])
  all.writeBatch([filled(3, 60)])
  t.match(all.stats(), { framesWritten: 0, refused: 1, lastRefusal: { code: 'ENXIO' } })
  await left.delete()
  await namespace.links.get('lo').then((lo) => lo.set({ up: true }))
  const again = all.pollBatch(0)
  t.equal(again, undefined)
  t.notOk(all.destroyed, 'it does not end with a link')
})

test('IP packets of a link without Ethernet', await needs('namespaces', 'tun'), async (t) => {
  const namespace = await scratch(t)
  const tun = await openTun({ namespace, up: true, addresses: ['10.0.8.1/24'] })
  t.teardown(() => tun.close())
  const socket = await open(t, { link: tun.link, direction: 'both' })
  const sender = await namespace.bindDatagram({ type: 'udp4' })
  sender.send('hello', 9, '10.0.8.2')
  const isHello = (packet: Buffer) => packet.subarray(28).toString() === 'hello'
  const packet = (await takeUntil(socket, isHello)).find(isHello) as Buffer
  t.equal(packet[0], 0x45)
  // The kernel makes the checksum only when the packet leaves it.
  t.equal(udpSum(packet), 0)
  t.equal(socket.writeBatch([packet]), 1)
  const [first, second] = (await take(tun, 2)).filter(isHello)
  t.ok(first?.equals(packet) && second?.equals(packet), 'from the stack, and from the socket')
  sender.close()
})

test('promiscuous and all multicast, as long as the socket is open', namespaces, async (t) => {
  const { left } = await quietPair(t)
  const socket = await open(t, { link: left, promiscuous: true, allMulticast: true, bypassQdisc: true })
  await left.refresh()
  t.equal(left.promiscuity, 1)
  await socket.close()
  t.ok(
    await eventually(async () => {
      await left.refresh()
      return left.promiscuity === 0
    }),
  )
})

test('without times', namespaces, async (t) => {
  const { left, right } = await quietPair(t)
  const socket = await open(t, { link: right, timestamps: false })
  const sender = await open(t, { link: left })
  sender.writeBatch([filled(1, 60)])
  for await (const batch of socket.batches({ details: true })) {
    t.equal(batch.time(0), 0n)
    break
  }
})

test('tshark sees what is written', shark, async (t) => {
  const { namespace, left, right } = await quietPair(t)
  const socket = await open(t, { link: left })
  const args = ['-i', 'right', '-c', '3', '-T', 'fields', '-e', 'frame.len', '-e', 'vlan.id', '-e', 'eth.type']
  // A sanitizer's library is for Node.js alone.
  const { LD_PRELOAD: _, ...env } = process.env
  const child = namespace.exec('tshark', [...args, '-a', 'duration:20'], { check: true, env, timeout: 25_000 })
  const writing = setInterval(
    () => socket.writeBatch([filled(1, 60), filled(2, 1514), tagged(filled(3, 100), 77)]),
    200,
  )
  t.teardown(() => clearInterval(writing))
  const { stdout } = await child
  clearInterval(writing)
  t.equal(right.name, 'right')
  t.same(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t')),
    [
      ['60', '', '0x88b5'],
      ['1514', '', '0x88b5'],
      ['104', '77', '0x8100'],
    ],
  )
})

test('options that are wrong', async (t) => {
  const wrong = async (options: unknown, code: string, message: RegExp) => {
    await t.rejects(openPacketSocket(options as PacketSocketOptions), { code, message })
  }
  await wrong({}, 'ERR_INVALID_ARG_TYPE', /options\.link/)
  await wrong({ link: 'lo', allLinks: true }, 'ERR_INVALID_ARG_VALUE', /allLinks/)
  await wrong({ link: 'lo', filters: [] }, 'ERR_INVALID_ARG_VALUE', /filter/)
  await wrong({ link: 'lo', filter: [] }, 'ERR_INVALID_ARG_VALUE', /1 to 4096 instructions/)
  await wrong({ link: 'lo', filter: Buffer.alloc(9) }, 'ERR_INVALID_ARG_VALUE', /instructions of 8 bytes/)
  await wrong({ link: 'lo', filter: [{ code: 6, jt: 0, jf: 256, k: 0 }] }, 'ERR_OUT_OF_RANGE', /filter\[0\]\.jf/)
  await wrong(
    { link: 'lo', filter: 'ip' },
    'ERR_INVALID_ARG_TYPE',
    /options\.filter must be conditions, as .* or a BPF program/,
  )
  await wrong({ link: 'lo', filter: { proto: 'icmp' } }, 'ERR_INVALID_ARG_VALUE', /'proto' is 'protocol' here/)
  await wrong({ link: 'lo', filter: 3, direction: 'outbound' }, 'ERR_INVALID_ARG_VALUE', /eBPF/)
  await wrong({ link: 'lo', direction: 'in' }, 'ERR_INVALID_ARG_VALUE', /inbound, outbound, both/)
  await wrong({ link: 'lo', direction: 'outbound', protocol: 'ip' }, 'ERR_INVALID_ARG_VALUE', /protocol 'all'/)
  await wrong({ link: 'lo', protocol: 'ip4' }, 'ERR_INVALID_ARG_VALUE', /options\.protocol/)
  await wrong({ link: 'lo', protocol: 0 }, 'ERR_INVALID_ARG_VALUE', /no frames/)
  await wrong({ link: 'lo', ring: { blockSize: 200_000 } }, 'ERR_INVALID_ARG_VALUE', /power of two/)
  await wrong({ link: 'lo', ring: { blocks: 1 } }, 'ERR_OUT_OF_RANGE', /ring\.blocks/)
  await wrong({ link: 'lo', ring: 1 }, 'ERR_INVALID_ARG_TYPE', /options\.ring/)
  await wrong({ link: 'lo', fanout: { mode: 'rr' } }, 'ERR_INVALID_ARG_VALUE', /hash, lb/)
  await wrong({ link: 'lo', fanout: { mode: 'cbpf' } }, 'ERR_INVALID_ARG_VALUE', /needs one/)
  await wrong({ link: 'lo', fanout: { mode: 'hash', program: 3 } }, 'ERR_INVALID_ARG_VALUE', /takes none/)
  await wrong({ link: 'lo', fanout: { mode: 'ebpf', program: [] } }, 'ERR_INVALID_ARG_TYPE', /eBPF/)
  await wrong({ allLinks: true, promiscuous: true }, 'ERR_INVALID_ARG_VALUE', /one link/)
  await wrong({ link: 'lo', receiveBuffer: 10 }, 'ERR_OUT_OF_RANGE', /receiveBuffer/)
  await wrong({ link: 'lo', namespace: 'red' }, 'ERR_INVALID_ARG_TYPE', /namespace/)
})

test('what the kernel refuses', namespaces, async (t) => {
  await using namespace = await createNamespace()
  await t.rejects(openPacketSocket({ link: 'nothing', namespace }), { code: 'ENODEV' })
  // It jumps behind its end.
  const filter = [loadHalf(0), ifEqual(1, 5, 0), returns(0)]
  await t.rejects(openPacketSocket({ link: 'lo', namespace, filter }), { code: 'EINVAL', syscall: 'SO_ATTACH_FILTER' })
  await t.rejects(openPacketSocket({ link: 'lo', namespace, filter: 0 }), { code: 'EINVAL', message: /SO_ATTACH_BPF/ })
  const signal = AbortSignal.abort(new Error('enough'))
  await t.rejects(openPacketSocket({ link: 'lo', namespace, signal }), { code: 'ABORT_ERR' })
})
