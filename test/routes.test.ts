/** The collection of routes: list, find, get, add, replace, ensure, remove. */
import t from 'tap'
import { createBridge, createVeth, type Link, type Namespace, type NewRoute } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

/** Two bridges with addresses, through which routes can lead. */
async function twoBridges(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; br0: Link; br1: Link }> {
  const red = await scratch(t)
  const options = { namespace: red, up: true, addressGeneration: 'none' } as const
  const six = (address: string) => ({ address, noDad: true })
  const [br0, br1] = await Promise.all([
    createBridge({ name: 'br0', ...options, addresses: ['10.0.0.1/24', '10.0.0.7/24', six('fd00::1/64')] }),
    createBridge({ name: 'br1', ...options, addresses: ['10.0.1.1/24', six('fd01::1/64')] }),
  ])
  return { red, br0, br1 }
}

t.test('list and its filters', namespaces, async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  const { routes } = red
  await Promise.all([
    routes.add({ to: 'default', via: '10.0.0.9' }),
    routes.add({ to: 'default', via: 'fd00::9' }),
    routes.add({ to: '10.2.0.0/16', via: '10.0.1.9', protocol: 'bgp' }),
    routes.add({ to: '10.2.0.0/16', via: '10.0.1.9', table: 100, metric: 3 }),
    routes.add({ to: '10.3.0.0/16', type: 'blackhole' }),
    routes.add({ to: 'fd02::/16', via: 'fd01::9', protocol: 77 }),
  ])
  const list = async (filter: Parameters<typeof routes.list>[0]) =>
    (await routes.list(filter)).map(({ to }) => to).sort()
  const kernel = ['10.0.0.0/24', '10.0.1.0/24', 'fd00::/64', 'fd01::/64']
  const made = ['10.2.0.0/16', '10.3.0.0/16', 'default', 'default', 'fd02::/16']
  t.same(await list({}), [...kernel, ...made].sort(), 'the main table, of both families')
  t.same(await list({ table: 'main' }), await list({}))
  t.same(await list({ table: 254 }), await list({}))
  t.same(await list({ table: 100 }), ['10.2.0.0/16'])
  t.ok((await list({ table: 'local' })).includes('127.0.0.0/8'))
  t.ok((await list({ table: 'all' })).length > made.length + kernel.length + 1)
  t.same(await list({ family: 'inet6' }), ['default', 'fd00::/64', 'fd01::/64', 'fd02::/16'])
  t.same(await list({ family: 'inet', protocol: 'static' }), ['10.3.0.0/16', 'default'])
  t.same(await list({ protocol: 'bgp' }), ['10.2.0.0/16'])
  t.same(await list({ protocol: 186 }), ['10.2.0.0/16'], 'by number')
  t.same(await list({ protocol: 77 }), ['fd02::/16'])
  t.same(await list({ type: 'blackhole' }), ['10.3.0.0/16'])
  t.same(await list({ link: br1 }), ['10.0.1.0/24', '10.2.0.0/16', 'fd01::/64', 'fd02::/16'])
  t.same(await list({ link: 'br0', family: 'inet' }), ['10.0.0.0/24', 'default'])
  t.same(await list({ link: br0.index, table: 'all', type: 'local', family: 'inet' }), ['10.0.0.1/32', '10.0.0.7/32'])
  t.same(await list({ to: 'default' }), ['default', 'default'], 'of both families')
  t.same(await list({ to: '0.0.0.0/0' }), ['default'])
  t.same(await list({ to: 'FD02:0::/16' }), ['fd02::/16'], 'however it is written')
  t.same(await list({ to: '10.2.0.0/16', table: 'all' }), ['10.2.0.0/16', '10.2.0.0/16'])
  t.same(await list({ to: '10.2.0.0/17' }), [])
  t.same(await list({ via: 'FD00::0:9' }), ['default'], 'however it is written')
  t.same(await list({ via: '10.0.1.9' }), ['10.2.0.0/16'])
  const bits = "filter.to '10.2.3.0/16': has bits set after its prefix; the network is '10.2.0.0/16'"
  await refused(t, 'list', () => routes.list({ to: '10.2.3.0/16' }), VALUE, bits)
  for (const family of [undefined, 'inet', 'inet6'] as const) {
    t.same(await list({ table: 4711, family }), [], `a table that was never used (${family ?? 'both families'})`)
  }
  await t.rejects(routes.list({ link: 'none' }), { code: 'ENODEV', message: /^filter\.link 'none' in/ })
})

