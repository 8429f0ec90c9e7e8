/** Forwarding databases of bridges, VXLANs and other links: list, find, get, add, append, replace, ensure, remove, flush. */
import t from 'tap'
import { createBridge, createVeth, type FdbEntry, type Link, type Namespace } from '../dist/index.js'
import { rtnetlinkConstants } from '../dist/rtnetlink/constants.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const vxlan = await needs('namespaces', 'ip', 'kind:vxlan')
const mac = '02:00:00:00:00:07'
const zeros = '00:00:00:00:00:00'

interface Fabric {
  red: Namespace
  br0: Link<'bridge'>
  left: Link
  right: Link
}

/** A bridge with two ports, the other ends of which are in the namespace too. */
async function bridged(t: Parameters<typeof scratch>[0]): Promise<Fabric> {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left] = await createVeth({ name: 'left', ...up }, { name: 'left-end', ...up })
  const [right] = await createVeth({ name: 'right', ...up }, { name: 'right-end', ...up })
  const br0 = await createBridge({ name: 'br0', ...up, mac: '02:00:00:00:00:01', ports: [left, right] })
  return { red, br0, left, right }
}

/** A VXLAN that is a port of the bridge, with an underlay that leads nowhere. */
async function withVxlan(t: Parameters<typeof scratch>[0]): Promise<Fabric & { vx: Link<'vxlan'> }> {
  const fabric = await bridged(t)
  const vxlan = ['type', 'vxlan', 'id', '10', 'dstport', '4789', 'local', '10.9.0.1', 'nolearning']
  await ipDo(fabric.red, 'link', 'add', 'vx10', 'master', 'br0', 'up', ...vxlan)
  return { ...fabric, vx: (await fabric.red.links.get('vx10')) as Link<'vxlan'> }
}

/** Where addresses are, each once: where bridges have VLANs, an entry of no VLAN is in those of its port, too. */
const places = (entries: FdbEntry[]) => [...new Set(entries.map(({ mac, index }) => `${mac} ${index}`))].sort()

t.test('list and its filters', namespaces, async (t) => {
  const { red, br0, left, right } = await bridged(t)
  await Promise.all([
    br0.fdb.add({ mac, port: left }),
    br0.fdb.add({ mac: '02:00:00:00:00:08', port: 'right', state: 'dynamic' }),
    br0.fdb.add({ mac: '02:00:00:00:00:09', port: right.index, state: 'permanent' }),
    br0.fdb.add({ mac: '02:00:00:00:00:0A' }),
  ])
  const mine = (entries: FdbEntry[]) => places(entries.filter((entry) => /^02:00:00:00:00:0[789a]/.test(entry.mac)))
  const all = [
    `${mac} ${left.index}`,
    `02:00:00:00:00:08 ${right.index}`,
    `02:00:00:00:00:09 ${right.index}`,
    `02:00:00:00:00:0a ${br0.index}`,
  ]
  const list = async (filter: Parameters<typeof br0.fdb.list>[0]) => mine(await br0.fdb.list(filter))
  t.same(await list({}), all)
  t.same(await list({ port: left }), [all[0]])
  t.same(await list({ port: 'right' }), [all[1], all[2]])
  t.same(await list({ port: br0 }), [all[3]])
  t.same(await list({ state: 'static' }), [all[0]])
  t.same(await list({ state: 'dynamic' }), [all[1]])
  t.same(await list({ state: 'permanent' }), [all[2], all[3]])
  t.same(await list({ mac: '02-00-00-00-00-0A' }), [all[3]], 'however it is written')
  t.same(await list({ self: false }), all)
  t.ok((await br0.fdb.list({ self: true })).length > 0, 'the ports have addresses of their own')
  t.same(await list({ self: true }), [])
  t.same(mine(await left.fdb.list()), [all[0]], 'a port shows what is at it')
  t.same(mine(await red.fdb.list()), all)
  t.same(mine(await red.fdb.list({ link: right, state: 'dynamic' })), [all[1]])
  t.same(mine(await red.fdb.list({ bridge: 'br0', link: left })), [all[0]])
  const streamed: FdbEntry[] = []
  for await (const entry of br0.fdb.stream({ port: right })) streamed.push(entry)
  t.same(mine(streamed), [all[1], all[2]], 'stream gives the same')
  for await (const entry of red.fdb.stream({ mac })) t.equal(entry.mac, mac)
  await t.rejects(br0.fdb.list({ port: 'none' }), { code: 'ENODEV', message: /^filter\.port 'none' in/ })
  await t.rejects(red.fdb.list({ bridge: 'none' }), { code: 'ENODEV', message: /^filter\.bridge 'none' in/ })
  const other = await createBridge({ name: 'br1', namespace: red, mac: '02:00:00:00:00:02' })
  t.same(mine(await other.fdb.list()), [], "another bridge's")
  const [entry] = await br0.fdb.list({ mac })
  t.match(entry, { mac, index: left.index, master: br0.index, state: 'static', flags: [] })
  t.equal(typeof entry?.cacheInfo?.updated, 'number')
  await refused(
    t,
    'state',
    () => br0.fdb.list({ state: 'noarp' } as Wrong),
    VALUE,
    "filter.state 'noarp': expected one",
  )
  await refused(t, 'bridge', () => br0.fdb.list({ bridge: br0 } as Wrong), VALUE, "filter 'bridge': is not an option")
  await refused(t, 'port', () => red.fdb.list({ port: left } as Wrong), VALUE, "filter 'port': is not an option here")
})

