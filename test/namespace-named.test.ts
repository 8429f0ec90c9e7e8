/** Namespaces with names under /run/netns, with `ip netns` as the referee: each tool sees the other's, and harms none. */
import { existsSync, lstatSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { createNamespace, currentNamespace, listNamespaces, openNamespace } from '../dist/namespace/open.js'
import { descriptors, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { askProgram, runProgram } from './support/program.js'
import { uniqueName } from './support/scratch.js'

const path = (name: string) => `/run/netns/${name}`

/** A name that is removed after the test, whoever has it then. */
function nameFor(t: Test): string {
  const name = uniqueName()
  t.teardown(async () => {
    if (existsSync(path(name))) await currentNamespace().exec('ip', ['netns', 'delete', name])
  })
  return name
}

async function ipNetns(...args: string[]): Promise<string> {
  const { stdout } = await currentNamespace().exec('ip', ['netns', ...args], { check: true })
  return stdout
}

/** The names that `ip netns list` shows. */
async function listedByIp(): Promise<string[]> {
  const { stdout } = await currentNamespace().exec('ip', ['-j', 'netns', 'list'], { check: true })
  return stdout.trim() === '' ? [] : JSON.parse(stdout).map((entry: { name: string }) => entry.name)
}

const inodeByIp = async (name: string) =>
  Number(/\d+/.exec(await ipNetns('exec', name, 'readlink', '/proc/self/ns/net')))

const requirements = await needs('names', 'ip')

t.test('what netkit creates, ip sees', requirements, async (t) => {
  const name = nameFor(t)
  const red = await createNamespace(name)
  t.equal(red.name, name)
  t.ok((await listedByIp()).includes(name))
  t.equal(await inodeByIp(name), red.inode)
  t.equal(statSync(path(name)).ino, red.inode)
  const entry = (await listNamespaces()).find((info) => info.name === name)
  t.same(entry, { name, inode: red.inode, path: path(name) })
  await t.rejects(createNamespace(name), {
    name: 'NetkitError',
    code: 'EEXIST',
    message: `cannot create namespace ${name}: file exists (EEXIST, open); openNamespace opens it; when an earlier run left it behind, its delete() removes it`,
  })
  t.equal(await inodeByIp(name), red.inode, 'the one that was there is as it was')
  await red.delete()
  t.notOk((await listedByIp()).includes(name))
  t.notOk(existsSync(path(name)))
  await red.delete()
  await red[Symbol.asyncDispose]()
})

t.test('what ip creates, netkit sees', requirements, async (t) => {
  const name = nameFor(t)
  await ipNetns('add', name)
  const entry = (await listNamespaces()).find((info) => info.name === name)
  const inode = await inodeByIp(name)
  t.same(entry, { name, inode, path: path(name) })
  const red = await openNamespace(name)
  t.equal(red.inode, inode)
  t.equal(red.name, name)
  t.equal(
    red.run(() => statSync('/proc/thread-self/ns/net').ino),
    inode,
  )
  const byPath = await openNamespace({ path: path(name) })
  t.equal(byPath.inode, inode)
  await byPath.close()
  await red.close()
  t.ok((await listedByIp()).includes(name), 'letting go leaves the name')
  await using(await openNamespace(name))
  t.ok((await listedByIp()).includes(name), 'and so does disposing of what was opened')
  const again = await openNamespace(name)
  await again.delete()
  t.notOk((await listedByIp()).includes(name), 'delete() removes it')
})

/** What `await using` does at the end of its block. */
async function using(resource: AsyncDisposable): Promise<void> {
  await resource[Symbol.asyncDispose]()
}

t.test('disposing of a created namespace removes its name, closing does not', requirements, async (t) => {
  const name = nameFor(t)
  await using(await createNamespace(name))
  t.notOk(existsSync(path(name)))
  const kept = await createNamespace(name)
  await kept.close()
  t.ok((await listedByIp()).includes(name))
  await using(kept)
  t.ok((await listedByIp()).includes(name), 'what was closed is not undone any more')
  const again = new RegExp(`\\(await openNamespace\\('${name}'\\)\\)\\.delete\\(\\)`)
  await t.rejects(kept.delete(), { code: 'EBADF', message: again })
})

t.test('a namespace that is deleted underneath', requirements, async (t) => {
  const name = nameFor(t)
  const red = await createNamespace(name)
  await ipNetns('delete', name)
  t.match(await red.exec('cat', ['/proc/net/dev']), { exitCode: 0, stdout: /lo:/ }, 'lives on while it is held')
  await using(red)
  t.equal(red.closed, true)

  const mine = await createNamespace(name)
  await ipNetns('delete', name)
  await ipNetns('add', name)
  const theirs = await inodeByIp(name)
  t.not(theirs, mine.inode)
  await mine.delete()
  t.equal(await inodeByIp(name), theirs, 'a name that is somebody else’s by now is left alone')
})

t.test('two handles on one namespace', requirements, async (t) => {
  const name = nameFor(t)
  const first = await createNamespace(name)
  const second = await openNamespace(name)
  await first.delete()
  t.equal(
    second.run(() => statSync('/proc/thread-self/ns/net').ino),
    second.inode,
    'the second works when the first is deleted',
  )
  await second.delete()
  t.equal(second.closed, true, 'a name that is gone already is no error')
  t.notOk(existsSync(path(name)))
})

t.test('names that are unusual', requirements, async (t) => {
  const base = uniqueName()
  for (const name of [`${base} x`, `${base}-ü`, `-${base}`, `${base}%d`, `${base}\n`, base.padEnd(255, 'y')]) {
    const namespace = await createNamespace(name)
    const same = await openNamespace(name)
    t.equal(same.inode, namespace.inode, JSON.stringify(name.slice(0, 40)))
    await same.close()
    await namespace.delete()
    t.notOk(existsSync(path(name)))
  }
})

t.test('many at once want the same name', requirements, async (t) => {
  const name = nameFor(t)
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => createNamespace(name)))
  const made = results.filter((result) => result.status === 'fulfilled')
  t.equal(made.length, 1, 'one gets it')
  for (const result of results) if (result.status === 'rejected') t.equal(result.reason.code, 'EEXIST')
  const [winner] = made
  t.equal(winner && (await inodeByIp(name)), winner?.value.inode)
  await winner?.value.delete()
  t.notOk(existsSync(path(name)))
})

