/** Nexthop objects: made by netkit and read by iproute2, the other way round, the verbs, routes that use them, what is refused. */
import t from 'tap'
import { createBridge, type Link, type Namespace, type NewNexthopObject, type NexthopObject } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { number, said } from './support/referee.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { bothRoutes } from './support/route-referee.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const withIp = await needs('namespaces', 'ip')

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any

async function twoBridges(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; br0: Link; br1: Link }> {
  const red = await scratch(t)
  const options = { namespace: red, up: true, addressGeneration: 'none' } as const
  const six = (address: string) => ({ address, noDad: true })
  const br0 = await createBridge({ name: 'br0', ...options, addresses: ['10.0.0.1/24', six('fd00::1/64')] })
  const br1 = await createBridge({ name: 'br1', ...options, addresses: ['10.0.1.1/24', six('fd01::1/64')] })
  return { red, br0, br1 }
}

function objectByIp(json: Json, indexes: Map<string, number>): object {
  const { resilient_args: args } = json
  const seconds = (value: number | undefined) => (value === undefined ? undefined : value * 1000)
  return said({
    id: json.id,
    via: json.gateway,
    index: indexes.get(json.dev),
    blackhole: 'blackhole' in json ? true : undefined,
    fdb: 'fdb' in json ? true : undefined,
    group: json.group?.map((one: Json) => ({ id: one.id, weight: one.weight ?? 1 })),
    groupType: json.group === undefined ? undefined : (json.type ?? 'multipath'),
    buckets: args?.buckets,
    idleTimer: seconds(args?.idle_timer),
    unbalancedTimer: seconds(args?.unbalanced_timer),
    unbalancedTime: seconds(args?.unbalanced_time),
    protocol: number(json.protocol),
    scope: json.scope,
    flags: json.flags,
    segments: json.segs,
  })
}

/** iproute2 does not say the family. */
function objectByNetkit({ family: _, encapsulation, ...object }: NexthopObject): object {
  return encapsulation?.type === 'seg6' ? { ...object, segments: encapsulation.segments } : object
}

async function both(namespace: Namespace): Promise<{ iproute2: object[]; netkit: object[] }> {
  const links: Json[] = await ip(namespace, 'link', 'show')
  const indexes = new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex]))
  const objects: Json[] = await ip(namespace, 'nexthop', 'show')
  return {
    iproute2: objects.map((one) => objectByIp(one, indexes)),
    netkit: (await namespace.nexthops.list()).map(objectByNetkit),
  }
}

/** What is asked of netkit, and what iproute2 is for the same. */
const cases: [object: NewNexthopObject & { id: number }, command: string][] = [
  [{ id: 1, via: '10.0.0.9', link: 'br0' }, 'id 1 via 10.0.0.9 dev br0'],
  [{ id: 2, via: '10.0.1.9', link: 'br1', protocol: 'bgp' }, 'id 2 via 10.0.1.9 dev br1 proto bgp'],
  [{ id: 3, via: 'fd00::9', link: 'br0' }, 'id 3 via fd00::9 dev br0'],
  [{ id: 4, via: '192.0.2.1', link: 'br0', onlink: true }, 'id 4 via 192.0.2.1 dev br0 onlink'],
  [{ id: 5, link: 'br0' }, 'id 5 dev br0'],
  [{ id: 6, family: 'inet6', link: 'br0' }, '-6 id 6 dev br0'],
  [{ id: 7, blackhole: true }, 'id 7 blackhole'],
  [{ id: 8, family: 'inet6', blackhole: true }, '-6 id 8 blackhole'],
  [{ id: 9, group: [1, 2] }, 'id 9 group 1/2'],
  [{ id: 10, group: [{ id: 1, weight: 5 }, { id: 2, weight: 255 }, 4] }, 'id 10 group 1,5/2,255/4'],
  [
    { id: 11, group: [1, 2], groupType: 'resilient', buckets: 4, idleTimer: 30_000, unbalancedTimer: 60_000 },
    'id 11 group 1/2 type resilient buckets 4 idle_timer 30 unbalanced_timer 60',
  ],
  [{ id: 12, group: [1], groupType: 'resilient', buckets: 2 }, 'id 12 group 1 type resilient buckets 2'],
  [{ id: 13, via: '10.0.0.5', fdb: true }, 'id 13 via 10.0.0.5 fdb'],
  [{ id: 14, group: [13], fdb: true }, 'id 14 group 13 fdb'],
  [{ id: 4_000_000_000, group: [3], protocol: 98 }, 'id 4000000000 group 3 proto 98'],
]

