/** VLANs of bridges and their ports. */
import t from 'tap'
import { type BridgeVlan, createBridge, createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ipDo, scratch } from './support/scratch.js'

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any

const namespaces = await needs('namespaces')
const filtering = await needs('namespaces', 'bridge:vlan-filtering')
const referee = await needs('namespaces', 'ip', 'bridge', 'bridge:vlan-filtering')

async function bridged(t: Parameters<typeof scratch>[0], vlanFiltering = true) {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left] = await createVeth({ name: 'left', ...up }, { name: 'left-end', ...up })
  const options = vlanFiltering ? { vlanFiltering, defaultPvid: 0 } : {}
  const br0 = await createBridge({ name: 'br0', ...up, mac: '02:00:00:00:00:01', ...options, ports: [left] })
  return { red, br0, left: await left.refresh() }
}

/** What netkit and iproute2 say of a link's VLANs, one row for each. */
async function both(red: Namespace, link: Link): Promise<{ iproute2: object[]; netkit: object[] }> {
  const { stdout } = await red.exec('bridge', ['-j', '-d', 'vlan', 'show', 'dev', link.name], { check: true })
  const [shown = { vlans: [] }]: Json[] = JSON.parse(stdout)
  const each = ({ vlan: id, vlanEnd: to = id, ...rest }: Json) =>
    Array.from({ length: to - id + 1 }, (_, i) => ({
      id: id + i,
      pvid: (rest.flags ?? []).includes('PVID'),
      untagged: (rest.flags ?? []).includes('Egress Untagged'),
      state: rest.state,
    }))
  const ours = ({ id, to = id, pvid, untagged, state }: BridgeVlan) =>
    Array.from({ length: to - id + 1 }, (_, i) => ({ id: id + i, pvid, untagged, state }))
  return { iproute2: shown.vlans.flatMap(each), netkit: (await link.vlans.list()).flatMap(ours) }
}

t.test('add, replace, ensure, remove', filtering, async (t) => {
  const { br0, left } = await bridged(t)
  const { vlans } = left
  t.same(await vlans.list(), [])
  await vlans.add({ id: 10, to: 20 })
  await vlans.add({ id: 30, pvid: true, untagged: true })
  const rows = async (link: Link = left) =>
    (await link.vlans.list()).map(({ id, to, pvid, untagged }) => ({ id, to, pvid, untagged }))
  t.same(await rows(), [
    { id: 10, to: 20, pvid: false, untagged: false },
    { id: 30, to: undefined, pvid: true, untagged: true },
  ])
  t.match((await vlans.list())[0], { index: left.index, state: 'forwarding' })
  await t.rejects(vlans.add({ id: 20, to: 25 }), { code: 'EEXIST', message: /^cannot add VLAN 20-25 of left: / })
  await vlans.replace({ id: 20, to: 25, untagged: true })
  t.same((await rows()).slice(0, 2), [
    { id: 10, to: 19, pvid: false, untagged: false },
    { id: 20, to: 25, pvid: false, untagged: true },
  ])
  t.match(await vlans.ensure({ id: 12, to: 18 }), { changed: false, vlans: [{ id: 10, to: 19 }] })
  t.match(await vlans.ensure({ id: 12, to: 22, untagged: false }), { changed: true })
  t.match(await vlans.ensure({ id: 12, to: 22, untagged: false }), { changed: false })
  t.match(await vlans.ensure({ id: 100, pvid: true }), { changed: true, vlans: [{ id: 100, pvid: true }] })
  t.match(await vlans.get({ id: 30 }), { pvid: false, untagged: true }, 'a port has one')
  t.match(await vlans.get({ id: 15 }), { id: 10, to: 22 })
  t.equal(await vlans.find({ id: 5 }), undefined)
  await t.rejects(vlans.get({ id: 5 }), { code: 'ENOENT', message: /^no VLAN 5 on left: / })
  await vlans.remove({ id: 11, to: 25 })
  t.same(
    (await vlans.list()).map(({ id, to }) => [id, to]),
    [
      [10, undefined],
      [30, undefined],
      [100, undefined],
    ],
  )
  await t.rejects(vlans.remove({ id: 11 }), { code: 'ENOENT', syscall: 'RTM_DELLINK' })
  t.equal((await vlans.flush({ id: 30, to: 99 })).length, 1)
  t.equal((await vlans.flush()).length, 2)
  t.same(await vlans.list(), [])
  // Of the bridge itself.
  await br0.vlans.add({ id: 5, to: 6 })
  await br0.vlans.add({ id: 7, pvid: true, untagged: true })
  t.same(await rows(br0), [
    { id: 5, to: 6, pvid: false, untagged: false },
    { id: 7, to: undefined, pvid: true, untagged: true },
  ])
  t.same(await vlans.list(), [], 'not of the port')
  const streamed = []
  for await (const { id } of br0.vlans.stream()) streamed.push(id)
  t.same(streamed, [5, 7])
  const all = await br0.vlans.ensure({ id: 1, to: 4094 })
  t.match(all, { changed: true })
  t.ok((await br0.vlans.list()).length <= 3, 'ranges are kept small')
})

