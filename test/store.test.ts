/** The live picture of a namespace: that it is what a fresh list says, and that waiting for it works. */
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { createBridge, createVeth, type Namespace, type NetworkEvent, type Route, type Store } from '../dist/index.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'
import { storeEqualsLists } from './support/store.js'

t.setTimeout(120_000 * Number(process.env.NETKIT_TEST_SLOWNESS ?? 1))

const able = await needs('namespaces')
const withIp = await needs('namespaces', 'ip')

async function settles(t: Test, store: Store, red: Namespace, what: string) {
  let difference: string | undefined
  await eventually(async () => {
    difference = await storeEqualsLists(store, red)
    return difference === undefined
  }).catch(() => {})
  t.equal(difference, undefined, what)
}

t.test('is what a list says, whatever is done', withIp, async (t) => {
  const red = await scratch(t)
  await using store = await red.store({
    ...{ links: true, addresses: true, routes: true, neighbors: true },
    ...{ fdb: true, rules: true, nexthops: true },
  })
  await settles(t, store, red, 'at first')
  const steps = [
    'link add name eth0 type veth peer name eth1',
    'link set eth0 up',
    'link set eth1 up',
    'address add 10.0.0.1/24 dev eth0',
    'address add 10.0.0.2/24 dev eth0',
    'address add fd00::1/64 dev eth0 nodad',
    'route add 10.1.0.0/16 via 10.0.0.9',
    'route append 10.1.0.0/16 via 10.0.0.8',
    'route append 10.1.0.0/16 via 10.0.0.7',
    'route replace 10.1.0.0/16 via 10.0.0.6',
    'route del 10.1.0.0/16 via 10.0.0.8',
    'route add 10.2.0.0/16 nexthop via 10.0.0.9 nexthop via 10.0.0.8 weight 2',
    'route add 10.3.0.0/16 dev eth0 src 10.0.0.2',
    'route add blackhole 10.4.0.0/16',
    '-6 route add fd01::/64 via fd00::9',
    '-6 route append fd01::/64 via fd00::8',
    '-6 route append fd01::/64 via fd00::7',
    '-6 route del fd01::/64 via fd00::8',
    '-6 route replace fd01::/64 via fd00::6',
    '-6 route add fd02::/64 nexthop via fd00::9 nexthop via fd00::8',
    'neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev eth0',
    'neigh add 10.0.0.8 lladdr 02:00:00:00:00:08 dev eth0 nud noarp',
    'link set eth1 down',
    'link set eth1 up',
    'address del 10.0.0.2/24 dev eth0',
    'link set eth0 mtu 1400 alias hello',
    'link add name br0 type bridge',
    'link set eth0 master br0',
    'link set br0 up',
    'link set eth0 up',
    'link set eth0 nomaster',
    'link set eth0 down',
    'link set eth0 name renamed',
    'link set renamed up',
    'address add 10.0.1.1/24 dev renamed',
    'nexthop add id 5 via 10.0.1.9 dev renamed',
    'nexthop add id 6 via 10.0.1.8 dev renamed',
    'nexthop add id 7 group 5/6',
    'route add 10.5.0.0/16 nhid 5',
    'route add 10.7.0.0/16 nhid 7',
    'nexthop replace id 5 via 10.0.1.7 dev renamed',
    'nexthop del id 6',
    'nexthop del id 5',
    'nexthop add id 8 via 10.0.1.9 dev renamed',
    'route add 10.5.0.0/16 nhid 8',
    'link set renamed down',
    'link set renamed up',
    'rule add from 10.0.0.0/8 table 100 priority 1000',
    '-6 rule add to fd00::/8 table 100 priority 1001 iif renamed',
    'rule del priority 1000',
    'route add 10.6.0.0/16 via 10.0.1.9',
    'address flush dev renamed',
    'link delete renamed',
    'link delete br0',
  ]
  for (const step of steps) {
    await ipDo(red, ...step.split(' '))
    await settles(t, store, red, step)
  }
})

