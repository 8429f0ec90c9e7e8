/** Taps made of descriptors: inherited, received, of another thread; who owns them, and where they are. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { currentNamespace } from '../dist/namespace/open.js'
import { native } from '../dist/native.js'
import { createDescriptorChannels } from '../dist/packets/descriptor-channel.js'
import { adoptTap, adoptTun } from '../dist/tuntap/adopt.js'
import { openTap, type Tap } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { descriptors, eventually, leavesNoDescriptor } from './support/counting.js'
import { NOBODY, needs } from './support/needs.js'
import { answerFrame, numberedFrame, numberOf } from './support/packets.js'
import { askProgram, packageFolder } from './support/program.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip', 'ping')

const settings = { addresses: ['10.0.2.1/24'], up: true }

/** Whether a host that a tap's holder plays can be pinged. */
async function answersPing(t: Test, namespace: Namespace, address = '10.0.2.7'): Promise<void> {
  const { exitCode, stdout } = await namespace.exec('ping', ['-c3', '-i0.01', '-W5', address])
  t.equal(exitCode, 0, stdout)
}

function play(tap: Tap): Promise<void> {
  return (async () => {
    for await (const batch of tap.batches()) {
      tap.writeBatch([...batch].map(answerFrame).filter((answer) => answer !== undefined))
    }
  })()
}

test('what was released is adopted again', tun, async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'there and back', async () => {
    const first = await openTap({ namespace, name: 'tap0', ...settings })
    const fds = await first.release()
    t.equal(fds.length, 1)
    t.ok(first.destroyed)
    t.equal((await ip(namespace, 'link', 'show', 'tap0')).length, 1, 'the interface is still there')
    const [fd] = fds as [number]
    const tap = await adoptTap({ fd })
    t.same(tap.fds, fds)
    t.equal(tap.name, 'tap0')
    t.equal(tap.namespace.inode, namespace.inode, 'the kernel tells where it is')
    t.equal(tap.link.kind, 'tun')
    t.equal(tap.link.mtu, 1500)
    const playing = play(tap)
    await answersPing(t, namespace)
    t.ok(tap.stats().framesRead > 0)
    t.equal(typeof tap.stats().dropped, 'number')
    await t.rejects(adoptTap({ fd }), { code: 'ERR_INVALID_STATE', message: /held already/ })
    await tap.close()
    await playing
    t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 1), 'and goes with it')
  })
})

test('a tap in the own namespace', tun, async (t) => {
  const [fd] = (await (await openTap({ name: 'own0' })).release()) as [number]
  const tap = await adoptTap({ fd })
  t.equal(tap.namespace, currentNamespace())
  await tap.close()
  const left = await ip(currentNamespace(), 'link')
  t.notOk(left.some(({ ifname }: { ifname: string }) => ifname === 'own0'))
})

test('a tun, offload, a namespace that is given', tun, async (t) => {
  const namespace = await scratch(t)
  const other = await scratch(t)
  await leavesNoDescriptor(t, 'three of them', async () => {
    const [fd] = (await (await openTun({ namespace, name: 'tun0', offload: true })).release()) as [number]
    await t.rejects(adoptTap({ fd }), { code: 'ERR_INVALID_ARG_VALUE', message: /tun0 is a tun: adoptTun takes it/ })
    // As a hypervisor leaves it: headers of 12 bytes.
    native.ownDescriptor(fd)
    t.equal(await native.controlTun(fd, 0x400454d8, 12), 0)
    native.disownDescriptor(fd)
    const adopted = await adoptTun({ fd, namespace })
    t.equal(adopted.namespace, namespace)
    t.ok(adopted.offload)
    await adopted.link.set({ up: true })
    await adopted.link.addAddress('10.0.2.1/24')
    const packets: Buffer[] = []
    adopted.on('data', (packet) => packets.push(packet))
    const socket = await namespace.bindDatagram({ type: 'udp4' })
    socket.send('hello', 9, '10.0.2.2')
    const said = () =>
      packets
        .find((packet) => packet[0] === 0x45)
        ?.subarray(28)
        .toString()
    t.ok(await eventually(() => said() !== undefined))
    t.equal(said(), 'hello', 'the header is as long as it is taken to be')
    socket.close()
    await adopted.close()

    const [elsewhere] = (await (await openTap({ namespace, name: 'tap1' })).release()) as [number]
    const wrong = await adoptTap({ fd: elsewhere, namespace: other })
    t.throws(() => wrong.link, { code: 'ENODEV' }, 'there is no such interface')
    await wrong.close()

    const [moved] = (await (await openTap({ namespace, name: 'tap2' })).release()) as [number]
    await ipDo(namespace, 'link', 'set', 'tap2', 'netns', `/proc/${process.pid}/fd/${other.fd}`)
    const found = await adoptTap({ fd: moved })
    t.equal(found.name, 'tap2')
    await found.close()
    t.ok(await eventually(async () => (await ip(other, 'link')).length === 1))
  })
})

