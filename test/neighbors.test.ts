/** The collection of neighbors: list, find, get, add, replace, ensure, remove, flush; proxies; tables. */
import t from 'tap'
import { createBridge, createVeth, type Link, type Namespace } from '../dist/index.js'
import { rtnetlinkConstants } from '../dist/rtnetlink/constants.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const mac = '02:00:00:00:00:07'

async function cable(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; left: Link; right: Link }> {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left, right] = await createVeth(
    { name: 'left', ...up, addresses: ['10.0.1.1/24', { address: 'fd00::1/64', noDad: true }] },
    { name: 'right', ...up, addresses: ['10.0.2.1/24'] },
  )
  await Promise.all([left.waitFor({ running: true }), right.waitFor({ running: true })])
  return { red, left, right }
}

t.test('list and its filters', namespaces, async (t) => {
  const { red, left, right } = await cable(t)
  const { neighbors } = red
  await Promise.all([
    neighbors.add({ address: '10.0.1.7', mac, link: left, state: 'permanent' }),
    neighbors.add({ address: '10.0.1.8', mac: '02-00-00-00-00-0A', link: left, state: 'stale' }),
    neighbors.add({ address: '10.0.2.7', mac, link: 'right', state: 'noarp', protocol: 'bgp' }),
    neighbors.add({ address: 'fd00::0:7', mac, link: left.index, router: true }),
  ])
  const mine = (address: string) => /^(10\.0\.|fd00)/.test(address)
  const list = async (filter: Parameters<typeof neighbors.list>[0]) =>
    (await neighbors.list(filter))
      .map(({ address }) => address)
      .filter(mine)
      .sort()
  t.same(await list({}), ['10.0.1.7', '10.0.1.8', '10.0.2.7', 'fd00::7'])
  t.same(await list({ family: 'inet' }), ['10.0.1.7', '10.0.1.8', '10.0.2.7'])
  t.same(await list({ family: 'inet6' }), ['fd00::7'])
  t.same(await list({ link: left }), ['10.0.1.7', '10.0.1.8', 'fd00::7'])
  t.same(await list({ link: 'right' }), ['10.0.2.7'])
  t.same(await list({ link: right.index, family: 'inet6' }), [])
  t.same(await list({ state: 'permanent' }), ['10.0.1.7', 'fd00::7'])
  t.same(await list({ state: ['stale', 'noarp'] }), ['10.0.1.8', '10.0.2.7'])
  t.same(await list({ state: 'none' }), [])
  t.same(await list({ mac: '02:00:00:00:00:0A' }), ['10.0.1.8'], 'however it is written')
  t.same(await list({ address: 'FD00:0::7' }), ['fd00::7'])
  t.same(await list({ protocol: 'bgp' }), ['10.0.2.7'])
  const streamed: string[] = []
  for await (const { address } of neighbors.stream({ link: left, family: 'inet' })) streamed.push(address)
  t.same(streamed.sort(), ['10.0.1.7', '10.0.1.8'], 'stream gives the same')
  const [six] = await neighbors.list({ address: 'fd00::7' })
  t.match(six, { family: 'inet6', index: left.index, mac, state: 'permanent', flags: ['router'], type: 'unicast' })
  t.equal(typeof six?.cacheInfo?.updated, 'number')
  await t.rejects(neighbors.list({ link: 'none' }), { code: 'ENODEV', message: /^filter\.link 'none' in/ })
  await refused(
    t,
    'state',
    () => neighbors.list({ state: 'dead' as Wrong }),
    VALUE,
    "filter.state 'dead': expected one of",
  )
  await refused(t, 'state', () => neighbors.list({ state: ['dead' as Wrong] }), VALUE, "filter.state[0] 'dead'")
  await refused(t, 'key', () => neighbors.list({ dev: 'x' } as Wrong), VALUE, "filter 'dev': is not an option here")
  await refused(t, 'family', () => neighbors.list({ family: 4 } as Wrong), TYPE, 'filter.family')
})

