/** Multicast databases: list, find, get, add, replace, ensure, remove, flush, routers; with `bridge mdb` as the referee. */
import t from 'tap'
import { createBridge, createVeth, type Link, type MdbEntry, type NewMdbEntry } from '../dist/index.js'
import { needs } from './support/needs.js'
import { requestsDuring } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ipDo, scratch } from './support/scratch.js'

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any

const namespaces = await needs('namespaces')
const referee = await needs('namespaces', 'bridge')

async function bridged(t: Parameters<typeof scratch>[0]) {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left, leftEnd] = await createVeth({ name: 'left', ...up }, { name: 'left-end', ...up })
  const [right] = await createVeth({ name: 'right', ...up }, { name: 'right-end', ...up })
  const br0 = await createBridge({ name: 'br0', ...up, mac: '02:00:00:00:00:01', ports: [left, right] })
  await Promise.all([br0, left, leftEnd, right].map((link) => (link as Link).waitFor({ running: true })))
  return { red, br0, left, right }
}

/** Without what the kernel joins by itself. */
const mine = <E extends { group: string }>(entries: E[]) => entries.filter(({ group }) => !/^ff02/.test(group))

t.test('list and its filters', namespaces, async (t) => {
  const { red, br0, left, right } = await bridged(t)
  const other = await createBridge({ name: 'br1', namespace: red, up: true })
  await Promise.all([
    br0.mdb.add({ group: '239.1.1.1', port: left }),
    br0.mdb.add({ group: '239.1.1.1', port: 'right', state: 'temporary' }),
    br0.mdb.add({ group: '239.1.1.2', port: right, source: '10.0.0.9' }),
    br0.mdb.add({ group: 'FF15:0::1', port: right.index }),
    br0.mdb.add({ group: '01-00-5E-7F-00-01', port: left }),
    other.mdb.add({ group: '239.9.9.9' }),
  ])
  const list = async (filter: Parameters<typeof br0.mdb.list>[0]) =>
    mine(await br0.mdb.list(filter))
      .map(({ group, index }) => `${group} ${index}`)
      .sort()
  const [l, r] = [left.index, right.index]
  const all = [`01:00:5e:7f:00:01 ${l}`, `239.1.1.1 ${l}`, `239.1.1.1 ${r}`, `239.1.1.2 ${r}`, `ff15::1 ${r}`].sort()
  t.same(await list({}), all, "no other bridge's")
  t.same(
    await list({ port: left }),
    all.filter((row) => row.endsWith(` ${l}`)),
  )
  t.same(await list({ group: '239.1.1.1' }), [`239.1.1.1 ${l}`, `239.1.1.1 ${r}`].sort())
  t.same(await list({ group: 'ff15::0:1' }), [`ff15::1 ${r}`], 'however it is written')
  t.same(await list({ state: 'temporary' }), [`239.1.1.1 ${r}`])
  t.same(await list({ vlan: 5 }), [])
  const streamed = []
  for await (const entry of br0.mdb.stream({ port: left })) streamed.push(entry)
  t.equal(mine(streamed).length, 2)
  t.same(
    (await other.mdb.list({ group: '239.9.9.9' })).map(({ index, bridge }) => [index, bridge]),
    [[other.index, other.index]],
  )
  t.match(await br0.mdb.get({ group: '239.1.1.2', source: '10.0.0.9' }), { source: '10.0.0.9', state: 'permanent' })
  const temporary = await br0.mdb.get({ group: '239.1.1.1', port: right })
  t.ok((temporary.timer ?? 0) > 1000 && (temporary.timer ?? 0) <= 260_000, 'it ages')
})

