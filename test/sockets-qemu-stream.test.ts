/** QEMU's -netdev stream, with Node's sockets as the other side. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, writeFileSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { createSocketPair } from '../dist/packets/unix.js'
import { serveQemuStream } from '../dist/sockets/qemu-server.js'
import { openQemuStream, type QemuStream } from '../dist/sockets/qemu-stream.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { cross, everySize, filledFrame, folder } from './support/sockets.js'

const framed = (frame: Uint8Array) => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(frame.length)
  return Buffer.concat([head, frame])
}

const alike = (count: number, length = 600) => Array.from({ length: count }, (_, i) => filledFrame(i, length))

async function take(end: QemuStream, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = []
  for await (const batch of end.batches()) {
    for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
    if (frames.length >= count) break
  }
  return frames
}

async function readAll(end: QemuStream): Promise<Buffer[]> {
  const frames: Buffer[] = []
  for await (const batch of end.batches()) for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
  return frames
}

/** A server of Node's that a test closes. */
async function listening(t: Test, path: string, handler: (socket: Socket) => void): Promise<Server> {
  const server = createServer(handler)
  server.listen(path)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return server
}

/** Both sides of one connection, each a QemuStream. */
async function both(t: Test, target: { path: string } | { host: string; port: number }) {
  let accept: (end: QemuStream) => void = () => {}
  const accepted = new Promise<QemuStream>((resolve) => {
    accept = resolve
  })
  const server = await serveQemuStream(target, accept)
  t.teardown(() => server.close())
  const client = await openQemuStream('path' in target ? target : { host: target.host, port: server.port ?? 0 })
  return { server, client, guest: await accepted }
}

for (const kind of ['unix', 'tcp'] as const) {
  test(`frames of every size over ${kind}`, kind === 'tcp' ? await needs('namespaces') : {}, async (t) => {
    const target = kind === 'tcp' ? { host: '127.0.0.1', port: 0 } : { path: join(await folder(t), 'net') }
    const { server, client, guest } = await both(t, target)
    t.ok(client.connected && guest.connected)
    const sizes = everySize(65_535)
    t.ok(await cross(client, guest, sizes, 1e9))
    t.ok(await cross(guest, client, sizes, 1e9))
    t.match(guest.stats(), { framesRead: sizes.length, framesWritten: sizes.length, refused: 0, truncated: 0 })
    const reason = once(guest, 'disconnect')
    const rest = readAll(guest)
    client.writeBatch(alike(3))
    await client.close()
    t.same(await rest, alike(3), 'what was sent before the end is read, and then the iteration ends')
    t.match((await reason)[0], { name: 'NetkitError', code: 'EPIPE' })
    t.equal(guest.reason?.code, 'EPIPE')
    t.ok(guest.destroyed)
    t.notOk(guest.connected)
    t.ok(await eventually(() => server.ends.size === 0))
    await server.close()
  })
}

test('bytes as Node sends them', async (t) => {
  const path = join(await folder(t), 'net')
  const frames = alike(300, 700)
  const received: Buffer[] = []
  const sockets: Socket[] = []
  await listening(t, path, (socket) => {
    sockets.push(socket)
    socket.on('data', (data: Buffer) => received.push(data))
    void (async () => {
      const bytes = Buffer.concat(frames.map(framed))
      for (let at = 0; at < bytes.length; at += 997) {
        socket.write(bytes.subarray(at, at + 997))
        if (at % 7 === 0) await sleep(0)
      }
    })()
  })
  const end = await openQemuStream({ path })
  t.same(await take(end, 300), frames)
  for (const frame of frames) if (!end.write(frame)) await once(end, 'drain')
  const wanted = Buffer.concat(frames.map(framed))
  t.ok(await eventually(() => Buffer.concat(received).length >= wanted.length))
  t.ok(Buffer.concat(received).equals(wanted))
  await end.close()
  for (const socket of sockets) socket.destroy()
})