t.test('both ways', withIp, async (t) => {
  const [{ red: ours }, { red: theirs }] = [await twoBridges(t), await twoBridges(t)]
  for (const [object, command] of cases) {
    t.equal(await ours.nexthops.add(object), object.id)
    const [family, ...rest] = command.startsWith('-6 ') ? command.split(' ') : ['-0', ...command.split(' ')]
    const protocol = object.protocol === undefined ? ['proto', 'static'] : []
    await ipDo(theirs, ...(family === '-6' ? ['-6'] : []), 'nexthop', 'add', ...rest, ...protocol)
    const [made, read] = [await both(ours), await both(theirs)]
    t.same(made.netkit, made.iproute2, `netkit makes ${command}`)
    t.same(read.netkit, read.iproute2, `iproute2 makes ${command}`)
    t.same((await ours.nexthops.get(object.id)).family, (await theirs.nexthops.get(object.id)).family)
  }
  const rows = await ours.nexthops.list()
  t.equal(rows.length, cases.length)
  for (const row of rows) {
    await t.rejects(ours.nexthops.add(row), { code: 'EEXIST', message: `cannot add the nexthop object ${row.id}` })
    t.match(await ours.nexthops.ensure(row), { changed: false })
    t.equal(await ours.nexthops.replace(row), row.id)
  }
  const still = (list: NexthopObject[]) => list.map((row) => ({ ...row, unbalancedTime: undefined }))
  t.same(still(await ours.nexthops.list()), still(rows))
  const flushed = [...(await ours.nexthops.flush({ groups: true })), ...(await ours.nexthops.flush({ groups: false }))]
  t.equal(flushed.length, rows.length)
  t.same(await ours.nexthops.list(), [])
  for (const row of rows) await ours.nexthops.add(row)
  t.same(still(await ours.nexthops.list()), still(rows), 'rows make the same again')
})

t.test('with an encapsulation', await needs('namespaces', 'ip', 'encap:seg6', 'encap:ip'), async (t) => {
  const { red, br0 } = await twoBridges(t)
  await ipDo(red, 'nexthop', 'add', 'id', '1', 'encap', 'seg6', 'mode', 'encap', 'segs', 'fd09::5', 'dev', 'br0')
  const wish: NewNexthopObject = {
    id: 2,
    link: br0,
    encapsulation: { type: 'seg6', mode: 'encap', segments: ['fd09::5'] },
  }
  await red.nexthops.add(wish)
  const { iproute2, netkit } = await both(red)
  t.same(netkit, iproute2)
  t.match(netkit, [{ segments: ['fd09::5'] }, { segments: ['fd09::5'] }])
  t.match(await red.nexthops.ensure(wish), { changed: false })
  const tunnel: NewNexthopObject = { ...wish, encapsulation: { type: 'ip', id: 5, destination: '192.0.2.1' } }
  t.match(await red.nexthops.ensure(tunnel), { changed: true, nexthop: { encapsulation: { type: 'ip', id: 5 } } })
  t.match(await red.nexthops.ensure(tunnel), { changed: false })
})