t.test('find and get', namespaces, async (t) => {
  const { red, br1 } = await twoBridges(t)
  await red.routes.add({ to: '10.2.0.0/16', via: '10.0.1.9', metric: 5, mtu: 1300, source: '10.0.1.1' })
  await red.routes.add({ to: '10.2.0.0/16', via: '10.0.1.8', metric: 6 })
  const route = await red.routes.get({ to: '10.2.0.0/16' })
  t.same(route, {
    family: 'inet',
    to: '10.2.0.0/16',
    table: 'main',
    type: 'unicast',
    scope: 'global',
    protocol: 'static',
    flags: [],
    via: '10.0.1.9',
    index: br1.index,
    metric: 5,
    source: '10.0.1.1',
    mtu: 1300,
    metrics: { mtu: 1300 },
  })
  t.match(await red.routes.find({ to: '10.2.0.0/16', metric: 6 }), { via: '10.0.1.8' })
  t.equal(await red.routes.find({ to: '10.2.0.0/16', metric: 7 }), undefined)
  t.equal(await red.routes.find({ to: '10.2.0.0/16', table: 100 }), undefined, 'a table that does not exist')
  await t.rejects(red.routes.get({ to: '10.9.0.0/16' }), {
    code: 'ENOENT',
    message: /^no route to 10\.9\.0\.0\/16 in namespace/,
  })
  for (const method of ['find', 'get'] as const) {
    const look = (match: Wrong) => red.routes[method](match)
    await refused(t, 'nothing', () => look(undefined), TYPE, 'match must be an object, not undefined')
    await refused(t, 'no destination', () => look({}), TYPE, 'match.to must be a string')
    await refused(t, 'family', () => look({ to: 'default', family: 6 }), TYPE, 'match.family')
    await refused(t, 'family', () => look({ to: '10.0.0.0/8', family: 'inet6' }), VALUE, "match.family 'inet6': is not")
    await refused(t, 'mtu', () => look({ to: 'default', mtu: 1300 }), VALUE, "match 'mtu': is not an option here")
    await t.rejects(look({ to: 'default', link: 'none' }), { code: 'ENODEV', message: /^match\.link 'none' in/ })
  }
})

t.test("'default' is of one family", namespaces, async (t) => {
  const { red, br0: link } = await twoBridges(t)
  const { routes } = red
  const to = 'default'
  await routes.add({ to: '::/0', link })
  t.equal(await routes.find({ to }), undefined, "IPv4's, when nothing else is said")
  t.match(await routes.find({ to, family: 'inet6' }), { family: 'inet6' })
  await t.rejects(routes.get({ to, link }), { code: 'ENOENT' })
  t.match(await routes.ensure({ to, link }), { changed: true, route: { family: 'inet', to } })
  t.match(await routes.ensure({ to, link }), { changed: false, route: { family: 'inet' } })
  t.match(await routes.get({ to, link }), { family: 'inet' })
  t.match(await routes.ensure({ to, link, source: 'fd00::1' }), { changed: true, route: { family: 'inet6' } })
  await routes.replace({ to, via: 'fd00::9' })
  await routes.replace({ to: '0.0.0.0/0', via: 'fd00::9', link })
  t.match(await routes.get({ to, via: 'fd00::9' }), { family: 'inet6' }, 'via tells it')
  t.match(await routes.get({ to, via: 'fd00::9', family: 'inet' }), { family: 'inet' }, 'family more so')
  await routes.remove({ to, family: 'inet6' })
  await routes.add({ to, via: 'fd00::9' })
  await routes.remove({ to, family: 'inet6', type: 'unicast' })
  t.match(await routes.list({ to }), [{ family: 'inet' }])
  const wrong = () => routes.remove({ to: '0.0.0.0/0', family: 'inet6' })
  await refused(t, 'remove', wrong, VALUE, "route.family 'inet6': is not the destination's")
})

t.test('multipath routes', await needs('namespaces', 'ip'), async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  for (const [family, to, via, other] of [
    ['-4', '10.7.0.0/16', '10.0.0.9', '10.0.1.9'],
    ['-6', 'fd07::/32', 'fd00::9', 'fd01::9'],
  ] as const) {
    await ipDo(red, family, 'route', 'add', to, 'nexthop', 'via', via, 'nexthop', 'via', other)
    const seen = async (filter: object) => (await red.routes.list({ to, ...filter })).length
    t.equal(await seen({ via }), 1)
    t.equal(await seen({ via: other }), 1, 'any of its next hops')
    t.equal(await seen({ via: other, link: br1 }), 1)
    t.equal(await seen({ via: other, link: br0 }), 0, 'one next hop has both')
    t.match(await red.routes.get({ to, via: other }), { nexthops: [{ via }, { via: other }] })
    const { changed, route } = await red.routes.ensure({ to, via })
    t.match([changed, route.nexthops, route.via], [true, undefined, via], 'one of two ways is not what was asked for')
    t.equal(await seen({}), 1)
  }
})