t.test('add, replace, ensure, remove, flush', namespaces, async (t) => {
  const { br0, left, right } = await bridged(t)
  const { mdb } = br0
  const wish = { group: '239.1.1.1', port: left }
  await mdb.add(wish)
  await t.rejects(mdb.add(wish), {
    code: 'EEXIST',
    message: /^cannot add the multicast entry for 239\.1\.1\.1 of br0: /,
  })
  await mdb.replace({ ...wish, state: 'temporary' })
  t.match(await mdb.get(wish), { state: 'temporary' })
  t.match(await mdb.ensure(wish), { changed: true, entry: { state: 'permanent' } })
  const sent = await requestsDuring(async () => {
    t.match(await mdb.ensure(wish), { changed: false, entry: { index: left.index, bridge: br0.index } })
  })
  t.equal(sent, 1, 'nothing but a look')
  t.match(await mdb.ensure({ group: '239.1.1.1', port: right }), { changed: true })
  t.match(await mdb.ensure({ group: '239.2.2.2' }), { changed: true, entry: { index: br0.index } })
  t.match(await mdb.ensure({ group: '239.2.2.2' }), { changed: false })
  await mdb.remove(wish)
  await t.rejects(mdb.remove(wish), { code: 'ENOENT', syscall: 'RTM_DELMDB' })
  t.equal(await mdb.find(wish), undefined)
  t.ok(await mdb.find({ group: '239.1.1.1' }), 'at the other port')
  await t.rejects(mdb.get(wish), { code: 'ENOENT', message: /^no multicast entry for 239\.1\.1\.1 in br0/ })
  await t.rejects(mdb.add({ group: '10.0.0.1', port: left }), { code: 'EINVAL' }, 'no group')
  t.equal((await mdb.flush({ port: right })).length >= 1, true)
  t.equal(await mdb.find({ group: '239.1.1.1' }), undefined)
  t.ok(await mdb.find({ group: '239.2.2.2' }))
  await mdb.flush()
  t.same(mine(await mdb.list()), [])
})

t.test('sources and who made it', await needs('namespaces', 'kernel:6.3'), async (t) => {
  const { br0, left } = await bridged(t)
  await br0.set({ igmpVersion: 3 })
  const wish: NewMdbEntry = {
    group: '239.1.1.1',
    port: left,
    sources: ['10.0.0.1', '10.0.0.2'],
    filterMode: 'include',
    protocol: 'zebra',
  }
  await br0.mdb.add(wish)
  const entry = await br0.mdb.get({ group: '239.1.1.1', port: left })
  t.match(entry, { filterMode: 'include', protocol: 'zebra' })
  t.same(entry.sources?.map(({ address }) => address).sort(), ['10.0.0.1', '10.0.0.2'])
  t.match(await br0.mdb.ensure(wish), { changed: false })
  t.match(await br0.mdb.ensure({ ...wish, sources: ['10.0.0.2'] }), { changed: true })
  t.same(
    (await br0.mdb.get({ group: '239.1.1.1', port: left })).sources?.map(({ address }) => address),
    ['10.0.0.2'],
  )
})

t.test('of a VXLAN', await needs('namespaces', 'ip', 'kind:vxlan', 'kernel:6.4'), async (t) => {
  const red = await scratch(t)
  await ipDo(red, ...'link add vx type vxlan id 10 dstport 4789 local 10.9.0.1'.split(' '))
  await ipDo(red, 'link', 'set', 'vx', 'up')
  const vx = await red.links.get('vx')
  await vx.mdb.add({ group: '239.1.1.1', destination: '10.9.0.2' })
  await vx.mdb.add({ group: '239.1.1.1', destination: '10.9.0.3', vni: 77 })
  await t.rejects(vx.mdb.add({ group: '239.1.1.1', destination: '10.9.0.2' }), { code: 'EEXIST' })
  t.same((await vx.mdb.list()).map(({ destination, vni }) => [destination, vni]).sort(), [
    ['10.9.0.2', undefined],
    ['10.9.0.3', 77],
  ])
  t.match(await vx.mdb.ensure({ group: '239.1.1.1', destination: '10.9.0.3', vni: 77 }), { changed: false })
  await vx.mdb.remove({ group: '239.1.1.1', destination: '10.9.0.2' })
  await t.rejects(vx.mdb.remove({ group: '239.1.1.1', destination: '10.9.0.2' }), { code: 'ENOENT' })
  t.equal((await vx.mdb.flush()).length, 1)
})

t.test('routers', referee, async (t) => {
  const { red, br0, left } = await bridged(t)
  t.same(await br0.mdb.routers(), [])
  await red.exec('bridge', 'link set dev left mcast_router 2'.split(' '), { check: true })
  t.match(await br0.mdb.routers(), [{ bridge: br0.index, index: left.index, type: 'enabled' }])
})