t.test('add, replace, ensure, remove in a bridge', namespaces, async (t) => {
  const { red, br0, left, right } = await bridged(t)
  const { fdb } = br0
  await fdb.add({ mac, port: left })
  t.match(await fdb.get({ mac }), { index: left.index, master: br0.index, state: 'static' })
  t.match(await fdb.get({ mac, port: left }), { mac })
  t.equal(await fdb.find({ mac, port: right }), undefined)
  for (const port of [left, right]) {
    await t.rejects(fdb.add({ mac, port }), {
      code: 'EEXIST',
      syscall: 'RTM_NEWNEIGH',
      message: /^cannot add the forwarding entry for 02:00:00:00:00:07 of br0: /,
    })
  }
  await t.rejects(fdb.add({ mac, port: right, externallyLearned: true }), { code: 'EEXIST' }, 'not as the kernel would')
  await fdb.replace({ mac, port: right, sticky: true })
  t.match(await fdb.get({ mac }), { index: right.index, state: 'static', flags: ['sticky'] })
  const events = await eventsOf(t, red, [rtnetlinkConstants.RTNLGRP_NEIGH])
  const told = async () => (await events()).filter((name) => name.endsWith('NEIGH'))
  t.match(await fdb.ensure({ mac, port: right }), { changed: false, entry: { index: right.index } })
  t.same(await told(), [], 'nothing was touched')
  t.match(await fdb.ensure({ mac, port: left, sticky: false }), {
    changed: true,
    entry: { index: left.index, flags: [] },
  })
  t.ok((await told()).length > 0)
  t.match(await fdb.ensure({ mac, port: left, state: 'dynamic' }), { changed: true, entry: { state: 'dynamic' } })
  t.match(await fdb.ensure({ mac: '02:00:00:00:00:0b', port: left }), { changed: true })
  t.match(await fdb.ensure({ mac: '02:00:00:00:00:0c' }), { changed: true, entry: { index: br0.index } })
  t.match(await fdb.ensure({ mac: '02:00:00:00:00:0c' }), { changed: false })
  await fdb.remove({ mac })
  await t.rejects(fdb.remove({ mac }), { code: 'ENOENT', syscall: 'RTM_DELNEIGH' })
  await fdb.remove({ mac: '02:00:00:00:00:0b', port: left })
  await t.rejects(fdb.remove({ mac: '02:00:00:00:00:0b', port: left }), { code: 'ENOENT', syscall: 'RTM_DELNEIGH' })
  await fdb.remove({ mac: '02:00:00:00:00:0c' })
  t.equal(await fdb.find({ mac: '02:00:00:00:00:0c' }), undefined)
  await t.rejects(fdb.get({ mac }), { code: 'ENOENT', message: /^no forwarding entry for 02:00:00:00:00:07 in br0/ })
  // Requests of one tick keep their order.
  const match = { mac, port: left }
  await Promise.all([fdb.add(match), fdb.remove(match), fdb.add(match), fdb.remove(match)])
  t.equal(await fdb.find({ mac }), undefined)
  await fdb.add({ mac, port: left, externallyLearned: true })
  t.match(await fdb.get({ mac }), { flags: ['externallyLearned'] })
  t.match(await fdb.ensure({ mac, port: left, externallyLearned: true }), { changed: false })
  await fdb.add({ mac: '02:00:00:00:00:0d', port: left, activityNotify: true })
  t.match(await fdb.get({ mac: '02:00:00:00:00:0d' }), { activityNotify: true })
  const [alone] = await createVeth({ name: 'alone', namespace: red }, { name: 'alone-end', namespace: red })
  await t.rejects(fdb.add({ mac: '02:00:00:00:00:0e', port: alone }), { code: /^E(INVAL|OPNOTSUPP)$/ }, 'no port')
})