test("what cannot be adopted stays the caller's", tun, async (t) => {
  const namespace = await scratch(t)
  const file = openSync('/dev/null', 'r')
  await t.rejects(adoptTap({ fd: file }), { code: 'ENOTTY', syscall: 'TUNGETIFF', hint: /it is no tap/ })
  const unattached = openSync('/dev/net/tun', 'r+')
  await t.rejects(adoptTap({ fd: unattached }), { code: 'EBADFD', hint: /no interface/ })
  closeSync(unattached)
  closeSync(file)
  await t.rejects(adoptTap({ fd: file }), { code: 'EBADF' })
  const [gone] = (await (await openTap({ namespace, name: 'tap0' })).release()) as [number]
  await ipDo(namespace, 'link', 'delete', 'tap0')
  await t.rejects(adoptTap({ fd: gone }), { code: 'EBADFD' })
  closeSync(gone)
  const value = { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE' }
  await t.rejects(adoptTap({}), value)
  await t.rejects(adoptTap({ fd: 3, fds: [3] }), value)
  await t.rejects(adoptTap({ fds: [] }), value)
  await t.rejects(adoptTap({ fds: [3, 3] }), { ...value, message: /twice/ })
  await t.rejects(adoptTap({ fds: 3 as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(adoptTap({ fd: 3, namespace: {} as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(adoptTap({ fd: 3, queues: 1 } as never), value)
  await leavesNoDescriptor(t, 'two interfaces in one', async () => {
    const [a, b] = [await openTap({ namespace }), await openTap({ namespace })]
    const fds = [...(await a.release()), ...(await b.release())]
    await t.rejects(adoptTap({ fds }), { ...value, message: /is of tap\d, not of tap\d/ })
    for (const fd of fds) closeSync(fd)
  })
})

test('over a channel, to another process without any privilege', {
  ...(await needs('namespaces', 'tun', 'ip', 'ping', 'nobody')),
}, async (t) => {
  const namespace = await scratch(t)
  const source = `
    import { adoptTap, openDescriptorChannel } from './dist/index.js'
    const channel = openDescriptorChannel({ fd: 3 })
    const received = await channel.receive({ max: 1 })
    const tap = await adoptTap({ fd: received.fds[0] })
    let hidden
    try { tap.link } catch (error) { hidden = error.code + ' ' + error.syscall }
    await channel.send([], JSON.stringify({ name: tap.name, data: String(received.data), left: received.fds.length, hidden }))
    for await (const batch of tap.batches()) { tap.writeBatch(batch); break }
    const { framesRead, framesWritten, dropped } = tap.stats()
    await channel.send(tap, JSON.stringify({ framesRead, framesWritten, dropped }))
    await tap.close()
  `
  await leavesNoDescriptor(t, 'the way there and back', async () => {
    const tap = await openTap({ namespace, name: 'tap0', ...settings })
    const [here, there] = createDescriptorChannels()
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      cwd: packageFolder,
      uid: NOBODY,
      gid: NOBODY,
      stdio: ['ignore', 'inherit', 'inherit', there.fd],
    })
    await there.close()
    await here.send(tap, 'a tap')
    await tap.close()
    const told = JSON.parse(String((await here.receive())?.data))
    t.same(told, { name: 'tap0', data: 'a tap', left: 0, hidden: 'EPERM SIOCGSKNS' })
    const back = await here.receive()
    t.match(JSON.parse(String(back?.data)), { framesRead: Number, framesWritten: Number, dropped: undefined })
    // The child has closed its own; this one holds the interface.
    if (child.exitCode === null) await once(child, 'close')
    t.equal(child.exitCode, 0)
    const again = await adoptTap({ fd: back?.fds[0] as number })
    await back?.close()
    const playing = play(again)
    await answersPing(t, namespace)
    await again.close()
    await playing
    await here.close()
  })
})

test('a queue for a worker thread', tun, async (t) => {
  const namespace = await scratch(t)
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const source = `
    import { parentPort, workerData } from 'node:worker_threads'
    const { adoptTap } = await import(workerData.library)
    const tap = await adoptTap({ fd: workerData.fd })
    parentPort.postMessage({ name: tap.name, kind: tap.link.kind })
    const numbers = []
    while (numbers.length < 5) {
      const batch = tap.pollBatch(10_000)
      for (const frame of batch ?? []) if (frame.readUInt16BE(12) === 0x88b5) numbers.push(frame.readUInt32BE(14))
    }
    const [fd] = await tap.release()
    parentPort.postMessage({ numbers, fd })
  `
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`)
  const library = new URL('../dist/index.js', import.meta.url).href
  await leavesNoDescriptor(t, 'a worker', async () => {
    const tap = await openTap({ namespace, name: 'tap0', queues: 2, ...settings })
    const queue = await tap.addQueue()
    const [, second] = tap.queues
    await second?.close()
    const [fd] = (await queue.release()) as [number]
    t.equal(tap.fds.length, 1, 'it is no longer among the queues')
    const worker = new Worker(url, { workerData: { library, fd } })
    t.same(await message(worker), { name: 'tap0', kind: 'tun' })
    // With its first queue detached, everything goes to the worker's.
    const detached = await native.controlTun(tap.fds[0] as number, 0x400454d9, 0x400)
    t.equal(detached, 0)
    const other = await openTap({ namespace, name: 'tap1', up: true })
    const bridged = ['link', 'add', 'br0', 'up', 'type', 'bridge', 'mcast_snooping', '0']
    await ipDo(namespace, ...bridged)
    for (const name of ['tap0', 'tap1']) await ipDo(namespace, 'link', 'set', name, 'master', 'br0')
    const told = message(worker)
    for (let i = 0; i < 5; i++) other.writeBatch([numberedFrame(i)])
    const { numbers, fd: back } = await told
    t.same(numbers, [0, 1, 2, 3, 4])
    if (worker.threadId !== -1) await once(worker, 'exit')
    await tap.close()
    const again = await adoptTap({ fds: [back] })
    t.equal(again.queues.length, 1)
    const frames: number[] = []
    const more = await again.addQueue()
    t.equal(again.fds.length, 2, 'the adopted interface gets another queue')
    await more.detach()
    again.on('data', (frame) => {
      const number = numberOf(frame)
      if (number !== undefined) frames.push(number)
    })
    other.writeBatch([numberedFrame(7)])
    t.ok(await eventually(() => frames.length === 1))
    t.same(frames, [7])
    await again.close()
    await other.close()
  })
})

// biome-ignore lint/suspicious/noExplicitAny: whatever the worker says
async function message(worker: Worker): Promise<any> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

test('a released tap lives on in a child, after its opener is gone', tun, async (t) => {
  const namespace = await scratch(t)
  const source = `
    import { spawn } from 'node:child_process'
    import { openNamespace, openTap } from './dist/index.js'
    const namespace = await openNamespace({ fd: 3 })
    const tap = await openTap({ namespace, name: 'tap0' })
    const [fd] = await tap.release()
    const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', fd], detached: true })
    child.unref()
    console.log(child.pid)
  `
  const wrapper = ['sh', '-c', `exec "$@" 3</proc/${process.pid}/fd/${namespace.fd}`, 'sh']
  const pid = await askProgram(source, { wrapper })
  t.equal((await ip(namespace, 'link', 'show', 'tap0')).length, 1)
  process.kill(pid, 'SIGKILL')
  t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 1), 'until it ends')
})

test('workers that are terminated with an adopted tap', tun, async (t) => {
  const namespace = await scratch(t)
  const source = `
    import { parentPort, workerData } from 'node:worker_threads'
    const { adoptTap } = await import(workerData.library)
    const tap = await adoptTap({ fd: workerData.fd })
    tap.on('data', (frame) => tap.write(frame))
    parentPort.postMessage('ready')
  `
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`)
  const library = new URL('../dist/index.js', import.meta.url).href
  const before = descriptors()
  for (let i = 0; i < 3; i++) {
    const [fd] = (await (await openTap({ namespace, ...settings })).release()) as [number]
    const worker = new Worker(url, { workerData: { library, fd } })
    await message(worker)
    await worker.terminate()
    t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 1), 'the interface went with it')
  }
  t.ok(await eventually(() => descriptors() <= before), `${descriptors()} descriptors, ${before} before`)
})
