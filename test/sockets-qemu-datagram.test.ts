/** QEMU's -netdev dgram, with Node's and Python's sockets as the other side. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, lstatSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { native } from '../dist/native.js'
import { createSocketPair } from '../dist/packets/unix.js'
import { openQemuDatagram, type QemuDatagram } from '../dist/sockets/qemu-datagram.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { cross, everySize, filledFrame, folder } from './support/sockets.js'

const python = await needs('python3')

/** A peer that sends back every datagram it gets, to where it came from. Ends with the test, or with `end()`. */
async function echo(t: Test, path: string, { to = '', pause = 0 } = {}) {
  const child = spawn('python3', [
    '-c',
    `
import socket, sys, time, os
path, to, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if os.path.exists(path): os.unlink(path)
s.bind(path)
print('ready', flush=True)
if to:
    s.sendto(b'\\x01' * 60, to)
while True:
    frame, source = s.recvfrom(70000)
    if pause: time.sleep(pause)
    s.sendto(frame, source)
`,
    path,
    to,
    String(pause),
  ])
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  t.teardown(end)
  await once(child.stdout, 'data')
  return { end }
}

async function take(end: QemuDatagram, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = []
  for await (const batch of end.batches()) {
    for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
    if (frames.length >= count) break
  }
  return frames
}

const alike = (count: number, length = 600) => Array.from({ length: count }, (_, i) => filledFrame(i, length))

async function writeAll(end: QemuDatagram, frames: Buffer[]): Promise<void> {
  for (const frame of frames) if (!end.write(frame)) await once(end, 'drain')
}

test('frames of every size', async (t) => {
  const path = await folder(t)
  const a = await openQemuDatagram({ path: join(path, 'a'), remote: join(path, 'b') })
  const b = await openQemuDatagram({ path: join(path, 'b'), remote: join(path, 'a') })
  t.ok(await cross(a, b, everySize(65_535), 1e9))
  t.ok(await cross(b, a, everySize(65_535), 1e9))
  t.match(a.stats(), { refused: 0, truncated: 0, framesRead: b.stats().framesWritten })
  await a.close()
  await b.close()
  t.notOk(existsSync(join(path, 'a')), 'the socket files are gone')
  t.notOk(existsSync(join(path, 'b')))
})

test('a descriptor', async (t) => {
  const both = createSocketPair({ type: 'datagram' })
  const [a, b] = [await openQemuDatagram({ fd: both[0] }), await openQemuDatagram({ fd: both[1] })]
  t.ok(await cross(a, b, everySize(65_535), 1e9))
  await a.close()
  const refused = b.writeBatch(alike(2))
  t.equal(refused, 2, 'nobody is there any more')
  t.match(b.stats(), { refused: 2, lastRefusal: { code: 'ENOTCONN' } })
  await b.close()
  const other = createSocketPair({ type: 'stream' })
  await t.rejects(openQemuDatagram({ fd: other[0] }), { code: 'ERR_INVALID_ARG_VALUE' })
  for (const fd of other) closeSync(fd)
  await t.rejects(openQemuDatagram({ fd: 999_999 }), { code: 'EBADF' })
})

test('a peer that comes, goes and comes again', python, async (t) => {
  const path = await folder(t)
  const [own, peer] = [join(path, 'own'), join(path, 'peer')]
  const end = await openQemuDatagram({ path: own, remote: peer })
  t.equal(end.writeBatch(alike(3)), 3)
  t.match(end.stats(), { refused: 3, lastRefusal: { code: 'ENOENT' } }, 'no file')
  for (let life = 0; life < 3; life++) {
    const other = await echo(t, peer)
    const reading = take(end, 200)
    await writeAll(end, alike(200))
    t.same(await reading, alike(200), `life ${life}`)
    await other.end()
    const { refused } = end.stats()
    end.writeBatch(alike(2))
    t.equal(end.stats().refused, refused + 2, 'what is written to nobody is counted')
    t.equal(end.stats().lastRefusal?.code, 'ECONNREFUSED')
  }
  await end.close()
})

test('a peer that begins to speak after it was started anew', python, async (t) => {
  const path = await folder(t)
  const [own, peer] = [join(path, 'own'), join(path, 'peer')]
  const first = await echo(t, peer, { pause: 0.001 })
  const end = await openQemuDatagram({ path: own, remote: peer })
  const reading = take(end, 100)
  await writeAll(end, alike(100))
  await reading
  await first.end()
  // The end has waited for the first peer's queue, and hears nobody but that peer until it looks again.
  const received = take(end, 1)
  let got = false
  void received.then(() => {
    got = true
  })
  for (let i = 0; i < 50 && !got; i++) {
    const next = await echo(t, peer, { to: own })
    await sleep(20)
    await next.end()
  }
  t.same(await received, [Buffer.alloc(60, 1)])
  await end.close()
})

test('a peer that does not read', async (t) => {
  const path = await folder(t)
  const slow = await openQemuDatagram({ path: join(path, 'slow'), remote: join(path, 'own') })
  const end = await openQemuDatagram({ path: join(path, 'own'), remote: join(path, 'slow') })
  const frames = alike(500)
  const written = end.writeBatch(frames)
  t.ok(written > 0 && written < 500, `${written} fit`)
  t.equal(end.stats().refused, 0)
  let drained = 0
  for (const frame of frames.slice(written)) end.write(frame, () => drained++)
  const before = process.cpuUsage().user
  await sleep(100)
  t.ok(drained < frames.length - written, 'the stream waits')
  t.ok(process.cpuUsage().user - before < 90_000, 'without spinning')
  t.same(await take(slow, 500), frames, 'and nothing is lost')
  await Promise.all([slow.close(), end.close()])
})