test('a peer that does not read', async (t) => {
  const path = join(await folder(t), 'net')
  const sockets: Socket[] = []
  await listening(t, path, (socket) => sockets.push(socket.pause()))
  const end = await openQemuStream({ path, sendBuffer: 20_000 })
  t.ok(await eventually(() => sockets.length === 1))
  const frames = alike(2000)
  const fit = end.writeBatch(frames)
  t.ok(fit > 0 && fit < frames.length, `${fit} frames fit`)
  t.equal(end.writeBatch(frames.slice(fit)), 0)
  t.equal(end.stats().refused, 0)
  let written = 0
  for (const frame of frames.slice(fit)) end.write(frame, () => written++)
  const received: Buffer[] = []
  sockets[0]?.on('data', (data: Buffer) => received.push(data)).resume()
  const wanted = Buffer.concat(frames.map(framed))
  t.ok(await eventually(() => Buffer.concat(received).length >= wanted.length))
  t.ok(Buffer.concat(received).equals(wanted), 'a frame that was begun is finished before the next')
  t.equal(written, frames.length - fit)
  await end.close()
  sockets[0]?.destroy()
})

test('a peer that speaks another protocol ends its connection, and nothing else', async (t) => {
  const path = join(await folder(t), 'net')
  const ends: QemuStream[] = []
  const server = await serveQemuStream({ path }, (end) => ends.push(end))
  for (const [i, [bytes, frames]] of [
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), 0],
    [Buffer.alloc(4), 0],
    [Buffer.concat([framed(filledFrame(0, 60)), Buffer.from([0, 1, 0, 0x41])]), 1],
    [Buffer.alloc(100, 0xff), 0],
  ].entries() as Iterable<[number, [Buffer, number]]>) {
    const socket = createConnection(path)
    t.ok(await eventually(() => ends.length === i + 1))
    const end = ends[i] as QemuStream
    const [reading, ended] = [readAll(end), once(socket, 'close')]
    socket.write(bytes)
    t.equal((await reading).length, frames)
    t.match(end.reason, { code: 'EPROTO', message: /does not speak QEMU's stream protocol/ })
    await ended
    t.ok(end.destroyed, 'the connection is closed')
  }
  // The same as a stream: no 'error' without a listener, which would end the process.
  const socket = createConnection(path)
  t.ok(await eventually(() => ends.length === 5))
  const end = ends[4] as QemuStream
  const got: unknown[] = []
  end.on('data', (frame) => got.push(frame))
  socket.write(
    Buffer.concat([framed(filledFrame(0, 60)), framed(filledFrame(1, 5)), framed(filledFrame(1, 60)), Buffer.alloc(4)]),
  )
  await once(end, 'close')
  t.equal(got.length, 2)
  t.match(end.reason, { code: 'EPROTO' })
  t.match(end.stats(), { framesRead: 2, refused: 1 }, 'a frame without a whole Ethernet header is dropped')
  socket.destroy()
  await server.close()
})

test('a client that connects again', async (t) => {
  const path = join(await folder(t), 'net')
  const end = await openQemuStream({ path, reconnect: 10 })
  t.notOk(end.connected, 'nobody is there yet')
  t.equal(end.writeBatch(alike(2)), 2)
  t.match(end.stats(), { refused: 2, lastRefusal: { code: 'ENOTCONN' } })
  const frames: Buffer[] = []
  const reading = (async () => {
    for await (const batch of end.batches()) for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
  })()
  for (let life = 0; life < 4; life++) {
    const connected = once(end, 'connect')
    const received: Buffer[] = []
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on('data', (data: Buffer) => received.push(data)).on('error', () => {})
      socket.write(Buffer.concat([...alike(5).map(framed), Buffer.from([0, 0, 2, 0, 1])]))
    })
    server.listen(path)
    await connected
    t.ok(end.connected)
    t.ok(await eventually(() => frames.length === 5 * (life + 1)), `life ${life}: frames come`)
    t.equal(end.writeBatch(alike(3)), 3)
    t.ok(await eventually(() => Buffer.concat(received).equals(Buffer.concat(alike(3).map(framed)))), 'and go')
    const lost = once(end, 'disconnect')
    server.close()
    if (life % 2 === 0) for (const socket of sockets) socket.destroy()
    else for (const socket of sockets) socket.end(Buffer.alloc(100))
    t.ok(['EPIPE', 'ECONNRESET', 'EPROTO'].includes((await lost)[0].code))
    t.notOk(end.connected)
    t.notOk(end.destroyed)
    for (const socket of sockets) socket.destroy()
  }
  t.same(
    frames,
    [0, 1, 2, 3].flatMap(() => alike(5)),
  )
  await end.close()
  await reading
})

