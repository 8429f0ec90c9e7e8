/** Routes that netkit makes, as iproute2 shows them, and the other way round. */
import t from 'tap'
import { createVeth, type Link, type Namespace, type NewRoute } from '../dist/index.js'
import { needs } from './support/needs.js'
import { bothRoutes } from './support/route-referee.js'
import { ip, ipDo, scratch } from './support/scratch.js'

/** A namespace with the two ends of a cable, eth0 and eth1, both up, with addresses of networks that the routes use. */
async function twoLinks(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; eth0: Link; eth1: Link }> {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const fd00 = { address: 'fd00::1/64', noDad: true }
  const fd01 = { address: 'fd01::1/64', noDad: true }
  const [eth0, eth1] = await createVeth(
    { name: 'eth0', ...up, addresses: ['10.0.0.1/24', '10.0.0.7/24', fd00] },
    { name: 'eth1', ...up, addresses: ['10.0.1.1/24', fd01] },
  )
  await Promise.all([eth0.waitFor({ running: true }), eth1.waitFor({ running: true })])
  return { red, eth0, eth1 }
}

/** What is asked of netkit, and what `ip -j -d route show table all` shows for it. */
const cases: [what: string, asked: NewRoute, shown: Record<string, unknown>][] = [
  [
    'default',
    { to: 'default', via: '10.0.0.254' },
    { dst: 'default', gateway: '10.0.0.254', dev: 'eth0', protocol: 'static', scope: 'global', type: 'unicast' },
  ],
  ['default as a network', { to: '0.0.0.0/0', via: '10.0.0.253', metric: 9 }, { dst: 'default', metric: 9 }],
  ['via', { to: '10.2.0.0/16', via: '10.0.1.9' }, { dst: '10.2.0.0/16', gateway: '10.0.1.9', dev: 'eth1' }],
  ['via and link', { to: '10.3.0.0/16', via: '10.0.1.9', link: 'eth1' }, { gateway: '10.0.1.9', dev: 'eth1' }],
  ['link', { to: '10.4.0.0/16', link: 'eth1' }, { dst: '10.4.0.0/16', dev: 'eth1', scope: 'link', table: 'main' }],
  ['one host', { to: '10.5.0.1', link: 'eth0' }, { dst: '10.5.0.1' }],
  ['one host with its prefix length', { to: '10.5.0.2/32', link: 'eth0' }, { dst: '10.5.0.2' }],
  [
    'onlink',
    { to: '10.6.0.0/16', via: '192.0.2.1', link: 'eth0', onlink: true },
    { gateway: '192.0.2.1', flags: ['onlink'] },
  ],
  ['metric', { to: '10.7.0.0/16', via: '10.0.0.9', metric: 4_000_000_000 }, { metric: 4_000_000_000 }],
  ['table by number', { to: '10.8.0.0/16', via: '10.0.0.9', table: 100 }, { table: '100' }],
  ['table above 255', { to: '10.8.0.0/16', via: '10.0.0.9', table: 70_000 }, { table: '70000' }],
  ['table by name', { to: '10.8.0.0/16', via: '10.0.0.9', table: 'default' }, { table: 'default' }],
  ['source', { to: '10.9.0.0/16', via: '10.0.0.9', source: '10.0.0.7' }, { prefsrc: '10.0.0.7' }],
  ['mtu', { to: '10.10.0.0/16', via: '10.0.0.9', mtu: 1280 }, { metrics: [{ mtu: 1280 }] }],
  ['protocol by name', { to: '10.11.0.0/16', via: '10.0.0.9', protocol: 'bgp' }, { protocol: 'bgp' }],
  ['protocol by number', { to: '10.12.0.0/16', via: '10.0.0.9', protocol: 98 }, { protocol: '98' }],
  ['scope', { to: '10.13.0.0/16', link: 'eth0', scope: 'global' }, { scope: 'global' }],
  ['blackhole', { to: '10.14.0.0/16', type: 'blackhole' }, { type: 'blackhole', dst: '10.14.0.0/16' }],
  ['unreachable', { to: '10.15.0.0/16', type: 'unreachable' }, { type: 'unreachable' }],
  ['prohibit', { to: '10.16.0.0/16', type: 'prohibit', metric: 3 }, { type: 'prohibit', metric: 3 }],
  ['throw', { to: '10.17.0.0/16', type: 'throw', table: 100 }, { type: 'throw', table: '100' }],
  ['local', { to: '10.18.0.0/16', type: 'local', link: 'lo' }, { type: 'local', table: 'local', scope: 'host' }],
  ['broadcast', { to: '10.18.1.255', type: 'broadcast', link: 'eth0' }, { type: 'broadcast', table: 'local' }],
  [
    'IPv4 via IPv6',
    { to: '10.19.0.0/16', via: 'fd00::9', link: 'eth0' },
    { dst: '10.19.0.0/16', via: { family: 'inet6', host: 'fd00::9' }, dev: 'eth0' },
  ],
  ['IPv6 default', { to: 'default', via: 'fd00::fe' }, { dst: 'default', gateway: 'fd00::fe', metric: 1024 }],
  ['IPv6 default as a network', { to: '::/0', link: 'eth1', metric: 7 }, { dst: 'default', dev: 'eth1', metric: 7 }],
  ['IPv6 via', { to: 'FD02:0::/32', via: 'FD00:0::9' }, { dst: 'fd02::/32', gateway: 'fd00::9', dev: 'eth0' }],
  ['IPv6 link-local via', { to: 'fd03::/32', via: 'fe80::9', link: 'eth1' }, { gateway: 'fe80::9', dev: 'eth1' }],
  ['IPv6 link', { to: 'fd04::/32', link: 'eth1', metric: 55 }, { dst: 'fd04::/32', dev: 'eth1', metric: 55 }],
  ['IPv6 host', { to: 'fd05::5', link: 'eth1' }, { dst: 'fd05::5' }],
  ['IPv6 source', { to: 'fd06::/32', via: 'fd00::9', source: 'fd01::1' }, { prefsrc: 'fd01::1' }],
  ['IPv6 mtu', { to: 'fd07::/32', via: 'fd00::9', mtu: 1290 }, { metrics: [{ mtu: 1290 }] }],
  ['IPv6 table', { to: 'fd08::/32', via: 'fd00::9', table: 300 }, { table: '300' }],
  [
    'IPv6 onlink',
    { to: 'fd09::/32', via: 'fd77::1', link: 'eth0', onlink: true },
    { gateway: 'fd77::1', flags: ['onlink'] },
  ],
  ['IPv6 blackhole', { to: 'fd0a::/32', type: 'blackhole' }, { type: 'blackhole', metric: 1024 }],
  ['IPv6 unreachable', { to: 'fd0b::/32', type: 'unreachable' }, { type: 'unreachable' }],
  ['IPv6 prohibit', { to: 'fd0c::/32', type: 'prohibit', metric: 3 }, { type: 'prohibit', metric: 3 }],
  ['IPv6 protocol', { to: 'fd0d::/32', via: 'fd00::9', protocol: 'ra' }, { protocol: 'ra' }],
  ['scope by number', { to: '10.20.0.0/16', link: 'eth0', scope: 150 }, { scope: '150' }],
  ['multicast', { to: '239.1.0.0/16', link: 'eth0', type: 'multicast' }, { type: 'multicast', scope: 'link' }],
  ['tos', { to: '10.7.0.0/16', via: '10.0.0.9', tos: 0x10 }, { tos: '0x10', gateway: '10.0.0.9' }],
  ['realm', { to: '10.21.0.0/16', via: '10.0.0.9', flow: 3 * 65_536 + 5 }, { flow: { from: '3', to: '5' } }],
  [
    'every metric',
    {
      to: '10.22.0.0/16',
      via: '10.0.0.9',
      metrics: {
        mtu: 1300,
        advertisedMss: 1200,
        window: 9000,
        rtt: 100,
        rttVariance: 50,
        slowStartThreshold: 11,
        congestionWindow: 12,
        reordering: 5,
        hopLimit: 33,
        initialCongestionWindow: 14,
        features: ['ecn'],
        minimumRto: 300,
        initialReceiveWindow: 15,
        quickAck: true,
        congestionControl: 'reno',
        fastOpenNoCookie: true,
        lock: ['mtu', 'rtt'],
      },
    },
    {
      metrics: [
        {
          ...{ mtu: 1300, window: 9000, rtt: 100, rttvar: 50, ssthresh: 11, cwnd: 12, advmss: 1200 },
          ...{ reordering: 5, hoplimit: 33, initcwnd: 14, ecn: null, rto_min: 300, initrwnd: 15, quickack: 1 },
          ...{ congestion: 'reno', fastopen_no_cookie: 1 },
        },
      ],
    },
  ],
  [
    'multipath',
    {
      to: '10.23.0.0/16',
      nexthops: [
        { via: '10.0.0.9', weight: 5, flow: 7 },
        { via: '192.0.2.1', link: 'eth0', onlink: true },
        { via: 'fd01::9', link: 'eth1', weight: 256 },
      ],
    },
    {
      nexthops: [
        { gateway: '10.0.0.9', dev: 'eth0', weight: 5, flow: { to: '7' } },
        { gateway: '192.0.2.1', dev: 'eth0', weight: 1, flags: ['onlink'] },
        { via: { family: 'inet6', host: 'fd01::9' }, dev: 'eth1', weight: 256 },
      ],
    },
  ],
  ['a multipath route with one way', { to: '10.24.0.0/16', nexthops: [{ via: '10.0.0.9' }] }, { gateway: '10.0.0.9' }],
  [
    'IPv6 multipath',
    { to: 'fd0e::/32', nexthops: [{ via: 'fd00::9', weight: 2 }, { via: 'fd01::9' }], metric: 9 },
    {
      metric: 9,
      nexthops: [
        { gateway: 'fd00::9', dev: 'eth0', weight: 2 },
        { gateway: 'fd01::9', dev: 'eth1', weight: 1 },
      ],
    },
  ],
  ['IPv6 from', { to: 'fd0f::/32', from: 'fdaa::/16', via: 'fd00::9' }, { from: 'fdaa::/16' }],
  ['IPv6 from one', { to: 'fd0f::/32', from: 'fdaa::1', via: 'fd00::9' }, { from: 'fdaa::1' }],
  ['IPv6 high preference', { to: 'fd10::/32', via: 'fd00::9', preference: 'high' }, { pref: 'high' }],
  ['IPv6 low preference', { to: 'fd11::/32', via: 'fd00::9', preference: 'low' }, { pref: 'low' }],
  ['IPv6 expiry', { to: 'fd12::/32', via: 'fd00::9', expires: 500_000 }, { expires: /^(499|500)$/ }],
]