t.test('reading', able, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, addresses: ['10.0.0.1/24'] })
  await using store = await red.store()
  t.equal(store.link('br0')?.index, br0.index)
  t.equal(store.link(br0.index)?.name, 'br0')
  t.equal(store.link('nope'), undefined)
  t.equal(store.links.size, 2)
  t.same([...store.links].map(({ name }) => name).sort(), ['br0', 'lo'])
  t.equal(store.addresses.find(({ index }) => index === br0.index)?.address, '10.0.0.1/24')
  t.equal(store.addresses.filter(({ index }) => index === br0.index).length, 1)
  t.ok(store.routes.toArray().some(({ table }) => table === 'local'))
  t.throws(() => store.namespaces.size, { code: 'ERR_INVALID_ARG_VALUE', message: /was not selected/ })
  t.equal(JSON.parse(JSON.stringify(store)).links.length, 2)
  t.match(inspect(store), /links: StoreRows\(2\)/)
  t.match(inspect(store), /fdb: StoreRows\(not there\)/)
})

t.test('links by name, among many', withIp, async (t) => {
  const red = await scratch(t)
  await using store = await red.store({ links: true })
  await Promise.all(Array.from({ length: 1000 }, (_, i) => createBridge({ name: `br${i}`, namespace: red })))
  await store.waitFor((one) => one.links.size === 1001)
  const index = store.link('br999')?.index as number
  t.equal(store.link(index)?.name, 'br999')
  const start = performance.now()
  for (let i = 0; i < 1000; i++) store.link('br999')
  t.ok(performance.now() - start < 500, `${performance.now() - start} ms`)
  await ipDo(red, 'link', 'property', 'add', 'dev', 'br999', 'altname', 'another')
  await ipDo(red, 'link', 'set', 'br999', 'name', 'renamed')
  await store.waitFor((one) => one.link('another')?.name === 'renamed')
  t.equal(store.link('renamed')?.index, index)
  t.equal(store.link('br999'), undefined)
  await ipDo(red, 'link', 'delete', 'renamed')
  await store.waitFor((one) => one.link('another') === undefined)
  t.equal(store.link('renamed'), undefined)
  t.equal(store.link(index), undefined)
})

t.test('changes', able, async (t) => {
  const red = await scratch(t)
  await using store = await red.store({ links: true })
  const heard: NetworkEvent[] = []
  const stop = store.onChange((event) => {
    heard.push(event)
    if (event.type === 'added' && event.object === 'link') t.ok(store.link(event.link.name), 'it is in there already')
  })
  await using changes = store.changes()
  await changes.ready
  await createBridge({ name: 'br0', namespace: red })
  t.match((await changes.next()).value, { type: 'added', object: 'link' })
  await eventually(() => heard.length > 0)
  stop()
  const before = heard.length
  await createBridge({ name: 'br1', namespace: red })
  await store.waitFor((one) => one.link('br1') !== undefined)
  t.equal(heard.length, before)
})

t.test('a callback that throws harms nobody else', able, async (t) => {
  const red = await scratch(t)
  await using store = await red.store({ links: true })
  await using watch = red.watch({ links: true })
  await watch.ready
  const uncaught: unknown[] = []
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => uncaught.push(error))
  const own = new Error('boom')
  const stop = store.onChange(() => {
    throw own
  })
  await createBridge({ name: 'br0', namespace: red })
  t.match((await watch.next()).value, { type: 'added', object: 'link' })
  stop()
  await store.waitFor((one) => one.link('br0') !== undefined)
  await eventually(() => uncaught.length > 0)
  process.removeAllListeners('uncaughtException')
  for (const other of others) process.on('uncaughtException', other)
  t.ok(uncaught.length > 0 && uncaught.every((error) => error === own))
})

