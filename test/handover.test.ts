/** Descriptors between processes: over channels, sockets of Node's, inherited sockets and paths; what is refused, and what is left. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, connect as netConnect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { type Test, test } from 'tap'
import { native } from '../dist/native.js'
import {
  connectDescriptorChannel,
  createDescriptorChannels,
  type DescriptorChannel,
  listenDescriptorChannel,
  openDescriptorChannel,
} from '../dist/packets/descriptor-channel.js'
import { receiveDescriptors, sendDescriptors } from '../dist/packets/handover.js'
import { descriptors, eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { askProgram, packageFolder } from './support/program.js'

/** A folder that goes with the test, for sockets and files. */
function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-handover-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A descriptor of a file that says `text`; closed with the test. */
function fileWith(t: Test, folder: string, text: string): number {
  const path = join(folder, text)
  writeFileSync(path, text)
  const fd = openSync(path, 'r')
  t.teardown(() => closeSync(fd))
  return fd
}

const sameFile = (a: number, b: number) => fstatSync(a).ino === fstatSync(b).ino && a !== b
const closesOnExec = (fd: number) =>
  (Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0', 8) &
    0o2000000) !==
  0

async function closeAll(...channels: DescriptorChannel[]): Promise<void> {
  await Promise.all(channels.map((channel) => channel.close()))
}

for (const type of ['stream', 'seqpacket'] as const) {
  test(`a pair of ${type} channels`, async (t) => {
    const folder = folderOf(t)
    const files = ['one', 'two', 'three'].map((text) => fileWith(t, folder, text))
    await leavesNoDescriptor(t, 'a conversation', async () => {
      const [a, b] = createDescriptorChannels({ type })
      t.equal(a.type, type)
      t.equal(a.peer?.pid, process.pid)
      await a.send(files, 'three files')
      await a.send(files[0] as number)
      await b.send([], 'thanks')
      const first = await b.receive()
      t.equal(first?.data.toString(), 'three files')
      t.equal(first?.fds.length, 3)
      for (const [i, fd] of (first?.fds ?? []).entries()) {
        t.ok(sameFile(fd, files[i] as number), 'the same file, another number')
        t.ok(closesOnExec(fd))
      }
      const second = await b.receive()
      t.same([...(second?.data ?? [])], [0], 'a byte that says nothing')
      t.equal(second?.fds.length, 1)
      t.equal((await a.receive())?.data.toString(), 'thanks')
      t.match(a.stats(), { messagesSent: 2, descriptorsSent: 4, messagesReceived: 1, descriptorsReceived: 0 })
      t.match(b.stats(), { messagesReceived: 2, descriptorsReceived: 4, messagesRefused: 0 })
      await first?.close()
      await first?.close()
      t.same(first?.fds, [])
      // What is released is the caller's.
      const mine = second?.release() ?? []
      t.same(second?.fds, [])
      await second?.close()
      t.equal(readFileSync(mine[0] as number, 'utf8'), 'one')
      closeSync(mine[0] as number)
      const last = b.receive()
      await a.close()
      t.equal(await last, undefined, 'the other side has closed')
      await t.rejects(b.send(files, 'x'), { code: 'EPIPE', syscall: 'sendmsg' })
      await b.close()
      await t.rejects(b.receive(), { code: 'EBADF', syscall: 'recvmsg', message: /is closed/ })
      await t.rejects(b.send(1), { code: 'EBADF', syscall: 'sendmsg' })
      t.equal(b.fd, -1)
      t.equal(b.peer, undefined)
    })
  })

  test(`as many as fit into a ${type} message, and with much data`, async (t) => {
    const fd = fileWith(t, folderOf(t), 'many')
    await leavesNoDescriptor(t, '253 descriptors', async () => {
      const [a, b] = createDescriptorChannels({ type })
      const data = Buffer.from(Array.from({ length: 32_768 }, (_, i) => i))
      await a.send(Array(253).fill(fd), data)
      const received = await b.receive()
      t.equal(received?.fds.length, 253)
      t.ok(received?.data.equals(data), 'the data arrives in one piece')
      await t.rejects(a.send(Array(254).fill(fd)), { code: 'ERR_INVALID_ARG_VALUE' })
      await received?.close()
      await closeAll(a, b)
    })
  })

  test(`a ${type} channel that nobody reads`, async (t) => {
    const folder = folderOf(t)
    const fd = fileWith(t, folder, 'waits')
    await leavesNoDescriptor(t, 'waiting for room', async () => {
      const [a, b] = createDescriptorChannels({ type })
      const data = Buffer.alloc(32_768)
      const waiting: Promise<void>[] = []
      let done = 0
      for (let i = 0; i < 20; i++) {
        data.writeUInt32BE(i)
        const mine = openSync(join(folder, 'waits'), 'r')
        waiting.push(a.send([mine, fd], data).then(() => void done++))
        // The number may be used again at once: what waits has its own.
        closeSync(mine)
      }
      const controller = new AbortController()
      const aborted = a.send(fd, 'never', { signal: controller.signal })
      await delay(5)
      t.ok(done > 0 && done < 20, `${done} of 20 had room`)
      controller.abort()
      await Promise.all([
        t.rejects(aborted, { name: 'AbortError' }),
        (async () => {
          for (let i = 0; i < 20; i++) {
            const message = await b.receive()
            t.equal(message?.data.readUInt32BE(), i, 'in order')
            t.equal(message?.data.length, 32_768)
            for (const each of message?.fds ?? []) t.ok(sameFile(each, fd))
            await message?.close()
          }
        })(),
        ...waiting,
      ])
      const left = Array.from({ length: 20 }, () => a.send(fd, data).catch((error) => error.name))
      await delay(5)
      await a.close()
      const ends = await Promise.all(left)
      t.ok(ends.includes('AbortError'), 'closing ends what waits')
      await b.close()
    })
  })
}

