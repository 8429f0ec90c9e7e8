/** Watching a namespace: events, their order, losses, slow consumers, ends. */
import './netlink-hooks.js'
import { execFileSync } from 'node:child_process'
import t from 'tap'
import {
  type Address,
  createBridge,
  createVeth,
  type Link,
  type Namespace,
  type NetworkEvent,
  type Route,
  type Watch,
} from '../dist/index.js'
import { hook, real } from './netlink-hooks.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'

const able = await needs('namespaces')
const withIp = await needs('namespaces', 'ip')
const everything = { links: true, addresses: true, routes: true, neighbors: true, namespaces: true } as const

/** An event in a few words: 'added link a', 'removed route 10.0.0.0/24'. */
function words(event: NetworkEvent): string {
  if (event.type === 'resync') return 'resync'
  const what = {
    link: () => event.object === 'link' && event.link.name,
    route: () => event.object === 'route' && event.route.to,
    address: () => event.object === 'address' && event.address.address,
    neighbor: () => event.object === 'neighbor' && event.neighbor.address,
    fdb: () => event.object === 'fdb' && event.fdb.mac,
    rule: () => event.object === 'rule' && String(event.rule.priority),
    nexthop: () => event.object === 'nexthop' && String(event.nexthop.id),
    namespace: () => '',
  }[event.object]()
  return `${event.type} ${event.object} ${what}`.trim()
}

/** Takes events until one is as wanted, and gives their words. */
async function until(watch: Watch, last: string): Promise<string[]> {
  const seen: string[] = []
  while (seen.at(-1) !== last) {
    const { done, value } = await watch.next()
    if (done === true) throw new Error(`the watch ended before '${last}': ${seen.join(', ')}`)
    seen.push(words(value))
  }
  return seen
}

t.test('links, addresses, routes, neighbors', withIp, async (t) => {
  const red = await scratch(t)
  await using watch = red.watch({ ...everything })
  await watch.ready
  await ipDo(red, 'link', 'add', 'name', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  const made = await until(watch, 'added link eth0')
  t.ok(made.includes('added link eth1'))
  await ipDo(red, 'link', 'set', 'eth0', 'up')
  await ipDo(red, 'link', 'set', 'eth1', 'up')
  await ipDo(red, 'address', 'add', '10.0.0.1/24', 'dev', 'eth0')
  const address = await until(watch, 'added route 10.0.0.255/32')
  t.ok(address.includes('added address 10.0.0.1/24') && address.includes('added route 10.0.0.0/24'))
  await ipDo(red, 'neigh', 'add', '10.0.0.7', 'lladdr', '02:00:00:00:00:07', 'dev', 'eth0')
  await until(watch, 'added neighbor 10.0.0.7')
  await ipDo(red, 'neigh', 'replace', '10.0.0.7', 'lladdr', '02:00:00:00:00:08', 'dev', 'eth0')
  const { value } = await watch.next()
  t.match(value, {
    type: 'changed',
    object: 'neighbor',
    neighbor: { mac: '02:00:00:00:00:08', state: 'permanent' },
    previous: { mac: '02:00:00:00:00:07' },
  })
  await ipDo(red, 'route', 'add', '10.1.0.0/16', 'via', '10.0.0.9')
  await until(watch, 'added route 10.1.0.0/16')
  await ipDo(red, 'route', 'replace', '10.1.0.0/16', 'via', '10.0.0.8')
  t.match((await watch.next()).value, { type: 'changed', route: { via: '10.0.0.8' }, previous: { via: '10.0.0.9' } })
  await ipDo(red, 'link', 'delete', 'eth0')
  const rest = await until(watch, 'removed route 10.1.0.0/16')
  t.ok(
    ['removed link eth0', 'removed link eth1', 'removed address 10.0.0.1/24', 'removed neighbor 10.0.0.7'].every(
      (one) => rest.includes(one),
    ),
    "the kernel does not tell of the route: it was the link's",
    { rest },
  )
})

t.test('only what is asked for', withIp, async (t) => {
  const red = await scratch(t)
  await using watch = red.watch({ addresses: true })
  await watch.ready
  await createBridge({ name: 'br0', namespace: red, addresses: ['10.0.0.1/24'] })
  await ipDo(red, 'address', 'add', '10.0.0.2/24', 'dev', 'br0')
  t.same(await until(watch, 'added address 10.0.0.2/24'), ['added address 10.0.0.1/24', 'added address 10.0.0.2/24'])
})

t.test('counters are no change', withIp, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, up: true })
  await using watch = red.watch({ links: true })
  await watch.ready
  await br0.set({ up: true })
  await ipDo(red, 'link', 'set', 'br0', 'mtu', '1400')
  const events: NetworkEvent[] = []
  while (events.length === 0 || words(events.at(-1) as NetworkEvent) !== 'removed link br0') {
    const { value } = await watch.next()
    events.push(value as NetworkEvent)
    if (events.length === 1) await br0.delete()
  }
  const [first] = events as { type: string; link: Link; previous: Link }[]
  t.match(
    { type: first?.type, mtu: first?.link.mtu, before: first?.previous.mtu },
    { type: 'changed', mtu: 1400, before: 1500 },
  )
})

