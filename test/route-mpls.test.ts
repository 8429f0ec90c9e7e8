/** Routes of MPLS: made by netkit and read by iproute2, and the other way round. */
import t from 'tap'
import { createBridge, createVeth, type NewRoute } from '../dist/index.js'
import { needs } from './support/needs.js'
import { bothRoutes } from './support/route-referee.js'
import { ipDo, scratch } from './support/scratch.js'

// The kernel loads what routes of MPLS need with its encapsulation.
const able = await needs('namespaces', 'ip', 'encap:mpls')

/** What is asked of netkit, and what iproute2 is for the same. */
const cases: [route: NewRoute, command: string][] = [
  [{ family: 'mpls', to: 100, via: '10.0.0.9', link: 'br0' }, '100 via inet 10.0.0.9 dev br0'],
  [
    { family: 'mpls', to: '101', as: [200, 300], via: 'fe80::1', link: 'br0', ttlPropagate: false },
    '101 as 200/300 via inet6 fe80::1 dev br0 ttl-propagate disabled',
  ],
  [
    {
      family: 'mpls',
      to: 102,
      nexthops: [
        { via: '10.0.0.9', as: [16] },
        { via: '10.0.0.8', link: 'br0' },
      ],
    },
    '102 nexthop as 16 via inet 10.0.0.9 nexthop via inet 10.0.0.8 dev br0',
  ],
  [{ family: 'mpls', to: 103, link: 'lo' }, '103 dev lo'],
  [{ family: 'mpls', to: 104, via: '02:00:00:00:00:01', link: 'left' }, '104 via link 02:00:00:00:00:01 dev left'],
  [
    { family: 'mpls', to: 999, via: '10.0.0.9', link: 'br0', protocol: 'bgp', ttlPropagate: true },
    '999 via inet 10.0.0.9 dev br0 proto bgp ttl-propagate enabled',
  ],
]

async function router(t: Parameters<typeof scratch>[0]) {
  const red = await scratch(t)
  await createBridge({ name: 'br0', namespace: red, up: true, addresses: ['10.0.0.1/24'], addressGeneration: 'none' })
  const [left] = await createVeth(
    { name: 'left', namespace: red, up: true },
    { name: 'right', namespace: red, up: true },
  )
  await left.waitFor({ running: true })
  await ipDo(red, 'link', 'set', 'lo', 'up')
  red.sysctl.set('net.mpls.platform_labels', 1000)
  return red
}

t.test('both ways', able, async (t) => {
  const [ours, theirs] = [await router(t), await router(t)]
  for (const [route, command] of cases) {
    await ours.routes.add(route)
    const protocol = route.protocol === undefined ? ['proto', 'static'] : []
    const [label = '', ...rest] = command.split(' ')
    await ipDo(theirs, '-f', 'mpls', 'route', 'add', label, ...protocol, ...rest)
    const [made, read] = [await bothRoutes(ours, ['mpls']), await bothRoutes(theirs, ['mpls'])]
    t.same(made.netkit, made.iproute2, `netkit makes ${command}`)
    t.same(read.netkit, read.iproute2, `iproute2 makes ${command}`)
    t.same(made.netkit, read.netkit, 'both make the same')
  }
  t.match(await ours.routes.get({ family: 'mpls', to: 101 }), { to: '101', as: [200, 300], via: 'fe80::1' })
  const rows = await ours.routes.list({ family: 'mpls' })
  t.equal(rows.length, cases.length)
  t.same(
    await ours.routes.list({ family: 'mpls', to: '102', via: '10.0.0.8' }),
    rows.filter(({ to }) => to === '102'),
  )
  t.ok(
    (await ours.routes.list({ table: 'all' })).every(({ family }) => family !== 'mpls'),
    'not among others',
  )
  for (const row of rows) {
    await t.rejects(ours.routes.add(row), { code: 'EEXIST' })
    t.match(await ours.routes.ensure(row), { changed: false })
    await ours.routes.remove(row)
    await t.rejects(ours.routes.remove(row), { code: 'ENOENT' })
    await ours.routes.add(row)
  }
  t.same(await ours.routes.list({ family: 'mpls' }), rows)
  const missing = { code: 'ENOENT', syscall: 'RTM_DELROUTE' }
  await t.rejects(ours.routes.remove({ family: 'mpls', to: 100, via: '10.0.0.7' }), missing, 'another next hop')
  await t.rejects(ours.routes.remove({ family: 'mpls', to: 105 }), missing)
  const moved = await ours.routes.ensure({ family: 'mpls', to: 100, via: '10.0.0.8' })
  t.match(moved, { changed: true, route: { via: '10.0.0.8', to: '100' } })
  t.equal((await ours.routes.flush({ family: 'mpls' })).length, rows.length)
  t.same(await ours.routes.list({ family: 'mpls' }), [])
})

t.test('labels beyond those of the sysctl', able, async (t) => {
  const red = await router(t)
  const asked = red.routes.add({ family: 'mpls', to: 1000, via: '10.0.0.9', link: 'br0' })
  await t.rejects(asked, {
    code: 'EINVAL',
    syscall: 'RTM_NEWROUTE',
    message: /^cannot add the route to 1000: .*platform_labels/,
  })
})
