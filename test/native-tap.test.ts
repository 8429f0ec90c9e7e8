/** The addon, straight at its border: taps, their frames, and pollers. */
import { readdir } from 'node:fs/promises'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { native } from '../dist/native.js'
import { FRAME_ROOM } from '../dist/packets/constants.js'
import {
  ask,
  dump,
  ifinfomsg,
  NONE,
  needs,
  noTun,
  openNetlink,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  unprivileged,
} from './support/native.js'

const { EAGAIN, EBADF, EBUSY, EEXIST, EINVAL, EIO, ENOBUFS } = constants.errno
const EBADFD = 77
const IFF_TAP_NO_PI = 0x1002
const TUNSETPERSIST = 0x400454cb

const count = async (folder: string) => (await readdir(`/proc/self/${folder}`)).length

/** A tap at 10.9.0.1/24 in a namespace of its own, up. */
async function makeTap() {
  const namespace = await native.createNamespace()
  const tap = await native.openTun(namespace, 'tap%d', IFF_TAP_NO_PI, new Uint32Array(0))
  const control = await openNetlink(namespace)
  const index = 2
  const address = Buffer.from([2, 24, 0, 0, index, 0, 0, 0, 8, 0, 2, 0, 10, 9, 0, 1, 8, 0, 1, 0, 10, 9, 0, 1])
  const errors = [
    await ask(control, RTM_NEWADDR, 0x400, address),
    await ask(control, RTM_NEWLINK, 0, ifinfomsg(index, 1, 1)),
  ]
  const close = () => Promise.all([namespace, tap.fd, control].map((fd) => native.closeDescriptor(fd)))
  return { tap, namespace, control, index, errors, close }
}

const arpRequest = Buffer.from(
  `ffffffffffff020000000002080600010800060400010200000000020a0900020000000000000a090001${'00'.repeat(18)}`,
  'hex',
)

needs(noTun, 'frames go into a tap and come out', async (t) => {
  const { tap, control, index, errors, close } = await makeTap()
  t.match(tap, { error: 0, control: -1, name: 'tap0' })
  t.same(errors, [0, 0])
  const end = native.createTunEnd(tap.fd, 0, 0, 0)
  const slab = Buffer.alloc(128 * 1024)
  const spans = new Uint32Array(64)
  const written = () => {
    const values = new Float64Array(7)
    native.endCounters(end, values)
    return [values[2], values[3], values[4], values[6]]
  }
  slab.set(arpRequest, 100)
  spans.set([7, 7, 100, 60, slab.length - 59, 60, 0xffffffff, 0x7fffffff, 0, 13])
  t.equal(native.writeFrames(end, slab, spans, 1, 4), 4)
  t.same(written(), [1, 60, 3, EINVAL], 'two lying spans and one short frame are refused')
  for (const [offset, length] of [
    [slab.length + 1, 0],
    [0xffffffff, 0xffffffff],
    [5, 0x80000020],
    [slab.length - 59, 60],
  ]) {
    const lying = native.createTunEnd(tap.fd, 0, offset === 5 ? 1 : 0, 0)
    t.equal(native.writeFrames(lying, slab, Uint32Array.of(offset ?? 0, length ?? 0), 0, 1), 1)
    const values = new Float64Array(7)
    native.endCounters(lying, values)
    t.same([...values], offset === 5 ? [0, 0, 1, 32, 0, 0, 0] : [0, 0, 0, 0, 1, 0, EINVAL])
  }
  t.equal(native.writeFrames(end, slab, spans, 30, 3), -EINVAL)
  t.equal(native.writeBuffers(end, [NONE, arpRequest, new Uint8Array(13), arpRequest], 1), 3)
  t.same(written(), [3, 180, 4, EINVAL])
  t.throws(() => native.writeBuffers(end, [arpRequest, 'x' as unknown as Buffer], 0), TypeError)
  for (const wrong of [{}, tap.fd, null, undefined]) {
    t.throws(() => native.writeBuffers(wrong as never, [arpRequest], 0), TypeError)
  }

  const replies: string[] = []
  const frames: [number, number][] = []
  for (let i = 0; i < 100 && replies.length < 3; i++) {
    slab.fill(0)
    const read = native.readFrames(end, slab, 128, spans, 32)
    if (read === -EAGAIN) await sleep(10)
    for (let j = 0; j < read; j++) {
      const [at, length] = [spans[2 * j] as number, spans[2 * j + 1] as number]
      frames.push([at, length])
      if (slab.readUInt16BE(at + 12) === 0x806) replies.push(slab.toString('hex', at + 20, at + 42))
    }
  }
  t.equal(replies.length, 4, 'every written request is answered')
  for (const reply of replies) t.match(reply, /^0002.{12}0a0900010200000000020a090002$/)
  t.ok(frames.every(([at, length]) => at >= 128 && at % 64 === 0 && length >= 42 && at + length <= slab.length))

  t.equal(native.readFrames(end, slab, 0, spans, 0), -EINVAL)
  t.equal(native.readFrames(end, slab, slab.length - FRAME_ROOM + 1, spans, 1), -ENOBUFS, 'no room')
  t.equal(native.readFrames(end, slab, 2 ** 52, spans, 1), -ENOBUFS)
  let last: number
  do last = native.readFrames(end, slab, 0, spans, 32)
  while (last > 0)
  t.equal(last, -EAGAIN)

  t.equal(await ask(control, RTM_NEWLINK, 0, ifinfomsg(index, 0, 1)), 0)
  t.equal(native.writeBuffers(end, [arpRequest], 0), 1)
  t.same(written()[3], EIO, 'a link that is down refuses frames')
  t.equal(await ask(control, RTM_DELLINK, 0, ifinfomsg(index)), 0)
  t.equal(native.writeBuffers(end, [arpRequest], 0), -EBADFD, 'a deleted one is gone')
  t.equal(native.readFrames(end, slab, 0, spans, 1), -EBADFD)
  await close()
})