t.test('rules, nexthop objects, forwarding databases', withIp, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const [a] = await createVeth(
    { name: 'a', namespace: red, master: br0, up: true },
    { name: 'b', namespace: red, up: true },
  )
  await a.addAddress('10.0.0.1/24')
  await using watch = red.watch({ rules: true, nexthops: true, fdb: true })
  await watch.ready
  await ipDo(red, 'rule', 'add', 'from', '10.0.0.0/8', 'table', '100', 'priority', '1000')
  await until(watch, 'added rule 1000')
  await ipDo(red, 'nexthop', 'add', 'id', '5', 'via', '10.0.0.9', 'dev', 'a')
  await until(watch, 'added nexthop 5')
  await ipDo(red, 'nexthop', 'replace', 'id', '5', 'via', '10.0.0.8', 'dev', 'a')
  await until(watch, 'changed nexthop 5')
  await br0.fdb.add({ mac: '02:00:00:00:00:98', port: a, state: 'static' })
  await until(watch, 'added fdb 02:00:00:00:00:98')
  await ipDo(red, 'rule', 'del', 'priority', '1000')
  await until(watch, 'removed rule 1000')
  await ipDo(red, 'link', 'set', 'dev', 'a', 'down')
  await until(watch, 'removed nexthop 5')
  await a.delete()
  await until(watch, 'removed fdb 02:00:00:00:00:98')
  t.pass('all were told')
})

t.test('ids of namespaces', withIp, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  await using watch = red.watch({ namespaces: true })
  await watch.ready
  await createVeth({ name: 'a', namespace: red }, { name: 'b', namespace: box })
  t.match((await watch.next()).value, { type: 'added', object: 'namespace', namespace: { id: 0 } })
})

t.test('what is there, first', able, async (t) => {
  const red = await scratch(t)
  await createBridge({ name: 'br0', namespace: red, addresses: ['10.0.0.1/24'] })
  await using watch = red.watch({ links: true, addresses: true, initial: true })
  const seen = await until(watch, 'added address 10.0.0.1/24')
  t.ok(seen.includes('added link lo') && seen.includes('added link br0'))
  await using second = red.watch({ links: true, initial: true })
  t.same((await until(second, 'added link br0')).sort(), ['added link br0', 'added link lo'], 'for a second one too')
})

