/** Routes: what ensure keeps, rows as they are, append, streams, flush, filters, lookups that say more than an address. */
import t from 'tap'
import { createBridge, type Link, type Namespace, type NewRoute, type Route, type RouteFilter } from '../dist/index.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const withIp = await needs('namespaces', 'ip')

async function twoBridges(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; br0: Link; br1: Link }> {
  const red = await scratch(t)
  const options = { namespace: red, up: true, addressGeneration: 'none' } as const
  const six = (address: string) => ({ address, noDad: true })
  const [br0, br1] = await Promise.all([
    createBridge({ name: 'br0', ...options, addresses: ['10.0.0.1/24', '10.0.0.7/24', six('fd00::1/64')] }),
    createBridge({ name: 'br1', ...options, addresses: ['10.0.1.1/24', six('fd01::1/64')] }),
  ])
  // The kernel makes the routes of IPv6 addresses a moment later.
  await eventually(async () => {
    const own = await red.routes.list({ table: 'local', family: 'inet6' })
    return ['fd00::1/128', 'fd01::1/128'].every((to) => own.some((route) => route.to === to))
  })
  return { red, br0, br1 }
}

t.test('ensure replaces what differs and keeps the rest', namespaces, async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  const { routes } = red
  for (const [to, via, other, source, only] of [
    ['10.2.0.0/16', '10.0.0.9', '10.0.1.9', '10.0.0.7', { flow: 5 }],
    ['fd02::/16', 'fd00::9', 'fd01::9', 'fd00::1', { preference: 'high' }],
  ] as const) {
    const metrics = { mtu: 1400, window: 9000, rtt: 0.125 }
    await routes.add({ to, via, source, metrics, metric: 5, protocol: 'bgp', ...only })
    const first = await routes.get({ to })
    t.match(first, { metrics })
    const at = { to, metric: 5 }
    t.match(await routes.ensure(at), { changed: false }, 'nothing else was asked')
    t.match(await routes.ensure({ ...at, via, metrics: { window: 9000 } }), { changed: false })
    const smaller = await routes.ensure({ ...at, mtu: 1300 })
    const expected: Route = { ...first, mtu: 1300, metrics: { ...metrics, mtu: 1300 } }
    t.same(smaller, { changed: true, route: expected }, 'one metric changes')
    const named = await routes.ensure({ ...at, protocol: 'ospf', metrics: { rtt: 8 } })
    t.same(named.route, { ...expected, protocol: 'ospf', metrics: { ...expected.metrics, rtt: 8 } })
    const moved = await routes.ensure({ ...at, via: other })
    const { flow: _, ...kept } = named.route
    t.same(moved.route, { ...kept, via: other, index: br1.index }, 'what belongs to the way goes with it')
    const both = await routes.ensure({ ...at, nexthops: [{ via }, { via: other, weight: 3 }] })
    t.match(both.route, {
      ...{ source: moved.route.source, protocol: 'ospf', metrics: moved.route.metrics },
      nexthops: [
        { via, index: br0.index, weight: 1 },
        { via: other, index: br1.index, weight: 3 },
      ],
    })
    t.match(await routes.ensure({ ...at, nexthops: [{ via: other, weight: 3 }, { via }] }), { changed: false })
    t.match(await routes.ensure({ ...at, nexthops: [{ via: other, weight: 4 }, { via }] }), { changed: true })
    t.match(await routes.ensure({ ...at, mtu: 1290 }), { changed: true, route: { nexthops: [{}, {}], mtu: 1290 } })
    t.match(await routes.ensure({ ...at, type: 'blackhole' }), { changed: true, route: { type: 'blackhole' } })
    t.equal((await routes.list({ to })).length, 1)
  }
  const events = await eventsOf(t, red)
  const wishes: NewRoute[] = [
    { to: '10.3.0.0/16', via: '10.0.0.9', tos: 0x10, flow: 7 },
    { to: '10.3.1.0/24', link: br0, scope: 150 },
    { to: '10.3.2.0/24', via: '192.0.2.1', link: br0, onlink: true },
    { to: '10.3.3.0/24', via: '10.0.0.9', metrics: { lock: ['mtu'], mtu: 1300, quickAck: true, features: ['ecn'] } },
    { to: '10.3.4.0/24', via: '10.0.0.9', metrics: { congestionControl: 'reno', quickAck: false } },
    { to: '10.3.5.0/24', nexthops: [{ via: '10.0.0.9' }] },
    { to: 'fd03::/32', from: 'FDAA:0::/32', via: 'fd00::9', preference: 'low' },
    { to: 'fd03::/32', from: 'fdab::/32', via: 'fd00::9', metric: 0 },
    { to: '10.3.6.0/24', type: 7 },
  ]
  for (const wish of wishes) {
    const what = JSON.stringify({ ...wish, link: undefined })
    t.match(await routes.ensure(wish), { changed: true }, what)
    await events()
    const again = await routes.ensure(wish)
    t.equal(again.changed, false, what)
    t.match(await routes.ensure(again.route), { changed: false }, 'its row is as asked')
    t.same(await events(), [], 'nothing was touched')
  }
  t.match(await routes.ensure({ to: '10.3.2.0/24', onlink: true }), { changed: false })
  t.match(await routes.ensure({ to: 'fd04::/32', via: 'fd00::9', expires: 100_000 }), { changed: true })
  const running = await routes.ensure({ to: 'fd04::/32', via: 'fd00::9', expires: 200_000 })
  t.ok(running.changed && Number(running.route.expires) > 190_000 && Number(running.route.expires) <= 200_000)
  t.match(await routes.ensure({ to: 'fd04::/32', mtu: 1300 }), { changed: true, route: { expires: Number } })
})

