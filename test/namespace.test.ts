/** Namespaces without names: making, opening, running inside, closing, processes. */
import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { inspect } from 'node:util'
import t from 'tap'
import { NetkitError } from '../dist/errors.js'
import { defineFacet } from '../dist/namespace/facet.js'
import { descriptorOf, netlinkOf, onClose } from '../dist/namespace/internal.js'
import { Namespace } from '../dist/namespace/namespace.js'
import {
  checkNamespace,
  createNamespace,
  currentNamespace,
  listNamespaces,
  openNamespace,
} from '../dist/namespace/open.js'
import { processNamespaces } from '../dist/namespace/processes.js'
import { leavesNoDescriptor, namespacesOfThreads } from './support/counting.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'

const inodeHere = () => statSync('/proc/thread-self/ns/net').ino
const throws = (thrown: unknown) => () => {
  throw thrown
}

t.test('the own namespace', async (t) => {
  const host = currentNamespace()
  t.equal(host, currentNamespace(), 'is always the same object')
  t.equal(host.name, undefined)
  t.equal(host.inode, inodeHere())
  t.equal(host.device, statSync('/proc/self/ns/net').dev)
  t.equal(statSync(`/proc/self/fd/${host.fd}`).ino, host.inode, 'has a descriptor')
  t.equal(host.fd, host.fd, 'and only one')
  t.equal(descriptorOf(host), -1, 'needs no entering')
  t.equal(
    host.run(() => 42),
    42,
  )
  await host.close()
  await host[Symbol.asyncDispose]()
  t.equal(host.closed, false, 'is never closed')
  await t.rejects(host.delete(), { code: 'EINVAL', message: /has no name/ })
  t.match(inspect(host), /^Namespace \{ net:\[\d+\] \}$/)
})

t.test('an anonymous namespace', await needs('namespaces', 'ip'), async (t) => {
  const box = await createNamespace()
  t.type(box, Namespace)
  t.equal(box.name, undefined)
  t.not(box.inode, inodeHere())
  t.equal(statSync(`/proc/self/fd/${box.fd}`).ino, box.inode)
  t.equal(descriptorOf(box), box.fd)
  const [lo, ...others] = await ip(box, 'address')
  t.equal(others.length, 0)
  t.match(lo, { ifname: 'lo', flags: ['LOOPBACK', 'UP', 'LOWER_UP'] })
  t.same(
    lo.addr_info.map((info: { local: string }) => info.local),
    ['127.0.0.1', '::1'],
    'lo is up, with its addresses',
  )
  t.equal(await box.delete(), undefined, 'may be deleted')
  t.equal(box.closed, true)
  await box.delete()
  await box.close()
  await box[Symbol.asyncDispose]()
  t.match(inspect(box), /closed/)
})

t.test('a namespace whose loopback is left down', await needs('namespaces', 'ip'), async (t) => {
  const box = await scratch(t, { loopback: false })
  const [lo] = await ip(box, 'address')
  t.same(lo.flags, ['LOOPBACK'])
  t.same(lo.addr_info, [])
})

t.test('opening by pid, path and descriptor', await needs('namespaces'), async (t) => {
  const box = await scratch(t)
  const child = box.spawn('sleep', ['30'])
  t.teardown(() => child.kill('SIGKILL'))
  const ways = {
    pid: { pid: child.pid as number },
    'path of the process': { path: `/proc/${child.pid}/ns/net` },
    'path of the descriptor': { path: `/proc/self/fd/${box.fd}` },
    fd: { fd: box.fd },
  }
  for (const [way, target] of Object.entries(ways)) {
    const same = await openNamespace(target)
    t.equal(same.inode, box.inode, way)
    t.not(same.fd, box.fd, 'a descriptor of its own')
    t.equal(same.name, undefined)
    await t.rejects(same.delete(), { code: 'EINVAL' }, 'there is nothing to remove')
    t.equal(same.closed, false)
    await same.close()
    t.equal(same.closed, true)
  }
  t.equal(box.run(inodeHere), box.inode, 'the first handle is as it was')
  const own = await openNamespace({ pid: process.pid })
  t.equal(own.inode, currentNamespace().inode)
  t.equal(descriptorOf(own), -1, "a handle on the process's own namespace needs no entering either")
  await own.close()
  t.equal(currentNamespace().closed, false)
})

t.test('what cannot be opened', async (t) => {
  await leavesNoDescriptor(t, 'a failure', async () => {
    await t.rejects(openNamespace('netkit-nobody-has-this'), { code: 'ENOENT', message: /no namespace netkit-nobody/ })
    await t.rejects(openNamespace({ path: '/proc/self/ns/none' }), { code: 'ENOENT' })
    await t.rejects(openNamespace({ path: '/proc/self/ns/uts' }), {
      code: 'EINVAL',
      message: /not a network namespace/,
    })
    await t.rejects(openNamespace({ path: '/dev/null' }), { code: 'EINVAL' })
    await t.rejects(openNamespace({ path: '/' }), { code: 'EINVAL' })
    await t.rejects(openNamespace({ pid: 0x7ffffffe }), { code: 'ESRCH', errno: -3 })
    await t.rejects(openNamespace({ fd: 100_000 }), { code: 'EBADF' })
    await t.rejects(openNamespace({ fd: 0 }), { code: 'EINVAL' }, 'a descriptor of something else')
  })
})

