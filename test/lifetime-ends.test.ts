/** Ends in the middle of requests: of the namespace, of a worker thread, of the process. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { createBridge, createNamespace, createVeth, type Namespace, openNamespace } from '../dist/index.js'
import { descriptors, eventually, leavesNoDescriptor, threads } from './support/counting.js'
import { needs } from './support/needs.js'
import { packageFolder, runProgram } from './support/program.js'
import { ipDo, scratch, uniqueName } from './support/scratch.js'

const namespaces = await needs('namespaces')

/** All sorts of requests in a namespace, in one tick. */
function requestsIn(red: Namespace, width: number): Promise<unknown>[] {
  return Array.from({ length: width }, (_, i) => [
    createVeth({ name: `l${i}`, namespace: red, addresses: ['10.0.0.1/24'], up: true }, { namespace: red, up: true }),
    createBridge({ name: `b${i}`, namespace: red, alias: 'one step more' }),
    red.links.list(),
    red.addresses.list(),
    red.routes.add({ to: `10.9.${i}.0/24`, type: 'blackhole' }),
    red.links.find(`l${i}`),
    red.links.ensure({ kind: 'bridge', name: `e${i}`, addresses: ['10.1.0.1/24'] }),
  ]).flat()
}

/** How a request may end whose namespace handle is closed: done, closed before (EBADF), or closed meanwhile. */
function checkOutcomes(t: Test, results: PromiseSettledResult<unknown>[], what: string): Map<string, number> {
  const outcomes = new Map<string, number>()
  for (const result of results) {
    const reason = result.status === 'fulfilled' ? undefined : (result.reason as Error & { code: string })
    const outcome = reason === undefined ? 'done' : `${reason.name} ${reason.code}`
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  const known = ['done', 'AbortError ABORT_ERR', 'NetkitError EBADF']
  const strange = [...outcomes.keys()].filter((outcome) => !known.includes(outcome))
  t.same(strange, [], `${what}: ${JSON.stringify([...outcomes])}`)
  return outcomes
}

t.test('the namespace handle is closed', namespaces, async (t) => {
  await leavesNoDescriptor(t, 'closing in the middle', async () => {
    for (const patience of [undefined, 0, 1, 5, 20, 60, 120, 250]) {
      const red = await createNamespace()
      // Opens the connection, for half of them.
      if ((patience ?? 0) % 2 === 0) await red.links.list()
      const results = Promise.allSettled(requestsIn(red, 20))
      if (patience !== undefined) await delay(patience)
      await red.close()
      const outcomes = checkOutcomes(t, await results, patience === undefined ? 'at once' : `after ${patience} ms`)
      if (patience === undefined) t.ok((outcomes.get('AbortError ABORT_ERR') ?? 0) > 0, 'some were under way')
      await t.rejects(red.links.list(), { code: 'EBADF', message: /^namespace \d+ is closed/ }, 'and later ones')
    }
  })
})

t.test('one of two namespaces is closed', namespaces, async (t) => {
  const red = await scratch(t)
  await red.links.list()
  for (const patience of [undefined, 0, 3, 8, 16, 32]) {
    const box = await createNamespace()
    await box.links.list()
    const ends = (i: number): Parameters<typeof createVeth> => [
      { namespace: red, name: `near${i}` },
      { namespace: box, name: `far${i}`, up: true, addresses: ['10.0.0.1/24'] },
    ]
    const pairs = Array.from({ length: 20 }, (_, i) => createVeth(...ends(i)))
    const results = Promise.allSettled(pairs)
    if (patience !== undefined) await delay(patience)
    await box.close()
    checkOutcomes(t, await results, patience === undefined ? 'at once' : `after ${patience} ms`)
    const alone = async () => (await red.links.list()).length === 1
    t.ok(await eventually(alone), 'what was half made is undone, what was made goes with the namespace')
  }
})

t.test('the namespace is deleted underneath a link', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await createNamespace()
  const [left, right] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: box })
  const waiting = t.rejects(left.waitFor({ running: true }), { code: 'ENODEV' }, 'the other end goes with it')
  await box.delete()
  await waiting
  await left.delete()
  t.equal(left.name, 'left')
  const closed = { code: 'EBADF', message: /^namespace \d+ is closed/ }
  await t.rejects(right.refresh(), closed)
  await t.rejects(right.set({ up: true }), closed)
  await t.rejects(right.addAddress('10.0.0.1/24'), closed)
  await t.rejects(right.delete(), closed)
  await t.rejects(right.waitFor({ up: true }), closed)
  await t.rejects(createBridge({ namespace: box }), closed)
  await t.rejects(left.set({ namespace: box }), closed)
  t.equal(right.name, 'right', 'the snapshot stays')
})

