/** What is known to go wrong with taps, each under the name by which it is known. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import '../dist/index.js'
import { native } from '../dist/native.js'
import { startPump } from '../dist/pump/pump.js'
import { createSwitch } from '../dist/pump/switch.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { tunConstants } from '../dist/tuntap/constants.js'
import { openTap, type Tap, type TapOptions } from '../dist/tuntap/tap.js'
import { descriptors, eventually, namespacesOfThreads } from './support/counting.js'
import { needs } from './support/needs.js'
import { hostMac, numberedFrame, numberOf } from './support/packets.js'
import { packageFolder, runProgram } from './support/program.js'
import { ipDo, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip')

async function quiet(namespace: Namespace, options: TapOptions = {}): Promise<Tap> {
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const tap = await openTap({ namespace, name: 'tap0', addresses: ['10.0.2.1/24'], up: true, ...options })
  await ipDo(namespace, 'neighbor', 'replace', '10.0.2.7', 'lladdr', hostMac, 'dev', 'tap0')
  return tap
}

/** Makes tap0 send datagrams with a number. */
async function send(namespace: Namespace, count: number, length = 100): Promise<void> {
  const socket = await namespace.bindDatagram({ type: 'udp4' })
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => socket.send(Buffer.alloc(length, i & 255), 9, '10.0.2.7', resolve))
  }
  socket.close()
  await once(socket, 'close')
}

test(
  'open("/dev/net/tun") pins the namespace: a tap is where it was asked for, and no thread stays there',
  tun,
  async (t) => {
    const before = namespacesOfThreads()
    const namespace = await scratch(t)
    const taps = await Promise.all(Array.from({ length: 20 }, () => openTap({ namespace })))
    t.equal((await namespace.links.list({ kind: 'tun' })).length, 20)
    t.same(namespacesOfThreads(), before)
    await Promise.all(taps.map((tap) => tap.close()))
  },
)

test('link down: reads give EAGAIN, writes give EIO, and it goes on when the link is up again', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quiet(namespace)
  const numbers: (number | undefined)[] = []
  tap.onBatch((batch) => {
    for (const frame of batch) if (frame[23] === 17) numbers.push(frame[42])
  })
  await tap.link.set({ up: false })
  t.equal(tap.writeBatch([numberedFrame(1)]), 1)
  t.match(tap.stats(), { refused: 1, lastRefusal: { code: 'EIO' } })
  await tap.link.set({ up: true })
  t.equal(tap.writeBatch([numberedFrame(2)]), 1)
  t.match(tap.stats(), { refused: 1, framesWritten: 1 })
  await ipDo(namespace, 'neighbor', 'replace', '10.0.2.7', 'lladdr', hostMac, 'dev', 'tap0')
  await send(namespace, 2)
  t.ok(await eventually(() => numbers.length === 2), 'reading goes on too')
  await tap.close()
})

test('device deleted: POLLERR and EBADFD, after which uv_poll stops', tun, async (t) => {
  const namespace = await scratch(t)
  const gone = { code: 'ENODEV', message: /^tap0 was deleted/ }
  const tap = await quiet(namespace)
  const turn = t.rejects(tap.batches().next(), gone)
  await ipDo(namespace, 'link', 'delete', 'tap0')
  await turn
  await tap.close()

  const streamed = await quiet(namespace)
  const failed = once(streamed, 'error')
  streamed.resume()
  await ipDo(namespace, 'link', 'delete', 'tap0')
  t.match((await failed)[0], gone)

  const [other, far] = createEndPair()
  const pumped = await quiet(namespace)
  const pump = startPump(pumped, other)
  await ipDo(namespace, 'link', 'delete', 'tap0')
  t.match(await pump.done, { reason: 'end-gone', end: 'a', error: gone })
  await Promise.all([pumped, other, far].map((end) => end.close()))
})

test('a namespace that is deleted lives on while a tap in it is open, and the tap works', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quiet(namespace)
  const turn = tap.batches().next()
  await namespace.delete()
  const request = Buffer.from(
    `ffffffffffff${hostMac.replaceAll(':', '')}080600010800060400010200000000070a0002070000000000000a000201`.padEnd(
      120,
      '0',
    ),
    'hex',
  )
  t.equal(tap.writeBatch([request]), 1)
  t.equal((await turn).value?.frame(0).readUInt16BE(12), 0x0806, 'it answers ARP')
  t.equal(tap.stats().dropped, undefined, 'what is asked of the namespace is not known any more')
  await tap.close()
})