test('who was heard last', python, async (t) => {
  const path = await folder(t)
  const end = await openQemuDatagram({ path: join(path, 'own') })
  t.equal(end.writeBatch(alike(1)), 1)
  t.match(end.stats(), { refused: 1, lastRefusal: { code: 'EDESTADDRREQ' } })
  const reading = take(end, 1)
  await echo(t, join(path, 'peer'), { to: join(path, 'own') })
  t.same(await reading, [Buffer.alloc(60, 1)])
  const back = take(end, 5)
  await writeAll(end, alike(5))
  t.same(await back, alike(5))
  await end.close()
})

test('what is at the path', async (t) => {
  const path = await folder(t)
  const own = join(path, 'own')
  const a = await openQemuDatagram({ path: own })
  await t.rejects(openQemuDatagram({ path: own }), { code: 'EADDRINUSE', hint: /a process listens there/ })
  t.ok(lstatSync(own).isSocket(), 'a socket in use is left alone')
  // A file that a process left behind when it was killed.
  const [fd = -1] = a.fds
  const stale = join(path, 'stale')
  const left = spawn(process.execPath, ['-e', ''])
  await once(left, 'exit')
  const dead = await native.openSocket(-1, 1, 2, 0)
  const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(`${stale}\0`)])
  t.equal(native.bindSocket(dead, address), 0)
  native.closeDescriptorNow(dead)
  t.ok(lstatSync(stale).isSocket())
  const b = await openQemuDatagram({ path: stale, remote: own })
  b.writeBatch(alike(1))
  t.equal((await take(a, 1)).length, 1, 'it is replaced')
  t.ok(fd >= 0)

  writeFileSync(join(path, 'file'), 'precious')
  await t.rejects(openQemuDatagram({ path: join(path, 'file') }), { code: 'EADDRINUSE', hint: /no socket/ })
  t.ok(existsSync(join(path, 'file')))
  await t.rejects(openQemuDatagram({ path: join(path, 'none', 'own') }), { code: 'ENOENT' })

  // A successor's file is not removed.
  renameSync(own, join(path, 'moved'))
  const c = await openQemuDatagram({ path: own })
  await a.close()
  t.ok(existsSync(own))
  await Promise.all([b.close(), c.close()])
  t.notOk(existsSync(own))
})

test('a socket that is given away keeps its file', async (t) => {
  const path = await folder(t)
  const [own, other] = [join(path, 'own'), join(path, 'other')]
  const end = await openQemuDatagram({ path: own, remote: other })
  const [fd = -1] = await end.release()
  t.ok(existsSync(own))
  const peer = await openQemuDatagram({ path: other, remote: own })
  peer.writeBatch(alike(1))
  t.match(peer.stats(), { framesWritten: 1, refused: 0 }, 'whoever has it now is heard')
  closeSync(fd)
  await peer.close()
})

test('abstract addresses', async (t) => {
  const name = `\0netkit-test-${process.pid}`
  const a = await openQemuDatagram({ path: `${name}-a`, remote: `${name}-b` })
  const b = await openQemuDatagram({ path: `${name}-b`, remote: `${name}-a` })
  t.match(a.name, /^unix:@netkit-test/)
  t.ok(await cross(a, b, everySize(2000), 1e9))
  await Promise.all([a.close(), b.close()])
})

test('over UDP', await needs('namespaces'), async (t) => {
  const { scratch } = await import('./support/scratch.js')
  const namespace = await scratch(t)
  const local = { address: '127.0.0.1', port: 5001 }
  const a = await openQemuDatagram({ namespace, local, remote: { address: '127.0.0.1', port: 5002 } })
  a.writeBatch(alike(2))
  const b = await openQemuDatagram({ namespace, local: { address: '127.0.0.1', port: 5002 } })
  t.ok(await cross(a, b, everySize(65_507)))
  t.ok(await cross(b, a, everySize(65_507)), 'whoever was heard gets the answers')
  await Promise.all([a.close(), b.close()])
})

test('options, and closing', async (t) => {
  const path = await folder(t)
  const value = { code: 'ERR_INVALID_ARG_VALUE' }
  const type = { code: 'ERR_INVALID_ARG_TYPE' }
  const own = join(path, 'own')
  for (const [wrong, error] of [
    [{}, value],
    [{ path: own, fd: 1 }, value],
    [{ path: '' }, value],
    [{ path: 'x'.repeat(108) }, value],
    [{ path: 'a\0b' }, value],
    [{ path: 1 }, type],
    [{ path: own, remote: { address: '127.0.0.1', port: 1 } }, type],
    [{ local: { port: 1 }, remote: own }, type],
    [{ local: {} }, type],
    [{ fd: 1, remote: own }, value],
    [{ pth: own }, value],
    [{ path: own, signal: 1 }, type],
  ] as const) {
    await t.rejects(openQemuDatagram(wrong as never), error)
  }
  await leavesNoDescriptor(t, 'closing', async () => {
    const controller = new AbortController()
    const end = await openQemuDatagram({ path: own, signal: controller.signal })
    const next = end.batches().next()
    controller.abort()
    t.same(await next, { done: true, value: undefined })
    t.ok(await eventually(() => !existsSync(own)))
    await t.rejects(openQemuDatagram({ path: own, signal: controller.signal }), { name: 'AbortError' })
    t.notOk(existsSync(own))
  })
})