test('what is refused is closed, and the channel goes on', async (t) => {
  const fd = fileWith(t, folderOf(t), 'refused')
  await leavesNoDescriptor(t, 'refusals', async () => {
    const [a, b] = createDescriptorChannels({ type: 'seqpacket' })
    await a.send([fd, fd, fd], 'three')
    await t.rejects(b.receive({ max: 2 }), { code: 'E2BIG', message: /3 descriptors, and at most 2/ })
    // A foreign peer may send more than fits.
    t.equal(native.sendDescriptors(a.fd, Buffer.alloc(70_000), Uint32Array.of(fd)), 70_000)
    await t.rejects(b.receive(), { code: 'EMSGSIZE', message: /more than 65536 bytes/ })
    await a.send(fd, 'good')
    const good = await b.receive({ max: 1 })
    t.equal(good?.data.toString(), 'good')
    t.equal(b.stats().messagesRefused, 2)
    await good?.close()
    // Datagrams without a byte: with descriptors a message, without them the end.
    t.equal(native.sendDescriptors(a.fd, new Uint8Array(0), Uint32Array.of(fd)), 0)
    const empty = await b.receive()
    t.equal(empty?.data.length, 0)
    t.equal(empty?.fds.length, 1)
    await empty?.close()
    await closeAll(a, b)
  })
})

test('without room for descriptors nothing leaks', await needs('prlimit'), async (t) => {
  // A process of its own, with few descriptors.
  const source = `
    import { execFileSync } from 'node:child_process'
    import { closeSync, openSync, readdirSync } from 'node:fs'
    import { createDescriptorChannels } from './dist/index.js'
    const open = () => readdirSync('/proc/self/fd').length
    const [a, b] = createDescriptorChannels()
    const file = openSync('/dev/null')
    await a.send(Array(40).fill(file), 'forty')
    await a.send([file], 'one')
    const hoard = []
    execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=100'])
    const before = open()
    try { for (;;) hoard.push(openSync('/dev/null')) } catch {}
    for (const fd of hoard.splice(0, 10)) closeSync(fd)
    const error = await b.receive().catch(({ code, hint }) => ({ code, hint }))
    for (const fd of hoard.splice(0)) closeSync(fd)
    const after = open()
    const next = await b.receive()
    console.log(JSON.stringify({ error, before, after, next: next.data.toString(), count: next.fds.length, stats: b.stats() }))
  `
  const { error, before, after, next, count, stats } = await askProgram(source)
  t.match(error, { code: 'EMFILE', hint: /the 10 that came were closed.*ulimit -n/ })
  t.equal(after, before)
  t.equal(next, 'one')
  t.equal(count, 1)
  t.equal(stats.messagesRefused, 1)
})

