/** How packet sockets end: links that go down, go away or move, namespaces that are deleted, closing at every point. */
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { type Test, test } from 'tap'
import { createNamespace } from '../dist/namespace/open.js'
import { startPump } from '../dist/pump/pump.js'
import { createSwitch } from '../dist/pump/switch.js'
import { createVeth } from '../dist/rtnetlink/create-veth.js'
import '../dist/rtnetlink/links.js'
import type { PacketSocketOptions } from '../dist/sockets/packet-options.js'
import { openPacketSocket, type PacketSocket } from '../dist/sockets/packet-socket.js'
import { createEndPair } from '../dist/sockets/pair.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { filled, open, quietPair, take } from './support/packet-socket.js'
import { numberOf } from './support/packets.js'
import { askProgram } from './support/program.js'
import { scratch, uniqueName } from './support/scratch.js'

const namespaces = await needs('namespaces')
const gone = { code: 'ENODEV', message: /right was deleted, or moved to another namespace/ }

const ways: [string, Partial<PacketSocketOptions>][] = [
  ['a socket', {}],
  ['a ring', { ring: { timeout: 1 } }],
]

/** Reads all batches: the numbers of the frames, and how it ended. */
function readAll(socket: PacketSocket): { numbers: (number | undefined)[]; end: Promise<unknown> } {
  const numbers: (number | undefined)[] = []
  const end = (async () => {
    for await (const batch of socket.batches()) for (const frame of batch) numbers.push(numberOf(frame))
  })()
  return {
    numbers,
    end: end.then(
      () => undefined,
      (error) => error,
    ),
  }
}