t.test('files in the directory that are no namespaces', requirements, async (t) => {
  const [file, link, name] = [uniqueName(), uniqueName(), nameFor(t)]
  const red = await createNamespace(name)
  writeFileSync(path(file), '')
  symlinkSync(path(name), path(link))
  t.teardown(() => {
    for (const leftover of [file, link]) rmSync(path(leftover), { force: true })
  })
  const names = (await listNamespaces()).map((info) => info.name)
  t.notOk(names.includes(file), 'a plain file is not listed')
  t.ok(names.includes(link), 'a link to a namespace is')
  await t.rejects(openNamespace(file), { code: 'EINVAL', message: /not a network namespace/ })
  await t.rejects(createNamespace(file), { code: 'EEXIST' })
  const linked = await openNamespace(link)
  t.equal(linked.inode, red.inode)
  await linked.delete()
  t.throws(() => lstatSync(path(link)), { code: 'ENOENT' }, 'the link is removed')
  t.equal(await inodeByIp(name), red.inode, 'and not what it points at')
  await red.delete()
})

t.test('a thousand names leave no descriptor', requirements, async (t) => {
  await leavesNoDescriptor(t, 'making and deleting', async () => {
    for (let i = 0; i < 1000; i += 10) {
      const made = await Promise.all(
        Array.from({ length: 10 }, () => createNamespace(uniqueName(), { loopback: false })),
      )
      await Promise.all(made.map((namespace) => namespace.delete()))
    }
  })
  t.ok(descriptors() > 0)
})

// What follows has a /run of its own, in a mount namespace of its own.
const fresh = ['unshare', '--net', '--mount', 'sh', '-c', 'mount -t tmpfs tmpfs /run && exec "$@"', 'sh']