test('listening and connecting', async (t) => {
  const folder = folderOf(t)
  const fd = fileWith(t, folder, 'served')
  const path = join(folder, 'socket')
  await leavesNoDescriptor(t, 'a server', async () => {
    for (const type of ['stream', 'seqpacket'] as const) {
      const listener = await listenDescriptorChannel({ path, type })
      await t.rejects(listenDescriptorChannel({ path }), { code: 'EADDRINUSE', syscall: 'bind' })
      const serving = (async () => {
        let clients = 0
        for await (const client of listener) {
          clients++
          t.match(client.peer, { pid: process.pid, uid: process.getuid?.() })
          for await (const request of client) await client.send(fd, `for ${request.data}`)
          await client.close()
        }
        return clients
      })()
      const client = await connectDescriptorChannel({ path })
      t.equal(client.type, type, 'whatever it is')
      for (const name of ['a', 'b']) {
        await client.send([], name)
        const answer = await client.receive()
        t.equal(answer?.data.toString(), `for ${name}`)
        t.ok(sameFile(answer?.fds[0] as number, fd))
        await answer?.close()
      }
      await client.close()
      await delay(1)
      await listener.close()
      await listener.close()
      t.equal(await serving, 1)
      t.notOk(existsSync(path), 'the path is gone')
      await t.rejects(listener.accept(), { code: 'EBADF' })
    }
    await t.rejects(connectDescriptorChannel({ path }), { code: 'ENOENT', syscall: 'connect' })
    const listener = await listenDescriptorChannel({ path })
    await t.rejects(connectDescriptorChannel({ path, type: 'stream' }), { code: 'EPROTOTYPE' })
    rmSync(path)
    writeFileSync(path, '')
    await t.rejects(connectDescriptorChannel({ path }), { code: 'ECONNREFUSED', hint: /nobody listens/ })
    await listener.close()
    t.ok(existsSync(path), "somebody else's file stays")
    const address = `\0netkit-test-${process.pid}`
    const abstract = await listenDescriptorChannel({ path: address, backlog: 0 })
    const clients = [Promise.resolve(await connectDescriptorChannel({ path: address }))]
    clients.push(connectDescriptorChannel({ path: address, signal: AbortSignal.timeout(30_000) }))
    const late = connectDescriptorChannel({ path: address, signal: AbortSignal.timeout(60) })
    await t.rejects(late, { name: 'AbortError' }, 'one who waits for a full backlog gives up')
    await closeAll(await abstract.accept(), await abstract.accept(), ...(await Promise.all(clients)))
    const pending = t.rejects(abstract.accept(), { name: 'AbortError' })
    const controller = new AbortController()
    const second = t.rejects(abstract.accept({ signal: controller.signal }), { name: 'AbortError' })
    controller.abort()
    await second
    await abstract.close()
    await pending
  })
})

test('waiting', async (t) => {
  await leavesNoDescriptor(t, 'waiting', async () => {
    const [a, b] = createDescriptorChannels()
    const controller = new AbortController()
    const aborted = { name: 'AbortError', cause: { message: 'enough' } }
    const pending = t.rejects(b.receive({ signal: controller.signal }), aborted)
    await t.rejects(b.receive(), { code: 'ERR_INVALID_STATE' })
    controller.abort(new Error('enough'))
    await pending
    await a.send([], 'still there')
    t.equal((await b.receive())?.data.toString(), 'still there', 'nothing was lost')
    await t.rejects(b.receive({ signal: AbortSignal.abort() }), { name: 'AbortError' })
    const closed = t.rejects(b.receive(), { name: 'AbortError', message: /was closed/ })
    await b.close()
    await closed
    await a.close()
  })
})

