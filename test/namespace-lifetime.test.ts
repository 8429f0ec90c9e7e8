/** What namespaces leave behind: nothing. Many of them, forgotten ones, ends in the middle, worker threads, the thread pool. */
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { createNamespace, currentNamespace } from '../dist/namespace/open.js'
import { eventually, leavesNoDescriptor, namespacesOfThreads, threads } from './support/counting.js'
import { needs } from './support/needs.js'
import { askProgram, packageFolder, runProgram } from './support/program.js'
import { scratch } from './support/scratch.js'

const requirements = await needs('namespaces')
const inodeHere = () => statSync('/proc/thread-self/ns/net').ino

t.test('ten thousand namespaces', requirements, async (t) => {
  const { warm, end } = await askProgram(
    `
    import { readdirSync } from 'node:fs'
    import { createNamespace, openNamespace } from './dist/namespace/open.js'
    import { native } from './dist/native.js'
    const count = async () => {
      globalThis.gc()
      await new Promise((resolve) => setTimeout(resolve, 50))
      return {
        descriptors: readdirSync('/proc/self/fd').length,
        owned: native.ownedDescriptors(),
        threads: readdirSync('/proc/self/task').length,
        memory: process.memoryUsage(),
      }
    }
    let made = 0
    const one = async () => {
      made++
      const box = await createNamespace(undefined, { loopback: made % 10 === 0 })
      const same = await openNamespace({ fd: box.fd })
      same.run(() => {})
      await Promise.all([same.close(), box.close()])
    }
    const make = async (many) => {
      while (made < many) await Promise.all(Array.from({ length: 8 }, one))
    }
    await make(2000)
    const warm = await count()
    await make(10_000)
    console.log(JSON.stringify({ warm, end: await count() }))
    `,
    { node: ['--expose-gc'] },
  )
  t.equal(end.descriptors, warm.descriptors, `${end.descriptors} descriptors`)
  t.equal(end.owned, warm.owned)
  t.equal(end.threads, warm.threads, `${end.threads} threads`)
  // The space that V8 sets aside for its heap follows the load, not what is held.
  const outside = end.memory.rss - end.memory.heapTotal - (warm.memory.rss - warm.memory.heapTotal)
  const inside = end.memory.heapUsed - warm.memory.heapUsed
  t.ok(outside < 12 * 2 ** 20, `${Math.round(outside / 2 ** 10)} KiB more outside of the heap after 8,000 more`)
  t.ok(inside < 2 * 2 ** 20, `${Math.round(inside / 2 ** 10)} KiB more inside`)
})

t.test('handles that are forgotten are closed, with one warning', requirements, async (t) => {
  const result = await askProgram(
    `
    import { createNamespace, currentNamespace, openNamespace } from './dist/namespace/open.js'
    import { netlinkOf, onClose } from './dist/namespace/internal.js'
    import { native } from './dist/native.js'
    const warnings = []
    process.on('warning', (warning) => warnings.push({ name: warning.name, code: warning.code, message: warning.message }))
    currentNamespace().fd
    const before = native.ownedDescriptors()
    async function forget() {
      const box = await createNamespace()
      const same = await openNamespace({ fd: box.fd })
      box.sysctl.get('net.ipv4.ip_forward')
      onClose(box, () => box.inode)
      await netlinkOf(same, 0)
    }
    for (let i = 0; i < 5; i++) await forget()
    const held = native.ownedDescriptors() - before
    // What goes on needs no handle.
    const pending = (async () => (await createNamespace()).exec('sleep', ['0.3']))()
    for (let i = 0; i < 100 && native.ownedDescriptors() > before; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      globalThis.gc()
    }
    const { exitCode } = await pending
    console.log(JSON.stringify({ held, left: native.ownedDescriptors() - before, warnings, exitCode }))
    `,
    { node: ['--expose-gc'] },
  )
  t.ok(result.held >= 15, `${result.held} descriptors were held`)
  t.equal(result.left, 0)
  t.equal(result.warnings.length, 1)
  t.match(result.warnings[0], {
    name: 'NetkitWarning',
    code: 'NETKIT_LEAK',
    message: /network namespace handle was garbage-collected/,
  })
  t.equal(result.exitCode, 0)
})