t.test('routes that use them', withIp, async (t) => {
  const { red, br0 } = await twoBridges(t)
  const { nexthops, routes } = red
  for (const [object] of cases) await nexthops.add(object)
  await routes.add({ to: '10.2.0.0/16', nexthopId: 1 })
  await routes.add({ to: '10.3.0.0/16', nexthopId: 9, metric: 5 })
  await routes.add({ to: '10.4.0.0/16', nexthopId: 7 })
  await routes.add({ to: 'fd02::/16', nexthopId: 3 })
  await routes.add({ to: 'fd03::/16', nexthopId: 4_000_000_000 })
  const { iproute2, netkit } = await bothRoutes(red)
  t.same(netkit, iproute2)
  t.match(await routes.get({ to: '10.2.0.0/16' }), { nexthopId: 1, via: '10.0.0.9', index: br0.index })
  t.same(
    (await routes.list({ nexthopId: 9 })).map(({ to }) => to),
    ['10.3.0.0/16'],
  )
  t.match(await routes.ensure({ to: '10.2.0.0/16', nexthopId: 1 }), { changed: false })
  t.match(await routes.ensure({ to: '10.2.0.0/16', nexthopId: 1, mtu: 1300 }), {
    changed: true,
    route: { nexthopId: 1 },
  })
  t.match(await routes.ensure({ to: '10.2.0.0/16', protocol: 'bgp' }), {
    changed: true,
    route: { nexthopId: 1, mtu: 1300 },
  })
  t.match(await routes.ensure({ to: '10.2.0.0/16', nexthopId: 2 }), {
    changed: true,
    route: { nexthopId: 2, mtu: 1300 },
  })
  const plain = await routes.ensure({ to: '10.2.0.0/16', via: '10.0.0.77' })
  t.match([plain.changed, plain.route.nexthopId, plain.route.via], [true, undefined, '10.0.0.77'])
  t.match(await routes.ensure({ to: '10.2.0.0/16', nexthopId: 1 }), { changed: true, route: { nexthopId: 1 } })
  await nexthops.replace({ id: 1, via: '10.0.0.8', link: br0 })
  t.match(await routes.lookup('10.2.3.4'), { via: '10.0.0.8' }, 'replaced for the routes that use it')
  const rows = (await routes.list()).filter(({ nexthopId }) => nexthopId !== undefined)
  t.equal(rows.length, 5)
  for (const row of rows) {
    await routes.remove(row)
    await routes.add(row)
  }
  t.same((await routes.list()).filter(({ nexthopId }) => nexthopId !== undefined).length, 5)
  await nexthops.remove(1)
  t.equal(await routes.find({ to: '10.2.0.0/16' }), undefined, 'its routes go with it')
  t.match(await routes.get({ to: '10.3.0.0/16' }), { nexthopId: 9 })
})

t.test('ensure, ids, find and get', namespaces, async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  const { nexthops } = red
  const events = await eventsOf(t, red)
  for (const [object] of cases) {
    const [first, second] = await Promise.all([nexthops.ensure(object), nexthops.ensure(object)])
    t.match([first, second], [{ changed: true }, { changed: false }], JSON.stringify(object))
    await events()
    t.match(await nexthops.ensure(object), { changed: false })
    t.match(await nexthops.ensure({ ...object, id: undefined }), { changed: false }, 'whatever its id')
    const touched = (await events()).filter((name) => name.includes('NEXTHOP'))
    t.same(touched, [], 'nothing was touched')
  }
  t.match(await nexthops.ensure({ id: 1, via: '10.0.1.8', link: br1 }), {
    changed: true,
    nexthop: { index: br1.index },
  })
  t.match(await nexthops.ensure({ id: 9, group: [2, { id: 1, weight: 3 }] }), { changed: true })
  t.match(await nexthops.ensure({ id: 9, group: [{ id: 1, weight: 3 }, 2] }), { changed: false }, 'in any order')
  t.match(await nexthops.ensure({ id: 11, group: [1, 2], groupType: 'resilient', idleTimer: 20 }), {
    ...{ changed: true, nexthop: { idleTimer: 20, buckets: 4, unbalancedTimer: 60_000 } },
  })
  await t.rejects(nexthops.ensure({ id: 9, blackhole: true }), { code: 'EINVAL', syscall: 'RTM_NEWNEXTHOP' })
  await nexthops.remove(4_000_000_000)
  const added = await Promise.all([21, 22, 23].map((last) => nexthops.add({ via: `10.0.0.${last}`, link: br0 })))
  t.same(added, [15, 16, 17], 'ids are chosen')
  const other = await nexthops.ensure({ via: '10.0.0.99', link: br0 })
  t.match(other, { changed: true, nexthop: { id: 18 } })
  t.equal(await nexthops.find(99), undefined)
  await t.rejects(nexthops.get(99), {
    code: 'ENOENT',
    syscall: 'RTM_GETNEXTHOP',
    message: /^no nexthop object 99 in namespace/,
  })
  await t.rejects(nexthops.remove(99), { code: 'ENOENT', syscall: 'RTM_DELNEXTHOP' })
  await nexthops.remove(other.nexthop)
})