test('frames on a datagram socket: their places, and a full queue', async (t) => {
  const fd = await native.openSocket(-1, 1, 2, 0) // AF_UNIX, SOCK_DGRAM
  const address = Buffer.from(`\x01\x00\x00netkit-${process.pid}`, 'latin1')
  t.equal(native.bindSocket(fd, address), 0)
  t.equal(native.connectSocket(fd, address), 0)
  const end = native.createTunEnd(fd, 0, 0, 0)
  const sizes = [1, 65, 90, 200, 128, 7]
  const frames = sizes.map((size, i) => Buffer.alloc(size, i + 1))
  t.equal(native.writeBuffers(end, frames, 0), 6)
  const slab = Buffer.alloc(FRAME_ROOM + 1000)
  const spans = new Uint32Array(20)
  t.equal(native.readFrames(end, slab, 0, spans, 5), 5)
  t.same([...spans.subarray(0, 10)], [0, 1, 64, 65, 192, 90, 320, 200, 576, 128], 'from multiples of 64')
  t.equal(slab[192 + 89], 3)
  t.equal(slab[192 + 90], 0)
  const details = new Uint8Array(32)
  t.equal(native.readFrames(end, slab, 960, spans, 10, details), 1)
  const view = new DataView(details.buffer)
  t.ok(Math.abs(Number(view.getBigUint64(0, true) / 1_000_000n) - Date.now()) < 60_000, 'the time')
  t.equal(view.getUint32(8, true), 7, 'the length')
  t.equal(native.readFrames(end, slab, 0, spans, 10, new Uint8Array(64).subarray(1)), -EINVAL, 'not aligned')
  t.equal(native.readFrames(end, slab, 0, spans, 10), -EAGAIN)
  t.equal(native.waitReadable(Uint32Array.of(fd), 1), -EAGAIN)
  const many = Array.from({ length: 1000 }, () => Buffer.alloc(10))
  t.equal(native.writeBuffers(end, many, 0), 1000, 'a tun descriptor is never full for long: the rest is dropped')
  t.equal(native.waitReadable(Uint32Array.of(fd, fd), -1), 0)
  const values = new Float64Array(7)
  native.endCounters(end, values)
  const written = values[2] as number
  t.ok(written > 6 && written < 1000, 'the queue is full')
  t.same([...values], [6, 491, written, 491 + 10 * (written - 6), 1006 - written, 0, EAGAIN])
  t.equal(await native.closeDescriptor(fd), 0)
  t.equal(native.writeBuffers(end, many, 0), -EBADF)
})

