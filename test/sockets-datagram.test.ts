/** UDP sockets as packet ends. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { type DatagramBatch, openDatagramBatch } from '../dist/sockets/datagram-batch.js'
import { leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { ipDo, joined, scratch } from './support/scratch.js'
import { cross, everySize, filledFrame } from './support/sockets.js'

const privileged = await needs('namespaces')

/** Two that send to each other, in a namespace of their own. */
async function pairOf(t: Test, namespace: Namespace, address: string, options: { gso?: boolean; gro?: boolean } = {}) {
  const b = await openDatagramBatch({ namespace, local: { address }, ...options })
  const a = await openDatagramBatch({ namespace, remote: b.local, ...options })
  b.remote = { ...a.local, address }
  t.teardown(() => Promise.all([a.close(), b.close()]))
  return [a, b] as const
}

/** The frames that come, until there are so many. */
async function take(end: DatagramBatch, count: number, max = 256): Promise<Buffer[]> {
  const frames: Buffer[] = []
  for await (const batch of end.batches({ max })) {
    for (let i = 0; i < batch.length; i++) frames.push(batch.copy(i))
    if (frames.length >= count) break
  }
  return frames
}

const alike = (count: number, length = 1000) => Array.from({ length: count }, (_, i) => filledFrame(i, length))

/** A counter of /proc/net/snmp. */
function udpCounter(namespace: Namespace, name: string): number {
  const table = namespace.run(() => readFileSync('/proc/thread-self/net/snmp', 'latin1'))
  const [names = '', values = ''] = table.split('\n').filter((line) => line.startsWith('Udp:'))
  return Number(values.split(' ')[names.split(' ').indexOf(name)])
}

for (const address of ['127.0.0.1', '::1']) {
  for (const [gso, gro] of [
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ] as const) {
    test(`frames of every size, ${address}, gso ${gso}, gro ${gro}`, privileged, async (t) => {
      const [a, b] = await pairOf(t, await scratch(t), address, { gso, gro })
      const sizes = [...everySize(65_507), ...Array.from({ length: 300 }, () => 1400)]
      t.ok(await cross(a, b, sizes))
      t.ok(await cross(b, a, sizes))
      t.match(a.stats(), {
        framesRead: sizes.length,
        framesWritten: sizes.length,
        refused: 0,
        truncated: 0,
        dropped: 0,
      })
      t.equal(a.writeBatch([filledFrame(0, 65_528), Buffer.alloc(0)]), 2)
      t.match(a.stats(), { refused: 2, lastRefusal: { code: 'EINVAL' } }, 'longer than a datagram, and nothing')
    })
  }
}

test('runs of equally long frames are one datagram to the kernel', privileged, async (t) => {
  const namespace = await scratch(t)
  const [a, b] = await pairOf(t, namespace, '127.0.0.1')
  const frames = [...alike(60), filledFrame(60, 500), ...alike(40), ...alike(3, 1200)]
  const before = udpCounter(namespace, 'OutDatagrams')
  t.equal(a.writeBatch(frames), frames.length)
  t.equal(udpCounter(namespace, 'OutDatagrams') - before, 3, 'with a shorter one at the end of each')
  t.same(await take(b, frames.length), frames)
  // 65 segments are too many, and so are 64 of 1,400 bytes.
  for (const [count, length, sends] of [
    [65, 100, 2],
    [64, 100, 1],
    [64, 1400, 2],
  ] as const) {
    const start = udpCounter(namespace, 'OutDatagrams')
    a.writeBatch(alike(count, length))
    t.equal(udpCounter(namespace, 'OutDatagrams') - start, sends, `${count} of ${length}`)
    t.same(await take(b, count), alike(count, length))
  }
})

test('few frames a turn, of datagrams that hold many', privileged, async (t) => {
  const [a, b] = await pairOf(t, await scratch(t), '127.0.0.1')
  for (const max of [1, 7, 64, 256]) {
    a.writeBatch(alike(150, 400))
    t.same(await take(b, 150, max), alike(150, 400), `${max} a turn`)
  }
  const streamed = (async () => {
    const frames: Buffer[] = []
    for await (const frame of b) {
      frames.push(frame)
      if (frames.length % 50 === 0) await sleep(2)
      if (frames.length === 600) break
    }
    return frames
  })()
  const sent: Buffer[] = []
  for (let i = 0; i < 10; i++) {
    a.writeBatch(alike(60, 300))
    sent.push(...alike(60, 300))
    await sleep(1)
  }
  t.same(await streamed, sent, 'a stream that is read now and then')
})