t.test('the table that goes with the type', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const wishes: NewRoute[] = [
    { to: '10.2.0.0/16', type: 'local', link: 'lo' },
    { to: '10.2.0.255', type: 'broadcast', link: 'br0' },
    { to: 'fd02::/64', type: 'local', link: 'lo' },
    { to: 'fd02::1', type: 'anycast', link: 'lo' },
  ]
  for (const wish of wishes) {
    const { to, type } = wish
    const what = `${type} ${to}`
    t.match(await red.routes.ensure(wish), { changed: true, route: { table: 'local', type } }, what)
    t.match(await red.routes.ensure(wish), { changed: false, route: { table: 'local' } }, what)
    t.same(await red.routes.list({ to }), [], 'not in the main table')
    t.match(await red.routes.get({ to, type }), { table: 'local' })
    await red.routes.remove({ to, type })
    await red.routes.add({ ...wish, table: 'main' })
    t.match(await red.routes.list({ to, table: 'all' }), [{ table: 'main' }], 'another table, when it is named')
  }
})

t.test('a next hop where there can be none', namespaces, async (t) => {
  const { red, br0 } = await twoBridges(t)
  for (const method of ['add', 'replace', 'ensure', 'remove'] as const) {
    for (const type of ['blackhole', 'unreachable', 'prohibit', 'throw'] as const) {
      const change = (more: Partial<NewRoute>) => () => red.routes[method]({ to: '10.2.0.0/16', type, ...more })
      const why = `a ${type} route has no next hop`
      await refused(t, method, change({ via: '10.0.0.9' }), VALUE, `route.via '10.0.0.9': ${why}`)
      await refused(t, method, change({ link: br0 }), VALUE, `route.link 'br0': ${why}`)
    }
  }
})

t.test('add and replace', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const { routes } = red
  for (const [to, via, other] of [
    ['10.2.0.0/16', '10.0.0.9', '10.0.1.9'],
    ['fd02::/16', 'fd00::9', 'fd01::9'],
  ] as const) {
    t.equal(await routes.add({ to, via }), undefined)
    await t.rejects(routes.add({ to, via }), {
      code: 'EEXIST',
      syscall: 'RTM_NEWROUTE',
      message: /^cannot add the route to/,
    })
    await routes.add({ to, via: other, metric: 5000 })
    t.equal((await routes.list({ to })).length, 2, 'another metric is another route')
    await routes.replace({ to, via: other })
    t.equal((await routes.list({ to, via: other })).length, 2, 'the one with the same metric was replaced')
    await routes.replace({ to, type: 'unreachable', table: 77 })
    t.match(await routes.get({ to, table: 77 }), { type: 'unreachable' }, 'replace makes one that is not there')
    await t.rejects(routes.add({ to, link: 'none' }), { code: 'ENODEV', message: /^route\.link 'none' in namespace/ })
    await t.rejects(routes.add({ to, link: 7777, metric: 9 }), { code: 'ENODEV' })
  }
  await t.rejects(routes.add({ to: '10.5.0.0/16', via: '192.0.2.1' }), { code: 'ENETUNREACH' })
  await t.rejects(routes.add({ to: 'fd05::/16', via: 'fd99::1' }), { code: 'EHOSTUNREACH' })
  await t.rejects(routes.add({ to: '10.5.0.0/16', via: '10.0.0.9', source: '10.99.0.1' }), { code: 'EINVAL' })
})

t.test('ensure touches nothing that is as asked', namespaces, async (t) => {
  const { red, br1 } = await twoBridges(t)
  const events = await eventsOf(t, red)
  const wishes = [
    { to: 'default', via: '10.0.0.9' },
    { to: 'default', via: 'FD00:0::9' },
    { to: '10.2.0.0/16', via: '10.0.1.9', metric: 0 },
    { to: '10.3.0.0/16', link: br1, metric: 5, source: '10.0.0.7', mtu: 1300, protocol: 'ospf', scope: 'link' },
    { to: '10.4.0.0/16', type: 'blackhole', table: 100 },
    { to: '10.5.0.0/16', via: '192.0.2.1', link: 'br0', onlink: true, table: 4000 },
    { to: '10.6.0.0/16', via: 'fd00::9', link: 'br0', protocol: 99 },
    { to: '10.7.0.7', link: 'br0', protocol: 4 },
    { to: 'FD02:0::/32', via: 'FD01::0:9', source: 'FD00::0:1', mtu: 1300, metric: 7 },
    { to: 'fd03::/32', type: 'prohibit' },
    { to: 'fd04::4', link: br1.index, table: 101 },
  ] as const
  for (const wish of wishes) {
    const what = wish.to
    const first = await red.routes.ensure(wish)
    t.equal(first.changed, true, `${what} is made`)
    t.ok((await events()).includes('RTM_NEWROUTE'))
    const second = await red.routes.ensure(wish)
    t.same(second, { route: first.route, changed: false }, `${what} is there`)
    t.same(await events(), [], 'nothing was touched')
  }
})

