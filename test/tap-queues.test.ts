/** Taps with several queues, and descriptors that are given away. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { native } from '../dist/native.js'
import type { PacketEnd } from '../dist/packets/end.js'
import { openTap, type Tap } from '../dist/tuntap/tap.js'
import { descriptors, eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { hostMac } from './support/packets.js'
import { packageFolder } from './support/program.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip')

async function open(namespace: Namespace, queues: number): Promise<Tap> {
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const tap = await openTap({ namespace, name: 'tap0', addresses: ['10.0.2.1/24'], up: true, queues })
  await ipDo(namespace, 'neighbor', 'replace', '10.0.2.7', 'lladdr', hostMac, 'dev', 'tap0')
  return tap
}

/** Sends datagrams from ports of their own, which the kernel spreads over the queues by flow. */
async function sendFlows(namespace: Namespace, flows: number, each: number): Promise<void> {
  const sockets = await Promise.all(Array.from({ length: flows }, () => namespace.bindDatagram({ type: 'udp4' })))
  for (let i = 0; i < each; i++) {
    for (const socket of sockets) await new Promise((resolve) => socket.send(`${i}`, 9, '10.0.2.7', resolve))
  }
  await Promise.all(
    sockets.map((socket) => {
      socket.close()
      return once(socket, 'close')
    }),
  )
}

/** The source ports of the UDP frames that wait in a queue, each with its count. */
function drain(queue: PacketEnd): Map<number, number> {
  const ports = new Map<number, number>()
  for (let batch = queue.pollBatch(0); batch !== undefined; batch = queue.pollBatch(0)) {
    for (const frame of batch) {
      if (frame.readUInt16BE(12) !== 0x0800 || frame[23] !== 17) continue
      const port = frame.readUInt16BE(34)
      ports.set(port, (ports.get(port) ?? 0) + 1)
    }
  }
  return ports
}

test('each flow has its queue', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await open(namespace, 4)
  t.equal(tap.fds.length, 4)
  t.equal(tap.queues.length, 4)
  t.equal(tap.queues[0], tap, 'a tap is its own first queue')
  t.match((await ip(namespace, 'link', 'show', 'tap0'))[0].linkinfo.info_data, { multi_queue: true, numqueues: 4 })
  await sendFlows(namespace, 32, 3)
  const found = tap.queues.map(drain)
  const seen = found.flatMap((ports) => [...ports.keys()])
  t.equal(new Set(seen).size, 32, 'no flow is lost')
  t.equal(seen.length, 32, 'and none is in two queues')
  t.ok(found.every((ports) => [...ports.values()].every((count) => count === 3)))
  t.ok(found.filter((ports) => ports.size > 0).length >= 3, 'the queues share them')
  await tap.close()
  t.same(tap.fds, [])
})

test('queues come and go while the interface runs', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await open(namespace, 2)
  const third = await tap.addQueue()
  t.equal(tap.queues.length, 3)
  const second = tap.queues[1] as typeof third
  await third.detach()
  await t.rejects(third.detach(), { code: 'EINVAL', syscall: 'TUNSETQUEUE' }, 'it is detached')
  await second.detach()
  const data = (await ip(namespace, 'link', 'show', 'tap0'))[0].linkinfo.info_data
  t.match(data, { numqueues: 1, numdisabled: 2 })
  await sendFlows(namespace, 16, 1)
  t.equal(drain(tap).size, 16, 'all flows in the queue that is left')
  await third.attach()
  await second.attach()
  await sendFlows(namespace, 32, 1)
  t.equal(
    tap.queues.map(drain).reduce((sum, ports) => sum + ports.size, 0),
    32,
  )
  await second.close()
  t.equal(tap.queues.length, 2)
  t.equal(tap.fds.length, 2)
  await sendFlows(namespace, 32, 1)
  t.equal(
    tap.queues.map(drain).reduce((sum, ports) => sum + ports.size, 0),
    32,
    'none goes to a closed one',
  )
  await tap.close()
  t.ok(third.destroyed, 'closing the tap closes all')
  await t.rejects(tap.addQueue(), { code: 'ERR_INVALID_STATE' })

  const destroyed = await openTap({ namespace, name: 'tap1', queues: 3 })
  destroyed.destroy()
  t.ok(
    await eventually(async () => (await ip(namespace, 'link', 'show', 'type', 'tun')).length === 0),
    'destroy() closes all, too',
  )

  const single = await openTap({ namespace })
  await t.rejects(single.addQueue(), { code: 'ERR_INVALID_STATE', message: /has one queue only/ })
  await t.rejects(openTap({ namespace, name: single.name, queues: 2 }), { code: 'EINVAL' })
  await single.close()
})