test('an end that is only written notices that its peer is gone', async (t) => {
  const path = join(await folder(t), 'net')
  const sockets: Socket[] = []
  const server = await listening(t, path, (socket) => sockets.push(socket))
  const end = await openQemuStream({ path, reconnect: 10 })
  t.ok(end.connected)
  t.ok(await eventually(() => sockets.length === 1))
  const lost = once(end, 'disconnect')
  const again = once(end, 'connect')
  sockets[0]?.destroy()
  t.ok(
    await eventually(() => {
      end.writeBatch(alike(1))
      return !end.connected
    }),
  )
  await lost
  await again
  t.ok(end.stats().refused > 0)
  await end.close()
  t.ok(await eventually(() => sockets.length === 2))
  sockets[1]?.destroy()
  server.close()
})

test('a server that takes one after the other', async (t) => {
  const path = join(await folder(t), 'net')
  const end = await openQemuStream({ path, server: true })
  t.notOk(end.connected)
  const frames: Buffer[] = []
  end.onBatch((batch) => {
    for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
  })
  for (let life = 0; life < 3; life++) {
    const connected = once(end, 'connect')
    const [socket, waiting] = [createConnection(path), createConnection(path)]
    await connected
    const received: Buffer[] = []
    for (const each of [socket, waiting]) each.on('data', (data: Buffer) => received.push(data)).on('error', () => {})
    socket.write(framed(filledFrame(life, 60)))
    waiting.write(framed(filledFrame(100 + life, 60)))
    t.ok(await eventually(() => frames.length === 2 * life + 1), 'the first is heard')
    end.writeBatch([filledFrame(9, 60)])
    t.ok(await eventually(() => received.length === 1))
    const next = once(end, 'connect')
    socket.destroy()
    await next
    t.ok(await eventually(() => frames.length === 2 * life + 2), 'then the second')
    const lost = once(end, 'disconnect')
    waiting.destroy()
    await lost
  }
  t.same(
    frames,
    [0, 100, 1, 101, 2, 102].map((number) => filledFrame(number, 60)),
  )
  await end.close()
  t.notOk(existsSync(path))
})

test('a server for many', async (t) => {
  const path = join(await folder(t), 'net')
  const ends: QemuStream[] = []
  const server = await serveQemuStream({ path }, (end) => {
    ends.push(end)
    void (async () => {
      for await (const batch of end.batches())
        for (const other of server.ends) if (other !== end) other.writeBatch(batch)
    })()
  })
  t.equal(server.path, path)
  const guests = await Promise.all(Array.from({ length: 20 }, () => openQemuStream({ path })))
  t.ok(await eventually(() => server.ends.size === 20))
  const heard = guests.slice(1).map((guest) => take(guest, 1))
  guests[0]?.writeBatch([filledFrame(7, 99)])
  for (const frames of await Promise.all(heard)) t.same(frames, [filledFrame(7, 99)])
  await guests[3]?.close()
  t.ok(await eventually(() => server.ends.size === 19))
  const closed = Promise.all(guests.map((guest) => readAll(guest)))
  await server.close()
  await closed
  t.ok(
    guests.every((guest) => guest.destroyed),
    'closing the server closes its ends',
  )
  t.notOk(existsSync(path))
  await t.rejects(openQemuStream({ path }), { code: 'ENOENT', syscall: 'connect' })
})

