/** The addon when an environment ends: worker threads terminated, and processes that exit, in the middle of everything. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { t as root, test } from 'tap'
import { noTun, noWayBack, unprivileged } from './support/native.js'

const url = new URL('../dist/native.js', import.meta.url).href
// Dozens of processes and worker threads, on machines that may be busy or run sanitizers.
const patience = { timeout: 600_000 }
root.setTimeout(patience.timeout)

/** What every piece of code below finds: a namespace, a socket in it, and a request that dumps its links. */
const before = `
  const ns = await native.createNamespace()
  const fd = await native.openSocket(ns, 16, 3, 0)
  const dump = Buffer.alloc(32)
  dump.writeUInt32LE(32, 0); dump.writeUInt16LE(18, 4); dump.writeUInt16LE(0x301, 6)
  const many = (call) => { for (let i = 0; i < 40; i++) call() }
`
const beforeTap = `
  const { fd: tap } = await native.openTun(ns, 'tap%d', 0x1002, new Uint32Array(0))
  const slab = Buffer.alloc(1 << 17), spans = new Uint32Array(64)
`

/** Each is left where ready() is called, or at its end. */
const situations: Record<string, string> = {
  'nothing pending': '',
  'exchange pending': 'many(() => native.exchange(fd, dump, Buffer.alloc(1 << 17)))',
  'openSocket pending': 'many(() => native.openSocket(ns, 16, 3, 0)); many(() => native.openSocket(-1, 16, 3, 0))',
  'createNamespace pending': 'many(() => native.createNamespace())',
  'namespaces made and forgotten': 'for (let i = 0; i < 10; i++) await native.createNamespace()',
  'closeDescriptor pending': `
    const fds = await Promise.all(Array.from({ length: 40 }, () => native.openSocket(-1, 16, 3, 0)))
    for (const each of fds) native.exchange(each, dump, Buffer.alloc(1 << 17))
    for (const each of fds) native.closeDescriptor(each)
    native.closeDescriptorNow(fd)`,
  'promises resolving': `
    const again = async () => { for (;;) await native.exchange(fd, dump, Buffer.alloc(1 << 17)) }
    again(); again(); setTimeout(ready, 3); await new Promise(() => {})`,
  'busy in a promise': 'await native.exchange(fd, dump, Buffer.alloc(1 << 17)); ready(); for (;;);',
  'inside a namespace': 'native.runInside(ns, () => { ready(); for (;;); })',
  'inside two namespaces': 'native.runInside(ns, () => native.runInside(-1, () => { ready(); for (;;); }))',
  'after runInside': 'native.runInside(ns, () => {}); many(() => native.runInside(ns, () => {}))',
  'a poller idle': 'const poller = native.createPoller(fd, () => {}); poller.start(1)',
  'a poller never started': 'globalThis.kept = native.createPoller(fd, () => {})',
  'a poller firing': `
    native.createPoller(fd, () => {}).start(3); setTimeout(ready, 3); await new Promise(() => {})`,
  'busy in a poller': 'native.createPoller(fd, () => { ready(); for (;;); }).start(2); await new Promise(() => {})',
  'closed in a poller': `
    const poller = native.createPoller(fd, () => { poller.close(); native.closeDescriptor(fd); ready() })
    poller.start(2); await new Promise(() => {})`,
}
const tapSituations: Record<string, string> = {
  'openTun pending': "many(() => native.openTun(ns, 'tap%d', 0x1002, new Uint32Array([0x400454cb, 0])))",
  'controlTun pending': 'many(() => native.controlTun(tap, 0x400454cb, 0))',
  'reading frames':
    'const end = native.createTunEnd(tap, 0, 0, 0); ready(); for (;;) native.readFrames(end, slab, 0, spans, 32)',
  'writing frames':
    'const end = native.createTunEnd(tap, 0, 0, 0); ready(); for (;;) native.writeBuffers(end, [slab.subarray(0, 60)], 0)',
  'a tap polled and closed': `
    native.createPoller(tap, () => {}).start(3); setImmediate(() => native.closeDescriptor(tap)); setTimeout(ready, 2)
    await new Promise(() => {})`,
}
const all = Object.entries({ ...situations, ...(noTun ? {} : tapSituations) }).filter(
  ([, code]) => !noWayBack || !code.includes('runInside'),
)

/** The code as a script's text, with `ready` as its way to say that it got there. */
const script = (ready: string, code: string, tap: boolean) => `
  const ready = ${ready}
  import('${url}').then(async ({ native }) => { ${before} ${tap ? beforeTap : ''} ${code}
    ready() })`