t.test('list, stream and buckets', withIp, async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  await ipDo(red, 'link', 'add', 'port', 'type', 'veth', 'peer', 'name', 'peer')
  await ipDo(red, 'link', 'set', 'port', 'master', 'br1', 'up')
  await ipDo(red, 'link', 'set', 'peer', 'up')
  await (await red.links.get('port')).waitFor({ running: true })
  await br1.waitFor({ running: true })
  for (const [object] of cases) await red.nexthops.add(object)
  await red.nexthops.add({ id: 20, via: '192.0.2.7', link: 'port', onlink: true })
  const ids = async (filter: Parameters<typeof red.nexthops.list>[0]) => {
    const streamed: number[] = []
    for await (const { id } of red.nexthops.stream(filter)) streamed.push(id)
    t.same(
      (await red.nexthops.list(filter)).map(({ id }) => id),
      streamed,
    )
    return streamed
  }
  t.equal((await ids({})).length, cases.length + 1)
  t.same(await ids({ link: br1 }), [2])
  t.same(await ids({ link: 'br0', family: 'inet6' }), [3, 6])
  t.same(await ids({ master: br1 }), [20])
  t.same(await ids({ groups: true, fdb: false }), [9, 10, 11, 12, 4_000_000_000])
  t.same(await ids({ fdb: true }), [13, 14])
  t.same(await ids({ groups: true, fdb: true }), [14])
  t.same(await ids({ groups: false, family: 'inet', fdb: false }), [1, 2, 4, 5, 7, 20])
  t.same(await ids({ protocol: 'bgp' }), [2])
  t.same(await ids({ protocol: 98 }), [4_000_000_000])
  await t.rejects(red.nexthops.list({ link: 'none' }), { code: 'ENODEV', message: /^filter\.link 'none'/ })
  t.equal(br0.name, 'br0')
  const buckets = await red.nexthops.buckets(11)
  const theirs: Json[] = await ip(red, 'nexthop', 'bucket', 'list', 'id', '11')
  t.same(
    buckets.map(({ index, nexthopId }) => ({ index, nhid: nexthopId })),
    theirs.map(({ bucket: { index, nhid } }) => ({ index, nhid })),
  )
  t.equal(buckets.length, 4)
  t.ok(buckets.every(({ idleTime }) => idleTime >= 0 && idleTime < 60_000))
  t.equal((await red.nexthops.buckets(12)).length, 2)
  await t.rejects(red.nexthops.buckets(99), { code: /ENOENT|EINVAL/, syscall: 'RTM_GETNEXTHOPBUCKET' })
  const gone = await red.nexthops.flush({ link: 'br0' })
  t.same(
    gone.map(({ id }) => id),
    [1, 3, 4, 5, 6],
  )
  t.equal(await red.nexthops.find(4_000_000_000), undefined, 'a group goes with its last member')
})