test('a descriptor', async (t) => {
  const ends = createSocketPair({ type: 'stream' })
  const [a, b] = [await openQemuStream({ fd: ends[0] }), await openQemuStream({ fd: ends[1] })]
  t.ok(await cross(a, b, everySize(3000), 1e9))
  const [fd] = await a.release()
  t.ok(fd === ends[0] && a.destroyed)
  b.writeBatch(alike(1))
  const again = await openQemuStream({ fd: fd ?? -1 })
  t.same(await take(again, 1), alike(1), 'what was given away goes on elsewhere')
  await Promise.all([again.close(), b.close()])
  const other = createSocketPair({ type: 'datagram' })
  await t.rejects(openQemuStream({ fd: other[0] }), { code: 'ERR_INVALID_ARG_VALUE' })
  for (const fd of other) closeSync(fd)
  await t.rejects(openQemuStream({ fd: 999_999 }), { code: 'EBADF' })
})

test('what is at the path, and options', async (t) => {
  const path = await folder(t)
  const own = join(path, 'own')
  const server = await serveQemuStream({ path: own }, () => {})
  await t.rejects(
    serveQemuStream({ path: own }, () => {}),
    { code: 'EADDRINUSE', hint: /listens there/ },
  )
  await t.rejects(openQemuStream({ path: own, server: true }), { code: 'EADDRINUSE' })
  writeFileSync(join(path, 'file'), '')
  await t.rejects(
    serveQemuStream({ path: join(path, 'file') }, () => {}),
    { code: 'EADDRINUSE', hint: /no socket/ },
  )
  await t.rejects(openQemuStream({ path: join(path, 'file') }), { code: 'ECONNREFUSED' })
  await server.close()
  // What a killed process leaves behind.
  const source = `require('node:net').createServer().listen(${JSON.stringify(own)}, () => process.kill(process.pid, 'SIGKILL'))`
  await once(spawn(process.execPath, ['-e', source]), 'exit')
  t.ok(existsSync(own))
  const next = await openQemuStream({ path: own, server: true })
  await next.close()

  const value = { code: 'ERR_INVALID_ARG_VALUE' }
  const type = { code: 'ERR_INVALID_ARG_TYPE' }
  for (const [wrong, error] of [
    [{}, type],
    [{ path: own, port: 1 }, value],
    [{ port: 0 }, { code: 'ERR_OUT_OF_RANGE' }],
    [{ path: own, reconnect: 0 }, { code: 'ERR_OUT_OF_RANGE' }],
    [{ path: own, reconnect: 10, server: true }, value],
    [{ fd: 3, path: own }, value],
    [{ fd: -1 }, { code: 'ERR_OUT_OF_RANGE' }],
    [{ path: own, server: 1 }, type],
    [{ path: own, recconect: 1 }, value],
    [{ path: own, signal: {} }, type],
  ] as const) {
    await t.rejects(openQemuStream(wrong as never), error)
  }
  await t.rejects(serveQemuStream({ path: own }, 1 as never), type)
  await t.rejects(
    serveQemuStream({ path: own, server: true } as never, () => {}),
    value,
  )
})

test('closing at any point leaves nothing', async (t) => {
  const path = join(await folder(t), 'net')
  await leavesNoDescriptor(t, 'closing', async () => {
    const client = await openQemuStream({ path, reconnect: 1 })
    const turn = client.batches().next()
    await sleep(5)
    await client.close()
    t.same(await turn, { done: true, value: undefined })

    const server = await openQemuStream({ path, server: true })
    const [a, b] = [await openQemuStream({ path }), await openQemuStream({ path })]
    a.writeBatch(alike(3))
    await server.close()
    await Promise.all([readAll(a), readAll(b)])

    const controller = new AbortController()
    const many = await serveQemuStream({ path, signal: controller.signal }, (end) => {
      end.on('data', () => end.destroy())
    })
    const guests = await Promise.all(Array.from({ length: 10 }, () => openQemuStream({ path })))
    guests.forEach((guest, i) => void (i % 2 === 0 ? guest.writeBatch(alike(2)) : guest.destroy()))
    t.ok(await eventually(() => many.ends.size === 0))
    for (const guest of guests) await guest.close()
    controller.abort()
    await many.close()
    await t.rejects(openQemuStream({ path, signal: controller.signal }), { name: 'AbortError' })
    const late = new AbortController()
    const waiting = await openQemuStream({ path, reconnect: 60_000, signal: late.signal })
    late.abort()
    t.ok(waiting.destroyed)
    await waiting.close()
  })
})