test('the interface goes when one of several queues fails to open', tun, async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'too many queues', async () => {
    const persistent = await openTap({ namespace, name: 'tap5', persist: true })
    await t.rejects(openTap({ namespace, name: 'tap5', queues: 2 }), {
      code: 'EINVAL',
      message: /made with other flags/,
    })
    await persistent.delete()
  })
  t.same(await ip(namespace, 'link', 'show', 'type', 'tun'), [])
})

test('a queue in a worker thread', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await open(namespace, 2)
  const queue = tap.queues[1] as PacketEnd
  const [fd] = await queue.release()
  t.equal(tap.queues.length, 1)
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { native } = require('${packageFolder}/dist/native.js')
    native.ownDescriptor(workerData)
    const end = native.createTunEnd(workerData, 0, 0, 0)
    const slab = Buffer.alloc(1 << 17), spans = new Uint32Array(64)
    let frames = 0
    parentPort.postMessage('ready')
    while (frames < 1 && native.waitReadable(Uint32Array.of(workerData), 60_000) === 0) {
      frames += native.readFrames(end, slab, 0, spans, 32)
    }
    parentPort.postMessage(frames)
  `
  // It answers and ends with the first frames, while others are still being sent.
  const worker = new Worker(source, { eval: true, workerData: fd })
  const exited = once(worker, 'exit')
  const messages: unknown[] = []
  worker.on('message', (message) => messages.push(message))
  t.ok(await eventually(() => messages.length > 0, 30_000), 'the worker starts')
  await sendFlows(namespace, 32, 1)
  await exited
  t.same(messages[0], 'ready')
  t.ok(Number(messages[1]) > 0, 'it gets frames of the same interface')
  await sendFlows(namespace, 8, 1)
  t.ok(drain(tap).size >= 8, 'and when it has ended, its flows come here')
  await tap.close()
})

test('pollBatch blocks a worker, and only a worker', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await open(namespace, 1)
  t.throws(() => tap.pollBatch(10), { code: 'ERR_INVALID_STATE', message: /main thread/ })
  t.throws(() => tap.pollBatch(1.5), { code: 'ERR_INVALID_ARG_TYPE' })
  t.equal(tap.pollBatch(0), undefined)
  await sendFlows(namespace, 1, 3)
  const batch = tap.pollBatch(0, { max: 2 })
  t.equal(batch?.length, 2)
  t.equal(tap.pollBatch(0)?.length, 1)
  t.throws(() => batch?.frame(0), /this batch is over/)
  await t.rejects(tap.batches().next(), { code: 'ERR_INVALID_STATE' }, 'it is read one way only')
  await tap.close()
  t.throws(() => tap.pollBatch(0), { code: 'EBADF' })

  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { createNamespace, openTap } = require('${packageFolder}/dist/index.js')
    void (async () => {
      const namespace = await createNamespace()
      namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
      const tap = await openTap({ namespace, name: 'tap0', addresses: ['10.0.2.1/24'], up: true })
      const before = performance.now()
      const none = tap.pollBatch(30)
      const waited = performance.now() - before
      void namespace.exec('ip', ['link', 'delete', 'tap0'])
      await new Promise((resolve) => setImmediate(resolve))
      let error
      for (let i = 0; i < 100 && error === undefined; i++) {
        try { tap.pollBatch(200) } catch (thrown) { error = thrown.code }
      }
      parentPort.postMessage({ none, waited, error })
    })()
  `
  const worker = new Worker(source, { eval: true })
  const exited = once(worker, 'exit')
  const [answer] = await once(worker, 'message')
  t.equal(answer.none, undefined)
  t.ok(answer.waited >= 29, `it waited ${answer.waited} ms`)
  t.equal(answer.error, 'ENODEV', 'a deleted interface ends it')
  await exited
})