t.test('flush of a bridge', namespaces, async (t) => {
  const { br0, left, right } = await bridged(t)
  const { fdb } = br0
  const fill = async () => {
    await Promise.all([
      fdb.replace({ mac: '02:00:00:00:01:01', port: left }),
      fdb.replace({ mac: '02:00:00:00:01:02', port: left, state: 'dynamic' }),
      fdb.replace({ mac: '02:00:00:00:01:03', port: right, externallyLearned: true }),
      fdb.replace({ mac: '02:00:00:00:01:04', port: right, state: 'permanent' }),
      fdb.replace({ mac: '02:00:00:00:01:05' }),
    ])
  }
  const rest = async () => {
    const entries = await fdb.list({ self: false })
    const found = entries.flatMap((entry) => /^02:00:00:00:01:0(.)/.exec(entry.mac)?.[1] ?? [])
    return [...new Set(found)].sort().join('')
  }
  const cases: [filter: Parameters<typeof fdb.flush>[0], left: string][] = [
    [{}, '45'],
    [{ port: left }, '345'],
    [{ state: 'dynamic', port: left }, '1345'],
    [{ state: 'permanent', port: right }, '1235'],
    [{ externallyLearned: true }, '1245'],
    [{ mac: '02:00:00:00:01:01' }, '2345'],
  ]
  for (const [filter, left] of cases) {
    await fill()
    t.equal(await rest(), '12345')
    await fdb.flush(filter)
    t.equal(await rest(), left, JSON.stringify(Object.keys(filter ?? {})))
  }
  t.ok(await fdb.find({ mac: '02:00:00:00:00:01' }), "the bridge's own address stays")
})

t.test('a VXLAN', vxlan, async (t) => {
  const { red, vx } = await withVxlan(t)
  const { fdb } = vx
  await fdb.add({ mac, destination: '10.9.0.2' })
  t.match(await fdb.get({ mac }), { index: vx.index, destination: '10.9.0.2', state: 'permanent', flags: ['self'] })
  await t.rejects(fdb.add({ mac, destination: '10.9.0.3' }), { code: 'EEXIST' })
  await fdb.replace({ mac, destination: '10.9.0.3', destinationPort: 8472, vni: 77, state: 'static', router: true })
  t.match(await fdb.get({ mac }), {
    destination: '10.9.0.3',
    destinationPort: 8472,
    vni: 77,
    state: 'static',
    flags: ['self', 'router'],
  })
  await fdb.add({ mac: zeros, destination: '10.9.0.2' })
  await fdb.append({ mac: zeros, destination: '10.9.0.3' })
  await fdb.append({ mac: zeros, destination: '10.9.0.3' })
  t.match(await fdb.ensure({ mac: zeros, destination: '10.9.0.4' }), {
    changed: true,
    entry: { destination: '10.9.0.4' },
  })
  const events = await eventsOf(t, red, [rtnetlinkConstants.RTNLGRP_NEIGH])
  t.match(await fdb.ensure({ mac: zeros, destination: '10.9.0.3' }), { changed: false })
  t.same(
    (await events()).filter((name) => name.endsWith('NEIGH')),
    [],
    'nothing was touched',
  )
  const destinations = async (filter = {}) =>
    (await fdb.list({ mac: zeros, ...filter })).map(({ destination }) => destination).sort()
  t.same(await destinations(), ['10.9.0.2', '10.9.0.3', '10.9.0.4'])
  t.same(await destinations({ destination: '10.9.0.3' }), ['10.9.0.3'])
  await fdb.remove({ mac: zeros, destination: '10.9.0.3' })
  await t.rejects(fdb.remove({ mac: zeros, destination: '10.9.0.3' }), { code: 'ENOENT' })
  t.same(await destinations(), ['10.9.0.2', '10.9.0.4'])
  await fdb.remove({ mac: zeros })
  t.same(await destinations(), [], 'all of them')
  t.match(await fdb.ensure({ mac, destination: '10.9.0.9' }), { changed: true, entry: { destination: '10.9.0.9' } })
  t.equal((await fdb.list({ mac })).length, 1, 'moved')
  const spelledOut = { mac, destination: '10.9.0.9', destinationPort: 4789, vni: 10 }
  t.match(await fdb.ensure(spelledOut), { changed: false }, "what is the link's own")
  t.match(await fdb.find(spelledOut), { destination: '10.9.0.9' })
  await fdb
    .add({ mac: '02:00:00:00:00:0b', destination: 'fd09::2' })
    .catch((error) => t.match(error, { code: 'EAFNOSUPPORT' }))
  await fdb.add({ mac: '02:00:00:00:00:0c', destination: '10.9.0.2', via: 'left-end' })
  t.match(await fdb.find({ mac: '02:00:00:00:00:0c', via: 'left-end' }), {
    via: (await red.links.get('left-end')).index,
  })
  await fdb.flush({ destination: '10.9.0.9' })
  t.equal(await fdb.find({ mac }), undefined)
  t.ok(await fdb.find({ mac: '02:00:00:00:00:0c' }))
  await fdb.flush()
  t.equal(await fdb.find({ mac: '02:00:00:00:00:0c' }), undefined)
})