t.test('handles that are closed give no warning, nor does a process that ends with some', requirements, async (t) => {
  const { stderr, exitCode } = await runProgram(
    `
    import { createNamespace } from './dist/namespace/open.js'
    globalThis.kept = await createNamespace()
    for (let i = 0; i < 10; i++) await (await createNamespace()).close()
    for (let i = 0; i < 5; i++) {
      globalThis.gc()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    `,
    { node: ['--expose-gc'] },
  )
  t.equal(stderr, '')
  t.equal(exitCode, 0)
})

t.test('run before the thread pool exists leaves no pool thread inside', requirements, async (t) => {
  const result = await askProgram(
    `
    const fs = require('node:fs')
    const { createNamespace, currentNamespace } = require('./dist/namespace/open.js')
    // But the addon's own, one of which may just be making a namespace: it ends with that.
    const tasks = () => fs.readdirSync('/proc/self/task').filter((task) => {
      try {
        return fs.readFileSync('/proc/self/task/' + task + '/comm', 'utf8') !== 'netkit-enter\\n'
      } catch {
        return false
      }
    })
    const namespaces = () => [...new Set(tasks().map((task) => fs.readlinkSync('/proc/self/task/' + task + '/ns/net')))]
    createNamespace(undefined, { loopback: false }).then((box) => {
      const before = tasks().length
      box.run(() => {
        // The first use of the pool in this process, from the inside.
        fs.readlink('/proc/thread-self/ns/net', (error, link) => {
          const own = 'net:[' + currentNamespace().inode + ']'
          console.log(JSON.stringify({ before, after: tasks().length, namespaces: namespaces(), link, own }))
        })
        createNamespace().then((inner) => inner.close())
        box.connect({ host: 'localhost', port: 1 }).catch(() => {})
      })
    })
    `,
    { commonjs: true, node: ['--no-warnings'] },
  )
  t.ok(result.after > result.before, `the pool was started meanwhile: ${result.before} threads, then ${result.after}`)
  t.same(result.namespaces, [result.own])
  t.equal(result.link, result.own)
})

t.test('a handle that is closed inside its own run', requirements, async (t) => {
  const box = await createNamespace()
  let closing: Promise<void> | undefined
  const [before, after] = box.run(() => {
    const before = inodeHere()
    closing = box.close()
    return [before, inodeHere()]
  })
  t.same([before, after], [box.inode, box.inode])
  t.equal(inodeHere(), currentNamespace().inode)
  await closing
  t.equal(box.closed, true)
})

/** Runs a program in a worker thread; `netkit` are the functions of open.js, and `send` posts a message. */
function startWorker(source: string): Worker {
  const program = `
    const { parentPort } = require('node:worker_threads')
    const fs = require('node:fs')
    const send = (message) => parentPort.postMessage(message)
    import(${JSON.stringify(`${packageFolder}dist/namespace/open.js`)}).then(async (netkit) => { ${source} })
  `
  return new Worker(program, { eval: true })
}

const messageOf = async (worker: Worker) => (await once(worker, 'message'))[0]

t.test('worker threads', requirements, async (t) => {
  const host = currentNamespace()
  const box = await scratch(t)
  const report = `
    const own = netkit.currentNamespace()
    const box = await netkit.createNamespace()
    send({
      own: own.inode,
      same: own === netkit.currentNamespace(),
      box: box.inode,
      inside: box.run(() => fs.statSync('/proc/thread-self/ns/net').ino),
      outside: fs.statSync('/proc/thread-self/ns/net').ino,
      devices: box.run(() => fs.readFileSync('/proc/thread-self/net/dev', 'utf8')),
      addresses: (await box.exec('cat', ['/proc/net/fib_trie'])).stdout,
    })
    await box.close()
  `
  await leavesNoDescriptor(t, 'a worker', async () => {
    const worker = startWorker(report)
    const said = await messageOf(worker)
    await once(worker, 'exit')
    t.match(said, { own: host.inode, same: true, outside: host.inode, devices: /lo:/, addresses: /127\.0\.0\.1/ })
    t.equal(said.inside, said.box)
  })
  const inside = box.run(() => startWorker(report))
  const said = await messageOf(inside)
  t.match(said, { own: box.inode, outside: box.inode }, 'one that is started inside lives inside')
  t.equal(said.inside, said.box)
  await once(inside, 'exit')
  t.same(namespacesOfThreads(), [`net:[${host.inode}]`])
})