t.test('options and statistics', filtering, async (t) => {
  const { br0, left } = await bridged(t)
  await left.vlans.add({ id: 10, to: 12, state: 'blocking' })
  t.match(await left.vlans.list(), [{ id: 10, to: 12, state: 'blocking' }])
  await left.vlans.set({ id: 11, state: 'learning' })
  t.match(
    (await left.vlans.list()).map(({ id, state }) => [id, state]),
    [
      [10, 'blocking'],
      [11, 'learning'],
      [12, 'blocking'],
    ],
  )
  t.match(await left.vlans.ensure({ id: 10, state: 'forwarding' }), { changed: true, vlans: [{ state: 'forwarding' }] })
  t.match(await left.vlans.ensure({ id: 10, state: 'forwarding' }), { changed: false })
  await t.rejects(left.vlans.set({ id: 99, state: 'learning' }), { code: 'ENOENT' })
  const [row] = await left.vlans.list({ statistics: true, id: 12 })
  t.match(row, { id: 12, statistics: { receivedBytes: 0, sentPackets: 0 } })
  await br0.vlans.add({ id: 10 })
  await br0.set({ booleanOptions: { multicastVlanSnooping: true } })
  const { globals } = br0.vlans
  t.match(await globals.get({ id: 10 }), { id: 10, multicastSnooping: true, multicastQuerier: false })
  await globals.set({ id: 10, to: 11, multicastSnooping: false, multicastQueryInterval: 10_000 })
  t.match(await globals.get({ id: 11 }), { multicastSnooping: false, multicastQueryInterval: 10_000 })
  t.match(await globals.get({ id: 12 }), { multicastSnooping: true })
  await t.rejects(globals.get({ id: 99 }), { code: 'ENOENT', message: /^no VLAN 99 in br0/ })
  // What cannot be set is no half of a new VLAN.
  await br0.set({ stp: true })
  await t.rejects(left.vlans.add({ id: 50, state: 'blocking' }), { code: /^E(BUSY|INVAL)$/, syscall: 'RTM_NEWVLAN' })
  t.equal(await left.vlans.find({ id: 50 }), undefined)
})

t.test(
  'limits of groups, answers for neighbors',
  await needs('namespaces', 'bridge:vlan-filtering', 'kernel:6.4'),
  async (t) => {
    const { br0, left } = await bridged(t)
    await br0.set({ booleanOptions: { multicastVlanSnooping: true } })
    await left.vlans.add({ id: 10, multicastMaxGroups: 7, neighborSuppression: true })
    t.match(await left.vlans.get({ id: 10 }), { multicastMaxGroups: 7, multicastGroups: 0, neighborSuppression: true })
  },
)

t.test(
  'networks that VLANs are carried in',
  await needs('namespaces', 'ip', 'kind:vxlan', 'bridge:vlan-filtering'),
  async (t) => {
    const { red } = await bridged(t)
    await ipDo(red, ...'link add vx type vxlan external dstport 4789'.split(' '))
    await ipDo(red, ...'link set vx master br0 up'.split(' '))
    await red.exec('bridge', 'link set dev vx vlan_tunnel on'.split(' '), { check: true })
    const vx = await red.links.get('vx')
    await vx.vlans.add({ id: 10, to: 14, tunnelId: 1010 })
    await vx.vlans.add({ id: 20, tunnelId: 5000 })
    const shown = async () => {
      const { stdout } = await red.exec('bridge', ['-j', 'vlan', 'tunnelshow', 'dev', 'vx'], { check: true })
      return (JSON.parse(stdout) as Json[])[0]?.tunnels ?? []
    }
    t.match(await shown(), [
      { vlan: 10, vlanEnd: 14, tunid: 1010, tunidEnd: 1014 },
      { vlan: 20, tunid: 5000 },
    ])
    t.match(await vx.vlans.list(), [
      { id: 10, to: 14, tunnelId: 1010 },
      { id: 20, tunnelId: 5000 },
    ])
    t.match(await vx.vlans.ensure({ id: 12, tunnelId: 1012 }), { changed: false })
    t.match(await vx.vlans.ensure({ id: 20, tunnelId: 5001 }), { changed: true, vlans: [{ tunnelId: 5001 }] })
    await vx.vlans.removeTunnel({ id: 10, to: 14 })
    t.match(await shown(), [{ vlan: 20 }])
    t.equal((await vx.vlans.get({ id: 10 })).tunnelId, undefined)
    await red.exec('bridge', 'vlan add dev vx vid 30-31'.split(' '), { check: true })
    await red.exec('bridge', 'vlan add dev vx vid 30-31 tunnel_info id 30-31'.split(' '), { check: true })
    t.match(await vx.vlans.get({ id: 31 }), { id: 30, to: 31, tunnelId: 30 })
  },
)