t.test('a VXLAN at the port of a bridge', vxlan, async (t) => {
  const { br0, left, vx } = await withVxlan(t)
  const both = async () => {
    const entries = (await br0.fdb.list({ mac })).filter(({ vlan }) => vlan === undefined)
    return entries.map(({ master, state, destination, flags }) => ({
      ofBridge: master === br0.index,
      state,
      destination,
      flags,
    }))
  }
  const expected = [
    { ofBridge: true, state: 'static', destination: undefined, flags: [] },
    { ofBridge: false, state: 'permanent', destination: '10.9.0.2', flags: ['self'] },
  ]
  for (const port of [vx, 'vx10', vx.index]) {
    await br0.fdb.add({ mac, port, destination: '10.9.0.2' })
    t.same(await both(), expected)
    await br0.fdb.remove({ mac, port, destination: '10.9.0.2' })
    t.same(await both(), [], 'gone from both')
  }
  for (const match of [{ mac, port: vx }, { mac, port: 'vx10' }, { mac }]) {
    await br0.fdb.add({ mac, port: vx, destination: '10.9.0.2' })
    await br0.fdb.remove(match)
    t.same(await both(), [], 'gone from both without a destination')
  }
  await br0.fdb.add({ mac, port: vx, destination: '10.9.0.2' })
  await br0.fdb.remove({ mac, port: vx, master: true, self: false })
  t.same(await both(), expected.slice(1), 'what is said counts')
  await vx.fdb.remove({ mac })
  const only = '02:00:00:00:00:7f'
  for (const filter of [{ port: vx }, {}]) {
    await br0.fdb.add({ mac, port: vx, destination: '10.9.0.2' })
    await vx.fdb.add({ mac: only, destination: '10.9.0.2' })
    await br0.fdb.flush(filter)
    t.same(await both(), [], 'flushed from both')
    t.equal((await vx.fdb.list({ mac: only })).length, 1, "what is the VXLAN's alone stays")
    await vx.fdb.remove({ mac: only })
  }
  t.match(await br0.fdb.ensure({ mac, port: vx, destination: '10.9.0.2' }), { changed: true })
  t.match(await br0.fdb.ensure({ mac, port: vx, destination: '10.9.0.2' }), { changed: false })
  t.match(await br0.fdb.ensure({ mac, port: vx, destination: '10.9.0.3' }), {
    changed: true,
    entry: { destination: '10.9.0.3' },
  })
  t.equal((await both()).length, 2)
  t.match(await br0.fdb.find({ mac, destination: '10.9.0.3' }), { index: vx.index })
  await br0.fdb.remove({ mac, port: vx, self: true })
  t.same(
    (await both()).map(({ ofBridge }) => ofBridge),
    [true],
  )
  // The bridge has it: what was made in the VXLAN is taken back.
  await t.rejects(br0.fdb.add({ mac, port: vx, destination: '10.9.0.2' }), { code: 'EEXIST' })
  t.same(
    (await both()).map(({ ofBridge }) => ofBridge),
    [true],
  )
  await br0.fdb.remove({ mac })
  await br0.fdb.add({ mac, port: vx, destination: '10.9.0.2', self: true, master: false })
  t.same(
    (await both()).map(({ ofBridge }) => ofBridge),
    [false],
  )
  await vx.fdb.add({ mac, master: true, state: 'static' })
  t.equal((await both()).length, 2)
  t.match(await vx.fdb.find({ mac, master: true }), { master: br0.index })
  await br0.fdb.add({ mac: '02:00:00:00:00:08', port: left, destination: '10.9.0.2' })
  t.match(
    await br0.fdb.get({ mac: '02:00:00:00:00:08' }),
    { index: left.index, state: 'static' },
    'at another port: there',
  )
})

