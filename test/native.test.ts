/** The addon, straight at its border: what every layer above relies on. */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Test, test } from 'tap'
import { native } from '../dist/native.js'

const { EAGAIN, EBADF, EBUSY, EEXIST, EINVAL, EIO, EMSGSIZE, ENOBUFS, ENOENT } = constants.errno
const EBADFD = 77
const AF_NETLINK = 16
const SOCK_RAW = 3
const RTM_NEWLINK = 16
const RTM_DELLINK = 17
const RTM_GETLINK = 18
const RTM_NEWADDR = 20
const IFF_TAP_NO_PI = 0x1002
const TUNSETPERSIST = 0x400454cb
const NONE = new Uint8Array(0)

const inode = (fd: number) => fstatSync(fd).ino
const here = () => readlinkSync('/proc/thread-self/ns/net')
const inodeHere = () => Number(/\d+/.exec(here())?.[0])
const count = async (folder: string) => (await readdir(`/proc/self/${folder}`)).length

const first = await native.createNamespace()
const unprivileged = first < 0 ? `namespaces cannot be made here: errno ${-first}` : undefined
const noTun = unprivileged ?? (existsSync('/dev/net/tun') ? undefined : '/dev/net/tun is missing')
if (first >= 0) native.closeDescriptorNow(first)

/** A test that is skipped, with the reason, where the machine does not allow it. */
function needs(reason: string | undefined, name: string, body: (t: Test) => Promise<void>) {
  test(name, async (t) => (reason ? t.plan(0, reason) : body(t)))
}

let sequence = 0
/** One netlink message: header (netlink(7)) and body. */
function message(type: number, flags: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + body.length, 0)
  header.writeUInt16LE(type, 4)
  header.writeUInt16LE(flags, 6)
  header.writeUInt32LE(++sequence, 8)
  return Buffer.concat([header, body])
}
/** struct ifinfomsg, rtnetlink(7). */
function ifinfomsg(index: number, flags = 0, change = 0): Buffer {
  const body = Buffer.alloc(16)
  body.writeInt32LE(index, 4)
  body.writeUInt32LE(flags, 8)
  body.writeUInt32LE(change, 12)
  return body
}
const dump = () => message(RTM_GETLINK, 0x301, ifinfomsg(0))
/** Sends a request with NLM_F_ACK and returns the errno of its acknowledgement. */
async function ask(fd: number, type: number, flags: number, body: Uint8Array): Promise<number> {
  const reply = Buffer.alloc(65536)
  const { sent, received } = await native.exchange(fd, message(type, 0x5 | flags, body), reply)
  return sent > 0 && received > 0 && reply.readUInt16LE(4) === 2 ? -reply.readInt32LE(16) : -1
}
const openNetlink = (namespace: number) => native.openSocket(namespace, AF_NETLINK, SOCK_RAW, 0)

needs(unprivileged, 'each namespace is another one, and no thread stays in it', async (t) => {
  const home = here()
  const [red, blue] = await Promise.all([native.createNamespace(), native.createNamespace()])
  t.equal(new Set([inode(red), inode(blue), inodeHere()]).size, 3)
  t.equal(native.namespaceType(red), 0x40000000)
  const owner = native.namespaceOwner(red)
  t.equal(native.namespaceType(owner), 0x10000000)
  const file = openSync('/dev/null', 'r')
  t.equal(native.namespaceType(file), -constants.errno.ENOTTY)
  closeSync(file)
  for (const task of await readdir('/proc/self/task')) t.equal(readlinkSync(`/proc/self/task/${task}/ns/net`), home)
  for (const fd of [red, blue, owner]) t.equal(await native.closeDescriptor(fd), 0)
})