test('four blocked reads starve every other fs call: taps that are read do not', tun, async (t) => {
  const namespace = await scratch(t)
  const taps = await Promise.all(Array.from({ length: 8 }, () => openTap({ namespace, up: true })))
  const pending = taps.map((tap, i) => (i % 2 ? tap.batches().next() : void tap.resume()))
  t.match(await readFile('/proc/self/status', 'latin1'), /Name:/)
  await Promise.all(taps.map((tap) => tap.close()))
  await Promise.all(pending)
})

test(
  'process.exit() hangs with a blocked read: with taps being read, pumped and switched it does not',
  tun,
  async (t) => {
    const { exitCode, stderr } = await runProgram(`
    import { createNamespace, createSwitch, openTap, startPump } from './dist/index.js'
    const namespace = await createNamespace()
    const [a, b, c, d] = await Promise.all([1, 2, 3, 4].map(() => openTap({ namespace, up: true })))
    a.resume()
    void b.batches().next()
    startPump(c, await openTap({ namespace, up: true }))
    createSwitch().addPort(d)
    setTimeout(() => process.exit(3), 50)
  `)
    t.equal(exitCode, 3, stderr)
  },
)

test('uv_close first, close after: closing while polling, at any moment', tun, async (t) => {
  const namespace = await scratch(t)
  const before = descriptors()
  for (let i = 0; i < 20; i++) {
    const tap = await openTap({ namespace, name: 'tap0', up: true })
    const turn = tap.batches().next()
    if (i % 3 === 1) await new Promise((resolve) => setImmediate(resolve))
    if (i % 3 === 2) tap.writeBatch([numberedFrame(i)])
    await tap.close()
    // The first frames (router solicitations) may have come before.
    t.ok(['undefined', 'object'].includes(typeof (await turn).value))
  }
  t.equal(descriptors(), before)
})

test('a second uv_poll on one descriptor gives EEXIST', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, up: true })
  const turn = tap.batches().next()
  const second = native.createPoller(tap.fds[0] as number, () => {})
  t.equal(second.start(1), -constants.errno.EEXIST)
  second.close()
  await tap.close()
  await turn
})

test('a Worker torn down with a live uv_poll aborts the process: not here', tun, async (t) => {
  const before = descriptors()
  for (const use of ['tap.resume()', 'tap.batches().next()', 'tap.onBatch(() => {})', 'startPump(tap, other)']) {
    const source = `
      const { createNamespace, openTap, startPump } = require('${packageFolder}/dist/index.js')
      void (async () => {
        const namespace = await createNamespace()
        const tap = await openTap({ namespace, up: true })
        const other = await openTap({ namespace, up: true })
        ${use}
        require('node:worker_threads').parentPort.postMessage('ready')
      })()
    `
    const worker = new Worker(source, { eval: true })
    await once(worker, 'message')
    await worker.terminate()
  }
  t.ok(await eventually(() => descriptors() === before), 'and nothing is left')
})

test('a short buffer truncates silently: no frame is ever cut', tun, async (t) => {
  const namespace = await scratch(t)
  for (const offload of [false, true]) {
    const tap = await quiet(namespace, { mtu: 65_521, offload })
    const batches = tap.batches({ max: 1 })
    await send(namespace, 1, 65_000)
    const { value } = await batches.next()
    t.equal(value?.size(0), 65_000 + 42)
    await batches.return()
    await send(namespace, 1, 65_000)
    let frame: Buffer | null = tap.read()
    if (frame === null) {
      await once(tap, 'readable')
      frame = tap.read()
    }
    t.equal(frame?.length, 65_000 + 42)
    t.equal(tap.stats().truncated, 0)
    await tap.close()
  }
})

test('writes ignore the MTU, and under 14 bytes they give EINVAL', tun, async (t) => {
  const namespace = await scratch(t)
  for (const offload of [false, true]) {
    const tap = await quiet(namespace, { offload })
    t.equal(tap.writeBatch([numberedFrame(1, 9000), Buffer.alloc(13), Buffer.alloc(0), numberedFrame(2, 18)]), 4)
    t.match(tap.stats(), { framesWritten: 2, bytesWritten: 9018, refused: 2, lastRefusal: { code: 'EINVAL' } })
    await tap.close()
  }
})