t.test("a link's own addresses", namespaces, async (t) => {
  const { left } = await bridged(t)
  await left.fdb.add({ mac })
  t.match(await left.fdb.get({ mac }), { index: left.index, state: 'permanent', flags: ['self'] })
  await t.rejects(left.fdb.add({ mac }), { code: 'EEXIST' })
  t.match(await left.fdb.ensure({ mac }), { changed: false })
  await left.fdb.remove({ mac })
  await t.rejects(left.fdb.remove({ mac }), { code: 'ENOENT' })
})

t.test('VLANs', await needs('namespaces', 'bridge:vlan-filtering'), async (t) => {
  const { br0, left } = await bridged(t)
  await br0.set({ vlanFiltering: true })
  await br0.fdb.add({ mac, port: left, vlan: 1 })
  await br0.fdb.add({ mac: '02:00:00:00:00:08', port: left })
  t.match(await br0.fdb.get({ mac, vlan: 1 }), { vlan: 1, index: left.index })
  t.match(await br0.fdb.get({ mac }), { vlan: 1 }, 'without a VLAN: any')
  t.equal(await br0.fdb.find({ mac, vlan: 2 }), undefined)
  t.same(
    (await br0.fdb.list({ vlan: 1, port: left, state: 'static' })).map(({ mac }) => mac).sort(),
    [mac, '02:00:00:00:00:08'],
    'without a VLAN it is in all of the port',
  )
  await br0.fdb.remove({ mac, vlan: 1 })
  t.equal(await br0.fdb.find({ mac }), undefined)
  await br0.fdb.flush({ vlan: 1 })
  t.same(await br0.fdb.list({ vlan: 1, state: 'static' }), [])
})

t.test('wrong input', namespaces, async (t) => {
  const { br0, left } = await bridged(t)
  const add = (entry: Wrong) => br0.fdb.add(entry)
  const good = { mac, port: left }
  await refused(t, 'nothing', () => add(undefined), TYPE, 'entry must be an object')
  await refused(t, 'mac', () => add({ ...good, mac: '02:00' }), VALUE, "entry.mac '02:00': a MAC address is six")
  await refused(t, 'port', () => add({ ...good, port: {} }), TYPE, 'entry.port must be a Link')
  await refused(t, 'vlan', () => add({ ...good, vlan: 4095 }), RANGE, 'entry.vlan must be from 1 to 4094')
  await refused(
    t,
    'state',
    () => add({ ...good, state: 'stale' }),
    VALUE,
    "entry.state 'stale': expected one of permanent,",
  )
  await refused(t, 'destination', () => add({ ...good, destination: 'x' }), VALUE, "entry.destination 'x'")
  await refused(t, 'vni', () => add({ ...good, vni: 2 ** 24 }), RANGE, 'entry.vni must be from 0 to 16777215')
  await refused(
    t,
    'both',
    () => add({ ...good, nexthopId: 1, destination: '10.0.0.1' }),
    VALUE,
    'entry.nexthopId 1: stands',
  )
  await refused(t, 'sticky', () => add({ ...good, sticky: 'yes' }), TYPE, 'entry.sticky must be true or false')
  await refused(t, 'none', () => add({ ...good, self: false, master: false }), VALUE, 'entry.self false: with master')
  await refused(t, 'typo', () => add({ ...good, dst: '10.0.0.1' }), VALUE, "entry 'dst': is not an option here")
  await refused(t, 'no bridge', () => left.fdb.add({ mac, port: br0 }), VALUE, "entry.port 'br0': left is no bridge")
  await refused(t, 'match', () => br0.fdb.remove({ mac, state: 'static' } as Wrong), VALUE, "entry 'state': is not")
  await refused(t, 'match', () => br0.fdb.find({} as Wrong), TYPE, 'match.mac must be a string')
})