t.test('ensure changes what is not as asked', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const { routes } = red
  for (const [to, via, other, source] of [
    ['10.2.0.0/16', '10.0.0.9', '10.0.1.9', '10.0.0.7'],
    ['fd02::/16', 'fd00::9', 'fd01::9', 'fd01::1'],
  ] as const) {
    await routes.add({ to, via })
    t.match(await routes.ensure({ to, via: other }), { changed: true, route: { via: other } })
    t.match(await routes.ensure({ to, via: other, mtu: 1300 }), { changed: true, route: { mtu: 1300 } })
    t.match(await routes.ensure({ to, via: other, source }), { changed: true, route: { source } })
    t.match(await routes.ensure({ to, via: other, protocol: 'bird' }), { changed: true, route: { protocol: 'bird' } })
    t.equal((await routes.list({ to })).length, 1, 'in place of the one that was there')
    t.match(await routes.ensure({ to, via: other, metric: 3 }), { changed: true, route: { metric: 3 } })
    t.equal((await routes.list({ to })).length, 2, 'another metric is another route')
    t.match(await routes.ensure({ to, type: 'blackhole', metric: 3 }), { changed: true, route: { type: 'blackhole' } })
    t.equal((await routes.list({ to })).length, 2)
  }
  await t.rejects(routes.ensure({ to: '10.9.0.0/16', via: '192.0.2.1' }), { code: 'ENETUNREACH' })
})

t.test('remove', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const { routes } = red
  const missing = { code: 'ENOENT', syscall: 'RTM_DELROUTE', message: /^cannot remove the route to/ }
  for (const [to, via, other] of [
    ['10.2.0.0/16', '10.0.0.9', '10.0.1.9'],
    ['fd02::/16', 'fd00::9', 'fd01::9'],
  ] as const) {
    await routes.add({ to, via, metric: 1 })
    await routes.add({ to, via: other, metric: 2 })
    await routes.add({ to, via, table: 100 })
    await t.rejects(routes.remove({ to, metric: 3 }), missing)
    await t.rejects(routes.remove({ to, via, metric: 2 }), missing)
    await t.rejects(routes.remove({ to, via, link: 'br1' }), missing)
    await t.rejects(routes.remove({ to, type: 'blackhole' }), missing, 'a route of another type stays')
    await t.rejects(routes.remove({ to, table: 4711 }), missing)
    t.equal((await routes.list({ to, table: 'all' })).length, 3, 'nothing was removed')
    await routes.remove({ to, via: other })
    t.match(await routes.list({ to }), [{ metric: 1 }])
    await routes.remove({ to, link: 'br0', type: 'unicast' })
    t.same(await routes.list({ to }), [])
    await routes.remove({ to, table: 100 })
    await t.rejects(routes.remove({ to, table: 100 }), missing)
  }
  await routes.add({ to: 'default', via: 'fd00::9' })
  await t.rejects(routes.remove({ to: 'default' }), missing, "alone, 'default' is IPv4's")
  await routes.remove({ to: '::/0' })
  t.same(await routes.list({ to: 'default' }), [])
})

t.test('a link of another namespace', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const box = await scratch(t)
  const [, far] = await createVeth({ namespace: red }, { name: 'far', namespace: box })
  const elsewhere = {
    code: 'ERR_INVALID_ARG_VALUE',
    name: 'RangeError',
    message: `route.link 'far': is in namespace ${box.inode}, not in namespace ${red.inode}`,
  }
  for (const method of ['add', 'replace', 'ensure', 'remove'] as const) {
    const asked: Promise<unknown> = red.routes[method]({ to: '10.9.0.0/16', link: far })
    await t.rejects(() => asked as Promise<void>, elsewhere, method)
  }
  await t.rejects(red.routes.list({ link: far }), { code: 'ERR_INVALID_ARG_VALUE', message: /^filter\.link 'far'/ })
})