t.test('bad input is refused before anything is done', async (t) => {
  const wrongName = [
    ['', 'is empty'],
    ['.', 'file name'],
    ['..', 'file name'],
    ['a/b', 'no slash'],
    ['a\0b', 'NUL'],
    ['x'.repeat(256), '255 bytes'],
    ['ä'.repeat(128), '255 bytes'],
  ] as const
  await leavesNoDescriptor(t, 'bad input', async () => {
    for (const [name, words] of wrongName) {
      const expected = { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE', message: new RegExp(words) }
      await t.rejects(createNamespace(name), expected, `create ${inspect(name.slice(0, 5))}`)
      await t.rejects(openNamespace(name), expected, `open ${inspect(name.slice(0, 5))}`)
    }
    const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
    const value = { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE' }
    const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }
    // Each on purpose of a wrong type or value.
    const create = createNamespace as (...args: unknown[]) => Promise<Namespace>
    const open = openNamespace as (...args: unknown[]) => Promise<Namespace>
    const list = listNamespaces as (...args: unknown[]) => Promise<unknown>
    const processes = processNamespaces as (...args: unknown[]) => Promise<unknown>
    await t.rejects(create(5), type)
    await t.rejects(create(null), type)
    await t.rejects(create(undefined, null), type)
    await t.rejects(create(undefined, { loopback: 'yes' }), type)
    await t.rejects(create(undefined, { loopbak: true }), { ...value, message: /did you mean 'loopback'/ })
    await t.rejects(open(), type)
    await t.rejects(open(5), type)
    await t.rejects(open({}), value)
    await t.rejects(open({ pid: 1, fd: 2 }), value)
    await t.rejects(open({ pidd: 1 }), value)
    await t.rejects(open({ path: '' }), value)
    await t.rejects(open({ path: 'a\0b' }), value)
    await t.rejects(open({ path: 1 }), type)
    await t.rejects(open({ pid: '1' }), type)
    await t.rejects(open({ pid: 0 }), range)
    await t.rejects(open({ pid: 1.5 }), type)
    await t.rejects(open({ fd: -1 }), range)
    await t.rejects(list({ all: 1 }), type)
    await t.rejects(list(null), type)
    await t.rejects(processes('1'), type)
    await t.rejects(processes(-1), range)
  })
  t.throws(() => checkNamespace('red', 'options.namespace'), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /options.namespace/,
  })
  t.equal(checkNamespace(undefined, 'namespace'), currentNamespace())
  t.throws(() => new (Namespace as unknown as { new (handle: unknown): unknown })({}), { code: 'ERR_INVALID_ARG_TYPE' })
})

t.test('run', await needs('namespaces'), async (t) => {
  const box = await scratch(t)
  const host = currentNamespace()
  t.equal(
    box.run(() => readlinkSync('/proc/thread-self/ns/net')),
    `net:[${box.inode}]`,
    'is inside',
  )
  t.equal(inodeHere(), host.inode, 'and outside again')
  t.match(
    box.run(() => readFileSync('/proc/net/dev', 'utf8')),
    /lo:/,
  )
  const failure = new Error('mine')
  t.throws(() => box.run(throws(failure)), failure, 'what is thrown comes through')
  t.throws(() => box.run(throws(undefined)), 'also when it is nothing')
  t.equal(inodeHere(), host.inode, 'outside after an error')
  const other = await scratch(t)
  const nested = box.run(() => {
    const inner = other.run(() => [inodeHere(), host.run(inodeHere), inodeHere()])
    return [inodeHere(), ...inner, inodeHere()]
  })
  t.same(nested, [box.inode, other.inode, host.inode, other.inode, box.inode], 'calls may be nested')
  t.throws(() => box.run(() => other.run(throws(failure))), failure)
  t.equal(inodeHere(), host.inode)

  let called = false
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE', message: /synchronous/ }
  t.throws(
    () =>
      // @ts-expect-error: the types refuse it too
      box.run(async () => {
        called = true
      }),
    refused,
  )
  t.throws(
    () =>
      box.run(function* () {
        called = true
        yield 1
      }),
    refused,
  )
  t.equal(called, false, 'an async function is refused before it is called')
  t.throws(
    // @ts-expect-error: likewise
    () => box.run(() => Promise.reject(new Error('nobody waits for this'))),
    refused,
    'a promise is refused after',
  )
  // biome-ignore lint/suspicious/noThenProperty: that is what is tested
  t.throws(() => box.run(() => ({ then() {} })), refused)
  // @ts-expect-error: likewise
  t.throws(() => host.run(async () => {}), refused)
  t.throws(() => (box as unknown as { run(fn: unknown): void }).run('x'), { code: 'ERR_INVALID_ARG_TYPE' })
  t.equal(inodeHere(), host.inode)
  await new Promise((resolve) => setImmediate(resolve))
  t.same(namespacesOfThreads(), [`net:[${host.inode}]`], 'no thread stays inside')
})