test('wrong arguments', async (t) => {
  const [a, b] = createDescriptorChannels()
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  const value = { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE' }
  await t.rejects(a.send('3' as never), type)
  await t.rejects(a.send([null as never]), { ...type, message: /descriptors\[0\]/ })
  await t.rejects(a.send({ fds: [] }), { ...value, message: /has no descriptor/ })
  await t.rejects(a.send(-1), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(a.send(0, ''), value)
  await t.rejects(a.send(0, Buffer.alloc(32_769)), value)
  await t.rejects(a.send(0, 7 as never), type)
  await t.rejects(a.send(0, 'x', { sginal: 1 } as never), { ...value, message: /signal/ })
  await t.rejects(a.receive({ max: 254 }), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(a.send(4095), { code: 'EBADF', syscall: 'sendmsg' })
  t.throws(() => openDescriptorChannel({ fd: 4095 }), { code: 'EBADF', syscall: 'getsockopt' })
  t.throws(() => openDescriptorChannel({ fd: openNull(t) }), { code: 'ENOTSOCK', syscall: 'getsockopt' })
  await t.rejects(connectDescriptorChannel({ path: '' }), value)
  await t.rejects(connectDescriptorChannel({ path: 'x'.repeat(108) }), { ...value, message: /108 bytes/ })
  await t.rejects(connectDescriptorChannel({ path: 'a\0b' }), value)
  await t.rejects(async () => listenDescriptorChannel({ path: '/x', type: 'datagram' as never }), value)
  await t.rejects(sendDescriptors({} as never, 0), type)
  await t.rejects(receiveDescriptors(-1), { code: 'ERR_OUT_OF_RANGE' })
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const tcp = netConnect((server.address() as { port: number }).port, '127.0.0.1')
  await t.rejects(sendDescriptors(tcp, 0), { ...value, message: /not a Unix socket/ })
  tcp.destroy()
  await t.rejects(sendDescriptors(tcp, 0), { code: 'EBADF' })
  server.close()
  await closeAll(a, b)
})

function openNull(t: Test): number {
  const fd = openSync('/dev/null', 'r')
  t.teardown(() => closeSync(fd))
  return fd
}

test("Node's own sockets", async (t) => {
  const folder = folderOf(t)
  const fd = fileWith(t, folder, 'node')
  const path = join(folder, 'socket')
  await leavesNoDescriptor(t, 'a net.Server', async () => {
    const server = createServer({ pauseOnConnect: true }).listen(path)
    await once(server, 'listening')
    const accepted = once(server, 'connection')
    const client = netConnect(path)
    // Much more than fits, so that it has to wait.
    client.write(Buffer.alloc(600_000, 'x'))
    const sent = sendDescriptors(client, fd, 'behind it')
    const [socket] = (await accepted) as [Socket]
    let before = 0
    let received = await receiveDescriptors(socket)
    while (received.fds.length === 0) {
      before += received.data.length
      received = await receiveDescriptors(socket)
    }
    await sent
    // A stream puts data together.
    t.equal(before + received.data.length, 600_000 + 'behind it'.length)
    t.ok(received.data.toString().endsWith('behind it'))
    t.ok(sameFile(received.fds[0] as number, fd))
    await received.close()
    socket.write('and Node goes on')
    t.equal(String((await once(client, 'data'))[0]), 'and Node goes on')
    await t.rejects(receiveDescriptors(client), { code: 'ERR_INVALID_STATE', message: /pauseOnConnect/ })
    client.end('bye')
    socket.resume()
    t.equal(String((await once(socket, 'data'))[0]), 'bye')
    client.destroy()
    socket.destroy()
    server.close()
    await once(server, 'close')
  })
})

test('a path is connected to for one message', async (t) => {
  const folder = folderOf(t)
  const fd = fileWith(t, folder, 'once')
  const path = join(folder, 'socket')
  await leavesNoDescriptor(t, 'paths', async () => {
    const listener = await listenDescriptorChannel({ path, type: 'seqpacket' })
    const giving = listener.accept().then(async (client) => {
      await client.send(fd, 'here you are')
      await client.close()
    })
    const received = await receiveDescriptors(path)
    await giving
    t.equal(received.data.toString(), 'here you are')
    t.ok(sameFile(received.fds[0] as number, fd))
    await received.close()
    const taking = listener.accept().then(async (client) => {
      const got = await client.receive()
      await client.close()
      return got
    })
    await sendDescriptors(path, fd, 'take it')
    const got = await taking
    t.equal(got?.fds.length, 1)
    await got?.close()
    const closing = listener.accept().then((client) => client.close())
    await t.rejects(receiveDescriptors(path), { code: 'ECONNRESET', message: /closed before it sent/ })
    await closing
    await listener.close()
  })
})

test('a child process, through an inherited socket, in both directions', async (t) => {
  const folder = folderOf(t)
  const fd = fileWith(t, folder, 'for the child')
  const source = `
    import { readFileSync } from 'node:fs'
    import { openSync, readlinkSync } from 'node:fs'
    import { receiveDescriptors, sendDescriptors } from './dist/index.js'
    const { data, fds } = await receiveDescriptors(3)
    console.log(String(data), readFileSync(fds[0], 'utf8'))
    await sendDescriptors(3, openSync('/dev/null'), 'back')
  `
  await leavesNoDescriptor(t, 'a child', async () => {
    const [here, there] = createDescriptorChannels()
    const args = ['--input-type=module', '--eval', source]
    const child = spawn(process.execPath, args, { cwd: packageFolder, stdio: ['ignore', 'pipe', 'inherit', there.fd] })
    await there.close()
    let said = ''
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      said += text
    })
    t.equal(here.peer?.pid, process.pid, 'who made the pair')
    await here.send(fd, 'read this:')
    const back = await here.receive()
    t.equal(back?.data.toString(), 'back')
    t.equal(readlinkSync(`/proc/self/fd/${back?.fds[0]}`), '/dev/null')
    await back?.close()
    t.equal(await here.receive(), undefined, 'the child has ended')
    if (child.exitCode === null) await once(child, 'close')
    t.equal(said, 'read this: for the child\n')
    await here.close()
  })
})

test('python speaks it too', await needs('python3'), async (t) => {
  const fd = fileWith(t, folderOf(t), 'for python')
  const source = `
import os, socket
s = socket.socket(fileno=3)
data, fds, flags, _ = socket.recv_fds(s, 100, 4)
text = os.read(fds[0], 100)
r, w = os.pipe()
os.write(w, b'from python')
socket.send_fds(s, [data + b' ' + text], [r])
`
  await leavesNoDescriptor(t, 'a foreign peer', async () => {
    const [here, there] = createDescriptorChannels()
    const child = spawn('python3', ['-c', source], { stdio: ['ignore', 'inherit', 'inherit', there.fd] })
    await there.close()
    await sendDescriptors(here, fd, 'take')
    const back = await receiveDescriptors(here)
    t.equal(back.data.toString(), 'take for python')
    t.equal(readFileSync(back.fds[0] as number, 'utf8'), 'from python')
    await back.close()
    if (child.exitCode === null) await once(child, 'close')
    await here.close()
  })
})

test('what is forgotten is closed, with one warning a kind', async (t) => {
  const source = `
    import { openSync, readlinkSync } from 'node:fs'
    import { setTimeout as delay } from 'node:timers/promises'
    import { createDescriptorChannels, listenDescriptorChannel } from './dist/index.js'
    const warnings = []
    process.on('warning', ({ code, message }) => warnings.push(code + ' ' + message.split(' was ')[0]))
    const numbers = await (async () => {
      const [a, b] = createDescriptorChannels()
      // Not /dev/null, which libuv opens when it feels like it.
      await a.send(openSync('package.json'), 'x')
      await listenDescriptorChannel({ path: '\\0netkit-forgotten' })
      return [a.fd, b.fd, ...(await b.receive()).fds].map((fd) => [fd, targetOf(fd)])
    })()
    // A number may be somebody else's meanwhile.
    function targetOf(fd) { try { return readlinkSync('/proc/self/fd/' + fd) } catch {} }
    const open = () => numbers.filter(([fd, target]) => targetOf(fd) === target)
    const before = open().length
    for (let i = 0; i < 100 && open().length > 0; i++) { gc(); await delay(10) }
    for (let i = 0; i < 5; i++) { gc(); await delay(10) }
    console.log(JSON.stringify({ before, after: open().length, left: open(), warnings: warnings.sort() }))
  `
  const { before, after, left, warnings } = await askProgram(source, { node: ['--expose-gc'] })
  t.equal(before, 3)
  t.equal(after, 0, JSON.stringify(left))
  t.same(warnings, [
    'NETKIT_LEAK A descriptor channel',
    'NETKIT_LEAK A descriptor listener',
    'NETKIT_LEAK A message with descriptors',
  ])
})

test('worker threads that are terminated in the middle', async (t) => {
  const library = new URL('../dist/index.js', import.meta.url).href
  const source = `
    import { openSync } from 'node:fs'
    import { parentPort, workerData } from 'node:worker_threads'
    const { createDescriptorChannels } = await import(workerData)
    const [a, b] = createDescriptorChannels()
    const [c, d] = createDescriptorChannels()
    const file = openSync('/dev/null')
    const kept = []
    const pump = async () => { for (;;) { await a.send([file, file], Buffer.alloc(30000)); kept.push(await b.receive()); if (kept.length > 20) await kept.shift().close() } }
    void pump()
    void d.receive()
    for (let i = 0; i < 20; i++) void c.send(file, Buffer.alloc(30000))
    parentPort.postMessage('ready')
  `
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`)
  const before = descriptors()
  for (let i = 0; i < 4; i++) {
    const worker = new Worker(url, { workerData: library })
    await once(worker, 'message')
    await delay(i * 5)
    await worker.terminate()
  }
  t.ok(await eventually(() => descriptors() <= before), `${descriptors()} descriptors, ${before} before`)
})