t.test('two at once: one of them changes something', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  for (const wish of [
    { to: '10.2.0.0/16', via: '10.0.0.9' },
    { to: '10.2.0.0/16', via: '10.0.1.9' },
    { to: 'fd02::/16', via: 'fd00::9' },
  ]) {
    const results = await Promise.all(Array.from({ length: 5 }, () => red.routes.ensure(wish)))
    t.same(
      results.map(({ changed }) => changed),
      [true, false, false, false, false],
    )
    t.equal(new Set(results.map(({ route }) => JSON.stringify(route))).size, 1)
  }
  const failing = { to: '10.9.0.0/16', via: '192.0.2.1' }
  await t.rejects(red.routes.ensure(failing), { code: 'ENETUNREACH' })
  await t.rejects(red.routes.ensure(failing), { code: 'ENETUNREACH' }, 'a failure does not stop the next')
})

t.test('rows as they are', withIp, async (t) => {
  const { red } = await twoBridges(t)
  const commands = [
    '10.2.0.0/16 via 10.0.0.9 mtu 1300 src 10.0.0.7 proto bgp',
    '10.2.0.0/16 dev br1 metric 5 scope 150 table 1000',
    '10.2.0.0/16 via 10.0.0.9 tos 0x10',
    '10.3.0.0/16 nexthop via 10.0.0.9 weight 5 nexthop via inet6 fd01::9 dev br1 nexthop via 192.0.2.1 dev br0 onlink',
    'blackhole 10.4.0.0/16',
    '-6 fd02::/16 via fd00::9 metric 5 pref high',
    '-6 fd02::/16 via fd01::9 metric 6 expires 900',
    '-6 fd02::/16 from fdaa::/16 via fd01::9',
    '-6 fd03::/16 nexthop via fd00::9 nexthop via fd01::9 weight 3',
    '-6 unreachable fd04::/16',
    '-6 default dev br0 metric 7',
  ]
  // The kernel makes the routes of new addresses a moment later.
  const own = async () => (await red.routes.list({ table: 'local', type: 'local', family: 'inet6' })).length
  await eventually(async () => (await own()) >= 2)
  const before = await red.routes.list({ table: 'all' })
  for (const command of commands) {
    const [family, ...rest] = command.startsWith('-6 ') ? command.split(' ') : ['-4', ...command.split(' ')]
    await ipDo(red, family as string, 'route', 'add', ...rest)
  }
  const steady = (list: Route[]) => list.map((row) => JSON.stringify({ ...row, expires: row.expires && 1 })).sort()
  const all = await red.routes.list({ table: 'all' })
  const rows = all.filter((row) => row.protocol !== 'kernel')
  t.equal(rows.length, commands.length)
  for (const row of rows) await t.rejects(red.routes.add(row), { code: 'EEXIST' }, `add ${JSON.stringify(row)}`)
  for (const row of rows) {
    await red.routes.remove(row)
    await t.rejects(red.routes.remove(row), { code: 'ENOENT' })
  }
  t.same(await red.routes.list({ table: 'all' }), before, 'all removed, and nothing else')
  for (const row of rows) await red.routes.add(row)
  t.same(steady(await red.routes.list({ table: 'all' })), steady(all), 'and made again')
  for (const row of rows) await red.routes.replace(row)
  t.same(steady(await red.routes.list({ table: 'all' })), steady(all), 'replaced by themselves')
})