t.test('what iproute2 says', referee, async (t) => {
  const { red, br0, left } = await bridged(t)
  await left.vlans.add({ id: 10, to: 20 })
  await left.vlans.add({ id: 2, pvid: true, untagged: true })
  await left.vlans.add({ id: 21, untagged: true, state: 'blocking' })
  await br0.vlans.add({ id: 4000, to: 4094, untagged: true })
  for (const link of [left, br0]) {
    const { iproute2, netkit } = await both(red, link)
    t.same(netkit, iproute2, `netkit's of ${link.name}`)
    t.ok(netkit.length > 10)
  }
  const commands = [
    'vlan add dev left vid 100-200',
    'vlan add dev left vid 300 pvid untagged',
    'vlan del dev left vid 150-160',
    'vlan set dev left vid 170-180 state learning',
    'vlan add dev br0 vid 9 pvid self',
    'vlan del dev br0 vid 4001 self',
  ]
  for (const command of commands) {
    await red.exec('bridge', command.split(' '), { check: true })
    for (const link of [left, br0]) {
      const { iproute2, netkit } = await both(red, link)
      t.same(netkit, iproute2, `${command}: ${link.name}`)
    }
  }
  await br0.set({ booleanOptions: { multicastVlanSnooping: true } })
  await br0.vlans.globals.set({ id: 4000, multicastSnooping: false, igmpVersion: 3, multicastLastMemberInterval: 500 })
  const json = await red.exec('bridge', ['-j', '-d', 'vlan', 'global', 'show', 'dev', 'br0', 'vid', '4000'], {
    check: true,
  })
  t.match((JSON.parse(json.stdout) as Json[])[0].vlans[0], {
    vlan: 4000,
    mcast_snooping: 0,
    mcast_igmp_version: 3,
    mcast_last_member_interval: 50,
  })
  await red.exec('bridge', 'vlan global set dev br0 vid 4002-4003 mcast_query_interval 9000'.split(' '), {
    check: true,
  })
  t.match(await br0.vlans.globals.get({ id: 4003 }), { id: 4002, to: 4003, multicastQueryInterval: 90_000 })
})

t.test('where there are no VLANs', namespaces, async (t) => {
  const { red } = await bridged(t, false)
  const lo = await red.links.get('lo')
  await t.rejects(lo.vlans.list(), { syscall: 'RTM_GETVLAN', message: /^cannot list the VLANs of lo: / })
  await t.rejects(lo.vlans.replace({ id: 10 }), { syscall: 'RTM_SETLINK', message: /^cannot replace VLAN 10 of lo: / })
})

t.test('wrong input', namespaces, async (t) => {
  const { left } = await bridged(t, false)
  const add = (vlan: Wrong) => left.vlans.add(vlan)
  await refused(t, 'nothing', () => add(undefined), TYPE, 'vlan must be an object')
  await refused(t, 'id', () => add({}), TYPE, 'vlan.id must be an integer')
  await refused(t, 'id', () => add({ id: 4095 }), RANGE, 'vlan.id must be from 1 to 4094, not 4095')
  await refused(t, 'to', () => add({ id: 10, to: 9 }), RANGE, 'vlan.to must be from 10 to 4094, not 9')
  await refused(t, 'pvid', () => add({ id: 10, to: 11, pvid: true }), VALUE, 'vlan.pvid true: is for one VLAN')
  await refused(t, 'untagged', () => add({ id: 10, untagged: 1 }), TYPE, 'vlan.untagged must be true or false')
  await refused(t, 'state', () => add({ id: 10, state: 'x' }), VALUE, "vlan.state 'x': expected one of disabled,")
  await refused(t, 'tunnel', () => add({ id: 10, tunnelId: 0 }), RANGE, 'vlan.tunnelId must be from 1')
  await refused(t, 'typo', () => add({ id: 10, pvide: true }), VALUE, "vlan 'pvide': is not an option here; did you")
  await refused(t, 'set', () => left.vlans.set({ id: 10, pvid: true } as Wrong), VALUE, "vlan 'pvid': is not an option")
  await refused(t, 'list', () => left.vlans.list({ id: 0 }), RANGE, 'filter.id must be from 1 to 4094')
  await refused(t, 'globals', () => left.vlans.globals.set({ id: 0 }), RANGE, 'options.id must be from 1 to 4094')
})
