/** Many taps, forgotten taps, and environments that end while taps are in use. */
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import tap, { test } from 'tap'
import { native } from '../dist/native.js'
import { openTap } from '../dist/tuntap/tap.js'
import { openTun } from '../dist/tuntap/tun.js'
import { descriptors, eventually, namespacesOfThreads, resident, threads } from './support/counting.js'
import { needs } from './support/needs.js'
import { numberedFrame } from './support/packets.js'
import { askProgram, runProgram } from './support/program.js'
import { ip, scratch } from './support/scratch.js'

const tun = await needs('namespaces', 'tun', 'ip')

/** The kernel takes some 15 ms to unregister an interface, so that 10,000 take minutes: NETKIT_TEST_LONG=1 runs them. */
const many = process.env.NETKIT_TEST_LONG === '1' ? 10_000 : 300
if (many > 300) tap.setTimeout(900_000)

test(`${many} taps and tuns, opened, used and closed`, { ...tun, timeout: 900_000 }, async (t) => {
  const namespace = await scratch(t)
  const round = async (i: number) => {
    const device = await (i % 2 === 0 ? openTap : openTun)({ namespace, addresses: ['10.0.2.1/24'], up: true })
    switch (i % 5) {
      case 0:
        device.on('data', () => {})
        break
      case 1: {
        const pending = device.batches().next()
        await Promise.all([device.close(), pending])
        break
      }
      case 2:
        device.write(numberedFrame(i))
        break
      case 3:
        for await (const batch of device.batches()) if (batch.length > 0) break
        break
      default:
    }
    await device.close()
  }
  for (let i = 0; i < 50; i++) await round(i)
  const before = {
    descriptors: descriptors(),
    threads: threads(),
    memory: resident(),
    owned: native.ownedDescriptors(),
  }
  for (let i = 0; i < many; i += 10) await Promise.all(Array.from({ length: 10 }, (_, j) => round(i + j)))
  t.ok(await eventually(() => descriptors() <= before.descriptors), `${descriptors()} descriptors`)
  t.equal(native.ownedDescriptors(), before.owned)
  t.ok(await eventually(() => threads() <= before.threads), `${threads()} threads, ${before.threads} before`)
  const grown = (resident() - before.memory) / 2 ** 20
  t.ok(grown < 64, `the resident set has grown by ${grown.toFixed(1)} MiB`)
  t.equal(namespacesOfThreads().length, 1, 'every thread is where it was')
  t.equal((await ip(namespace, 'link')).length, 1)
})

test('a forgotten tap is closed, with one warning; one that is being read is not forgotten', tun, async (t) => {
  const source = `
    import { createNamespace, openTap } from './dist/index.js'
    import { setTimeout as delay } from 'node:timers/promises'
    const warnings = []
    process.on('warning', ({ code, message }) => warnings.push({ code, message }))
    const namespace = await createNamespace()
    const links = async () => (await namespace.links.list()).map(({ name }) => name).sort()
    let frames = 0
    await (async () => {
      await openTap({ namespace, name: 'idle0' })
      await openTap({ namespace, name: 'idle1' })
      const stopped = await openTap({ namespace, name: 'left0', up: true })
      for await (const batch of stopped.batches()) { batch.frame(0); break }
      const flowing = await openTap({ namespace, name: 'read0', up: true })
      flowing.on('data', () => frames++)
      const batches = (await openTap({ namespace, name: 'read1', up: true })).batches()
      void (async () => { for await (const batch of batches) frames += batch.length })()
    })()
    const made = await links()
    for (let i = 0; i < 100 && (await links()).length > 3; i++) { gc(); await delay(20) }
    for (let i = 0; i < 5; i++) { gc(); await delay(20) }
    console.log(JSON.stringify({ made, left: await links(), warnings, frames }))
    process.exit()
  `
  const { made, left, warnings, frames } = await askProgram(source, { node: ['--expose-gc'] })
  t.same(made, ['idle0', 'idle1', 'left0', 'lo', 'read0', 'read1'])
  t.same(left, ['lo', 'read0', 'read1'])
  t.ok(frames > 0, 'what is being read goes on')
  t.equal(warnings.length, 1)
  t.match(warnings[0], { code: 'NETKIT_LEAK', message: /packet end was garbage-collected before it was closed/ })
})

test('worker threads that are terminated in the middle', tun, async (t) => {
  const namespace = await scratch(t)
  const source = `
    import { parentPort, workerData } from 'node:worker_threads'
    const { openNamespace, openTap } = await import(workerData.library)
    const namespace = await openNamespace({ fd: workerData.fd })
    const options = { namespace, addresses: ['10.0.2.1/24'], up: true }
    const flowing = await openTap(options)
    flowing.on('data', (frame) => flowing.write(frame))
    const batching = await openTap(options)
    void (async () => { for await (const batch of batching.batches()) batching.writeBatch(batch) })()
    const idle = await openTap(options)
    parentPort.postMessage([flowing.name, batching.name, idle.name])
    for (;;) { const tap = await openTap(options); tap.resume(); await tap.close() }
  `
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`)
  const library = new URL('../dist/index.js', import.meta.url).href
  const before = descriptors()
  for (let i = 0; i < 6; i++) {
    const worker = new Worker(url, { workerData: { library, fd: namespace.fd } })
    const [names] = await new Promise<string[][]>((resolve, reject) => {
      worker.once('message', (message) => resolve([message]))
      worker.once('error', reject)
    })
    t.equal(names?.length, 3)
    await delay(i * 7)
    await worker.terminate()
    t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 1), 'its interfaces are gone')
  }
  t.ok(await eventually(() => descriptors() <= before), `${descriptors()} descriptors, ${before} before`)
  t.equal(namespacesOfThreads().length, 1)
})

test('process.exit() in the middle', tun, async (t) => {
  const source = (when: string) => `
    import { createNamespace, openTap } from './dist/index.js'
    const namespace = await createNamespace()
    const [a, b] = [await openTap({ namespace, up: true }), await openTap({ namespace, up: true })]
    a.pipe(b)
    const pending = b.batches().next()
    ${when}
  `
  const ends = [
    'process.exit(7)',
    'setTimeout(() => process.exit(7), 20)',
    'void openTap({ namespace }); process.exit(7)',
    'void a.close(); process.exit(7)',
    'b.close().then(() => process.exit(7))',
    'a.once("data", () => process.exit(7)); a.resume()',
  ]
  for (const end of ends) t.match(await runProgram(source(end)), { exitCode: 7, signal: null, stderr: '' }, end)
})