t.test('what the kernel refuses', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const refusal = { code: 'EINVAL', syscall: 'RTM_NEWNEXTHOP', message: /^cannot add the nexthop object 5/ }
  const add = (object: NewNexthopObject) => red.nexthops.add({ id: 5, ...object })
  await t.rejects(add({ group: [99] }), { ...refusal, kernelMessage: /Invalid nexthop id/ })
  await t.rejects(add({ via: '10.0.0.9' }), { ...refusal, kernelMessage: /Device attribute required/ })
  await t.rejects(add({ via: '192.0.2.1', link: 'br0' }), {
    code: 'ENETUNREACH',
    kernelMessage: 'Nexthop has invalid gateway',
  })
  await red.nexthops.add({ id: 1, link: 'br0' })
  await t.rejects(add({ group: [1, 1] }), { ...refusal, kernelMessage: /can not be used twice/ })
})

t.test('wrong input', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const wrong: [Wrong, string, RegExp][] = [
    [undefined, TYPE, /^nexthop must be an object/],
    [{}, VALUE, /^nexthop \{\}: leads nowhere: 'via', 'link', 'blackhole' or 'group' is missing/],
    [{ id: 0, blackhole: true }, RANGE, /^nexthop\.id must be from 1/],
    [{ dev: 'br0' }, VALUE, /^nexthop 'dev': is not an option here/],
    [{ via: 'x' }, VALUE, /^nexthop\.via 'x'/],
    [{ via: '10.0.0.9', family: 'inet6' }, VALUE, /^nexthop\.family 'inet6': is not that of 'via'/],
    [{ link: {} }, TYPE, /^nexthop\.link must be a Link/],
    [{ blackhole: 1 }, TYPE, /^nexthop\.blackhole/],
    [{ blackhole: true, via: '10.0.0.9' }, VALUE, /^nexthop\.via .*what throws packets away has none/],
    [{ group: 1 }, TYPE, /^nexthop\.group must be an array/],
    [{ group: [] }, VALUE, /^nexthop\.group \[\]: is empty/],
    [{ group: [0] }, RANGE, /^nexthop\.group\[0\]/],
    [{ group: [{ id: 1, weight: 0 }] }, RANGE, /^nexthop\.group\[0\]\.weight must be from 1/],
    [{ group: [{ ids: 1 }] }, VALUE, /^nexthop\.group\[0\] 'ids'/],
    [{ group: [1], via: '10.0.0.9' }, VALUE, /^nexthop\.via .*a group has none/],
    [{ group: [1], groupType: 'res' }, VALUE, /^nexthop\.groupType 'res': expected one of multipath, resilient/],
    [{ group: [1], buckets: 5 }, VALUE, /^nexthop\.buckets 5: only groups of the type 'resilient'/],
    [{ link: 'br0', groupType: 'multipath' }, VALUE, /^nexthop\.groupType .*only a group has one/],
    [{ group: [1], groupType: 'resilient', buckets: 0 }, RANGE, /^nexthop\.buckets/],
    [{ group: [1], groupType: 'resilient', idleTimer: 15 }, VALUE, /^nexthop\.idleTimer 15: must be a multiple of 10/],
    [{ fdb: true, via: '10.0.0.9', link: 'br0' }, VALUE, /^nexthop\.link .*forwarding database/],
    [{ link: 'br0', protocol: 'x' }, VALUE, /^nexthop\.protocol/],
    [{ link: 'br0', encapsulation: { type: 'ip', '#8': 1 } }, VALUE, /^nexthop\.encapsulation '#8'/],
  ]
  for (const [object, code, message] of wrong) {
    for (const method of ['add', 'replace', 'ensure'] as const) {
      await refused(t, `${method} ${JSON.stringify(object)}`, () => red.nexthops[method](object), code, message)
    }
  }
  await refused(t, 'get', () => red.nexthops.get('1' as Wrong), TYPE, /^id must be an integer/)
  await refused(t, 'remove', () => red.nexthops.remove(0), RANGE, /^id must be from 1/)
  await refused(t, 'buckets', () => red.nexthops.buckets(-1), RANGE, /^id/)
  await refused(t, 'list', () => red.nexthops.list({ groups: 1 } as Wrong), TYPE, /^filter\.groups/)
  await refused(t, 'flush', () => red.nexthops.flush({ lnk: 1 } as Wrong), VALUE, /^filter 'lnk'/)
})