t.test('neighbors on the ports of a bridge', namespaces, async (t) => {
  const { red, left, right } = await cable(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, up: true, ports: [left] })
  await red.neighbors.add({ address: '10.0.1.7', mac, link: left })
  await red.neighbors.add({ address: '10.0.2.7', mac, link: right })
  const found = await red.neighbors.list({ master: br0, state: 'permanent' })
  t.same(
    found.map(({ address }) => address),
    ['10.0.1.7'],
  )
})

t.test('add, replace, ensure, remove', namespaces, async (t) => {
  const { red, left } = await cable(t)
  const { neighbors } = red
  const wish = { address: '10.0.1.7', mac, link: left } as const
  await neighbors.add(wish)
  t.match(await neighbors.get({ address: wish.address, link: left }), { mac, state: 'permanent', flags: [] })
  await t.rejects(neighbors.add(wish), {
    code: 'EEXIST',
    syscall: 'RTM_NEWNEIGH',
    message: /^cannot add the neighbor 10\.0\.1\.7: /,
  })
  const other = '02:00:00:00:00:08'
  await neighbors.replace({ ...wish, mac: other, externallyLearned: true, state: 'noarp' })
  const match = { address: '10.0.1.7', link: left }
  t.match(await neighbors.get(match), { mac: other, state: 'noarp', flags: ['externallyLearned'] })
  const events = await eventsOf(t, red, [rtnetlinkConstants.RTNLGRP_NEIGH])
  const told = async () => (await events()).filter((name) => name.endsWith('NEIGH'))
  t.match(await neighbors.ensure({ ...wish, mac: other, state: 'noarp' }), { changed: false, neighbor: { mac: other } })
  t.same(await told(), [], 'nothing was touched')
  t.match(await neighbors.ensure(wish), { changed: true, neighbor: { mac, state: 'permanent' } })
  t.same(await told(), ['RTM_NEWNEIGH'])
  t.match(await neighbors.ensure(wish), { changed: false })
  t.match(await neighbors.ensure({ ...wish, address: '10.0.1.9' }), { changed: true })
  await neighbors.remove(match)
  await t.rejects(neighbors.remove(match), { code: 'ENOENT', syscall: 'RTM_DELNEIGH' })
  t.equal(await neighbors.find(match), undefined)
  await t.rejects(neighbors.get(match), { code: 'ENOENT', message: /^no neighbor 10\.0\.1\.7 in namespace/ })
  // Requests of one tick keep their order.
  await Promise.all([neighbors.add(wish), neighbors.remove(match), neighbors.add(wish), neighbors.remove(match)])
  t.equal(await neighbors.find(match), undefined)
  await neighbors.add({ address: 'fd00::9', link: left, use: true })
  t.match(await neighbors.get({ address: 'fd00::9', link: left }), { state: /^(incomplete|probe|failed|none)$/ })
  await t.rejects(neighbors.add({ address: '10.0.1.20', link: left, state: 'permanent' }), { code: 'EINVAL' })
  await t.rejects(neighbors.find({ address: '10.0.1.20', link: 'none' }), { code: 'ENODEV' })
})

t.test('states that the kernel looks after', namespaces, async (t) => {
  const { red, left } = await cable(t)
  const wish = { address: '10.0.1.7', mac, link: left, state: 'reachable' } as const
  await red.neighbors.add(wish)
  await red.neighbors.replace({ ...wish, state: 'stale' })
  t.match(await red.neighbors.ensure(wish), { changed: false, neighbor: { state: 'stale' } })
  await red.neighbors.replace({ ...wish, state: ['noarp', 'permanent'] })
  t.same((await red.neighbors.get({ address: wish.address, link: left })).state, ['noarp', 'permanent'])
  t.match(await red.neighbors.ensure({ ...wish, state: ['noarp', 'permanent'] }), { changed: false })
  t.match(await red.neighbors.ensure({ ...wish, state: 'noarp' }), { changed: true })
})

