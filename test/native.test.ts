/** The addon, straight at its border: namespaces, sockets, netlink, descriptors, arguments. */
import { closeSync, fstatSync, openSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { native } from '../dist/native.js'
import {
  ask,
  dump,
  ifinfomsg,
  message,
  NONE,
  needs,
  noWayBack,
  openNetlink,
  RTM_NEWLINK,
  unprivileged,
} from './support/native.js'

const { EAGAIN, EBADF, EINVAL, EMSGSIZE, ENAMETOOLONG, ENOBUFS, ENOENT, ESTALE } = constants.errno
const AF_NETLINK = 16
const SOCK_RAW = 3

const inode = (fd: number) => fstatSync(fd).ino
const here = () => readlinkSync('/proc/thread-self/ns/net')
const inodeHere = () => Number(/\d+/.exec(here())?.[0])
const count = async (folder: string) => (await readdir(`/proc/self/${folder}`)).length

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

needs(noWayBack, 'runInside comes back: plainly, nested, and from an exception', async (t) => {
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
  const strange = await openNetlink(-1)
  t.equal(native.disownDescriptor(strange), true)
  t.match(await native.exchange(strange, dump(), Buffer.alloc(1 << 17)), { sent: -EBADF, received: 0 }, 'not ours')
  t.equal(await native.controlTun(strange, 0x400454cb, 0), -EBADF)
  closeSync(strange)
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

needs(unprivileged, 'an error that comes behind datagrams is told next', async (t) => {
  const fd = await openNetlink(-1)
  let called = 0
  const poller = native.createPoller(fd, () => called++)
  // Each is refused, and the refusal holds the request: the second one is larger than the room that is left.
  for (const size of [16, 100_000]) await native.exchange(fd, message(0x7f, 1, Buffer.alloc(size)), NONE)
  t.equal(poller.start(1), 0)
  t.equal(native.receive(fd, Buffer.alloc(70_000)), 16 + 4 + 16 + 16)
  await sleep(20)
  t.equal(called, 1, 'the poller calls, though poll(2) has nothing to say any more')
  t.equal(native.receive(fd, Buffer.alloc(70_000)), -EMSGSIZE)
  t.equal(native.receive(fd, Buffer.alloc(70_000)), -EAGAIN)
  await sleep(20)
  t.equal(called, 1)
  t.equal(await native.closeDescriptor(fd), 0)
})

needs(unprivileged, 'files: mount, unmount, lockFile', async (t) => {
  t.equal(native.mount('/proc/self/ns/net', '/nonexistent/netkit', 0x1000), -ENOENT)
  t.equal(native.mount('zero\0', '/proc', 0), -ENAMETOOLONG)
  t.equal(await native.unmount('/nonexistent/netkit', 2, 0, 0), -ENOENT)
  t.equal(await native.unmount('x'.repeat(5000), 0, 0, 0), -ENAMETOOLONG)
  const { dev, ino } = statSync('/proc')
  for (const [device, inode] of [
    [dev, ino + 1],
    [dev + 1, ino],
  ] as const) {
    t.equal(await native.unmount('/proc', 0x4000_0000, device, inode), -ESTALE, 'another file')
  }
  t.equal(await native.unmount('/proc', 0x4000_0000, dev, ino), -EINVAL, 'this file, but no such flag')
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
    if (['createNamespace', 'createEventDescriptor', 'ownedDescriptors'].includes(name)) continue
    for (const value of wrong) t.throws(() => call(value, value, value, value, value, value), TypeError, name)
    t.throws(() => call(), TypeError, name)
  }
  t.throws(() => native.receive(0, new Uint16Array(9) as unknown as Uint8Array), TypeError)
})