needs(unprivileged, 'runInside comes back: plainly, nested, and from an exception', async (t) => {
  const home = inodeHere()
  const red = await native.createNamespace()
  const blue = await native.createNamespace()
  const seen: number[] = []
  const result = native.runInside(red, () => {
    seen.push(inodeHere())
    t.equal(
      native.runInside(blue, () => {
        seen.push(inodeHere())
        native.runInside(-1, () => seen.push(inodeHere()))
        // The outer namespace's descriptor goes away: the way back must not need it.
        t.equal(native.closeDescriptorNow(red), 0)
      }),
      0,
    )
    seen.push(inodeHere())
  })
  t.equal(result, 0)
  t.same(seen, [seen[0], inode(blue), home, seen[0]])
  t.equal(inodeHere(), home)
  t.throws(
    () =>
      native.runInside(blue, () => {
        throw new Error('from inside')
      }),
    { message: 'from inside' },
  )
  t.equal(inodeHere(), home)
  const never = () => t.fail('must not be called')
  t.equal(native.runInside(12345, never), -EBADF)
  const owner = native.namespaceOwner(blue)
  t.equal(native.runInside(owner, never), -EINVAL, 'a user namespace')
  for (const fd of [blue, owner]) t.equal(await native.closeDescriptor(fd), 0)
})

needs(unprivileged, 'a socket works on the namespace it was opened in', async (t) => {
  const red = await native.createNamespace()
  const home = inodeHere()
  const opening = openNetlink(red)
  // The job has its own duplicate: closing the caller's descriptor meanwhile does no harm.
  t.equal(native.closeDescriptorNow(red), 0)
  const fd = await opening
  t.ok(fd >= 0)
  t.equal(inodeHere(), home)
  const reply = Buffer.alloc(1 << 17, 0xff)
  const request = dump()
  const { sent, received, error, more } = await native.exchange(fd, request, reply)
  t.same({ sent, error, more }, { sent: request.length, error: 0, more: false })
  const types: number[] = []
  let loopback = ''
  for (let at = 0; at < received; at += (reply.readUInt32LE(at) + 3) & ~3) {
    types.push(reply.readUInt16LE(at + 4))
    if (types.length === 1) loopback = reply.toString('latin1', at + 36, at + 39)
  }
  t.same(types, [RTM_NEWLINK, 3], 'a new namespace holds lo alone; the dump is complete')
  t.match(loopback, /^lo\0$/)
  t.equal(await native.openSocket(12345, AF_NETLINK, SOCK_RAW, 0), -EBADF)
  t.equal(await native.openSocket(-1, 255, SOCK_RAW, 0), -constants.errno.EAFNOSUPPORT)
  t.equal(await native.closeDescriptor(fd), 0)
})

needs(unprivileged, 'exchange and receive: limits and errors', async (t) => {
  const red = await native.createNamespace()
  const fd = await openNetlink(red)
  const small = Buffer.alloc(4096)
  const part = await native.exchange(fd, dump(), small)
  t.match(part, { error: 0, more: true }, 'with less than 64 KiB left it stops after a datagram')
  t.equal(small.readUInt16LE(4), RTM_NEWLINK)
  t.ok(native.receive(fd, small) >= 16, 'receive gets the rest')
  t.equal(native.receive(fd, small), -EAGAIN)
  t.match(await native.exchange(fd, NONE, small), { sent: 0, received: 0, error: 0, more: false })
  t.match(await native.exchange(fd, dump(), Buffer.alloc(64)), { received: 0, error: -EMSGSIZE })
  while (native.receive(fd, Buffer.alloc(65536)) > 0);
  t.match(await native.exchange(12345, dump(), small), { sent: -EBADF, received: 0, more: false })
  t.equal(native.receive(fd, Buffer.alloc(0)), -EINVAL)
  t.match(await native.exchange(fd, dump(), NONE), { received: 0, error: 0, more: true })
  while (native.receive(fd, Buffer.alloc(65536)) > 0);

  // A datagram of another process's socket is not the kernel's word.
  const address = Buffer.alloc(12)
  address.writeUInt16LE(AF_NETLINK, 0)
  address.writeUInt32LE(0x7654321, 4)
  const target = await openNetlink(red)
  t.equal(native.bindSocket(target, address), 0)
  t.equal(native.bindSocket(target, Buffer.alloc(999)), -EINVAL)
  t.equal(native.connectSocket(fd, address), 0)
  t.equal((await native.exchange(fd, dump(), small)).sent, 32)
  t.equal(native.receive(target, small), -EAGAIN)

  // More of them than one call looks at, and then one of the kernel's.
  const junk = Buffer.concat([dump(), Buffer.alloc(100)])
  for (let i = 0; i < 70; i++) t.equal((await native.exchange(fd, junk, small)).sent, junk.length)
  t.match(await native.exchange(target, dump(), small), { sent: 32, error: 0 })
  t.equal(small.readUInt16LE(4), RTM_NEWLINK)
  while (native.receive(target, small) > 0);

  // Lost events are told once.
  t.equal(native.setSocketOption(target, 1, 8, Buffer.from([1, 0, 0, 0])), 0)
  const size = Buffer.alloc(4)
  t.equal(native.getSocketOption(target, 1, 8, size), 4)
  t.ok(size.readInt32LE() < 10_000)
  t.equal(native.setSocketOption(target, 270, 1, Buffer.from([1, 0, 0, 0])), 0)
  const control = await openNetlink(red)
  for (let i = 0; i < 40; i++) t.equal(await ask(control, RTM_NEWLINK, 0, ifinfomsg(1, i & 1, 1)), 0)
  t.equal(native.receive(target, small), -ENOBUFS)
  t.ok(native.receive(target, Buffer.alloc(1 << 17)) > 0)
  for (const each of [fd, target, control, red]) t.equal(await native.closeDescriptor(each), 0)
})