t.test('managed neighbors', await needs('namespaces', 'kernel:5.16'), async (t) => {
  const { red, left } = await cable(t)
  await red.neighbors.add({ address: '10.0.1.7', link: left, managed: true })
  const match = { address: '10.0.1.7', link: left }
  t.match(await red.neighbors.get(match), { flags: ['managed'] })
  t.match(await red.neighbors.ensure({ ...match, managed: true }), { changed: false })
})

t.test('flush', namespaces, async (t) => {
  const { red, left } = await cable(t)
  for (const [i, state] of (['permanent', 'noarp', 'stale', 'reachable'] as const).entries())
    await red.neighbors.add({ address: `10.0.1.${i + 10}`, mac, link: left, state })
  const gone = await red.neighbors.flush({ link: left, family: 'inet' })
  t.same(gone.map(({ address }) => address).sort(), ['10.0.1.12', '10.0.1.13'])
  const rest = async () => (await red.neighbors.list({ link: left, mac })).map(({ address }) => address).sort()
  t.same(await rest(), ['10.0.1.10', '10.0.1.11'])
  await red.neighbors.flush({ link: left, state: 'permanent' })
  t.same(await rest(), ['10.0.1.11'])
})

t.test('proxies', namespaces, async (t) => {
  const { red, left } = await cable(t)
  const { proxies } = red.neighbors
  await proxies.add({ address: '10.0.1.50', link: left })
  await proxies.add({ address: 'fd00::50', link: 'left', router: true, protocol: 'bgp' })
  await proxies.add({ address: '10.9.9.9' })
  await t.rejects(proxies.add({ address: '10.0.1.50', link: left }), { code: 'EEXIST', syscall: 'RTM_NEWNEIGH' })
  const list = async (filter: Parameters<typeof proxies.list>[0]) =>
    (await proxies.list(filter)).map(({ address }) => address).sort()
  t.same(await list({}), ['10.0.1.50', '10.9.9.9', 'fd00::50'])
  t.same(await list({ link: left }), ['10.0.1.50', 'fd00::50'])
  t.same(await list({ family: 'inet6' }), ['fd00::50'])
  t.same(await red.neighbors.list({ address: '10.0.1.50' }), [], 'they are no neighbors')
  t.match(await proxies.get({ address: 'fd00::50', link: left }), { flags: ['proxy', 'router'], protocol: 'bgp' })
  t.match(await proxies.get({ address: '10.9.9.9' }), { index: 0, flags: ['proxy'] })
  t.match(await proxies.ensure({ address: 'fd00::50', link: left, router: true }), { changed: false })
  t.match(await proxies.ensure({ address: 'fd00::50', link: left, router: false }), {
    changed: true,
    proxy: { flags: ['proxy'] },
  })
  await proxies.remove({ address: '10.0.1.50', link: left })
  await t.rejects(proxies.remove({ address: '10.0.1.50', link: left }), { code: 'ENOENT' })
  await t.rejects(proxies.get({ address: '10.0.1.50', link: left }), { code: 'ENOENT', message: /^no proxy for 10\.0/ })
  await proxies.remove({ address: '10.9.9.9' })
  const streamed: string[] = []
  for await (const { address } of proxies.stream()) streamed.push(address)
  t.same(streamed, ['fd00::50'])
})