needs(noTun, 'receive pads datagrams to 4 bytes', async (t) => {
  const namespace = await native.createNamespace()
  const fd = await native.openSocket(namespace, 16, 3, 15) // NETLINK_KOBJECT_UEVENT: texts of any length
  t.equal(native.bindSocket(fd, Buffer.from([16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])), 0)
  const taps = await Promise.all(
    ['a', 'bb', 'ccc', 'dddd'].map((name) => native.openTun(namespace, name, IFF_TAP_NO_PI, new Uint32Array(0))),
  )
  const reply = Buffer.alloc(1 << 17, 0xff)
  const received = native.receive(fd, reply)
  const text = reply.toString('latin1', 0, received)
  const starts = [...text.matchAll(/add@\/devices/g)].map((each) => each.index)
  t.ok(starts.length >= 8)
  t.same(
    starts.filter((at) => at % 4 !== 0),
    [],
  )
  t.notMatch(text, /\xff/, 'with zeros')
  t.equal(received % 4, 0)
  await Promise.all([namespace, fd, ...taps.map((tap) => tap.fd)].map((each) => native.closeDescriptor(each)))
})

needs(noTun, 'openTun and controlTun: errors leave nothing half-made', async (t) => {
  const namespace = await native.createNamespace()
  const open = (name: string, flags = IFF_TAP_NO_PI, controls: number[] = []) =>
    native.openTun(namespace, name, flags, Uint32Array.from(controls))
  const tap = await open('one')
  const before = [native.ownedDescriptors(), await count('fd')]
  t.match(await open('one'), { fd: -1, error: -EBUSY, syscall: 'TUNSETIFF', control: -1 })
  for (const name of ['sixteen-bytes-xx', 'a/b', 'a b', 'zero\0byte', '..', 'lo']) {
    t.match(await open(name), { fd: -1, error: -EINVAL, syscall: 'TUNSETIFF' }, JSON.stringify(name))
  }
  t.match(await open('two', 0), { error: -EINVAL, syscall: 'TUNSETIFF' }, 'neither tun nor tap')
  t.match(await open('two', 0x10000 | IFF_TAP_NO_PI), { error: -EINVAL, syscall: 'TUNSETIFF' })
  const bad = await open('two', IFF_TAP_NO_PI, [TUNSETPERSIST, 1, TUNSETPERSIST, 0, 0x800454d2, 0])
  t.match(bad, { fd: -1, error: -EINVAL, syscall: 'ioctl', control: 2 }, 'a request that would write memory')
  t.match(await native.openTun(12345, '', IFF_TAP_NO_PI, new Uint32Array()), { error: -EBADF, syscall: 'setns' })
  t.same([native.ownedDescriptors(), await count('fd')], before)
  const fd = await openNetlink(namespace)
  t.equal(await ask(fd, RTM_GETLINK, 0, ifinfomsg(3)), constants.errno.ENODEV, 'no link is left')
  t.equal(await native.controlTun(tap.fd, TUNSETPERSIST, 1), 0)
  t.equal(await native.controlTun(tap.fd, TUNSETPERSIST, 0), 0)
  t.equal(await native.controlTun(tap.fd, 0x5413, 0), -EINVAL, 'not an ioctl of tun')
  t.equal(await native.controlTun(12345, TUNSETPERSIST, 0), -EBADF)
  await Promise.all([namespace, tap.fd, fd].map((each) => native.closeDescriptor(each)))
})