/** What tells one route from another. */
const matchOf = ({ to, via, link, table, metric, type, tos, from, nexthops }: NewRoute) => ({
  ...{ to, via, link, table, metric, type, tos, from },
  nexthops,
})

/** What iproute2 prints of both families, one text a route. */
async function shownRoutes(namespace: Namespace): Promise<Set<string>> {
  const four: unknown[] = await ip(namespace, '-4', 'route', 'show', 'table', 'all')
  const six: unknown[] = await ip(namespace, '-6', 'route', 'show', 'table', 'all')
  return new Set([...four, ...six].map((route) => JSON.stringify(route)))
}

t.test('what netkit makes', await needs('namespaces', 'ip'), async (t) => {
  const { red } = await twoLinks(t)
  for (const method of ['add', 'replace'] as const) {
    for (const [what, asked, shown] of cases) {
      const before = await shownRoutes(red)
      await red.routes[method](asked)
      const made = [...(await shownRoutes(red))].filter((one) => !before.has(one))
      t.equal(made.length, 1, `${method}: ${what}`)
      t.match(JSON.parse(made[0] ?? '{}'), shown)
    }
    const { iproute2, netkit } = await bothRoutes(red)
    t.same(netkit, iproute2, 'both read the same')
    for (const [what, asked] of cases) {
      await red.routes.remove(matchOf(asked))
      await t.rejects(red.routes.remove(asked), { code: 'ENOENT', syscall: 'RTM_DELROUTE' }, `${what} is removed`)
    }
    t.same(await red.routes.list({ protocol: 'static', table: 'all' }), [], 'nothing is left')
  }
})

