/** What an ordinary user can do, and what the errors tell the one who cannot. */
import { statSync } from 'node:fs'
import t from 'tap'
import { openNamespace } from '../dist/namespace/open.js'
import { missingCapability, missingOwnCapability } from '../dist/namespace/privileges.js'
import { NOBODY, needs } from './support/needs.js'
import { askProgram } from './support/program.js'
import { scratch, uniqueName } from './support/scratch.js'

const nobody = { uid: NOBODY, gid: NOBODY }

/** `told(promise or function)`: the error as plain data. */
const prelude = `
  import fs from 'node:fs'
  import { createNamespace, currentNamespace, listNamespaces, openNamespace } from './dist/namespace/open.js'
  import { processNamespaces } from './dist/namespace/processes.js'
  import { missingCapability, missingOwnCapability } from './dist/namespace/privileges.js'
  const told = async (action) => {
    try {
      return { value: await action() }
    } catch (error) {
      const { name, code, syscall, hint, message } = error
      return { name, code, syscall, hint, message }
    }
  }
`

t.test('an ordinary user', await needs('nobody', 'namespaces'), async (t) => {
  const box = await scratch(t)
  const root = box.spawn('sleep', ['60'])
  t.teardown(() => root.kill('SIGKILL'))
  const user = statSync('/proc/self/ns/user').ino
  const result = await askProgram(
    `${prelude}
    const host = currentNamespace()
    console.log(JSON.stringify({
      ran: host.run(() => fs.statSync('/proc/thread-self/ns/net').ino),
      inode: host.inode,
      executed: await told(() => host.exec('echo', ['words'])),
      read: await told(() => host.sysctl.get('net.ipv4.ip_forward')),
      processes: (await host.processes()).includes(process.pid),
      listed: await told(async () => (await listNamespaces({ all: true })).length > 0),
      served: await told(async () => {
        const server = await host.listen({ host: '0.0.0.0' })
        server.close()
      }),
      bound: await told(async () => {
        const socket = await host.bindDatagram({ type: 'udp4', device: 'lo' })
        socket.close()
      }),
      set: await told(() => host.sysctl.set('net.ipv4.ip_forward', host.sysctl.get('net.ipv4.ip_forward'))),
      port: await told(() => host.listen({ host: '0.0.0.0', port: 80 })),
      created: await told(() => createNamespace()),
      named: await told(() => createNamespace('netkit-test-nobody')),
      opened: await told(() => openNamespace({ pid: ${root.pid} })),
      looked: await told(() => processNamespaces(${root.pid})),
      descriptors: fs.readdirSync('/proc/self/fd').length,
    }))
    `,
    nobody,
  )
  t.equal(result.ran, result.inode, 'runs in its own namespace')
  t.match(result.executed, { value: { stdout: 'words\n' } })
  t.match(result.read, { value: /^[01]$/ })
  t.equal(result.processes, true)
  t.same(result.listed, { value: true })
  t.same(result.served, {})
  t.same(result.bound, {})
  const lacks = (capability: string, where: string) =>
    `this process lacks ${capability} in user namespace ${user}${user === 4026531837 ? ' (the initial one)' : ''}${where}; ` +
    'run as root, or inside `unshare --user --map-root-user --net`'
  const owned = ", which owns the process's own namespace"
  t.match(result.set, { name: 'NetkitError', code: 'EACCES', syscall: 'open', hint: lacks('CAP_NET_ADMIN', owned) })
  t.match(result.port, { code: 'EACCES', syscall: 'bind', hint: lacks('CAP_NET_BIND_SERVICE', owned) })
  t.match(result.created, {
    code: 'EPERM',
    syscall: 'unshare',
    hint: lacks('CAP_SYS_ADMIN', ''),
    message: /^cannot create a namespace: operation not permitted \(EPERM, unshare\); this process lacks CAP_SYS_ADMIN/,
  })
  t.match(result.named, { code: /^(EPERM|EACCES)$/, hint: lacks('CAP_SYS_ADMIN', '') })
  t.match(result.opened, { code: 'EACCES', hint: /CAP_SYS_PTRACE/ })
  t.match(result.looked, { code: 'EACCES', hint: /CAP_SYS_PTRACE/ })
})

t.test('a namespace that an ordinary user may open but not enter', await needs('root', 'namespaces'), async (t) => {
  const result = await askProgram(
    `${prelude}
    const box = await createNamespace()
    process.setgid(${nobody.gid})
    process.setuid(${nobody.uid})
    const same = await openNamespace({ fd: box.fd })
    console.log(JSON.stringify({
      inode: box.inode,
      ran: await told(() => same.run(() => 1)),
      executed: await told(() => same.exec('true')),
      served: await told(() => same.listen()),
      read: await told(() => same.sysctl.get('net.ipv4.ip_forward')),
      nested: await told(() => currentNamespace().run(() => same.run(() => 1))),
    }))
    `,
  )
  const refused = {
    name: 'NetkitError',
    code: 'EPERM',
    syscall: 'setns',
    hint: /lacks CAP_SYS_ADMIN .* owns namespace \d+;/,
  }
  t.match(result.ran, {
    ...refused,
    message: new RegExp(`^cannot enter namespace ${result.inode}: operation not permitted`),
  })
  t.match(result.executed, refused)
  t.match(result.read, refused)
  t.match(result.nested, refused)
  t.match(result.served, { name: 'NetkitError', code: 'EPERM', hint: /CAP_SYS_ADMIN/ })
})