t.test('append', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  await red.routes.append({ to: '10.2.0.0/16', via: '10.0.0.9' })
  await red.routes.append({ to: '10.2.0.0/16', via: '10.0.1.9' })
  t.match(
    await red.routes.list({ to: '10.2.0.0/16' }),
    [{ via: '10.0.0.9' }, { via: '10.0.1.9' }],
    'two routes of IPv4',
  )
  await red.routes.append({ to: 'fd02::/16', via: 'fd00::9' })
  await red.routes.append({ to: 'fd02::/16', via: 'fd01::9' })
  const ways = [{ via: 'fd00::9' }, { via: 'fd01::9' }]
  t.match(await red.routes.list({ to: 'fd02::/16' }), [{ nexthops: ways }], 'one of IPv6, with two ways')
  const again = red.routes.append({ to: '10.2.0.0/16', via: '10.0.1.9' })
  await t.rejects(again, { code: 'EEXIST', message: /^cannot append the route to 10\.2\.0\.0\/16/ })
})

t.test('filters, streams and flush', namespaces, async (t) => {
  const { red, br1 } = await twoBridges(t)
  const { routes } = red
  await Promise.all([
    routes.add({ to: 'default', via: '10.0.0.9' }),
    routes.add({ to: '10.2.0.0/16', via: '10.0.1.9', metric: 3 }),
    routes.add({ to: '10.2.3.0/24', via: '10.0.1.9', tos: 0x10, protocol: 'bgp' }),
    routes.add({ to: '10.2.3.4', link: br1, scope: 150, table: 100 }),
    routes.add({ to: '10.64.0.0/10', type: 'blackhole' }),
    routes.add({ to: 'default', via: 'fd00::9' }),
    routes.add({ to: 'fd02::/32', via: 'fd00::9', from: 'fdaa::/16' }),
    routes.add({ to: 'fd02:0:1::/48', nexthops: [{ via: 'fd00::9' }, { via: 'fd01::9' }] }),
  ])
  const cases: [RouteFilter, string[]][] = [
    [{ within: '10.0.0.0/8', protocol: 'static' }, ['10.2.0.0/16', '10.64.0.0/10']],
    [{ within: '10.2.0.0/16', table: 'all' }, ['10.2.0.0/16', '10.2.3.0/24', '10.2.3.4/32']],
    [{ within: '10.64.0.0/10' }, ['10.64.0.0/10']],
    [{ within: '10.96.0.0/11' }, []],
    [{ within: '0.0.0.0/0', type: 'unicast', protocol: 'static' }, ['10.2.0.0/16', 'default']],
    [{ contains: '10.2.3.4', table: 'all' }, ['10.2.0.0/16', '10.2.3.0/24', '10.2.3.4/32', 'default']],
    [{ contains: '10.2.3.0/24' }, ['10.2.0.0/16', '10.2.3.0/24', 'default']],
    [{ contains: '10.127.255.255' }, ['10.64.0.0/10', 'default']],
    [{ contains: '10.128.0.0' }, ['default']],
    [{ contains: 'fd02:0:1::7' }, ['default', 'fd02:0:1::/48', 'fd02::/32']],
    [{ contains: '10.2.3.4', within: '10.0.0.0/8' }, ['10.2.0.0/16', '10.2.3.0/24']],
    [{ from: 'fdaa::/16' }, ['fd02::/32']],
    [{ metric: 3 }, ['10.2.0.0/16']],
    [{ tos: 16 }, ['10.2.3.0/24']],
    [{ scope: 150, table: 100 }, ['10.2.3.4/32']],
    [{ scope: 'link', family: 'inet' }, ['10.0.0.0/24', '10.0.1.0/24']],
    [{ type: 6 }, ['10.64.0.0/10']],
    [{ via: 'fd01::9' }, ['fd02:0:1::/48']],
    [{ protocol: 'bgp', table: 'all' }, ['10.2.3.0/24']],
    [{ table: 4711 }, []],
  ]
  for (const [filter, expected] of cases) {
    const streamed: string[] = []
    for await (const { to } of routes.stream(filter)) streamed.push(to)
    const listed = (await routes.list(filter)).map(({ to }) => to)
    t.same([listed.sort(), streamed.sort()], [expected, expected], JSON.stringify(filter))
  }
  for await (const route of routes.stream()) {
    t.ok(route.to)
    break
  }
  await t.rejects(
    async () => {
      for await (const route of routes.stream({ link: 'none' })) t.fail(route.to)
    },
    { code: 'ENODEV', message: /^filter\.link 'none' in/ },
  )
  const whole = (await routes.list({ table: 'all' })).length
  const gone = await routes.flush({ within: '10.2.0.0/16', table: 'all' })
  t.same(gone.map(({ to }) => to).sort(), ['10.2.0.0/16', '10.2.3.0/24', '10.2.3.4/32'])
  t.same((await routes.flush({ protocol: 'static', family: 'inet6' })).length, 3)
  t.equal((await routes.list({ table: 'all' })).length, whole - 6)
  const [one, two] = await Promise.all([routes.flush({ type: 'blackhole' }), routes.flush({ type: 'blackhole' })])
  t.equal(one.length + two.length, 1, 'what somebody else removed is not among them')
  t.same(await routes.flush({ table: 4711 }), [])
})