test('onBatch: callbacks, pauses, errors', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await open(namespace, 1)
  const lengths: number[] = []
  let kept: { frame(i: number): Buffer } | undefined
  const listener = tap.onBatch(
    (batch) => {
      lengths.push(batch.length)
      kept = batch
    },
    { max: 2 },
  )
  await sendFlows(namespace, 1, 5)
  t.ok(await eventually(() => lengths.reduce((a, b) => a + b, 0) === 5))
  t.ok(lengths.every((length) => length <= 2))
  t.throws(() => kept?.frame(0), /this batch is over/)
  t.throws(() => tap.onBatch(() => {}), { code: 'ERR_INVALID_STATE' })
  t.throws(() => tap.onBatch(1 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  listener.pause()
  lengths.length = 0
  await sendFlows(namespace, 1, 3)
  await delay(10)
  t.same(lengths, [], 'frames wait while it is paused')
  listener.resume()
  t.ok(await eventually(() => lengths.reduce((a, b) => a + b, 0) === 3))
  listener.close()
  listener.close()
  t.ok(listener.closed)
  await sendFlows(namespace, 1, 2)
  const failed = once(tap, 'error')
  const again = tap.onBatch((batch) => lengths.push(batch.length))
  t.ok(await eventually(() => lengths.at(-1) === 2), 'a second one after it')
  await ipDo(namespace, 'link', 'delete', 'tap0')
  t.match((await failed)[0], { code: 'ENODEV' })
  t.ok(again.closed)
  await tap.close()
})

test('some frames of a batch are forwarded without copying', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await open(namespace, 1)
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  for (let i = 0; i < 10; i++) await new Promise((resolve) => socket.send(Buffer.alloc(100, i), 9, '10.0.2.7', resolve))
  socket.close()
  const batches = tap.batches({ details: true })
  const { value: batch } = await batches.next()
  t.equal(batch?.length, 10)
  const odd = batch?.select((i) => i % 2 === 1)
  t.same(
    [...(odd ?? [])].map((frame) => frame[60]),
    [1, 3, 5, 7, 9],
  )
  const few = batch?.select([7, 0])
  t.same(
    [...(few ?? [])].map((frame) => frame[60]),
    [7, 0],
  )
  t.equal(few?.data, batch?.data, 'the same memory')
  t.equal(few?.originalLength(0), 142)
  t.ok(Math.abs(Number((few?.time(0) ?? 0n) / 1_000_000n) - Date.now()) < 60_000)
  t.throws(() => batch?.select([10]), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => batch?.select(3 as never), { code: 'ERR_INVALID_ARG_TYPE' })
  t.equal(tap.writeBatch(few as never), 2)
  t.match(tap.stats(), { framesWritten: 2, bytesWritten: 284 })
  await batches.return()
  t.throws(() => few?.frame(0), /this batch is over/, 'a selection is over with its batch')
  await tap.close()
})

test('what is released is neither read nor closed any more', tun, async (t) => {
  const namespace = await scratch(t)
  const before = descriptors()
  const tap = await open(namespace, 2)
  const pending = tap.batches().next()
  const fds = await tap.release()
  t.equal(fds.length, 2)
  t.same(await pending, { done: true, value: undefined }, 'an iteration ends')
  t.ok(tap.destroyed)
  t.same(tap.fds, [])
  t.same(await tap.close(), undefined)
  await t.rejects(tap.release(), { code: 'EBADF' })
  await sendFlows(namespace, 4, 1)
  t.equal(descriptors(), before + 2, 'the descriptors are open')
  t.equal((await ip(namespace, 'link', 'show', 'tap0')).length, 1, 'the interface is there')
  let frames = 0
  for (const fd of fds) {
    native.ownDescriptor(fd)
    const end = native.createTunEnd(fd, 0, 0, 0)
    frames += Math.max(0, native.readFrames(end, Buffer.alloc(1 << 17), 0, new Uint32Array(64), 32))
    await native.closeDescriptor(fd)
  }
  t.equal(frames, 4, 'nobody else has read them')
  t.equal((await ip(namespace, 'link', 'show', 'type', 'tun')).length, 0, 'it goes with its last descriptor')
})
