/** Link#waitFor: until a link is as asked, or will not be. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createBridge, createNamespace, createVeth } from '../dist/index.js'
import { leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { refused, TYPE } from './support/refused.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

t.test('what is so already', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  t.equal(await br0.waitFor({ up: false }), br0)
  t.equal(await br0.waitFor({}), br0, 'nothing asked')
  t.equal(await br0.waitFor({ up: undefined }, { timeout: 0 }), br0)
  t.equal(await br0.waitFor((link) => link.name === 'br0', { timeout: Number.POSITIVE_INFINITY }), br0)
})

t.test('what comes', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const [left, right] = await createVeth({ name: 'left', namespace: red, up: true }, { name: 'right', namespace: box })
  t.equal(left.running, false, 'no carrier yet')
  const waits = Promise.all([
    left.waitFor({ running: true }),
    left.waitFor({ operationalState: 'up', up: true }),
    left.waitFor((link) => link.mtu === 1234 && link.running),
  ])
  await delay(20)
  await right.set({ up: true })
  await delay(20)
  const other = await red.links.get('left')
  await other.set({ mtu: 1234 })
  t.same(await waits, [left, left, left])
  t.match(left, { running: true, operationalState: 'up', mtu: 1234, kind: 'veth' }, 'with a new snapshot')
  t.ok(left.stats, 'a whole one')
  await right.set({ up: false })
  await left.waitFor({ running: false })
  t.equal(left.up, true)
})

t.test('a port that joins and leaves a bridge', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const [left] = await createVeth({ name: 'left', namespace: red, up: true }, { name: 'right', namespace: red })
  const other = await red.links.get('left')
  const seen: (number | undefined)[] = []
  const waiting = left.waitFor((link) => {
    seen.push(link.master)
    t.equal(link.kind, 'veth', "a bridge's own messages about its ports are no snapshots")
    return link.alias === 'done'
  })
  await delay(20)
  await other.set({ master: br0 })
  await delay(20)
  await other.set({ master: null })
  await delay(20)
  await other.set({ alias: 'done' })
  await waiting
  t.ok(seen.includes(br0.index))
  t.equal(left.master, undefined)
})

t.test('what does not come', namespaces, async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ name: 'left', namespace: red, up: true }, { name: 'right', namespace: red })
  await leavesNoDescriptor(t, 'waiting', async () => {
    const start = performance.now()
    await t.rejects(left.waitFor({ running: true }, { timeout: 60 }), {
      code: 'ETIMEDOUT',
      name: 'NetkitError',
      message: 'waiting for left to be { running: true }: not so within 60 ms (ETIMEDOUT, RTM_GETLINK)',
    })
    t.ok(performance.now() - start >= 55)
    await t.rejects(
      left.waitFor(() => false, { timeout: 1 }),
      { code: 'ETIMEDOUT', message: /to be as asked/ },
    )
    await t.rejects(left.waitFor({ up: false }, { timeout: 0 }), { code: 'ETIMEDOUT' })
  })
})

t.test('aborting', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  await leavesNoDescriptor(t, 'aborting', async () => {
    const reason = new Error('enough')
    const aborted = { name: 'AbortError', code: 'ABORT_ERR', message: 'waiting for br0 was aborted', cause: reason }
    await t.rejects(br0.waitFor({ up: true }, { signal: AbortSignal.abort(reason) }), aborted)
    for (const patience of [0, 1, 30]) {
      const controller = new AbortController()
      setTimeout(() => controller.abort(reason), patience)
      await t.rejects(br0.waitFor({ up: true }, { signal: controller.signal }), aborted, `after ${patience} ms`)
    }
    const now = new AbortController()
    const waiting = br0.waitFor({ up: true }, { signal: now.signal })
    now.abort(reason)
    await t.rejects(waiting, aborted, 'in the same tick')
    const late = new AbortController()
    await br0.waitFor({ up: false }, { signal: late.signal })
    late.abort()
  })
})

t.test('deleted meanwhile', namespaces, async (t) => {
  const red = await scratch(t)
  const [left, right] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red })
  const deleted = { code: 'ENODEV', syscall: 'RTM_DELLINK', message: /^waiting for left: it was deleted/ }
  const waiting = t.rejects(left.waitFor({ running: true }), deleted)
  await delay(20)
  await right.delete()
  await waiting
  await t.rejects(left.waitFor({ running: true }), { code: 'ENODEV', message: /^cannot read left/ }, 'and before')
  const box = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const [moved] = await createVeth({ name: 'moved', namespace: red }, { namespace: red, master: br0 })
  const gone = 'a link that was moved away is gone from here'
  const leaving = t.rejects(moved.waitFor({ running: true }), { code: 'ENODEV' }, gone)
  await delay(20)
  await (await red.links.get('moved')).set({ namespace: box })
  await leaving
})

t.test('the namespace is closed meanwhile', namespaces, async (t) => {
  await leavesNoDescriptor(t, 'closing', async () => {
    const red = await createNamespace()
    const br0 = await createBridge({ name: 'br0', namespace: red })
    const waiting = br0.waitFor({ up: true })
    const refused = t.rejects(waiting, {
      name: 'AbortError',
      message: /^waiting for br0 was aborted: namespace \d+ was closed/,
    })
    await delay(20)
    await red.close()
    await refused
    await t.rejects(br0.waitFor({ up: true }), { code: 'EBADF' })
  })
})

t.test('a function that throws', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const error = new Error('not like this')
  const thrower = () => {
    throw error
  }
  await t.rejects(br0.waitFor(thrower), error, 'at the first look')
  let calls = 0
  const atTheSecond = () => {
    calls++
    if (calls > 1) throw error
    return false
  }
  const second = t.rejects(br0.waitFor(atTheSecond), error, 'at an event')
  await delay(20)
  await (await red.links.get('br0')).set({ mtu: 1400 })
  await second
})

t.test('many at once', namespaces, async (t) => {
  const red = await scratch(t)
  const ends = await Promise.all(
    Array.from({ length: 30 }, () => createVeth({ namespace: red, up: true }, { namespace: red })),
  )
  const waits = Promise.all(ends.map(([left]) => left.waitFor({ running: true })))
  await Promise.all(ends.map(([, right]) => right.set({ up: true })))
  const links = await waits
  t.ok(links.every(({ running }) => running))
})

t.test('a function that promises an answer', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  await using store = await red.store()
  const said = (name: string) => new RegExp(`^${name} must be a synchronous function, because a promise`)
  const asynchronous = (async () => false) as unknown as () => boolean
  await refused(t, 'link', () => br0.waitFor(asynchronous), TYPE, said('condition'))
  await refused(t, 'store', () => store.waitFor(asynchronous), TYPE, said('holds'))
  const promising = (() => Promise.reject(new Error('nobody hears of it'))) as unknown as () => boolean
  await t.rejects(br0.waitFor(promising), { code: TYPE, message: said('condition') })
  await t.rejects(store.waitFor(promising), { code: TYPE, message: said('holds') })
})