t.test('lookups', await needs('namespaces', 'ip', 'root'), async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  const { routes } = red
  await ipDo(red, 'rule', 'add', 'fwmark', '7', 'lookup', '77')
  await ipDo(red, 'rule', 'add', 'uidrange', '1000-1000', 'lookup', '78')
  await ipDo(red, 'rule', 'add', 'ipproto', 'tcp', 'dport', '80', 'lookup', '79')
  await ipDo(red, 'rule', 'add', 'tos', '0x10', 'lookup', '80')
  red.sysctl.set('net.ipv4.ip_forward', 1)
  await routes.add({ to: '10.2.0.0/16', via: '10.0.0.9', mtu: 1300 })
  for (const [i, table] of [77, 78, 79, 80].entries())
    await routes.add({ to: '10.2.0.0/16', via: `10.0.1.1${i}`, table })
  await routes.add({ to: 'fd02::/16', via: 'fd00::9', metric: 5 })
  const look = routes.lookup.bind(routes)
  t.match(await look('10.2.3.4'), {
    to: '10.2.3.4/32',
    via: '10.0.0.9',
    index: br0.index,
    source: '10.0.0.1',
    flags: ['cloned'],
  })
  t.match(await look('10.2.3.4', { mark: 7 }), { via: '10.0.1.10', table: 77, mark: 7 })
  t.match(await look('10.2.3.4', { uid: 1000 }), { via: '10.0.1.11', uid: 1000 })
  t.match(await look('10.2.3.4', { protocol: 'tcp', destinationPort: 80 }), { via: '10.0.1.12' })
  t.match(await look('10.2.3.4', { protocol: 'tcp', destinationPort: 81, sourcePort: 80 }), { via: '10.0.0.9' })
  t.match(await look('10.2.3.4', { protocol: 'udp', destinationPort: 80 }), { via: '10.0.0.9' })
  t.match(await look('10.2.3.4', { tos: 0x10 }), { via: '10.0.1.13' })
  t.match(await look('10.2.3.4', { from: '10.0.0.7' }), { from: '10.0.0.7/32', via: '10.0.0.9' })
  t.match(await look('10.0.0.50', { outputLink: 'br0' }), { index: br0.index })
  t.match(await look('10.2.3.4', { fibMatch: true }), { to: '10.2.0.0/16', mtu: 1300, protocol: 'static', flags: [] })
  t.match(await look('fd02::7', { fibMatch: true }), { to: 'fd02::/16', metric: 5, via: 'fd00::9' })
  const input = await look('10.2.3.4', { from: '10.0.1.50', inputLink: br1 })
  t.match(input, { inputLink: br1.index, via: '10.0.0.9', cacheInfo: { error: 0 } })
  const [theirs] = await ip(red, 'route', 'get', '10.2.3.4', 'from', '10.0.1.50', 'iif', 'br1')
  t.match(theirs, { iif: 'br1', gateway: input.via })
  t.match(await look('fd02::7', { from: 'fd00::1', mark: 7, tos: 4, outputLink: br0 }), { via: 'fd00::9' })
  await t.rejects(look('10.2.3.4', { inputLink: 'none' }), { code: 'ENODEV', message: /^options\.inputLink 'none'/ })
  const wrong: [Wrong, string, RegExp][] = [
    [{ form: '10.0.0.1' }, VALUE, /^options 'form': is not an option here/],
    [{ from: '10.0.0.0/8' }, VALUE, /^options\.from/],
    [{ from: 'fd00::1' }, VALUE, /^options\.from 'fd00::1': is not of the address's family/],
    [{ mark: -1 }, RANGE, /^options\.mark/],
    [{ uid: '0' }, TYPE, /^options\.uid/],
    [{ tos: 256 }, RANGE, /^options\.tos/],
    [{ protocol: 'sctp' }, VALUE, /^options\.protocol 'sctp': expected one of icmp, tcp/],
    [{ protocol: 'tcp', sourcePort: 0 }, RANGE, /^options\.sourcePort/],
    [{ destinationPort: 80 }, VALUE, /^options\.destinationPort 80: ports need a `protocol`/],
    [{ fibMatch: 1 }, TYPE, /^options\.fibMatch/],
    [{ outputLink: {} }, TYPE, /^options\.outputLink must be a Link/],
  ]
  for (const [options, code, message] of wrong)
    await refused(t, 'lookup', () => look('10.2.3.4', options), code, message)
})