t.test('a name removed by somebody else', await needs('namespaces', 'names', 'ip'), async (t) => {
  const name = uniqueName()
  const red = await createNamespace(name)
  const same = await openNamespace(name)
  const link = await createBridge({ name: 'br0', namespace: red })
  await red.exec('true')
  await ipDo(red, 'netns', 'delete', name)
  await link.set({ mtu: 1400 })
  t.equal((await same.links.get('br0')).mtu, 1400, 'the handles hold it')
  await red.delete()
  await t.rejects(link.refresh(), { code: 'EBADF' })
  const other = await same.links.get('br0')
  t.equal(other.mtu, 1400, 'the other handle still does')
  await other.delete()
  await same.close()
})

/** A worker that goes on asking until it is ended: it says when it has begun. */
const worker = `
const { parentPort } = require('node:worker_threads')
import(${JSON.stringify(new URL('dist/index.js', pathToFileURL(`${packageFolder}/`)).href)}).then(async (netkit) => {
  const { createBridge, createNamespace, createVeth } = netkit
  for (let round = 0; ; round++) {
    const red = await createNamespace()
    if (round === 0) parentPort.postMessage('begun')
    const [left] = await createVeth({ namespace: red, up: true }, { namespace: red, up: true })
    await Promise.all(Array.from({ length: 50 }, (_, i) => left.addAddress('10.0.' + i + '.1/24')))
    const wait = left.waitFor(() => false, { timeout: 20 }).catch(() => {})
    await Promise.all([red.links.list(), red.addresses.list(), red.routes.list({ table: 'all' }), wait])
    await red.close()
  }
})`

t.test('worker threads are terminated', namespaces, async (t) => {
  const open = descriptors()
  const running = threads()
  for (let round = 0; round < 4; round++) {
    const workers = Array.from({ length: 4 }, () => new Worker(worker, { eval: true }))
    await Promise.all(workers.map((one) => once(one, 'message')))
    await delay(round * 9)
    const codes = await Promise.all(workers.map((one) => one.terminate()))
    t.same(codes, [1, 1, 1, 1], `after ${round * 9} ms`)
  }
  t.ok(await eventually(() => descriptors() <= open), `${open} descriptors before, ${descriptors()} after`)
  t.ok(await eventually(() => threads() <= running), `${running} threads before, ${threads()} after`)
  const red = await scratch(t)
  const bridge = await createBridge({ name: 'br0', namespace: red })
  t.equal((await red.links.get('br0')).index, bridge.index, 'this thread works as before')
})

/** How the process ends, while these requests are under way. */
const ends: [what: string, end: string, exitCode: number, stderr: RegExp][] = [
  ['process.exit at once', 'process.exit(7)', 7, /^$/],
  ['process.exit in the next turn', 'setImmediate(() => process.exit(7))', 7, /^$/],
  ['process.exit a little later', 'setTimeout(() => process.exit(7), 5)', 7, /^$/],
  ['process.exit when the first is answered', 'void Promise.race(all).finally(() => process.exit(7))', 7, /^$/],
  ['an exception', "setTimeout(() => { throw new Error('on purpose') }, 2)", 1, /on purpose/],
  ['nothing more to do', 'void 0', 0, /^$/],
]

t.test('the process ends', namespaces, async (t) => {
  for (const [what, end, exitCode, stderr] of ends) {
    const result = await runProgram(`
      import { createBridge, createNamespace, createVeth } from './dist/index.js'
      const red = await createNamespace()
      const [left] = await createVeth({ namespace: red, up: true }, { namespace: red })
      left.waitFor({ running: true }, { timeout: 50 }).catch(() => {})
      const all = Array.from({ length: 100 }, (_, i) => [
        createVeth({ name: 'v' + i, namespace: red }, { namespace: red }),
        createBridge({ name: 'b' + i, namespace: red }),
        red.links.list(),
      ]).flat()
      for (const one of all) one.catch(() => {})
      ${end}
    `)
    t.equal(result.signal, null, what)
    t.equal(result.exitCode, exitCode, `${what}: exit code`)
    t.match(result.stderr, stderr, `${what}: what it says`)
  }
})
