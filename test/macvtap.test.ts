/** Macvtaps: their character devices, wherever their links are. */
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { createNamespace } from '../dist/namespace/open.js'
import { createLink } from '../dist/rtnetlink/create-link.js'
import { createVeth } from '../dist/rtnetlink/create-veth.js'
import type { Link } from '../dist/rtnetlink/link.js'
import '../dist/rtnetlink/links.js'
import { type Macvtap, type MacvtapOptions, openMacvtap } from '../dist/tuntap/macvtap.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { filled, open as openPacket, take } from './support/packet-socket.js'
import { answerFrame, hostMac, numberOf } from './support/packets.js'
import { askProgram } from './support/program.js'
import { scratch } from './support/scratch.js'

// The character device is made with mknod(2), which a user namespace has no right to.
const macvtaps = await needs('root', 'namespaces', 'kind:macvtap')

/** Two quiet namespaces with a cable between: a macvtap is put on `near`. */
async function cable(t: Test, address = '10.0.6.1/24'): Promise<{ namespace: Namespace; near: Link; far: Link }> {
  const [namespace, other] = [await scratch(t), await scratch(t)]
  for (const each of [namespace, other]) each.sysctl.set('net.ipv6.conf.default.disable_ipv6', '1')
  const [near, far] = await createVeth(
    { name: 'near', namespace, up: true },
    { name: 'far', namespace: other, up: true, addresses: [address] },
  )
  return { namespace, near, far }
}

async function open(t: Test, options: MacvtapOptions): Promise<Macvtap> {
  const macvtap = await openMacvtap(options)
  t.teardown(() => macvtap.close())
  return macvtap
}

/** A frame to a MAC address. */
function to(mac: string, frame: Buffer): Buffer {
  Buffer.from(mac.replaceAll(':', ''), 'hex').copy(frame)
  return frame
}

test('frames of every size cross a macvtap, and its link goes with it', macvtaps, async (t) => {
  const { namespace, near, far } = await cable(t)
  for (const link of [near, far]) await link.set({ mtu: 9000 })
  const macvtap = await open(t, { parent: near, mac: '02:00:00:00:06:01', mtu: 9000, up: true })
  t.match(macvtap.link, { kind: 'macvtap', mac: '02:00:00:00:06:01', up: true })
  t.match(macvtap.link.options, { mode: 'vepa' })
  t.equal(macvtap.namespace, namespace)
  t.equal(macvtap.fds.length, 1)
  const socket = await openPacket(t, { link: far })
  const sizes = [60, 61, 100, 1000, 1514, 1515, 4000, 9014]
  for (let i = 0; i < 150; i++) sizes.push(60 + ((i * 61) % 8900))
  const frames = sizes.map((size, i) => filled(i, size))
  macvtap.writeBatch(frames)
  const sent = await take(socket, frames.length)
  t.equal(
    sent.findIndex((frame, i) => !frame.equals(frames[i] as Buffer)),
    -1,
    'written',
  )
  for (const frame of frames) to('02:00:00:00:06:01', frame)
  const others = filled(1000, 60)
  // What a macvtap keeps counts to the sender's buffer.
  socket.write(to('02:00:00:00:06:02', others))
  for (const frame of frames) socket.write(frame)
  const received = await take(macvtap, frames.length)
  t.equal(
    received.findIndex((frame, i) => !frame.equals(frames[i] as Buffer)),
    -1,
    'read, but none for another address',
  )
  t.match(macvtap.stats(), { framesWritten: frames.length, framesRead: frames.length, refused: 0 })
  await macvtap.close()
  t.same((await namespace.links.list()).map((link) => link.name).sort(), ['lo', 'near'])
})

test('devices of the same name and index in two namespaces are told apart', macvtaps, async (t) => {
  const left = await cable(t)
  const right = await cable(t)
  const made = []
  for (const { near, namespace } of [left, right]) {
    made.push(
      await createLink({ kind: 'macvtap', name: 'tap', parent: near, namespace, index: 77, up: true, mode: 'bridge' }),
    )
  }
  const [first, second] = made as [Link, Link]
  t.same([first.index, second.index], [77, 77])
  const leftSocket = await openPacket(t, { link: left.far })
  const rightSocket = await openPacket(t, { link: right.far })
  const one = await open(t, { link: first })
  const two = await open(t, { link: 'tap', namespace: right.namespace })
  one.writeBatch([filled(1, 60)])
  two.writeBatch([filled(2, 60)])
  t.same((await take(leftSocket, 1)).map(numberOf), [1])
  t.same((await take(rightSocket, 1)).map(numberOf), [2])
  await one.close()
  t.ok(await left.namespace.links.get('tap'), 'a link that was there before stays')
})

test('a host behind a macvtap answers', await needs('root', 'namespaces', 'kind:macvtap', 'ping'), async (t) => {
  const { near, far } = await cable(t)
  const macvtap = await open(t, { parent: near, mac: hostMac, mode: 'bridge', up: true })
  macvtap.on('data', (frame) => {
    const answer = answerFrame(frame)
    if (answer !== undefined) macvtap.write(answer)
  })
  const { stdout } = await far.namespace.exec('ping', ['-c', '3', '-i', '0.05', '10.0.6.9'], { check: true })
  t.match(stdout, /3 received/)
})