t.test('ports of a bridge', withIp, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, stp: true, forwardDelay: 2000, up: true })
  const [a] = await createVeth({ name: 'a', namespace: red, up: true }, { name: 'b', namespace: red, up: true })
  await using store = await red.store({ links: true })
  await a.set({ master: br0 })
  const state = () => (store.link('a')?.attributes.info?.portData as { state?: unknown } | undefined)?.state
  await store.waitFor(() => state() === (3 as never) || state() === 'forwarding', { timeout: 10_000 })
  t.equal(store.link('a')?.master, br0.index)
  await a.set({ master: null })
  await store.waitFor(() => store.link('a')?.master === undefined)
  t.pass('a port that left is not gone')
})

/** Routes by the hundred, from a process of its own, while this thread waits and hears nothing. */
function flood(red: Namespace, lines: string[]): void {
  const input = lines.join('\n')
  red.run(() => execFileSync('ip', ['-batch', '-'], { input, timeout: 50_000 }))
}

t.test('after a loss, the difference', withIp, async (t) => {
  const red = await scratch(t)
  await createVeth(
    { name: 'a', namespace: red, addresses: ['10.0.0.1/24'], up: true },
    { name: 'b', namespace: red, up: true },
  )
  await red.routes.add({ to: '10.9.0.0/16', via: '10.0.0.9' })
  await using watch = red.watch({ ...everything, limit: 1_000_000, initial: true })
  await watch.ready
  const known = new Map<string, Route>()
  const addresses = new Map<string, Address>()
  let resyncs = 0
  const key = ({ to, table, metric }: Route) => `${to} ${table} ${metric}`
  const apply = (event: NetworkEvent) => {
    if (event.type === 'resync') resyncs++
    else if (event.object === 'route') {
      if (event.type === 'removed') known.delete(key(event.route))
      else known.set(key(event.route), event.route)
    } else if (event.object === 'address') {
      if (event.type === 'removed') addresses.delete(event.address.address)
      else addresses.set(event.address.address, event.address)
    }
  }
  const reading = (async () => {
    for await (const event of watch) apply(event)
  })()
  const many = Array.from(
    { length: 25_000 },
    (_, i) => `route add 10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32 via 10.0.0.9`,
  )
  flood(red, [
    ...many,
    'route del 10.9.0.0/16',
    'route replace 10.100.0.0/32 via 10.0.0.8',
    'address add 10.0.0.3/24 dev a',
  ])
  await eventually(() => resyncs > 0)
  const truth = await red.routes.list({ table: 'all' })
  await eventually(() => known.size === truth.length && addresses.has('10.0.0.3/24'), 30_000)
  for (const route of truth) if (known.get(key(route))?.via !== route.via) t.fail(`${key(route)} differs`)
  t.ok(resyncs >= 1, `${resyncs} times`)
  t.equal(known.get('10.100.0.0/32 main undefined')?.via, '10.0.0.8')
  await watch.close()
  await reading
})

t.test('a slow consumer hears the difference', withIp, async (t) => {
  const red = await scratch(t)
  await createVeth(
    { name: 'a', namespace: red, addresses: ['10.0.0.1/24'], up: true },
    { name: 'b', namespace: red, up: true },
  )
  await using watch = red.watch({ routes: true, limit: 100 })
  await using quick = red.watch({ routes: true, limit: 100_000 })
  await Promise.all([watch.ready, quick.ready])
  flood(red, [
    ...Array.from({ length: 500 }, (_, i) => `route add 10.1.${i >> 8}.${i & 255}/32 via 10.0.0.9`),
    ...Array.from({ length: 499 }, (_, i) => `route del 10.1.${i >> 8}.${i & 255}/32 via 10.0.0.9`),
  ])
  const all = await until(quick, 'removed route 10.1.1.242/32')
  t.equal(all.filter((one) => one.startsWith('added route 10.1.')).length, 500, 'a quick one hears of each')
  const some = await until(watch, 'added route 10.1.1.243/32')
  t.equal(some[0], 'resync')
  t.equal(some.filter((one) => one.includes('10.1.')).length, 1, 'a slow one of what is left', { some })
})