t.test('a closed handle', await needs('namespaces'), async (t) => {
  const box = await createNamespace()
  const same = await openNamespace({ fd: box.fd })
  const sysctl = box.sysctl
  const inode = box.inode
  const calls: string[] = []
  onClose(box, () => {
    calls.push('kept')
  })
  const off = onClose(box, () => {
    calls.push('taken back')
  })
  off()
  const connection = await netlinkOf(box)
  t.equal(await netlinkOf(box), connection, 'one connection a handle and protocol')
  t.not(await netlinkOf(box, 4), connection)
  t.not(await netlinkOf(same), connection)
  const opening = netlinkOf(box, 12)
  const closing = box.close()
  t.equal(box.closed, true, 'is closed at once')
  t.same(calls, ['kept'])
  await t.rejects(opening, { name: 'AbortError' }, 'what was being opened is not had any more')
  await closing
  t.equal(connection.closed, true, 'its connections are closed')
  t.equal(box.inode, inode, 'still has its identity')
  const closed = { name: 'NetkitError', code: 'EBADF', message: new RegExp(`^namespace ${inode} is closed`) }
  t.throws(() => box.fd, closed)
  t.throws(() => descriptorOf(box), closed)
  t.throws(() => box.run(() => 1), closed)
  t.throws(() => box.spawn('true'), closed)
  t.throws(() => sysctl.get('net.ipv4.ip_forward'), closed)
  t.throws(() => checkNamespace(box, 'namespace'), closed)
  await t.rejects(box.exec('true'), closed)
  await t.rejects(box.listen(), closed)
  await t.rejects(box.connect({ port: 1 }), closed)
  await t.rejects(box.bindDatagram({ type: 'udp4' }), closed)
  await t.rejects(box.processes(), closed)
  await box.delete()
  await t.rejects(same.delete(), { code: 'EINVAL' }, 'it was opened')
  await t.rejects(netlinkOf(box), closed)
  t.equal(same.run(inodeHere), inode, 'the other handle is as it was')
  await same.close()
})

t.test('processes', await needs('namespaces'), async (t) => {
  const box = await scratch(t)
  t.same(await box.processes(), [])
  const children = [box.spawn('sleep', ['30']), box.spawn('sleep', ['30'])]
  t.teardown(() => {
    for (const child of children) child.kill('SIGKILL')
  })
  const pids = children.map((child) => child.pid as number).sort((a, b) => a - b)
  t.same(await box.processes(), pids)
  t.ok((await currentNamespace().processes()).includes(process.pid))
  const listed = await listNamespaces({ all: true })
  t.match(
    listed.find((info) => info.inode === box.inode),
    { inode: box.inode, pids },
  )
  t.ok(listed.find((info) => info.inode === currentNamespace().inode)?.pids?.includes(process.pid))
  t.notOk(
    (await listNamespaces()).some((info) => info.inode === box.inode),
    'without a name it is listed with all only',
  )
})

t.test('the namespaces of a process', async (t) => {
  const found = await processNamespaces(process.pid)
  for (const kind of ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'] as const) {
    const { ino, dev } = statSync(`/proc/self/ns/${kind}`)
    t.same(found[kind], { inode: ino, device: dev, path: `/proc/${process.pid}/ns/${kind}` })
  }
  t.equal(found.net.inode, currentNamespace().inode)
  const { pid_for_children, time, time_for_children } = found
  for (const info of [pid_for_children, time, time_for_children]) if (info) t.equal(info.device, found.net.device)
  const opened = await openNamespace({ path: found.net.path })
  t.equal(opened.inode, found.net.inode)
  await opened.close()
  await t.rejects(processNamespaces(0x7ffffffe), { name: 'NetkitError', code: 'ESRCH' })
})

t.test('facets', await needs('namespaces'), async (t) => {
  let made = 0
  const define = defineFacet as unknown as (name: string, create: (namespace: Namespace) => unknown) => void
  define('netkitTestFacet', (namespace) => {
    made++
    return { namespace }
  })
  const facet = (namespace: Namespace) => (namespace as unknown as { netkitTestFacet: unknown }).netkitTestFacet
  const box = await scratch(t)
  t.equal(made, 0, 'nothing is made before it is asked for')
  t.equal(facet(box), facet(box))
  t.same(facet(box), { namespace: box })
  t.not(facet(box), facet(currentNamespace()))
  t.equal(made, 2)
})

t.test('errors are NetkitErrors', async (t) => {
  const error = await openNamespace('netkit-nobody-has-this').catch((cause) => cause)
  t.type(error, NetkitError)
  t.match(error, { errno: -2, syscall: 'open', cause: { code: 'ENOENT' } })
})