const unfinished = {
  'making namespaces': `send('begun'); for (;;) await Promise.all([1, 2, 3].map(() => netkit.createNamespace()))`,
  'running inside': `
    const box = await netkit.createNamespace()
    box.run(() => { send('begun'); for (;;) fs.readFileSync('/proc/thread-self/net/dev') })`,
  connecting: `
    const box = await netkit.createNamespace()
    await box.listen({ port: 80, backlog: 1 })
    send('begun')
    for (;;) await box.connect({ port: 80 })`,
  'running programs': `
    const box = await netkit.createNamespace()
    send('begun')
    for (;;) await Promise.all([box.exec('true'), box.exec('true')])`,
  'holding everything': `
    const box = await netkit.createNamespace()
    globalThis.held = [box, await box.listen(), await box.bindDatagram({ type: 'udp4' }), netkit.currentNamespace().fd]
    send('begun')
    setInterval(() => {}, 1000)`,
}

t.test('worker threads that are terminated in the middle', requirements, async (t) => {
  const host = currentNamespace()
  // The first worker makes threads of Node's own that stay.
  const first = startWorker('send(1)')
  await once(first, 'exit')
  const before = threads()
  for (const [what, source] of Object.entries(unfinished)) {
    await leavesNoDescriptor(t, what, async () => {
      for (let i = 0; i < 4; i++) {
        const worker = startWorker(source)
        await messageOf(worker)
        await new Promise((resolve) => setTimeout(resolve, 5 * i))
        await worker.terminate()
      }
    })
  }
  t.ok(await eventually(() => threads() <= before), `${before} threads before, ${threads()} after`)
  t.same(namespacesOfThreads(), [`net:[${host.inode}]`])
})

const endings: Record<string, string> = {
  'making namespaces': `for (let i = 0; i < 20; i++) netkit.createNamespace(); setTimeout(() => process.exit(7), 3)`,
  'making namespaces, at once': `netkit.createNamespace(); process.exit(7)`,
  'running inside': `(await netkit.createNamespace()).run(() => process.exit(7))`,
  connecting: `
    const box = await netkit.createNamespace()
    await box.exec('ip', ['link', 'add', 'one', 'type', 'dummy'])
    box.connect({ host: '127.0.0.1', port: 80, timeout: 1000 }).catch(() => {})
    process.exit(7)`,
  closing: `const box = await netkit.createNamespace(); box.close(); process.exit(7)`,
  'running a program': `(await netkit.createNamespace()).exec('sleep', ['0.1']); setImmediate(() => process.exit(7))`,
  'a worker is busy': `
    const { Worker } = await import('node:worker_threads')
    const path = JSON.stringify(new URL('./dist/namespace/open.js', 'file://' + process.cwd() + '/').href)
    const source = 'import(' + path + ').then(async (n) => { for (;;) await n.createNamespace() })'
    new Worker(source, { eval: true }).on('online', () => setTimeout(() => process.exit(7), 60))`,
}

t.test('process.exit in the middle', requirements, async (t) => {
  for (const [what, source] of Object.entries(endings)) {
    const program = `import * as netkit from './dist/namespace/open.js'; ${source}`
    const { exitCode, signal, stderr } = await runProgram(program)
    t.same({ exitCode, signal, stderr }, { exitCode: 7, signal: null, stderr: '' }, what)
  }
})

t.test('a process that has nothing left to do ends, with handles open', requirements, async (t: Test) => {
  const { exitCode, stderr } = await runProgram(`
    import { createNamespace, currentNamespace } from './dist/namespace/open.js'
    import { netlinkOf } from './dist/namespace/internal.js'
    globalThis.held = [await createNamespace(), await netlinkOf(currentNamespace())]
  `)
  t.same({ exitCode, stderr }, { exitCode: 0, stderr: '' })
})