t.test('one subscription for all watchers', able, async (t) => {
  const red = await scratch(t)
  await red.links.list()
  let sockets = 0
  hook(t, 'openSocket', (...args) => {
    sockets++
    return real.openSocket(...args)
  })
  const watches = Array.from({ length: 20 }, () => red.watch({ links: true }))
  await Promise.all(watches.map(({ ready }) => ready))
  const before = sockets
  const more = red.watch({ addresses: true })
  await more.ready
  t.ok(before <= 2, `${before} sockets: the subscription, and the reading of what is there`)
  await createBridge({ name: 'br0', namespace: red })
  for (const watch of watches) t.same(await until(watch, 'added link br0'), ['added link br0'])
  await Promise.all([...watches, more].map((watch) => watch.close()))
})

t.test('ends', able, async (t) => {
  await leavesNoDescriptor(t, 'watching', async () => {
    const red = await scratch(t)
    const waiting = red.watch({ links: true })
    await waiting.ready
    const next = waiting.next()
    await waiting.close()
    t.same(await next, { done: true, value: undefined }, 'close ends who waits')
    await waiting.close()
    t.same(await waiting.next(), { done: true, value: undefined })
    t.equal(waiting.closed, true)

    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = red.watch({ links: true, signal: controller.signal })
    const heard = (async () => {
      for await (const _ of aborted) t.fail('nothing happens')
    })()
    await aborted.ready
    const ended = t.rejects(heard, { name: 'AbortError', cause: reason })
    controller.abort(reason)
    await ended
    const late = red.watch({ links: true, signal: controller.signal })
    await t.rejects(late.ready, { name: 'AbortError' })
    await t.rejects(late.next(), { name: 'AbortError' })

    const early = red.watch({ links: true })
    await early.close()
    await t.rejects(early.ready, { name: 'AbortError' }, 'closed before it began')

    for await (const event of red.watch({ links: true, initial: true })) {
      t.equal(event.type, 'added')
      break
    }
    const orphan = red.watch({ links: true })
    await orphan.ready
    const left = t.rejects(orphan.next(), { name: 'AbortError', message: /was closed/ })
    await red.close()
    await left
  })
})

t.test('how it ended is told once, and where the caller waits', able, async (t) => {
  const red = await scratch(t)
  const controller = new AbortController()
  await using watch = red.watch({ links: true, signal: controller.signal })
  await watch.ready
  async function consumer() {
    for await (const _ of watch) t.fail('nothing happens')
  }
  const both = [consumer(), watch.next()]
  await new Promise(setImmediate)
  setTimeout(() => controller.abort(), 10)
  const [first, second] = await Promise.allSettled(both)
  t.match(first, { status: 'rejected', reason: { name: 'AbortError', stack: /at async consumer/ } })
  t.match(second, { status: 'fulfilled', value: { done: true } })
  t.match(await watch.next(), { done: true })
})

t.test('closed by another listener of the same event', able, async (t) => {
  const red = await scratch(t)
  await using store = await red.store({ links: true })
  const watch = red.watch({ links: true })
  await watch.ready
  store.onChange(() => void watch.close())
  await createBridge({ name: 'br0', namespace: red })
  await store.waitFor((one) => one.link('br0') !== undefined)
  t.match(await watch.next(), { done: true })
})

t.test('wrong arguments', able, async (t) => {
  const red = await scratch(t)
  t.throws(() => red.watch({}), { code: 'ERR_INVALID_ARG_VALUE', message: /selects nothing/ })
  t.throws(() => red.watch({ link: true } as never), { code: 'ERR_INVALID_ARG_VALUE', message: /did you mean 'links'/ })
  t.throws(() => red.watch({ links: 1 } as never), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(() => red.watch({ links: true, limit: 0 }), { code: 'ERR_OUT_OF_RANGE' })
  await red.close()
  t.throws(() => red.watch({ links: true }), { code: 'EBADF' })
})