t.test('what iproute2 makes', await needs('namespaces', 'ip'), async (t) => {
  const { red } = await twoLinks(t)
  const commands = [
    'default via 10.0.0.254',
    'default via 10.0.0.253 metric 100 proto dhcp src 10.0.0.7',
    '10.2.0.0/16 via 10.0.1.9 dev eth1 mtu 1300 advmss 1200 window 9000',
    '10.3.0.0/16 dev eth0 scope link table 1000 proto 77',
    '10.4.0.1 dev eth0',
    '10.5.0.0/16 via 192.0.2.1 dev eth0 onlink',
    '10.6.0.0/16 via inet6 fd00::9 dev eth0',
    '10.7.0.0/16 nexthop via 10.0.0.9 weight 5 nexthop via 10.0.1.9 dev eth1 nexthop via 192.0.2.1 dev eth0 onlink',
    '10.7.1.0/24 nexthop via 10.0.0.9 nexthop via inet6 fd01::9 dev eth1',
    'blackhole 10.8.0.0/16',
    'unreachable 10.9.0.0/16 metric 8',
    'prohibit 10.10.0.0/16 table 1000',
    'throw 10.11.0.0/16 table 1000',
    'local 10.12.0.0/16 dev lo',
    'broadcast 10.13.0.255 dev eth0',
    'multicast 239.1.0.0/16 dev eth0',
    '10.14.0.0/16 dev eth0 scope 150',
    '-6 default via fd00::fe',
    '-6 default dev eth1 metric 5',
    '-6 fd02::/16 via fe80::1 dev eth1 mtu 1290 hoplimit 9',
    '-6 fd03::/16 via fd00::9 src fd01::1 table 1000 proto bird',
    '-6 fd04::/16 nexthop via fd00::9 weight 2 nexthop via fd01::9 weight 200',
    '-6 fd05::5 dev eth0 pref high',
    '-6 blackhole fd06::/16',
    '-6 unreachable fd07::/16 metric 1',
    '-6 fd08::/16 dev eth0 expires 5000',
    '-6 fd09::/16 via fd77::1 dev eth0 onlink',
    '-6 local fd0a::/64 dev lo',
    '-6 anycast fd0b::1 dev lo',
    '10.15.0.0/16 dev eth0 mtu lock 1400 rtt 30ms rttvar 7ms ssthresh 9 cwnd 8 reordering 7 hoplimit 6 initcwnd 5',
    '10.16.0.0/16 dev eth0 features ecn rto_min 40ms initrwnd 3 quickack 1 congctl reno fastopen_no_cookie 1',
    '10.17.0.0/16 via 10.0.0.9 realms 3/5 tos 0x08',
    '10.18.0.0/16 nexthop via 10.0.0.9 realms 7 nexthop via 10.0.1.9 weight 256',
    '-6 fd0c::/16 from fdaa::/16 via fd00::9 pref low',
  ]
  let read = 0
  for (const command of commands) {
    const [family, ...rest] = command.startsWith('-6 ') ? command.split(' ') : ['-4', ...command.split(' ')]
    await ipDo(red, family as string, 'route', 'add', ...rest)
    const { iproute2, netkit } = await bothRoutes(red)
    t.same(netkit, iproute2, `ip route add ${command}`)
    t.ok(netkit.length > read, 'one more')
    read = netkit.length
  }
  t.match(await red.routes.get({ to: '10.15.0.0/16' }), { metrics: { lock: ['mtu'], mtu: 1400 }, mtu: 1400 })
  const multipath = await red.routes.get({ to: '10.7.0.0/16' })
  t.match(multipath.nexthops, [
    { via: '10.0.0.9', weight: 5, flags: [] },
    { via: '10.0.1.9', weight: 1, flags: [] },
    { via: '192.0.2.1', weight: 1, flags: ['onlink'] },
  ])
})

