/** Many requests at once: they travel together, in order, and each gets its own answer. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import t from 'tap'
import { createBridge, createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { requestsDuring } from './support/netlink.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

const count = 500
const times = <T>(make: (i: number) => T, n = count): T[] => Array.from({ length: n }, (_, i) => make(i))
const namesIn = async (namespace: Namespace) => (await namespace.links.list()).map(({ name }) => name)
const byName = (a: string, b: string) => (a < b ? -1 : 1)

t.test('veth pairs across namespaces, with addresses', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const pairs = await Promise.all(
    times((i) =>
      createVeth(
        { name: `left${i}`, namespace: red, addresses: [`10.1.${i >> 8}.${i & 255}/32`], up: true },
        { name: `right${i}`, namespace: box, addresses: [`10.2.${i >> 8}.${i & 255}/32`], up: true },
      ),
    ),
  )
  delay.disable()
  t.comment(`the event loop waited at most ${(delay.max / 1e6).toFixed(1)} ms`)
  const wrong = pairs.filter(
    ([left, right], i) =>
      left.name !== `left${i}` ||
      right.name !== `right${i}` ||
      left.parent !== right.index ||
      !right.up ||
      !left.running,
  )
  t.equal(wrong.length, 0)
  for (const [namespace, side] of [
    [red, 1],
    [box, 2],
  ] as const) {
    const list = await namespace.addresses.list({ family: 'inet', scope: 'global' })
    t.equal(list.length, count)
    const indexes = new Map(pairs.map((pair, i) => [pair[side - 1]?.index, i]))
    const astray = list.filter(({ address, index }) => {
      const i = indexes.get(index) ?? -1
      return address !== `10.${side}.${i >> 8}.${i & 255}/32`
    })
    t.same(astray, [], 'each address is where it belongs')
  }
  const some = pairs.slice(0, 20)
  await Promise.all(some.flatMap(([left, right]) => [left.delete(), right.delete()]))
  t.equal((await namesIn(red)).length, count + 1 - some.length)
  t.equal((await namesIn(box)).length, count + 1 - some.length)
})

t.test('failures among them', namespaces, async (t) => {
  const red = await scratch(t)
  // Every third has a name that is taken, every third another an MTU that is refused.
  const results = await Promise.allSettled(
    times(
      (i) => createBridge({ name: i % 3 === 1 ? 'br0' : `br${i}`, namespace: red, mtu: i % 3 === 2 ? 3 : 1500 }),
      150,
    ),
  )
  results.forEach((result, i) => {
    const outcome = result.status === 'fulfilled' ? 'made' : (result.reason as { code: string }).code
    const expected = ['made', 'EEXIST', 'EINVAL'][i % 3]
    if (outcome !== expected) t.fail(`number ${i}: ${outcome}, not ${expected}`)
    if (result.status === 'rejected' && i % 3 === 2) {
      const { message } = result.reason as Error
      if (!message.startsWith(`cannot create the bridge br${i}: `)) t.fail(`number ${i} got the error "${message}"`)
    }
  })
  const left = (await namesIn(red)).sort(byName)
  t.same(left, ['lo', ...times((i) => `br${i}`, 150).filter((_, i) => i % 3 === 0)].sort(byName))
  const removed = await Promise.allSettled(times((i) => red.links.remove(`br${i}`), 60))
  removed.forEach((result, i) => {
    const outcome = result.status === 'fulfilled' ? 'removed' : (result.reason as { code: string }).code
    if (outcome !== (i % 3 === 0 ? 'removed' : 'ENOENT')) t.fail(`removal of number ${i}: ${outcome}`)
  })
  t.equal((await namesIn(red)).length, left.length - 20)
})

t.test('order within a tick', namespaces, async (t) => {
  const red = await scratch(t)
  const made = createBridge({ name: 'br0', namespace: red })
  const [, afterMaking] = await Promise.all([made, namesIn(red)])
  t.same(afterMaking, ['lo', 'br0'], 'a list sees what was added before it in the same tick')
  const br0: Link = await made
  const [, , four] = await Promise.all([
    br0.addAddress('10.0.0.1/24'),
    br0.addAddress('10.0.0.2/24'),
    red.addresses.list({ link: br0.index, family: 'inet' }),
  ])
  t.same(
    four.map(({ address }) => address),
    ['10.0.0.1/24', '10.0.0.2/24'],
  )
  const [, first, , second] = await Promise.all([
    br0.removeAddress('10.0.0.1/24'),
    red.addresses.list({ link: br0.index, family: 'inet' }),
    br0.addAddress('10.0.0.3/24'),
    red.addresses.list({ link: br0.index, family: 'inet' }),
  ])
  t.same([first.length, second.length], [0, 1], 'the second address goes with the first; then there is a new one')
  const [, gone] = await Promise.all([br0.delete(), red.links.find('br0')])
  t.equal(gone, undefined, 'a look sees what was deleted before it')
})

t.test('reading while writing', namespaces, async (t) => {
  const red = await scratch(t)
  const lists: Promise<string[]>[] = []
  const work = times(async (i) => {
    const bridge = await createBridge({ name: `br${i}`, namespace: red })
    if (i % 10 === 0) lists.push(namesIn(red))
    await bridge.addAddress(`10.1.${i}.1/24`)
    await bridge.delete()
  }, 20)
  await Promise.all(work)
  for (const list of await Promise.all(lists)) t.ok(list.includes('lo'))
  t.same(await namesIn(red), ['lo'])
})

t.test('what does not wait for an answer travels along', namespaces, async (t) => {
  const red = await scratch(t)
  const link = await createBridge({ name: 'br0', namespace: red })
  const requests = await requestsDuring(() =>
    Promise.all(times((i) => link.addAddress(`10.1.${i >> 8}.${i & 255}/32`))),
  )
  t.equal(requests, count, 'one request an address')
  t.equal((await red.addresses.list({ link, family: 'inet' })).length, count)
  const flushed = await link.flushAddresses({ family: 'inet' })
  t.equal(flushed.length, count)
  const routes = times((i) => ({ to: `10.${i >> 8}.${i & 255}.0/24`, type: 'blackhole' }) as const, 2000)
  await Promise.all(routes.map((route) => red.routes.add(route)))
  t.equal((await red.routes.list({ type: 'blackhole' })).length, 2000)
  await Promise.all(routes.map((route) => red.routes.remove({ to: route.to })))
  t.equal((await red.routes.list({ family: 'inet' })).length, 0)
})

// Fewer than above, and last: the kernel takes some 20 ms to delete a bridge, and nobody can change links meanwhile.
t.test('bridges', namespaces, async (t) => {
  const red = await scratch(t)
  const bridges = await Promise.all(times((i) => createBridge({ name: `br${i}`, namespace: red, mtu: 1000 + i }), 150))
  bridges.forEach((bridge, i) => {
    if (bridge.name !== `br${i}` || bridge.mtu !== 1000 + i) t.fail(`br${i} got ${bridge.name}'s answer`)
  })
  t.equal(new Set(bridges.map(({ index }) => index)).size, bridges.length)
  t.equal((await namesIn(red)).length, bridges.length + 1)
  const some = bridges.slice(0, 20)
  await Promise.all(some.map((bridge) => bridge.delete()))
  t.equal((await namesIn(red)).length, bridges.length + 1 - some.length)
})
