/** Pumps between other ends than taps: pairs that fill up, QEMU's streams, UDP tunnels, packet sockets. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { type Pump, startPump } from '../dist/pump/pump.js'
import { createTee } from '../dist/pump/tee.js'
import { createVeth } from '../dist/rtnetlink/create-veth.js'
import { openDatagramBatch } from '../dist/sockets/datagram-batch.js'
import { openPacketSocket } from '../dist/sockets/packet-socket.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { serveQemuStream } from '../dist/sockets/qemu-server.js'
import type { QemuStream } from '../dist/sockets/qemu-stream.js'
import { openQemuStream } from '../dist/sockets/qemu-stream.js'
import { openTap } from '../dist/tuntap/tap.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { numberedFrame, numberOf } from './support/packets.js'
import { cable, echo } from './support/pumps.js'
import { scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun')

function closing(t: Test, ...all: { close(): Promise<unknown> }[]): void {
  t.teardown(async () => {
    for (const each of all) await each.close()
  })
}

test('a source is not read while its target is full', async (t) => {
  const [near, far] = createEndPair({ capacity: 100 })
  const [from, source] = createEndPair({ capacity: 20_000 })
  const pump = startPump(source, near)
  closing(t, pump, from, source, near, far)
  const sent = 10_000
  for (let i = 0; i < sent; i += 1000) from.writeBatch(Array.from({ length: 1000 }, (_, j) => numberedFrame(i + j)))
  t.ok(await eventually(() => pump.stats().forward.frames > 0))
  await delay(30)
  const { frames } = pump.stats().forward
  t.ok(frames <= 512, `${frames} frames are on their way, and the rest waits where it was`)
  const before = process.cpuUsage()
  await delay(200)
  const { user, system } = process.cpuUsage(before)
  t.ok(user + system < 150_000, `a full target costs nothing: ${(user + system) / 1000} ms in 200`)
  t.equal(pump.stats().forward.frames, frames)

  // The other direction goes on meanwhile.
  far.writeBatch([numberedFrame(1), numberedFrame(2)])
  t.ok(await eventually(() => pump.stats().backward.frames === 2))

  const seen: (number | undefined)[] = []
  for await (const batch of far.batches()) {
    for (const frame of batch) seen.push(numberOf(frame))
    if (seen.length >= sent) break
  }
  t.same(
    seen,
    Array.from({ length: sent }, (_, i) => i),
    'all arrive in order',
  )
  t.match(pump.stats().forward, { frames: sent, refused: 0, dropped: 0 })
})

test('impaired frames wait for a target that is full, too', async (t) => {
  const [near, far] = createEndPair({ capacity: 50 })
  const [from, source] = createEndPair({ capacity: 20_000 })
  const pump = startPump(source, near, { delay: 5, duplicate: 100 })
  closing(t, pump, from, source, near, far)
  from.writeBatch(Array.from({ length: 3000 }, (_, i) => numberedFrame(i)))
  await delay(30)
  let seen = 0
  for await (const batch of far.batches()) {
    for (const frame of batch) if (numberOf(frame) !== Math.floor(seen++ / 2)) t.fail(`frame ${seen} is another one`)
    if (seen >= 6000) break
  }
  t.match(pump.stats().forward, { frames: 3000, duplicated: 3000, waiting: 0 })
})

test('a peer that goes ends the pump', async (t) => {
  for (const direction of ['both', 'forward'] as const) {
    const [near, far] = createEndPair()
    const [from, source] = createEndPair()
    const pump = startPump(source, near, { direction })
    await far.close()
    from.writeBatch([numberedFrame(1)])
    t.match(await pump.done, { reason: 'end-gone', end: 'b', error: { code: 'EPIPE' } }, direction)
    await Promise.all([near.close(), source.close(), from.close()])
  }
})

test('closing everything at once, many times', async (t) => {
  for (let round = 0; round < 30; round++) {
    const [near, far] = createEndPair({ capacity: 1 + (round % 50) })
    const [from, source] = createEndPair()
    const tee = createTee({ capacity: 128 * 1024 })
    const pump = startPump(source, near, { delay: round % 3 })
    pump.tee(tee)
    from.writeBatch(Array.from({ length: 200 }, (_, i) => numberedFrame(i)))
    if (round % 4 === 0) await delay(1)
    const all = [() => source.close(), () => pump.close(), () => near.close(), () => far.close(), () => tee.close()]
    await Promise.all([...all.slice(round % 5), ...all.slice(0, round % 5)].map((close) => close()))
    await from.close()
    t.match(await pump.done, { reason: /closed|end-closed|end-gone/ })
  }
})

for (const offload of [true, false]) {
  test(`taps joined by a stream of QEMU's, ${offload ? 'with' : 'without'} offload`, tun, async (t) => {
    const ends = await cable(t, { offload }, { offload })
    const path = `\0netkit-pump-${process.pid}-${offload}`
    let accept: (end: QemuStream) => void = () => {}
    const accepted = new Promise<QemuStream>((resolve) => {
      accept = resolve
    })
    const server = await serveQemuStream({ path }, (end) => accept(end))
    const client = await openQemuStream({ path })
    const pumps = [startPump(ends.a, client), startPump(await accepted, ends.b)]
    closing(t, ...pumps, client, server)
    for (const host of ['10.0.1.2', 'fd00::2']) t.ok(await echo(ends, host, 2_000_000), host)
    await client.close()
    t.match(await pumps[0]?.done, { reason: 'end-closed', end: 'b' })
    t.match(await pumps[1]?.done, { reason: 'end-gone', end: 'a' }, 'the peer hung up')
  })
}

test('taps joined by UDP', tun, async (t) => {
  const ends = await cable(t, { offload: true }, { offload: true })
  const between = await scratch(t)
  await between.links.get('lo').then((loopback) => loopback.set({ up: true }))
  const socket = async (port: number, other: number) =>
    openDatagramBatch({
      namespace: between,
      local: { address: '127.0.0.1', port },
      remote: { address: '127.0.0.1', port: other },
    })
  const [left, right] = [await socket(5001, 5002), await socket(5002, 5001)]
  let pumps: Pump[] = []
  for (const coalesce of ['auto', true, false] as const) {
    pumps = [startPump(ends.a, left, { coalesce }), startPump(right, ends.b, { coalesce })]
    for (const host of ['10.0.1.2', 'fd00::2'])
      t.ok(await echo(ends, host, 1_000_000), `${host}, coalesce: ${coalesce}`)
    const inside = pumps[1]?.stats().forward.frames ?? 0
    t.ok(inside > 1_000_000 / 1514, 'frames are cut for the socket')
    await Promise.all(pumps.map((pump) => pump.close()))
  }
  closing(t, left, right)
})

test('a packet socket beside a tap', await needs('namespaces', 'tun', 'ping'), async (t) => {
  const [outside, inside] = [await scratch(t), await scratch(t)]
  const [, wire] = await createVeth(
    { name: 'out', namespace: outside, addresses: ['10.0.1.1/24'], up: true },
    { name: 'wire', namespace: inside, up: true },
  )
  await wire.waitFor({ operationalState: 'up' })
  const guest = await scratch(t)
  const tap = await openTap({ namespace: guest, addresses: ['10.0.1.2/24'], up: true })
  const socket = await openPacketSocket({ link: wire })
  const pump = startPump(socket, tap)
  const { exitCode, stdout } = await outside.exec('ping', ['-c3', '-i0.05', '-W2', '10.0.1.2'])
  t.equal(exitCode, 0, stdout)
  await wire.delete()
  t.match(await pump.done, { reason: 'end-gone', end: 'a' }, 'the link is deleted')
  await Promise.all([socket.close(), tap.close()])
})