t.test('the directory is made, and shared, as iproute2 does it', requirements, async (t) => {
  const result = await askProgram(
    `
    import { readFileSync, statSync, existsSync } from 'node:fs'
    import { execFileSync } from 'node:child_process'
    import { createNamespace, listNamespaces } from './dist/namespace/open.js'
    const before = existsSync('/run/netns')
    const none = await listNamespaces()
    const made = await Promise.all(['a', 'b', 'c', 'd'].map((name) => createNamespace(name)))
    execFileSync('ip', ['netns', 'add', 'e'])
    await createNamespace('f')
    // Those of another /run lie underneath.
    const { dev } = statSync('/run/netns')
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').filter((line) => {
      const [, , device, , path] = line.split(' ')
      return device === '0:' + dev && path === '/run/netns'
    })
    const listed = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).match(/^\\w+/gm).sort()
    await Promise.all(made.map((namespace) => namespace.delete()))
    const left = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).match(/^\\w+/gm).sort()
    console.log(JSON.stringify({ before, none, mode: statSync('/run/netns').mode & 0o777, mounts, listed, left }))
    `,
    { wrapper: fresh },
  )
  t.equal(result.before, false)
  t.same(result.none, [], 'without the directory there are no names')
  t.equal(result.mode, 0o755)
  t.equal(result.mounts.length, 1, 'one mount, however many want it at once')
  t.match(result.mounts[0], /shared:\d+/)
  t.same(result.listed, ['a', 'b', 'c', 'd', 'e', 'f'])
  t.same(result.left, ['e', 'f'])
})

t.test('waiting for the directory’s lock does not hold up the event loop', await needs('names', 'flock'), async (t) => {
  const result = await askProgram(
    `
    import { mkdirSync } from 'node:fs'
    import { spawn } from 'node:child_process'
    import { createNamespace } from './dist/namespace/open.js'
    mkdirSync('/run/netns', 0o755)
    const holder = spawn('flock', ['/run/netns', 'sh', '-c', 'echo held; sleep 0.4'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => holder.stdout.once('data', resolve))
    let ticks = 0
    const ticking = setInterval(() => ticks++, 5)
    const start = performance.now()
    const red = await createNamespace('red')
    const waited = performance.now() - start
    clearInterval(ticking)
    await red.delete()
    console.log(JSON.stringify({ waited, ticks }))
    `,
    { wrapper: fresh },
  )
  t.ok(result.waited > 250, `waited ${Math.round(result.waited)} ms`)
  t.ok(result.ticks > 20, `${result.ticks} timer callbacks meanwhile`)
})

t.test('a failed creation leaves no name behind', await needs('names'), async (t) => {
  const result = await askProgram(
    `
    import { readdirSync, writeFileSync } from 'node:fs'
    import { createNamespace } from './dist/namespace/open.js'
    const first = await createNamespace('first')
    const descriptors = readdirSync('/proc/self/fd').length
    writeFileSync('/proc/sys/user/max_net_namespaces', '1')
    const error = await createNamespace('red').catch((error) => error)
    console.log(JSON.stringify({
      error: { ...error, message: error.message },
      names: readdirSync('/run/netns'),
      more: readdirSync('/proc/self/fd').length - descriptors,
    }))
    await first.delete()
    `,
    { wrapper: ['unshare', '--user', '--map-root-user', ...fresh.slice(1)] },
  )
  t.match(result.error, { code: 'ENOSPC', syscall: 'unshare', message: /max_net_namespaces/ })
  t.same(result.names, ['first'])
  t.equal(result.more, 0)
})

t.test('a process that ends leaves the names that it made', await needs('names'), async (t) => {
  const name = nameFor(t)
  const { exitCode, stderr } = await runProgram(`
    import { createNamespace } from './dist/namespace/open.js'
    await createNamespace('${name}')
  `)
  t.equal(exitCode, 0)
  t.equal(stderr, '')
  const found = await openNamespace(name)
  await found.delete()
})

t.test('a process that ends in the middle leaves no name that names nothing', await needs('names'), async (t) => {
  const prefix = uniqueName()
  for (const milliseconds of [0, 1, 2, 5, 10]) {
    const { exitCode } = await runProgram(`
      import { createNamespace } from './dist/namespace/open.js'
      for (let i = 0; i < 50; i++) createNamespace('${prefix}-${milliseconds}-' + i)
      setTimeout(() => process.exit(0), ${milliseconds})
    `)
    t.equal(exitCode, 0)
  }
  const left = readdirSync('/run/netns').filter((name) => name.startsWith(prefix))
  t.ok(left.length > 0 && left.length < 250, `${left.length} of 250 were made`)
  for (const name of left) await (await openNamespace(name)).delete()
})