test('frames longer than the MTU', privileged, async (t) => {
  const [left, right] = await joined(t)
  const b = await openDatagramBatch({ namespace: right, local: { address: '10.0.1.2', port: 4000 } })
  const a = await openDatagramBatch({ namespace: left, remote: { address: '10.0.1.2', port: 4000 } })
  t.teardown(() => Promise.all([a.close(), b.close()]))
  for (const length of [1472, 1473, 4000, 1000]) {
    a.writeBatch(alike(20, length))
    t.same(await take(b, 20), alike(20, length), `${length} bytes`)
  }
  t.match(a.stats(), { refused: 0, framesWritten: 80 })
})

test('a peer that is not there yet', privileged, async (t) => {
  const namespace = await scratch(t)
  const a = await openDatagramBatch({ namespace, remote: { address: '127.0.0.1', port: 4000 } })
  const reading = take(a, 1)
  for (let i = 0; i < 5; i++) {
    a.writeBatch(alike(3))
    await sleep(2)
  }
  const { refused, lastRefusal } = a.stats()
  t.ok(refused > 0, `${refused} were refused`)
  t.same(lastRefusal, { code: 'ECONNREFUSED' })
  const b = await openDatagramBatch({ namespace, local: { address: '127.0.0.1', port: 4000 } })
  a.writeBatch(alike(2))
  t.equal((await take(b, 2)).length, 2)
  b.remote = a.local
  b.writeBatch(alike(1))
  t.same(await reading, alike(1), 'the iteration has gone on')
  await Promise.all([a.close(), b.close()])
})

test('who sends, and where to', privileged, async (t) => {
  const namespace = await scratch(t)
  const hub = await openDatagramBatch({ namespace, local: { address: '127.0.0.1', port: 4000 } })
  const learning = await openDatagramBatch({ namespace, local: { address: '127.0.0.1' }, learn: true })
  const [one, two] = [
    await openDatagramBatch({ namespace, remote: hub.local }),
    await openDatagramBatch({ namespace, remote: hub.local }),
  ]
  t.teardown(() => Promise.all([hub, learning, one, two].map((end) => end.close())))
  t.same(hub.local, { address: '127.0.0.1', port: 4000 })
  t.equal(hub.remote, undefined)
  t.equal(hub.writeBatch(alike(2)), 2)
  t.match(hub.stats(), { refused: 2, lastRefusal: { code: 'EDESTADDRREQ' } })
  t.equal(hub.source(0), undefined)

  one.writeBatch(alike(1))
  two.writeBatch(alike(2))
  const seen: unknown[] = []
  for await (const batch of hub.batches()) {
    for (let i = 0; i < batch.length; i++) seen.push(hub.source(i)?.port)
    if (batch.length > 0) hub.sendTo([batch.frame(0)], { address: '127.0.0.1', port: two.local.port })
    if (seen.length >= 3) break
  }
  t.same(seen, [one.local.port, two.local.port, two.local.port])
  t.equal((await take(two, 1)).length, 1)
  hub.remote = { address: '127.0.0.1', port: one.local.port }
  t.same(hub.remote, { address: '127.0.0.1', port: one.local.port })
  hub.writeBatch(alike(1, 99))
  t.same(await take(one, 1), alike(1, 99))
  hub.remote = undefined
  t.equal(hub.remote, undefined)

  const stranger = createSocket('udp4')
  const socket = await namespace.bindDatagram({ type: 'udp4', address: '127.0.0.1' })
  stranger.close()
  socket.send(Buffer.alloc(60, 7), learning.local.port, '127.0.0.1')
  socket.send(Buffer.alloc(0), one.local.port, '127.0.0.1')
  t.same(await take(learning, 1), [Buffer.alloc(60, 7)])
  t.same(learning.remote, { address: '127.0.0.1', port: socket.address().port })
  const answered = once(socket, 'message')
  learning.writeBatch(alike(1))
  t.ok((await answered)[0].equals(filledFrame(0, 1000)), 'the answer goes to whoever was heard last')
  socket.close()

  const state = { code: 'ERR_INVALID_STATE' }
  t.throws(() => {
    one.remote = hub.local
  }, state)
  t.throws(() => one.sendTo(alike(1), hub.local), state)
  t.same(one.remote, hub.local)
  for (const wrong of [
    { address: '::1', port: 1 },
    { address: 'localhost', port: 1 },
  ]) {
    t.throws(
      () => {
        hub.remote = wrong
      },
      { code: 'ERR_INVALID_ARG_VALUE' },
    )
  }
  t.throws(() => hub.source(-1), { code: 'ERR_OUT_OF_RANGE' })
})