t.test('wrong input', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const wrong: [Wrong, string, RegExp][] = [
    [{ to: '10.0.0.0/8', preference: 'high' }, VALUE, /^route\.preference 'high': only IPv6 routes have one/],
    [{ to: '10.0.0.0/8', expires: 1000 }, VALUE, /^route\.expires 1000: only IPv6 routes/],
    [{ to: '10.0.0.0/8', from: '10.1.0.0/16' }, VALUE, /^route\.from .*only IPv6 routes/],
    [{ to: 'fd00::/16', tos: 4 }, VALUE, /^route\.tos 4: only IPv4 routes/],
    [{ to: 'fd00::/16', flow: 4 }, VALUE, /^route\.flow 4: only IPv4 routes/],
    [
      { to: 'fd00::/16', from: '10.0.0.0/8' },
      VALUE,
      /^route\.from '10\.0\.0\.0\/8': is not of the destination's family/,
    ],
    [{ to: 'fd00::/16', as: [5] }, VALUE, /^route\.as \[ 5 \]: only MPLS routes/],
    [{ to: 'fd00::/16', expires: 1500 }, VALUE, /^route\.expires 1500: must be whole seconds/],
    [{ to: 'fd00::/16', expires: 0 }, RANGE, /^route\.expires/],
    [{ to: 'fd00::/16', preference: 'best' }, VALUE, /^route\.preference 'best': expected one of medium, high, low/],
    [{ to: '10.0.0.0/8', tos: 5 }, VALUE, /^route\.tos 5: must be a multiple of 4/],
    [{ to: '10.0.0.0/8', family: 'ip' }, VALUE, /^route\.family/],
    [{ to: 5 }, TYPE, /^route\.to must be a string/],
    [{ to: 2 ** 20, family: 'mpls' }, RANGE, /^route\.to must be from 0 to 1048575/],
    [{ to: 'default', family: 'mpls' }, TYPE, /^route\.to must be an integer/],
    [{ to: 16, family: 'mpls', metric: 5 }, VALUE, /^route\.metric 5: routes of MPLS have none/],
    [{ to: 16, family: 'mpls', via: 'x' }, VALUE, /^route\.via 'x'/],
    [{ to: '10.0.0.0/8', nexthops: {} }, TYPE, /^route\.nexthops must be an array/],
    [{ to: '10.0.0.0/8', nexthops: [] }, VALUE, /^route\.nexthops \[\]: is empty/],
    [
      { to: '10.0.0.0/8', nexthops: [{}], via: '10.0.0.9' },
      VALUE,
      /^route\.via '10\.0\.0\.9': each of the nexthops has its own/,
    ],
    [{ to: '10.0.0.0/8', nexthops: [{ weight: 0 }] }, RANGE, /^route\.nexthops\[0\]\.weight must be from 1 to 256/],
    [{ to: '10.0.0.0/8', nexthops: [{}, { via: 'x' }] }, VALUE, /^route\.nexthops\[1\]\.via 'x'/],
    [{ to: 'fd00::/16', nexthops: [{ via: '10.0.0.1' }] }, VALUE, /^route\.nexthops\[0\]\.via '10\.0\.0\.1': is IPv4/],
    [{ to: '10.0.0.0/8', nexthops: [{ wait: 5 }] }, VALUE, /^route\.nexthops\[0\] 'wait': is not an option here/],
    [{ to: '10.0.0.0/8', nexthopId: 0 }, RANGE, /^route\.nexthopId/],
    [{ to: '10.0.0.0/8', nexthopId: 1, via: '10.0.0.9' }, VALUE, /^route\.via .*the nexthop object says/],
    [
      { to: '10.0.0.0/8', type: 'blackhole', nexthops: [{}] },
      VALUE,
      /^route\.nexthops .*a blackhole route has no next hop/,
    ],
    [{ to: '10.0.0.0/8', metrics: 5 }, TYPE, /^route\.metrics must be an object/],
    [{ to: '10.0.0.0/8', metrics: { mut: 5 } }, VALUE, /^route\.metrics 'mut': is not an option here/],
    [{ to: '10.0.0.0/8', metrics: { mtu: 65_521 } }, RANGE, /^route\.metrics\.mtu must be from 1 to 65520/],
    [{ to: '10.0.0.0/8', metrics: { advertisedMss: 65_496 } }, RANGE, /^route\.metrics\.advertisedMss/],
    [{ to: '10.0.0.0/8', metrics: { hopLimit: 256 } }, RANGE, /^route\.metrics\.hopLimit/],
    [{ to: '10.0.0.0/8', metrics: { rtt: 0.1 } }, VALUE, /^route\.metrics\.rtt 0\.1: must be a multiple of 0\.125/],
    [{ to: '10.0.0.0/8', metrics: { rttVariance: 0 } }, RANGE, /^route\.metrics\.rttVariance/],
    [{ to: '10.0.0.0/8', metrics: { lock: 'mtu' } }, TYPE, /^route\.metrics\.lock must be an array/],
    [
      { to: '10.0.0.0/8', metrics: { lock: ['lock'] } },
      VALUE,
      /^route\.metrics\.lock\[0\] 'lock': expected one of mtu/,
    ],
    [{ to: '10.0.0.0/8', metrics: { features: ['x'] } }, VALUE, /^route\.metrics\.features\[0\]/],
    [{ to: '10.0.0.0/8', metrics: { quickAck: 1 } }, TYPE, /^route\.metrics\.quickAck/],
    [{ to: '10.0.0.0/8', metrics: { congestionControl: 1 } }, TYPE, /^route\.metrics\.congestionControl/],
  ]
  for (const [route, code, message] of wrong) {
    for (const method of ['add', 'append', 'ensure'] as const) {
      await refused(t, `${method} ${JSON.stringify(route)}`, () => red.routes[method](route), code, message)
    }
  }
  const filters: [Wrong, string, RegExp][] = [
    [{ within: '10.0.0.1/8' }, VALUE, /^filter\.within .*the network is '10\.0\.0\.0\/8'/],
    [{ contains: 'x' }, VALUE, /^filter\.contains 'x'/],
    [{ scope: 'x' }, VALUE, /^filter\.scope/],
    [{ family: 'x' }, VALUE, /^filter\.family/],
    [{ metric: -1 }, RANGE, /^filter\.metric/],
    [{ nexthopId: 0 }, RANGE, /^filter\.nexthopId/],
  ]
  for (const [filter, code, message] of filters) {
    await refused(t, 'list', () => red.routes.list(filter), code, message)
    await refused(t, 'flush', () => red.routes.flush(filter), code, message)
  }
  const all = /^filter .*says nothing; \{ table: 'main' \} is all of the main table/
  await refused(t, 'flush', () => red.routes.flush({}), VALUE, all)
  await refused(t, 'flush', () => red.routes.flush({ link: undefined } as Wrong), VALUE, all)
})