needs(noTun, 'a poller', async (t) => {
  const { tap, control, index, close } = await makeTap()
  const events: [number, number][] = []
  let wake = () => {}
  const next = (): Promise<void> => new Promise((resolve) => (wake = resolve))
  const poller = native.createPoller(tap.fd, (status, seen) => {
    events.push([status, seen])
    if (status < 0 || events.length > 3) poller.stop()
    wake()
  })
  t.equal(poller.start(0), -EINVAL)
  t.equal(poller.start(3), 0)
  const second = native.createPoller(tap.fd, () => t.fail('never'))
  t.equal(second.start(1), -EEXIST, 'one a descriptor')
  second.close()
  await next()
  t.equal(events[0]?.[0], 0)
  t.ok((events[0]?.[1] ?? 0) & 2, 'writable')
  poller.stop()
  events.length = 0
  t.equal(poller.start(1), 0)
  native.writeBuffers(native.createTunEnd(tap.fd, 0, 0, 0), [arpRequest], 0)
  await next()
  t.same(events[0], [0, 1], 'readable')
  poller.stop()

  events.length = 0
  t.equal(await ask(control, RTM_DELLINK, 0, ifinfomsg(index)), 0)
  t.equal(poller.start(1), 0)
  await next()
  t.same(events, [[-EBADF, 0]], 'an error ends polling')
  poller.close()
  poller.close()
  poller.stop()
  poller.ref()
  t.equal(poller.start(1), -EBADF)
  t.equal(native.createPoller(-1, () => {}).start(1), -EBADF)
  t.throws(() => poller.start.call({} as never, 1), TypeError)
  await close()
})

needs(noTun, 'a descriptor closed while it is polled', async (t) => {
  for (let i = 0; i < 20; i++) {
    const { tap, close } = await makeTap()
    let closed = false
    const poller = native.createPoller(tap.fd, () => t.notOk(closed, 'no call after the close'))
    t.equal(poller.start(3), 0)
    if (i % 2) await sleep(1)
    const closing = i % 3 ? native.closeDescriptor(tap.fd) : Promise.resolve(native.closeDescriptorNow(tap.fd))
    closed = true
    t.equal(await closing, 0)
    t.equal(poller.start(1), -EBADF)
    await close()
  }
})

needs(unprivileged, 'the garbage collector closes pollers that are not started', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const fd = await openNetlink(-1)
  const other = await openNetlink(-1)
  const make = (descriptor: number, act: (poller: ReturnType<typeof native.createPoller>) => void) => {
    const poller = native.createPoller(descriptor, () => poller.stop())
    act(poller)
    return new WeakRef(poller)
  }
  const idle = Array.from({ length: 500 }, (_, i) =>
    make(fd, (poller) => {
      if (i === 0) poller.start(1)
      poller.stop()
    }),
  )
  const started = make(other, (poller) => {
    poller.start(1)
    poller.unref()
  })
  for (let i = 0; i < 20 && idle.some((each) => each.deref()); i++) {
    await sleep(10)
    gc()
  }
  t.equal(idle.filter((each) => each.deref()).length, 0)
  t.ok(started.deref())
  await sleep(20) // finalizers run some time after
  const poller = native.createPoller(fd, () => {})
  t.equal(poller.start(1), 0, 'the descriptor is free for another one')
  poller.close()
  t.equal(await native.closeDescriptor(fd), 0)
  t.equal(await native.closeDescriptor(other), 0)
})

needs(noTun, 'a close comes after the work with its descriptor, and holds up no other', async (t) => {
  const namespace = await native.createNamespace()
  const fd = await openNetlink(namespace)
  const other = await openNetlink(namespace)
  const reply = Buffer.alloc(65536)
  const order: string[] = []
  const work = Array.from({ length: 20 }, async () => {
    const { sent, received } = await native.exchange(fd, dump(), reply)
    order.push(sent > 0 && received > 0 ? 'done' : 'not done')
  })
  const closing = native.closeDescriptor(fd).then((status) => order.push(`closed ${status}`))
  t.equal((await native.exchange(fd, dump(), reply)).sent, -EBADF, 'nothing more goes to it')
  await Promise.all([...work, closing])
  t.same(order, [...Array(20).fill('done'), 'closed 0'])

  // The kernel takes some 18 ms for each.
  const taps = await Promise.all(
    Array.from({ length: 12 }, () => native.openTun(namespace, 'tap%d', IFF_TAP_NO_PI, new Uint32Array(0))),
  )
  let closed = 0
  const closes = taps.map(async (tap) => {
    await native.closeDescriptor(tap.fd)
    closed++
  })
  t.equal(await ask(other, RTM_GETLINK, 0, ifinfomsg(1)), -1, 'a link, and no error')
  t.ok(closed < 12, `${closed} of 12 taps were closed before a request that came after them was answered`)
  await Promise.all(closes)
  for (const each of [other, namespace]) t.equal(await native.closeDescriptor(each), 0)
})