needs(unprivileged, 'owned descriptors', async (t) => {
  const before = native.ownedDescriptors()
  const fd = openSync('/dev/null', 'r')
  t.equal(await native.closeDescriptor(fd), -EBADF, 'not ours')
  t.equal(native.closeDescriptorNow(fd), -EBADF)
  t.ok(fstatSync(fd), 'and left alone')
  native.ownDescriptor(fd)
  native.ownDescriptor(fd)
  native.ownDescriptor(-1)
  native.ownDescriptor(99_999)
  t.equal(native.ownedDescriptors(), before + 1)
  t.equal(native.disownDescriptor(fd), true)
  t.equal(native.disownDescriptor(fd), false)
  closeSync(fd)
  const reply = Buffer.alloc(1 << 17)
  for (const close of [native.closeDescriptor, async (each: number) => native.closeDescriptorNow(each)]) {
    const socket = await openNetlink(-1)
    const work = Array.from({ length: 20 }, () => native.exchange(socket, dump(), Buffer.alloc(1 << 17)))
    const closed = close(socket)
    t.equal(native.ownedDescriptors(), before)
    for (const done of await Promise.all(work)) t.match(done, { sent: 32, error: 0 }, 'work before the close is done')
    t.equal(await closed, 0)
    t.match(await native.exchange(socket, dump(), reply), { sent: -EBADF })
  }
})