const counts = async () => [(await readdir('/proc/self/task')).length, (await readdir('/proc/self/fd')).length]

test('worker threads terminated in the middle', patience, async (t) => {
  if (unprivileged) return t.plan(0, unprivileged)
  const live = async (code: string, tap: boolean, delay: number) => {
    const text = script("() => require('worker_threads').parentPort.postMessage('ready')", code, tap)
    // The timer keeps the worker alive when nothing of the addon's does.
    const worker = new Worker(`setInterval(() => {}, 1000);${text}`, { eval: true })
    await once(worker, 'message')
    if (delay > 0) await sleep(delay)
    await worker.terminate()
  }
  await live('', !noTun, 0)
  const start = await counts()
  for (const [name, code] of all) {
    for (const delay of [0, 1, 4]) await live(code, name in tapSituations, delay)
    t.pass(name)
  }
  await Promise.all(Array.from({ length: 8 }, (_, i) => live(all[i]?.[1] ?? '', false, i % 3)))
  const end = async () => {
    const now = await counts()
    return now.some((value, i) => value > (start[i] ?? 0)) ? now : start
  }
  for (let i = 0; i < 50 && (await end()) !== start; i++) await sleep(20)
  t.same(await end(), start, 'threads and descriptors are as before')
})

async function child(code: string) {
  const node = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  node.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  node.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const timer = setTimeout(() => node.kill('SIGKILL'), 60_000)
  const [exitCode, signal] = (await once(node, 'close')) as [number | null, string | null]
  clearTimeout(timer)
  return { exitCode, signal, stdout, stderr }
}

test('processes that exit in the middle', patience, async (t) => {
  if (unprivileged) return t.plan(0, unprivileged)
  for (const [name, code] of all) {
    const result = await child(script('() => process.exit(7)', code, name in tapSituations))
    t.match(result, { exitCode: 7, signal: null, stderr: '' }, name)
  }
  const worker = `new (require('worker_threads').Worker)(${JSON.stringify(
    script("() => require('worker_threads').parentPort.postMessage(1)", situations['exchange pending'] ?? '', false),
  )}, { eval: true }).on('message', () => process.exit(7))`
  t.match(await child(worker), { exitCode: 7, signal: null }, 'with a worker in the middle')
})

test('what keeps a process alive', async (t) => {
  if (unprivileged) return t.plan(0, unprivileged)
  const run = (code: string) => child(script("() => console.log('end')", code, false))
  t.match(await run('native.createNamespace().then((fd) => console.log(fd > 0))'), {
    exitCode: 0,
    stdout: 'end\ntrue\n',
  })
  t.match(await run("const p = native.createPoller(fd, () => {}); p.unref(); p.start(1); process.on('exit', ready)"), {
    exitCode: 0,
    stdout: 'end\nend\n',
  })
  const timed = "setTimeout(() => { console.log('stopped'); p.stop() }, 50).unref()"
  t.match(await run(`const p = native.createPoller(fd, () => {}); p.start(1); ${timed}`), {
    exitCode: 0,
    stdout: 'end\nstopped\n',
  })
})

test('what a callback throws is an uncaught exception', async (t) => {
  if (unprivileged) return t.plan(0, unprivileged)
  const thrower = `const p = native.createPoller(fd, () => { p.stop(); throw new Error('from a poller') }); p.start(2)`
  const run = (code: string) => child(script('() => {}', code, false))
  const { exitCode, stderr } = await run(thrower)
  t.equal(exitCode, 1)
  t.match(stderr, /Error: from a poller/)
  const caught = await run(`process.on('uncaughtException', (error) => console.log(error.message)); ${thrower}`)
  t.match(caught, { exitCode: 0, stdout: 'from a poller\n' })
})

test("libuv's pool is not born inside a namespace", async (t) => {
  if (noWayBack) return t.plan(0, noWayBack)
  // The very first use of the pool is inside.
  const { stdout } = await child(`
    const fs = require('fs'), net = () => fs.readlinkSync('/proc/thread-self/ns/net'), home = net()
    const native = require('module').createRequire('${url}')('node-gyp-build')(new URL('..', '${url}').pathname)
    native.createNamespace().then((ns) => {
      native.runInside(ns, () => { console.log(net() !== home); fs.readFile('/dev/null', () => {
        const tasks = fs.readdirSync('/proc/self/task').map((id) => fs.readlinkSync('/proc/self/task/' + id + '/ns/net'))
        console.log(tasks.length > 8, tasks.every((each) => each === home))
      }) })
    })`)
  t.equal(stdout, 'true\ntrue true\n')
})