test('a datagram without a byte is no frame', privileged, async (t) => {
  const namespace = await scratch(t)
  const end = await openDatagramBatch({ namespace, local: { address: '127.0.0.1' } })
  const socket = await namespace.bindDatagram({ type: 'udp4', address: '127.0.0.1' })
  for (const length of [0, 1, 0, 60]) socket.send(Buffer.alloc(length, 1), end.local.port, '127.0.0.1')
  t.same(
    (await take(end, 2)).map((frame) => frame.length),
    [1, 60],
  )
  t.match(end.stats(), { framesRead: 2, bytesRead: 61 })
  socket.close()
  await end.close()
})

test('what is not read in time is counted', privileged, async (t) => {
  const namespace = await scratch(t)
  const b = await openDatagramBatch({ namespace, local: { address: '127.0.0.1' }, receiveBuffer: 20_000, gro: false })
  const a = await openDatagramBatch({ namespace, remote: b.local, gso: false })
  a.writeBatch(alike(300))
  const got = await take(b, 1)
  t.equal(got.length + (b.stats().dropped ?? 0), 300)
  await Promise.all([a.close(), b.close()])
})

test('an interface that goes down, and comes back', privileged, async (t) => {
  const [left, right] = await joined(t)
  const b = await openDatagramBatch({ namespace: right, local: { address: '10.0.1.2', port: 4000 } })
  const a = await openDatagramBatch({ namespace: left, remote: { address: '10.0.1.2', port: 4000 }, device: 'left' })
  await ipDo(left, 'link', 'set', 'left', 'down')
  t.equal(a.writeBatch(alike(3)), 3)
  t.equal(a.stats().refused, 3)
  await ipDo(left, 'link', 'set', 'left', 'up')
  const reading = take(b, 1)
  const sending = setInterval(() => a.writeBatch(alike(1)), 5)
  t.ok((await reading).length >= 1)
  clearInterval(sending)
  await Promise.all([a.close(), b.close()])
})

test('closing at any point leaves nothing', privileged, async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'sockets', async () => {
    const a = await openDatagramBatch({ namespace, local: { address: '127.0.0.1' } })
    const next = a.batches().next()
    await a.close()
    t.same(await next, { done: true, value: undefined })
    t.throws(() => a.writeBatch(alike(1)), { code: 'EBADF' })
    t.equal(a.remote, undefined)

    const controller = new AbortController()
    const b = await openDatagramBatch({ namespace, signal: controller.signal })
    controller.abort()
    t.ok(b.destroyed, 'the signal closes it')
    await b.close()
    await t.rejects(openDatagramBatch({ namespace, signal: controller.signal }), { name: 'AbortError' })
    const busy = await openDatagramBatch({ namespace, local: { port: 4000 } })
    await t.rejects(openDatagramBatch({ namespace, local: { port: 4000 } }), { code: 'EADDRINUSE' })
    await t.rejects(openDatagramBatch({ namespace, local: { address: '192.0.2.1' } }), { code: 'EADDRNOTAVAIL' })
    await t.rejects(openDatagramBatch({ namespace, remote: { address: '192.0.2.1', port: 1 } }), {
      code: 'ENETUNREACH',
    })
    await busy.close()
  })
})

test('options', privileged, async (t) => {
  const type = { code: 'ERR_INVALID_ARG_TYPE' }
  const value = { code: 'ERR_INVALID_ARG_VALUE' }
  const range = { code: 'ERR_OUT_OF_RANGE' }
  for (const [wrong, error] of [
    [1, type],
    [{ remot: 1 }, value],
    [{ remote: 'host' }, type],
    [{ remote: { address: '10.0.0.1' } }, type],
    [{ remote: { address: '10.0.0.1', port: 0 } }, range],
    [{ local: { port: 65_536 } }, range],
    [{ local: { address: 'a b' } }, value],
    [{ layer: 'tcp' }, value],
    [{ gso: 1 }, type],
    [{ learn: true, remote: { address: '10.0.0.1', port: 1 } }, value],
    [{ receiveBuffer: 0 }, range],
    [{ sendBuffer: '1' }, type],
    [{ readableHighWaterMark: 0 }, range],
    [{ device: 1 }, type],
    [{ signal: 1 }, type],
    [{ namespace: 1 }, type],
    [{ local: { address: '::1' }, remote: { address: '127.0.0.1', port: 1 } }, value],
  ] as const) {
    await t.rejects(openDatagramBatch(wrong as never), error)
  }
})