t.test('a name that an ordinary user may not remove', await needs('root', 'names'), async (t) => {
  const name = uniqueName()
  const result = await askProgram(
    `${prelude}
    const created = await createNamespace('${name}')
    process.setgid(${NOBODY})
    process.setuid(${NOBODY})
    const opened = await openNamespace('${name}')
    const removed = await told(() => opened.delete())
    const open = !opened.closed
    await opened.close()
    const disposed = await told(() => created[Symbol.asyncDispose]())
    console.log(JSON.stringify({ removed, open, disposed, closed: created.closed, there: fs.existsSync('/run/netns/${name}') }))
    `,
  )
  const refused = { name: 'NetkitError', code: 'EPERM', syscall: 'umount2', hint: /lacks CAP_SYS_ADMIN/ }
  t.match(result.removed, {
    ...refused,
    message: new RegExp(`^cannot remove namespace ${name}: operation not permitted`),
  })
  t.equal(result.open, true, 'delete() may be tried again')
  t.match(result.disposed, refused)
  t.equal(result.closed, true, 'disposing closes all the same')
  t.equal(result.there, true)
  const left = await openNamespace(name)
  await left.delete()
})

t.test('root of a user namespace', await needs('nobody', 'namespaces'), async (t) => {
  const source = `${prelude}
    const host = currentNamespace()
    const box = await createNamespace()
    box.sysctl.set('net.ipv4.ip_forward', 1)
    const server = await box.listen({ port: 80 }, (socket) => socket.end('hello'))
    const socket = await box.connect({ port: 80 })
    let words = ''
    for await (const chunk of socket) words += chunk
    server.close()
    console.log(JSON.stringify({
      words,
      forwarding: box.sysctl.get('net.ipv4.ip_forward'),
      user: fs.statSync('/proc/self/ns/user').ino,
      own: missingCapability(-1, 'CAP_NET_ADMIN') ?? null,
      inside: missingCapability(box.fd, 'CAP_NET_ADMIN') ?? null,
      ability: missingOwnCapability('CAP_SYS_ADMIN') ?? null,
    }))
    await box.close()
  `
  const apart = await askProgram(source, { ...nobody, wrapper: ['unshare', '--user', '--map-root-user', '--net'] })
  t.match(apart, { words: 'hello', own: null, inside: null }, 'with a network namespace of its own, nothing is missing')
})

t.test(
  'root of a user namespace that has the network namespace of another',
  await needs('nobody', 'namespaces'),
  async (t) => {
    const result = await askProgram(
      `${prelude}
    const box = await createNamespace()
    console.log(JSON.stringify({
      inode: box.inode,
      user: fs.statSync('/proc/self/ns/user').ino,
      own: missingCapability(-1, 'CAP_NET_ADMIN') ?? null,
      inside: missingCapability(box.fd, 'CAP_NET_ADMIN') ?? null,
      ability: missingOwnCapability('CAP_SYS_ADMIN') ?? null,
      served: await told(async () => {
        const server = await box.listen()
        server.close()
      }),
      ran: await told(() => box.run(() => 1)),
      here: fs.statSync('/proc/thread-self/ns/net').ino === currentNamespace().inode,
    }))
    `,
      { ...nobody, wrapper: ['unshare', '--user', '--map-root-user'] },
    )
    const outside =
      "the process's own network namespace is owned by a user namespace outside of " +
      `user namespace ${result.user}, in which this process runs`
    t.match(result.own, outside)
    t.match(result, { inside: null, ability: null })
    t.same(result.served, {}, 'sockets are opened on a thread that need not come back')
    t.match(result.ran, {
      code: 'EPERM',
      syscall: 'setns',
      hint: `this thread could not come back from there: ${outside}`,
    })
    t.equal(result.here, true)
  },
)

t.test('names in a user namespace without a /run of its own', await needs('nobody', 'namespaces'), async (t) => {
  const source = `${prelude}
    console.log(JSON.stringify(await told(async () => {
      const red = await createNamespace('red')
      await red.delete()
    })))
  `
  const wrapper = ['unshare', '--user', '--map-root-user', '--mount']
  const refused = await askProgram(source, { ...nobody, wrapper })
  t.match(refused, { code: /^(EACCES|EPERM)$/, hint: /tmpfs on \/run/ })
  const prepared = [...wrapper, 'sh', '-c', 'mount -t tmpfs tmpfs /run && exec "$@"', 'sh']
  t.same(await askProgram(source, { ...nobody, wrapper: prepared }), {}, 'with one, they work')
})

t.test('hints never throw', async (t) => {
  t.equal(missingCapability(100_000, 'CAP_NET_ADMIN'), undefined, 'not a descriptor')
  const socketless = missingCapability(0, 'CAP_NET_ADMIN')
  t.equal(socketless, undefined, 'a descriptor of something else')
  t.type(missingOwnCapability('CAP_SYS_ADMIN') ?? '', 'string')
})