t.test('lookup', await needs('namespaces', 'ip'), async (t) => {
  const { red, eth0, eth1 } = await twoLinks(t)
  await red.routes.add({ to: '10.2.0.0/16', via: '10.0.1.9' })
  await red.routes.add({ to: '10.2.9.0/24', type: 'prohibit' })
  await red.routes.add({ to: 'fd02::/16', via: 'fd00::9' })
  await red.routes.add({ to: '10.3.0.0/16', via: '10.0.1.9', table: 'default' })
  const tables: [address: string, table: string][] = [
    ['10.2.0.7', 'main'],
    ['10.3.0.7', 'default'],
    ['fd02::7', 'main'],
    ['::1', 'local'],
  ]
  for (const [address, table] of tables) t.match(await red.routes.lookup(address), { table }, address)
  // With rules of its own a namespace keeps its local routes apart.
  await ipDo(red, 'rule', 'add', 'from', '192.0.2.0/24', 'lookup', '77')
  t.match(await red.routes.lookup('10.0.0.1'), { table: 'local' })
  for (const address of ['10.2.0.7', '10.0.0.200', '127.0.0.5', '10.0.0.1', 'fd02::7', 'fd01::7', '::1']) {
    const [theirs] = await ip(red, 'route', 'get', address)
    const ours = await red.routes.lookup(address)
    const { dst, gateway, dev, prefsrc } = theirs
    const name = (await red.links.get(ours.index ?? 0)).name
    const host = `${address}/${address.includes(':') ? 128 : 32}`
    t.same([ours.to, ours.via, name, ours.source], [host, gateway, dev, prefsrc], `to ${address}`)
    t.equal(dst, address)
  }
  t.match(await red.routes.lookup('10.2.0.7'), { via: '10.0.1.9', index: eth1.index, source: '10.0.1.1' })
  t.match(await red.routes.lookup('fd02::7'), { via: 'fd00::9', index: eth0.index, family: 'inet6' })
  const missing = { code: 'ENETUNREACH', syscall: 'RTM_GETROUTE', message: /^no route to 192\.0\.2\.7 in namespace/ }
  await t.rejects(red.routes.lookup('192.0.2.7'), missing)
  await t.rejects(red.routes.lookup('10.2.9.9'), { code: 'EACCES' }, 'prohibited')
  await t.rejects(red.routes.lookup('10.2.9.0/24'), { code: 'ERR_INVALID_ARG_VALUE', message: /^address/ })
})