t.test('the attribute that the kernel refuses is named', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const { routes } = red
  const refusals: [NewRoute, object][] = [
    [{ to: '10.2.0.0/16', via: '10.0.0.9', metrics: { congestionControl: 'none' } }, { code: 'EINVAL' }],
    [
      { to: '10.2.0.0/16', nexthopId: 4711 },
      { code: 'EINVAL', kernelMessage: /[Nn]exthop id does not exist/ },
    ],
    [
      { to: '10.2.0.0/16', via: '10.0.1.9', link: 'br0' },
      { code: 'ENETUNREACH', kernelMessage: 'Nexthop has invalid gateway' },
    ],
    [
      { to: '10.2.0.0/16', via: '10.0.0.9', source: '10.9.9.9' },
      { code: 'EINVAL', kernelMessage: 'Invalid prefsrc address' },
    ],
    [{ to: 'fd02::/16', via: 'fd00::9', source: 'fd99::1' }, { code: 'EINVAL' }],
  ]
  for (const [route, expected] of refusals) {
    await t.rejects(routes.add(route), { syscall: 'RTM_NEWROUTE', message: /^cannot add the route to/, ...expected })
  }
  const lower = routes.add({
    ...{ to: 'fd02::/16', link: 'br0', encapsulation: { type: 'seg6local', action: 'End.X' } },
  } as NewRoute)
  await t.rejects(lower, { code: /EINVAL|EOPNOTSUPP/, syscall: 'RTM_NEWROUTE' })
})
