/** Sockets and pairs as ends of pumps and switches: threads that use them while connections come and go. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import type { PacketEnd } from '../dist/packets/end.js'
import { startPump } from '../dist/pump/pump.js'
import { createSwitch } from '../dist/pump/switch.js'
import { openDatagramBatch } from '../dist/sockets/datagram-batch.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { openQemuDatagram } from '../dist/sockets/qemu-datagram.js'
import { serveQemuStream } from '../dist/sockets/qemu-server.js'
import { openQemuStream, type QemuStream } from '../dist/sockets/qemu-stream.js'
import { openTap } from '../dist/tuntap/tap.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { numberedFrame } from './support/packets.js'
import { scratch } from './support/scratch.js'
import { cross, everySize, filledFrame, folder } from './support/sockets.js'

const closeAll = (ends: { close(): Promise<unknown> }[]) => Promise.all(ends.map((end) => end.close()))

test('a pump between each two kinds of ends', async (t) => {
  const path = await folder(t)
  const kinds: Record<string, () => Promise<[PacketEnd, PacketEnd]>> = {
    pair: async () => createEndPair(),
    datagram: async () => {
      const [a, b] = [join(path, 'a'), join(path, 'b')]
      return [await openQemuDatagram({ path: a, remote: b }), await openQemuDatagram({ path: b, remote: a })]
    },
    stream: async () => {
      const target = { path: join(path, 'net') }
      const server = await openQemuStream({ ...target, server: true })
      const connected = once(server, 'connect')
      const client = await openQemuStream(target)
      await connected
      return [server, client]
    },
  }
  const sizes = everySize(65_535)
  for (const [first, openFirst] of Object.entries(kinds)) {
    for (const [second, openSecond] of Object.entries(kinds)) {
      if (first === second && first !== 'pair') continue
      const [a, b] = await openFirst()
      const [c, d] = await openSecond()
      const pump = startPump(b, c)
      t.ok(await cross(a, d, sizes, 1e9), `${first} to ${second}`)
      t.ok(await cross(d, a, sizes, 1e9), `${second} to ${first}`)
      await pump.close()
      await closeAll([a, b, c, d])
    }
  }
})

test('a pump goes on while a stream connects again', async (t) => {
  const path = join(await folder(t), 'net')
  const stream = await openQemuStream({ path, reconnect: 5 })
  const [a, b] = createEndPair()
  const pump = startPump(b, stream)
  t.throws(() => stream.onBatch(() => {}), { code: 'ERR_INVALID_STATE' })
  for (let life = 0; life < 10; life++) {
    const connected = once(stream, 'connect')
    const server = await openQemuStream({ path, server: true })
    await connected
    t.ok(await cross(a, server, everySize(1500), 1e9), `life ${life}`)
    t.ok(await cross(server, a, everySize(1500), 1e9))
    const lost = once(stream, 'disconnect')
    await server.close()
    t.match((await lost)[0], { name: 'NetkitError' })
    a.writeBatch([filledFrame(0, 60)])
  }
  t.notOk(stream.connected)
  t.ok(await eventually(() => stream.stats().refused > 0))
  const before = process.cpuUsage()
  await sleep(100)
  const { user, system } = process.cpuUsage(before)
  t.ok(user + system < 90_000, `it sleeps without a connection: ${(user + system) / 1000} ms`)
  await pump.close()
  await closeAll([stream, a, b])
})

test('connections that end under a flood', async (t) => {
  const path = join(await folder(t), 'net')
  await leavesNoDescriptor(t, 'the flood', async () => {
    const stream = await openQemuStream({ path, reconnect: 1 })
    const [a, b] = createEndPair()
    const pump = startPump(b, stream)
    const frames = Array.from({ length: 256 }, (_, i) => filledFrame(i, 1000))
    const flood = setInterval(() => a.writeBatch(frames), 0)
    const echoed = a.onBatch(() => {})
    let heard = 0
    for (let life = 0; life < 25; life++) {
      const server = await openQemuStream({ path, server: true })
      server.onBatch((batch) => {
        heard += batch.length
        server.writeBatch(batch)
      })
      await eventually(() => server.connected)
      await sleep(life % 5)
      await server.close()
    }
    clearInterval(flood)
    echoed.close()
    t.ok(heard > 0, `${heard} frames came through`)
    await pump.close()
    await closeAll([stream, a, b])
  })
})

test('guests on a native switch', async (t) => {
  const path = join(await folder(t), 'net')
  const lan = createSwitch()
  const guests: QemuStream[] = []
  const server = await serveQemuStream({ path }, (end) => {
    lan.addPort(end)
  })
  for (let i = 0; i < 4; i++) guests.push(await openQemuStream({ path }))
  t.ok(await eventually(() => server.ends.size === 4))
  const [first, ...others] = guests as [QemuStream, ...QemuStream[]]
  const heard = others.map((guest) => guest.batches().next())
  first.writeBatch([numberedFrame(1)])
  for (const turn of await Promise.all(heard)) t.equal(turn.value?.length, 1)
  await first.close()
  t.ok(await eventually(() => server.ends.size === 3), 'a guest that leaves is closed')
  await server.close()
  await lan.close()
  await closeAll(guests)
})

test('a switch goes on while a stream connects again', async (t) => {
  const path = join(await folder(t), 'net')
  const lan = createSwitch()
  const stream = await openQemuStream({ path, reconnect: 5 })
  const [a, b] = createEndPair()
  lan.addPort(stream)
  lan.addPort(b)
  for (let life = 0; life < 5; life++) {
    const connected = once(stream, 'connect')
    const server = await openQemuStream({ path, server: true })
    await connected
    for (const [from, to] of [
      [a, server],
      [server, a],
    ] as const) {
      const batches = to.batches()
      const turn = batches.next()
      from.writeBatch([numberedFrame(life)])
      t.equal((await turn).value?.length, 1, `life ${life}`)
      await batches.return()
    }
    const lost = once(stream, 'disconnect')
    await server.close()
    await lost
  }
  await lan.close()
  await closeAll([stream, a, b])
})

for (const [near, far] of [
  [true, true],
  [true, false],
  [false, true],
] as const) {
  test(`TCP through a tunnel, offload ${near} and ${far}`, await needs('tun', 'namespaces'), async (t) => {
    const [left, right, middle] = [await scratch(t), await scratch(t), await scratch(t)]
    const a = await openTap({
      namespace: left,
      addresses: ['10.0.4.1/24', { address: 'fd00::1/64', noDad: true }],
      up: true,
      offload: near,
    })
    const b = await openTap({
      namespace: right,
      addresses: ['10.0.4.2/24', { address: 'fd00::2/64', noDad: true }],
      up: true,
      offload: far,
    })
    const server = await openDatagramBatch({ namespace: middle, local: { address: '127.0.0.1' }, learn: true })
    const client = await openDatagramBatch({ namespace: middle, remote: server.local })
    const pumps = [startPump(a, client), startPump(server, b)]
    const bytes = randomBytes(4_000_000)
    const digest = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
    for (const host of ['10.0.4.2', 'fd00::2']) {
      const listening = await right.listen({ host: '::', port: 80 }, (socket) => socket.pipe(socket))
      // An IPv6 address works after a second or so, when nobody else has it (RFC 4862).
      let socket: Awaited<ReturnType<typeof left.connect>> | undefined
      await eventually(async () => {
        socket = await left.connect({ host, port: 80, timeout: 1000 }).catch(() => undefined)
        return socket !== undefined
      })
      const received: Buffer[] = []
      socket?.end(bytes)
      for await (const part of socket ?? []) received.push(part as Buffer)
      t.equal(digest(Buffer.concat(received)), digest(bytes), `${host}, there and back`)
      listening.close()
    }
    await closeAll(pumps)
    await closeAll([a, b, server, client])
  })
}