/** TCP both ways between two taps that are joined by `join`. */
async function carriesTcp(
  t: Test,
  what: string,
  offload: readonly [boolean, boolean],
  join: (a: Tap, b: Tap) => () => Promise<unknown>,
): Promise<void> {
  const [red, blue] = [await scratch(t), await scratch(t)]
  const open = (namespace: Namespace, n: number, offload: boolean) => {
    const addresses = [`10.0.1.${n}/24`, { address: `fd00::${n}/64`, noDad: true }]
    return openTap({ namespace, name: 'tap0', up: true, addresses, offload })
  }
  const [a, b] = [await open(red, 1, offload[0]), await open(blue, 2, offload[1])]
  const leave = join(a, b)
  const bytes = Buffer.alloc(500_000, 'netkit')
  for (const host of ['10.0.1.2', 'fd00::2']) {
    const server = await blue.listen({ host, port: 80 }, (socket) => socket.pipe(socket))
    const socket = await red.connect({ host, port: 80 })
    socket.end(bytes)
    const parts: Buffer[] = []
    for await (const part of socket) parts.push(part)
    t.ok(Buffer.concat(parts).equals(bytes), `${what}: ${host}, offload ${offload.join(' and ')}`)
    server.close()
    await once(server, 'close')
  }
  await leave()
  await Promise.all([a.close(), b.close()])
}

test('one-sided offload: ping works and TCP is dead: it is not, in any combination and any way', tun, async (t) => {
  for (const offload of [
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ] as const) {
    await carriesTcp(t, 'pipe', offload, (a, b) => {
      a.pipe(b)
      b.pipe(a)
      return async () => {}
    })
    await carriesTcp(t, 'onBatch', offload, (a, b) => {
      a.onBatch((batch) => void b.writeBatch(batch))
      b.onBatch((batch) => void a.writeBatch(batch))
      return async () => {}
    })
    await carriesTcp(t, 'frame by frame', offload, (a, b) => {
      a.on('data', (frame) => b.write(frame))
      b.on('data', (frame) => a.write(frame))
      return async () => {}
    })
    await carriesTcp(t, 'pump', offload, (a, b) => {
      const pump = startPump(a, b)
      return () => pump.close()
    })
    await carriesTcp(t, 'switch', offload, (a, b) => {
      const on = createSwitch()
      on.addPort(a)
      on.addPort(b)
      return () => on.close()
    })
  }
})

test('TSO and USO without CSUM are EINVAL', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, offload: true })
  const { TUNSETOFFLOAD, TUN_F_TSO4, TUN_F_CSUM } = tunConstants
  const [fd = -1] = tap.fds
  t.equal(await native.controlTun(fd, TUNSETOFFLOAD, TUN_F_TSO4), -constants.errno.EINVAL)
  t.equal(await native.controlTun(fd, TUNSETOFFLOAD, TUN_F_TSO4 | TUN_F_CSUM), 0)
  await tap.close()
})

test('nonblocking tap writes never say EAGAIN', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quiet(namespace)
  t.equal(tap.writeBatch(Array.from({ length: 20_000 }, (_, i) => numberedFrame(i))), 20_000)
  t.match(tap.stats(), { framesWritten: 20_000, refused: 0 })
  await tap.close()
})

test('unread frames beyond txqueuelen are dropped by the kernel: stats() shows it', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quiet(namespace)
  await tap.link.set({ txQueueLength: 10 })
  t.equal(tap.stats().dropped, 0)
  await send(namespace, 25)
  let frames = 0
  for (let batch = tap.pollBatch(0); batch !== undefined; batch = tap.pollBatch(0)) frames += batch.length
  const { dropped = 0 } = tap.stats()
  t.equal(frames + dropped, 25, 'each frame is read or counted')
  t.ok(dropped >= 10, `${dropped} dropped`)
  await tap.close()
})

test('a reused slab changes under a view that was kept; copy() does not', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await quiet(namespace)
  await send(namespace, 2)
  const batches = tap.batches({ max: 1 })
  const { value: first } = await batches.next()
  const view = first?.frame(0) as Buffer
  const copy = first?.copy(0) as Buffer
  t.ok(view.equals(copy))
  await batches.next()
  t.equal(view[60], 1, 'the view shows the next turn')
  t.equal(copy[60], 0)
  await tap.close()
})

test('frames of a stream may be kept', tun, async (t) => {
  const [a, b] = createEndPair()
  const kept: Buffer[] = []
  b.on('data', (frame) => kept.push(frame))
  for (let i = 0; i < 3000; i++) {
    a.writeBatch([numberedFrame(i, 500)])
    if (i % 500 === 499) await eventually(() => kept.length === i + 1)
  }
  t.same(kept.map(numberOf), [...Array(3000).keys()])
  await Promise.all([a.close(), b.close()])
})

test('opening a single-queue device twice: EBUSY', tun, async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, name: 'tap0' })
  await t.rejects(openTap({ namespace, name: 'tap0' }), { code: 'EBUSY', message: /it is open elsewhere/ })
  await tap.close()
})