for (const offload of [false, true]) {
  test(`TCP through a macvtap, ${offload ? 'with' : 'without'} offload`, macvtaps, async (t) => {
    const a = await cable(t)
    const b = await cable(t, '10.0.6.2/24')
    // Frames of any address go through: a macvtap in this mode is the whole link.
    const one = await open(t, { parent: a.near, mode: 'passthrough', up: true, offload })
    const two = await open(t, { parent: b.near, mode: 'passthrough', up: true, offload })
    let long = 0
    for (const [from, onto] of [
      [one, two],
      [two, one],
    ] as const) {
      from.onBatch((batch) => {
        for (let i = 0; i < batch.length; i++) if (batch.size(i) > 1514) long++
        if (!onto.destroyed) onto.writeBatch(batch)
      })
    }
    const server = await b.far.namespace.listen({ host: '10.0.6.2', port: 5000 })
    let received = 0
    const done = new Promise<void>((resolve) => {
      server.on('connection', (socket) => {
        socket.on('data', (data) => {
          received += data.length
        })
        socket.on('end', resolve)
      })
    })
    const client = await a.far.namespace.connect({ host: '10.0.6.2', port: 5000 })
    client.end(Buffer.alloc(4 << 20, 'netkit'))
    await done
    t.equal(received, 4 << 20)
    server.close()
    client.destroy()
    if (offload) t.ok(long > 10, `${long} long frames`)
    else t.equal(long, 0)
  })
}

test('several queues', macvtaps, async (t) => {
  const { near, far } = await cable(t)
  const macvtap = await open(t, { parent: near, mac: '02:00:00:00:06:01', mode: 'bridge', up: true, queues: 3 })
  t.equal(macvtap.queues.length, 3)
  t.equal(new Set(macvtap.fds).size, 3)
  const socket = await openPacket(t, { link: far })
  let got = 0
  for (const queue of macvtap.queues) {
    queue.onBatch((batch) => {
      got += batch.length
    })
  }
  socket.writeBatch(Array.from({ length: 30 }, (_, i) => to('02:00:00:00:06:01', filled(i, 60))))
  t.ok(await eventually(() => got === 30))
  for (const queue of macvtap.queues) queue.writeBatch([filled(1, 60)])
  t.equal((await take(socket, 3)).length, 3)
  await macvtap.queues[1]?.close()
  t.equal(macvtap.queues.length, 2)
})

test('the link is deleted', macvtaps, async (t) => {
  const { near } = await cable(t)
  const gone = { code: 'ENODEV', message: /was deleted/ }
  const read = await open(t, { parent: near, mode: 'bridge', queues: 2 })
  const reading = (async () => {
    for await (const _ of read.batches());
  })()
  const streamed = await open(t, { parent: near, mode: 'bridge' })
  const errors: unknown[] = []
  streamed.on('error', (error) => errors.push(error))
  streamed.resume()
  await near.delete()
  await t.rejects(reading, gone)
  t.ok(await eventually(() => streamed.closed && read.closed))
  t.match(errors, [gone])
  t.ok(read.queues.every((queue) => queue.destroyed))
})

test('closing at every point leaves nothing', macvtaps, async (t) => {
  const { namespace, near } = await cable(t)
  await leavesNoDescriptor(t, 'closing', async () => {
    const names = async () => (await namespace.links.list()).map((link) => link.name).sort()
    const plain = await openMacvtap({ parent: near, mode: 'bridge', up: true, queues: 2 })
    await Promise.all([plain.close(), plain.close()])
    t.same(await names(), ['lo', 'near'])
    t.throws(() => plain.writeBatch([filled(1, 60)]), { code: 'EBADF' })

    const broken = await openMacvtap({ parent: near, mode: 'bridge', up: true })
    setTimeout(() => broken.destroy(), 5)
    for await (const _ of broken) break
    t.ok(await eventually(async () => (await names()).length === 2), 'destroyed by its iterator')

    const aborting = new AbortController()
    const refused = openMacvtap({ parent: near, mode: 'bridge', signal: aborting.signal })
    aborting.abort()
    await t.rejects(refused, { code: 'ABORT_ERR' })
    t.same(await names(), ['lo', 'near'])

    const given = await openMacvtap({ parent: near, mode: 'bridge', name: 'given' })
    const { native } = await import('../dist/native.js')
    for (const fd of await given.release()) {
      native.ownDescriptor(fd)
      await native.closeDescriptor(fd)
    }
    t.same(await names(), ['given', 'lo', 'near'], 'a link whose descriptor was given away stays')
  })
})

test('what is refused', await needs('namespaces', 'kind:macvtap'), async (t) => {
  await using namespace = await createNamespace()
  await t.rejects(openMacvtap({} as MacvtapOptions), { code: 'ERR_INVALID_ARG_VALUE', message: /either/ })
  await t.rejects(openMacvtap({ link: 'lo', mode: 'bridge' } as unknown as MacvtapOptions), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /mode/,
  })
  await t.rejects(openMacvtap({ link: 'lo', queues: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  await t.rejects(openMacvtap({ link: 'lo', namespace }), {
    code: 'EINVAL',
    message: /lo: it is a link and no macvtap/,
  })
  await t.rejects(openMacvtap({ link: 'nothing', namespace }), { code: 'ENODEV' })
})

test(
  'in a user namespace, where no device can be made',
  await needs('namespaces', 'kind:macvtap', 'unshare'),
  async (t) => {
    const error = await askProgram(
      `import { createVeth, createNamespace, openMacvtap } from './dist/index.js'
     const namespace = await createNamespace()
     const [parent] = await createVeth({ name: 'near', namespace }, { name: 'far', namespace })
     const error = await openMacvtap({ parent, mode: 'bridge' }).catch((error) => error)
     const left = (await namespace.links.list()).length
     console.log(JSON.stringify({ code: error.code, syscall: error.syscall, hint: error.hint, left }))
     process.exit()`,
      { wrapper: ['unshare', '--user', '--map-root-user', '--net'] },
    )
    t.match(error, { code: /EPERM|EACCES/, syscall: /open|sysfs/, hint: /CAP_MKNOD|CAP_SYS_ADMIN/, left: 3 })
  },
)