t.test('what iproute2 says', referee, async (t) => {
  const { red, br0, left, right } = await bridged(t)
  const cases: [asked: NewMdbEntry, shown: Json][] = [
    [
      { group: '239.1.1.1', port: left },
      { port: 'left', grp: '239.1.1.1', state: 'permanent' },
    ],
    [
      { group: '239.1.1.1', port: right, state: 'temporary' },
      { port: 'right', grp: '239.1.1.1', state: 'temp' },
    ],
    [
      { group: '239.1.1.2', port: left, source: '10.0.0.1' },
      { grp: '239.1.1.2', src: '10.0.0.1' },
    ],
    [
      { group: 'ff15::7', port: left },
      { port: 'left', grp: 'ff15::7' },
    ],
    [
      { group: '01:00:5e:7f:00:01', port: left },
      { port: 'left', grp: '01:00:5e:7f:00:01' },
    ],
    [{ group: '239.3.3.3' }, { port: 'br0', grp: '239.3.3.3', state: 'temp' }],
    [{ group: '01:00:5e:7f:00:02' }, { port: 'br0', state: 'permanent' }],
  ]
  const names = new Map((await red.links.list()).map(({ index, name }) => [index, name]))
  const ours = ({ index, bridge, group, source, vlan, state, filterMode, protocol }: MdbEntry) => ({
    dev: names.get(bridge),
    port: names.get(index),
    grp: group,
    src: source,
    vid: vlan,
    state: state === 'temporary' ? 'temp' : state,
    filter_mode: filterMode,
    protocol,
  })
  const both = async () => {
    const { stdout } = await red.exec('bridge', ['-j', '-d', 'mdb', 'show'], { check: true })
    const shown: Json[] = JSON.parse(stdout)[0].mdb
    const theirs = shown.map(({ dev, port, grp, src, vid, state, filter_mode, protocol }) => {
      return { dev, port, grp, src, vid, state, filter_mode, protocol }
    })
    const inOrder = (rows: object[]) =>
      rows
        .map((row) => JSON.stringify(row))
        .filter((row) => !row.includes('ff02'))
        .sort()
    return { iproute2: inOrder(theirs), netkit: inOrder((await br0.mdb.list()).map(ours)) }
  }
  for (const [asked, expected] of cases) {
    const before = await both()
    await br0.mdb.add(asked)
    const after = await both()
    t.same(after.netkit, after.iproute2, JSON.stringify(expected))
    const made = after.iproute2.filter((row) => !before.iproute2.includes(row))
    t.match(JSON.parse(made[0] ?? '{}'), expected)
  }
  for (const command of [
    'dev br0 port left grp 239.5.5.5 permanent',
    'dev br0 port right grp ff15::9 temp',
    'dev br0 port right grp 239.5.5.6 src 10.0.0.4 permanent',
    'dev br0 port br0 grp 239.5.5.7 temp',
  ]) {
    await red.exec('bridge', ['mdb', 'add', ...command.split(' ')], { check: true })
    const { netkit, iproute2 } = await both()
    t.same(netkit, iproute2, command)
  }
})

t.test('VLANs', await needs('namespaces', 'bridge:vlan-filtering'), async (t) => {
  const { br0, left } = await bridged(t)
  await br0.set({ vlanFiltering: true })
  await left.vlans.add({ id: 10 })
  await br0.mdb.add({ group: '239.1.1.1', port: left, vlan: 10 })
  t.match(await br0.mdb.get({ group: '239.1.1.1', vlan: 10 }), { vlan: 10 })
  t.equal((await br0.mdb.list({ vlan: 10 })).length, 1)
  t.equal(await br0.mdb.find({ group: '239.1.1.1', vlan: 11 }), undefined)
  await br0.mdb.remove({ group: '239.1.1.1', port: left, vlan: 10 })
})

t.test('wrong input', namespaces, async (t) => {
  const { br0, left } = await bridged(t)
  const add = (entry: Wrong) => br0.mdb.add(entry)
  const good = { group: '239.1.1.1', port: left }
  await refused(t, 'nothing', () => add(undefined), TYPE, 'entry must be an object')
  await refused(t, 'group', () => add({ ...good, group: 'x' }), VALUE, "entry.group 'x': is neither an IP address nor")
  await refused(t, 'vlan', () => add({ ...good, vlan: 0 }), RANGE, 'entry.vlan must be from 1 to 4094')
  await refused(
    t,
    'state',
    () => add({ ...good, state: 'temp' }),
    VALUE,
    "entry.state 'temp': expected one of permanent",
  )
  await refused(t, 'source', () => add({ ...good, source: 'x' }), VALUE, "entry.source 'x'")
  await refused(t, 'sources', () => add({ ...good, sources: ['x'] }), VALUE, "entry.sources[0] 'x'")
  await refused(t, 'sources', () => add({ ...good, sources: 'x' }), TYPE, 'entry.sources must be an array')
  await refused(t, 'mode', () => add({ ...good, filterMode: 'in' }), VALUE, "entry.filterMode 'in'")
  await refused(t, 'typo', () => add({ ...good, grp: 'x' }), VALUE, "entry 'grp': is not an option here")
  await refused(t, 'match', () => br0.mdb.remove({ ...good, state: 'permanent' } as Wrong), VALUE, "entry 'state'")
})