t.test('tables and parameters', namespaces, async (t) => {
  const { red, left } = await cable(t)
  const { neighborTables } = red
  const rows = await neighborTables.list()
  const own = rows.filter(({ index }) => index === undefined).map(({ name, family }) => [family, name])
  t.same(own, [
    ['inet', 'arp_cache'],
    ['inet6', 'ndisc_cache'],
  ])
  const arp = await neighborTables.get({ family: 'inet' })
  t.ok(
    (arp.threshold1 ?? 0) > 0 &&
      (arp.threshold3 ?? 0) > (arp.threshold2 ?? 0) &&
      (arp.statistics?.allocations ?? 0) > 0,
  )
  await neighborTables.set({
    family: 'inet',
    link: left,
    baseReachableTime: 45_000,
    unicastProbes: 7,
    queueBytes: 5000,
  })
  const row = await neighborTables.get({ family: 'inet', link: left })
  t.match(row.parameters, { baseReachableTime: 45_000, unicastProbes: 7 })
  const sysctl = (name: string) => red.sysctl.get(`net.ipv4.neigh.left.${name}`)
  t.same([sysctl('base_reachable_time_ms'), sysctl('ucast_solicit')], ['45000', '7'])
  const six = await neighborTables.get({ family: 'inet6', link: left })
  t.not(six.parameters.unicastProbes, 7, 'of the other family nothing changed')
  await t.rejects(neighborTables.set({ family: 'inet', threshold1: 100 }), {
    code: 'EPERM',
    message: /^cannot change the table arp_cache: limits and what new links begin with/,
  })
  await t.rejects(neighborTables.set({ family: 'inet', link: 4_000_000, queueBytes: 5000 }), { code: 'ENOENT' })
  const set = (changes: Wrong) => neighborTables.set(changes)
  await refused(t, 'family', () => set({}), TYPE, 'changes.family must be one of inet, inet6')
  await refused(t, 'read-only', () => set({ family: 'inet', reachableTime: 1 }), VALUE, "changes 'reachableTime'")
  await refused(t, 'range', () => set({ family: 'inet', queueBytes: -1 }), RANGE, 'changes.queueBytes must be from 0')
})

t.test('wrong input', namespaces, async (t) => {
  const { red, left } = await cable(t)
  const add = (neighbor: Wrong) => red.neighbors.add(neighbor)
  const good = { address: '10.0.1.7', mac, link: left }
  await refused(t, 'nothing', () => add(undefined), TYPE, 'neighbor must be an object')
  await refused(t, 'address', () => add({ ...good, address: '10.0.1' }), VALUE, "neighbor.address '10.0.1'")
  await refused(t, 'prefix', () => add({ ...good, address: '10.0.1.7/24' }), VALUE, "neighbor.address '10.0.1.7/24'")
  await refused(t, 'mac', () => add({ ...good, mac: '02:zz' }), VALUE, "neighbor.mac '02:zz': a hardware address is")
  await refused(t, 'no mac', () => add({ ...good, mac: undefined }), TYPE, 'neighbor.mac must be a string, unless')
  await refused(t, 'no link', () => add({ ...good, link: undefined }), TYPE, 'neighbor.link must be a Link')
  await refused(
    t,
    'state',
    () => add({ ...good, state: 'dead' }),
    VALUE,
    "neighbor.state 'dead': expected one of none,",
  )
  await refused(t, 'router', () => add({ ...good, router: 1 }), TYPE, 'neighbor.router must be true or false')
  await refused(t, 'protocol', () => add({ ...good, protocol: 'x' }), VALUE, "neighbor.protocol 'x'")
  await refused(
    t,
    'typo',
    () => add({ ...good, stat: 'stale' }),
    VALUE,
    "neighbor 'stat': is not an option here; did you",
  )
  for (const method of ['find', 'get', 'remove'] as const) {
    const name = method === 'remove' ? 'neighbor' : 'match'
    const look = (match: Wrong) => red.neighbors[method](match)
    await refused(t, method, () => look({ address: '10.0.1.7' }), TYPE, `${name}.link must be a Link`)
    await refused(t, method, () => look({ ...good }), VALUE, `${name} 'mac': is not an option here`)
  }
  await refused(t, 'proxy', () => red.neighbors.proxies.add({ ...good } as Wrong), VALUE, "proxy 'mac'")
})