t.test('waiting', able, async (t) => {
  const red = await scratch(t)
  const store = await red.store()
  await store.waitFor((one) => one.links.size === 1)
  await t.rejects(
    store.waitFor(() => false, { timeout: 20 }),
    { code: 'ETIMEDOUT' },
  )
  await t.rejects(
    store.waitFor(() => {
      throw new Error('own')
    }),
    { message: 'own' },
  )
  const controller = new AbortController()
  const aborted = store.waitFor(() => false, { signal: controller.signal })
  controller.abort()
  await t.rejects(aborted, { name: 'AbortError' })
  const closed = t.rejects(
    store.waitFor(() => false),
    { code: 'EBADF' },
  )
  await store.close()
  await closed
  await store.close()
  t.equal(store.closed, true)
  t.throws(() => store.links.size, { code: 'EBADF' })
  t.throws(() => store.changes(), { code: 'EBADF' })
  await t.rejects(red.store({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  const last = await red.store()
  await red.close()
  t.equal(last.closed, true, 'a store goes with its namespace handle')
})

t.test('what happens while a list is read', withIp, async (t) => {
  const red = await scratch(t)
  await createVeth({ name: 'eth0', namespace: red, up: true }, { name: 'eth1', namespace: red, up: true })
  await red.addresses.add({ link: 'eth0', address: '10.0.0.1/24' })
  await red.addresses.add({ link: 'eth0', address: '10.0.0.2/24' })
  const add = (route: string, verb = 'add') => ipDo(red, 'route', verb, ...route.split(' '))
  await add('10.1.0.0/16 via 10.0.0.9')
  await add('10.2.0.0/16 via 10.0.0.9')
  await add('10.3.0.0/16 dev eth0 src 10.0.0.2')
  const { routes } = red
  const stream = routes.stream.bind(routes)
  /** Opens a store, and does something when the routes have been listed and before anybody has seen them. */
  const opened = async (what: string, meanwhile: () => Promise<unknown>) => {
    let isFirst = true
    routes.stream = async function* (filter: object) {
      const listed: Route[] = []
      for await (const route of stream(filter)) listed.push(route)
      if (isFirst) {
        isFirst = false
        await meanwhile()
        // The events come first.
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      yield* listed
    } as typeof routes.stream
    await using store = await red.store()
    t.notOk(isFirst)
    await settles(t, store, red, what)
  }
  t.teardown(() => {
    routes.stream = stream
  })
  await opened('one more to the same destination', () => add('10.1.0.0/16 via 10.0.0.8', 'append'))
  await opened('one of several goes', () => ipDo(red, 'route', 'del', '10.1.0.0/16', 'via', '10.0.0.8'))
  await opened('another in its place', () => add('10.1.0.0/16 via 10.0.0.7', 'replace'))
  await opened('the address that one sends from goes', () => ipDo(red, 'address', 'del', '10.0.0.2/24', 'dev', 'eth0'))
  await opened('the link loses its carrier', () => ipDo(red, 'link', 'set', 'eth1', 'down'))
  await opened('the link goes', () => ipDo(red, 'link', 'del', 'eth0'))
})

t.test('while another process churns', withIp, async (t) => {
  const red = await scratch(t)
  await using store = await red.store()
  await createVeth(
    { name: 'a', namespace: red, addresses: ['10.0.0.1/24'], up: true },
    { name: 'b', namespace: red, up: true },
  )
  const churn = Array.from({ length: 150 }, (_, i) => [
    `link add name v${i} type veth peer name w${i}`,
    `link set v${i} up`,
    `link set w${i} up`,
    `address add 10.7.${i}.1/24 dev v${i}`,
    `route add 10.8.${i}.0/24 via 10.7.${i}.2`,
    i % 3 === 0 ? `link delete v${i}` : `link set w${i} down`,
  ]).flat()
  const batch = red.spawn('ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'inherit'] })
  batch.stdin?.end(churn.join('\n'))
  const ended = new Promise((resolve) => batch.on('exit', resolve))
  await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      await red.routes.add({ to: `10.9.${i}.0/24`, via: '10.0.0.9' })
      if (i % 2 === 0) await red.routes.remove({ to: `10.9.${i}.0/24` })
    }),
  )
  t.equal(await ended, 0)
  await settles(t, store, red, 'afterwards')
  t.equal(store.links.filter(({ name }) => /^v/.test(name)).length, 100)
})