needs(unprivileged, 'thousands of sockets and namespaces leave nothing', async (t) => {
  const red = await native.createNamespace()
  const round = async (rounds: number) => {
    for (let i = 0; i < rounds; i++) {
      const fds = await Promise.all(Array.from({ length: 50 }, (_, j) => openNetlink(j % 2 ? red : -1)))
      t.ok(Math.min(...fds) >= 0)
      await Promise.all(fds.map((fd, j) => (j % 3 ? native.closeDescriptor(fd) : native.closeDescriptorNow(fd))))
    }
  }
  await round(1)
  const before = [await count('task'), await count('fd')]
  await round(40)
  const fds = await Promise.all(Array.from({ length: 100 }, () => native.createNamespace()))
  t.equal(new Set(fds.map(inode)).size, 100)
  await Promise.all(fds.map((fd) => native.closeDescriptor(fd)))
  t.same([await count('task'), await count('fd')], before)
  t.equal(await native.closeDescriptor(red), 0)
})

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
  const slab = Buffer.alloc(32 * 1024)
  const spans = new Uint32Array(64)
  const counters = new Float64Array(4)
  slab.set(arpRequest, 100)
  spans.set([7, 7, 100, 60, slab.length - 10, 11, 0xffffffff, 0xffffffff, 0, 13])
  t.equal(native.writeFrames(tap.fd, slab, spans, 1, 4, counters), 4)
  t.same([...counters], [1, 60, 3, EINVAL], 'two lying spans and one short frame are refused')
  t.equal(native.writeFrames(tap.fd, slab, spans, 30, 3, counters), -EINVAL)
  t.equal(native.writeBuffers(tap.fd, [NONE, arpRequest, new Uint8Array(13), arpRequest], 1, counters), 3)
  t.same([...counters], [3, 180, 4, EINVAL])
  t.throws(() => native.writeBuffers(tap.fd, [arpRequest, 'x' as unknown as Buffer], 0, counters), TypeError)

  const replies: string[] = []
  const frames: [number, number][] = []
  for (let i = 0; i < 100 && replies.length < 3; i++) {
    slab.fill(0)
    const read = native.readFrames(tap.fd, slab, 128, 1600, spans, 32)
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
  while (native.readFrames(tap.fd, slab, 0, 1600, spans, 32) > 0);

  for (const [position, size, max] of [
    [0, 1600, 0],
    [0, 0, 1],
  ] as const) {
    t.equal(native.readFrames(tap.fd, slab, position, size, spans, max), -EINVAL)
  }
  t.equal(native.readFrames(tap.fd, slab, slab.length - 1599, 1600, spans, 1), -ENOBUFS, 'no room')
  t.equal(native.readFrames(tap.fd, slab, 2 ** 52, 2 ** 52, spans, 1), -ENOBUFS)
  t.equal(native.readFrames(tap.fd, slab, 0, 1600, spans, 1), -EAGAIN)

  t.equal(await ask(control, RTM_NEWLINK, 0, ifinfomsg(index, 0, 1)), 0)
  t.equal(native.writeBuffers(tap.fd, [arpRequest], 0, counters), 1)
  t.same(counters[3], EIO, 'a link that is down refuses frames')
  t.equal(await ask(control, RTM_DELLINK, 0, ifinfomsg(index)), 0)
  t.equal(native.writeBuffers(tap.fd, [arpRequest], 0, counters), -EBADFD, 'a deleted one is gone')
  t.equal(native.readFrames(tap.fd, slab, 0, 1600, spans, 1), -EBADFD)
  await close()
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
  const next = () => new Promise<void>((resolve) => (wake = resolve))
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
  native.writeBuffers(tap.fd, [arpRequest], 0, new Float64Array(4))
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

needs(unprivileged, 'files: mount, unmount, lockFile', async (t) => {
  t.equal(native.mount('/proc/self/ns/net', '/nonexistent/netkit', 0x1000), -ENOENT)
  t.equal(native.mount('zero\0', '/proc', 0), -EINVAL)
  t.equal(native.unmount('/nonexistent/netkit', 2), -ENOENT)
  t.equal(native.unmount('x'.repeat(5000), 0), -EINVAL)
  const path = new URL(import.meta.url)
  const [a, b] = [openSync(path, 'r'), openSync(path, 'r')]
  t.equal(native.lockFile(a, 2 | 4), 0)
  t.equal(native.lockFile(b, 2 | 4), -EAGAIN)
  closeSync(a)
  t.equal(native.lockFile(b, 2 | 4), 0)
  closeSync(b)
  t.ok(readFileSync(path))
})

test('arguments of wrong types are TypeErrors, whatever they are', async (t) => {
  const wrong: unknown[] = ['x', {}, 1.5, Number.NaN, 2 ** 40, null, 1n, Symbol('s'), undefined]
  for (const [name, call] of Object.entries(native) as [string, (...values: unknown[]) => unknown][]) {
    if (name === 'createNamespace' || name === 'ownedDescriptors') continue
    for (const value of wrong) t.throws(() => call(value, value, value, value, value, value), TypeError, name)
    t.throws(() => call(), TypeError, name)
  }
  t.throws(() => native.receive(0, new Uint16Array(9) as unknown as Uint8Array), TypeError)
})