for (const [what, options] of ways) {
  test(`the link goes down and up: ${what}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ...options })
    const { numbers } = readAll(receiver)
    sender.writeBatch([filled(1, 60)])
    t.ok(await eventually(() => numbers.length === 1))
    for (let round = 0; round < 3; round++) {
      await right.set({ up: false })
      sender.writeBatch([filled(99, 60)])
      receiver.writeBatch([filled(98, 60)])
      t.match(receiver.stats().lastRefusal, { code: 'ENETDOWN' })
      await right.set({ up: true })
      t.equal(receiver.stats().refused, round + 1)
      const before = numbers.length
      // The carrier of a veth comes a moment later.
      t.ok(
        await eventually(async () => {
          sender.writeBatch([filled(2, 60)])
          await delay(5)
          return numbers.length > before
        }),
      )
      t.notOk(receiver.destroyed)
    }
    t.notOk(numbers.includes(99))
    const { framesWritten } = receiver.stats()
    receiver.writeBatch([filled(3, 60)])
    t.equal(receiver.stats().framesWritten, framesWritten + 1, 'it can be written again at once')
  })

  test(`the link is down when it is opened: ${what}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    await right.set({ up: false })
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ...options })
    const { numbers } = readAll(receiver)
    await delay(20)
    await right.set({ up: true })
    t.ok(
      await eventually(async () => {
        sender.writeBatch([filled(1, 60)])
        await delay(5)
        return numbers.length > 0
      }),
    )
  })

  for (const reader of ['batches', 'stream', 'onBatch'] as const) {
    test(`the link is deleted while ${what} is read: ${reader}`, namespaces, async (t) => {
      const { left, right } = await quietPair(t)
      const receiver = await open(t, { link: right, ...options })
      const errors: unknown[] = []
      const frames: unknown[] = []
      receiver.on('error', (error) => errors.push(error))
      let end: Promise<unknown> = Promise.resolve()
      if (reader === 'batches') {
        end = readAll(receiver).end.then((error) => errors.push(error))
      } else if (reader === 'stream') {
        receiver.on('data', (frame) => frames.push(frame))
      } else {
        receiver.onBatch(() => {})
      }
      await delay(5)
      await left.delete()
      // A stream is closed a moment before it tells why.
      t.ok(await eventually(() => receiver.closed && errors.length > 0))
      await end
      t.match(errors[0], gone)
      await receiver.close()
    })
  }

  test(`what came before the link was deleted is still read: ${what}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const receiver = await open(t, { link: right, ...options })
    sender.writeBatch(Array.from({ length: 300 }, (_, i) => filled(i, 60)))
    await delay(20)
    await left.delete()
    const { numbers, end } = readAll(receiver)
    t.match(await end, gone)
    t.same(
      numbers,
      Array.from({ length: 300 }, (_, i) => i),
    )
  })

  test(`the link is deleted, and then written: ${what}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const receiver = await open(t, { link: right, ...options })
    await left.delete()
    t.throws(() => receiver.writeBatch([filled(1, 60)]), gone)
    t.ok(receiver.destroyed)
    await receiver.close()
    const stats = receiver.stats()
    t.match(stats, { framesWritten: 0 })
  })

  test(`the link moves to another namespace: ${what}`, namespaces, async (t) => {
    const { right } = await quietPair(t)
    const elsewhere = await scratch(t)
    const receiver = await open(t, { link: right, ...options })
    const { end } = readAll(receiver)
    await right.set({ namespace: elsewhere })
    t.match(await end, gone)
    const again = await open(t, { link: right, ...options })
    t.equal(again.namespace, elsewhere)
  })

  test(`the namespace is deleted: ${what}`, await needs('names'), async (t) => {
    const namespace = await createNamespace(uniqueName())
    const far = await scratch(t)
    const [right, left] = await createVeth(
      { name: 'right', namespace, up: true },
      { name: 'left', namespace: far, up: true },
    )
    const receiver = await open(t, { link: right, ...options })
    const sender = await open(t, { link: left })
    await namespace.delete()
    sender.writeBatch([filled(7, 60)])
    t.ok((await take(receiver, 1)).length > 0, 'the socket keeps it')
    await receiver.close()
    const { end } = readAll(sender)
    t.match(await end, { code: 'ENODEV' }, 'closing lets it go, and its links')
  })

  test(`closing at every point: ${what}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const sender = await open(t, { link: left })
    const flood = setInterval(() => sender.writeBatch(Array.from({ length: 64 }, (_, i) => filled(i, 60))), 0)
    t.teardown(() => clearInterval(flood))
    const opened = () => openPacketSocket({ link: right, ...options })
    await leavesNoDescriptor(t, 'closing', async () => {
      const plain = await opened()
      await Promise.all([plain.close(), plain.close()])
      t.same(plain.fds, [])
      t.throws(() => plain.writeBatch([filled(1, 60)]), { code: 'EBADF' })

      const inLoop = await opened()
      for await (const batch of inLoop.batches()) {
        t.ok(batch.length > 0)
        await inLoop.close()
      }
      const inCallback = await opened()
      await new Promise<void>((resolve) => {
        inCallback.onBatch(() => {
          void inCallback.close().then(resolve)
        })
      })
      const inStream = await opened()
      for await (const frame of inStream) {
        t.ok(frame.length === 60)
        void inStream.close()
      }
      const writing = await opened()
      for (let i = 0; i < 100; i++) writing.write(filled(i, 60))
      await writing.close()
      t.equal(writing.stats().framesWritten, 100, 'what was written goes out')

      await using disposed = await opened()
      t.notOk(disposed.destroyed)

      const aborting = new AbortController()
      const refused = openPacketSocket({ link: right, ...options, signal: aborting.signal })
      aborting.abort()
      await t.rejects(refused, { code: 'ABORT_ERR' })
    })
  })

  test(`nothing of ${what} keeps the namespace once it is closed`, namespaces, async (t) => {
    const far = await scratch(t)
    const near = await createNamespace()
    const [right] = await createVeth(
      { name: 'right', namespace: near, up: true },
      { name: 'left', namespace: far, up: true },
    )
    const socket = await openPacketSocket({ link: right, ...options })
    await near.delete()
    await delay(10)
    t.ok(await far.links.get('left'), 'the socket keeps it')
    await socket.close()
    t.ok(await eventually(async () => (await far.links.list()).every((link) => link.name !== 'left')))
  })
}

test('a socket that was forgotten is closed', namespaces, async (t) => {
  const { warnings, owned } = await askProgram(
    `import { createNamespace } from './dist/index.js'
     import { openPacketSocket } from './dist/index.js'
     import { native } from './dist/native.js'
     import { setTimeout as delay } from 'node:timers/promises'
     const warnings = []
     process.on('warning', (warning) => warnings.push(warning.code))
     const namespace = await createNamespace()
     const before = native.ownedDescriptors()
     await (async () => { await openPacketSocket({ link: 'lo', namespace, ring: true }) })()
     for (let i = 0; i < 50 && native.ownedDescriptors() > before; i++) { gc(); await delay(10) }
     console.log(JSON.stringify({ warnings, owned: native.ownedDescriptors() - before }))`,
    { node: ['--expose-gc'] },
  )
  t.same({ warnings, owned }, { warnings: ['NETKIT_LEAK'], owned: 0 })
})

for (const late of [false, true]) {
  const words = late ? 'goes down and is deleted later' : 'is deleted'
  test(`threads notice that the link ${words}`, namespaces, async (t) => {
    const { left, right } = await quietPair(t)
    const pumped = await open(t, { link: right })
    const switched = await open(t, { link: right })
    const sender = await open(t, { link: left })
    const [near, far] = createEndPair()
    const [port, other] = createEndPair()
    for (const end of [near, far, port, other]) t.teardown(() => end.close())
    const pump = startPump(pumped, near)
    t.teardown(() => pump.close())
    const fabric = createSwitch()
    t.teardown(() => fabric.close())
    const member = fabric.addPort(switched)
    fabric.addPort(port)
    sender.writeBatch([filled(7, 60)])
    t.same((await take(far, 1)).map(numberOf), [7])
    t.same((await take(other, 1)).map(numberOf), [7])
    if (late) {
      await right.set({ up: false })
      await delay(50)
    }
    await left.delete()
    t.match(await pump.done, { reason: 'end-gone', end: 'a', error: gone })
    t.match(await member.done, { reason: 'end-gone', error: gone })
  })
}

async function workerReads(t: Test, options: string): Promise<void> {
  const { left, right } = await quietPair(t)
  const library = new URL('../dist/index.js', import.meta.url).href
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.library).then(async ({ openNamespace, openPacketSocket }) => {
      const namespace = await openNamespace({ fd: workerData.fd })
      const socket = await openPacketSocket({ link: 'right', namespace, ${options} })
      parentPort.postMessage('open')
      let count = 0
      for (;;) {
        const batch = socket.pollBatch(5000)
        if (batch === undefined) throw new Error('nothing came')
        count += batch.length
        if (count >= 200) break
      }
      parentPort.postMessage(count)
      setInterval(() => socket.pollBatch(0), 20)
    })`
  await leavesNoDescriptor(t, 'a worker', async () => {
    const sender = await openPacketSocket({ link: left })
    const worker = new Worker(source, { eval: true, workerData: { library, fd: right.namespace.fd } })
    const messages: unknown[] = []
    worker.on('message', (message) => messages.push(message))
    worker.on('error', (error) => t.fail(error))
    t.ok(await eventually(() => messages.length === 1))
    sender.writeBatch(Array.from({ length: 200 }, (_, i) => filled(i, 60)))
    t.ok(await eventually(() => messages[1] === 200))
    await delay(10)
    await worker.terminate()
    await sender.close()
  })
}

test('a worker reads, and is ended', namespaces, async (t) => {
  await workerReads(t, '')
  await workerReads(t, 'ring: true')
})

test('without the privilege', await needs('nobody'), async (t) => {
  const error = await askProgram(
    `import { openPacketSocket } from './dist/index.js'
     const error = await openPacketSocket({ link: 'lo' }).catch((error) => error)
     console.log(JSON.stringify({ ...error, message: error.message }))`,
    { uid: 65534, gid: 65534 },
  )
  t.match(error, {
    code: 'EPERM',
    syscall: 'socket',
    hint: /CAP_NET_RAW/,
    message: /cannot open a packet socket on lo/,
  })
})
