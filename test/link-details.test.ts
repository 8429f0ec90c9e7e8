/** The settings of links that are needed now and then, and what is read of them. */
import t from 'tap'
import { createBridge, createLink, createVeth, type Link, type LinkDetails, openTap } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { bothOf } from './support/referee.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

t.test('the operational state, in the hands of a program', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth(
    { name: 'left', namespace: red, linkMode: 'dormant', up: true },
    { namespace: red, up: true },
  )
  await left.waitFor({ operationalState: 'dormant' })
  t.match(left, { linkMode: 'dormant', running: false, carrier: true })
  t.match(await ip(red, 'link', 'show', 'left'), [{ linkmode: 'DORMANT', operstate: 'DORMANT' }])
  await left.set({ operationalState: 'up' })
  t.equal(left.operationalState, 'up')
  await left.set({ operationalState: 'dormant' })
  t.equal(left.operationalState, 'dormant')
  await ipDo(red, 'link', 'set', 'left', 'state', 'up')
  t.equal((await left.refresh()).operationalState, 'up')
  await left.set({ operationalState: 'testing' })
  const { iproute2, netkit } = await bothOf(red, 'left')
  t.same(netkit, iproute2)
  t.equal(netkit.operationalState, 'TESTING')
  await left.set({ operationalState: 'up', linkMode: 'default' })
  t.match(left, { operationalState: 'up', linkMode: 'default' })
})

t.test('a carrier that is said', await needs('namespaces', 'tun'), async (t) => {
  const red = await scratch(t)
  await using tap = await openTap({ name: 'tap0', namespace: red, up: true })
  const { link } = tap
  await link.waitFor({ running: true })
  t.equal(link.carrier, true)
  await link.set({ carrier: false })
  t.equal(link.carrier, false)
  await link.waitFor({ running: false })
  await link.set({ carrier: true })
  t.equal(link.carrier, true)
  await link.waitFor({ running: true })
  const [left] = await createVeth({ name: 'left', namespace: red }, { namespace: red })
  await t.rejects(left.set({ carrier: true }), { code: 'EOPNOTSUPP', message: /^cannot change left: / })
})

t.test('a carrier from the beginning', await needs('namespaces', 'kind:dummy', 'ip'), async (t) => {
  const red = await scratch(t)
  const link = await createLink({ kind: 'dummy', name: 'dummy0', namespace: red, up: true, carrier: false })
  t.equal(link.carrier, false)
  await link.waitFor({ running: false })
  t.match(await ip(red, 'link', 'show', 'dummy0'), [{ flags: /NO-CARRIER/ }])
})

t.test('held down, with reasons', await needs('namespaces', 'kind:macvlan', 'ip'), async (t) => {
  const red = await scratch(t)
  const [eth0] = await createVeth({ name: 'eth0', namespace: red, up: true }, { namespace: red, up: true })
  await ipDo(red, 'link', 'add', 'mac0', 'link', 'eth0', 'type', 'macvlan')
  const mac0 = await red.links.get('mac0')
  t.match(mac0, { protocolDown: false, protocolDownReasons: [] })
  await mac0.set({ protocolDownReasons: [1, 5] })
  await mac0.set({ protocolDown: true })
  t.match(mac0, { protocolDown: true, protocolDownReasons: [1, 5] })
  const { iproute2, netkit } = await bothOf(red, 'mac0')
  t.same(netkit, iproute2)
  await t.rejects(mac0.set({ protocolDown: false }), { code: 'EBUSY' })
  await mac0.set({ protocolDownReasons: [] })
  await mac0.set({ protocolDown: false })
  t.match(mac0, { protocolDown: false, protocolDownReasons: [] })
  await ipDo(red, 'link', 'set', 'mac0', 'protodown_reason', '3', 'on')
  t.same((await mac0.refresh()).protocolDownReasons, [3])
  await t.rejects(eth0.set({ protocolDown: true }), { code: 'EOPNOTSUPP' })
})

t.test('IPv6 token', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [eth0] = await createVeth(
    { name: 'eth0', namespace: red, up: true, ipv6Token: '::cafe' },
    { namespace: red, up: true },
  )
  await eth0.refresh()
  t.equal(eth0.ipv6Token, '::cafe')
  t.match(await ip(red, 'token', 'get', 'dev', 'eth0'), [{ token: '::cafe', ifname: 'eth0' }])
  await eth0.set({ ipv6Token: '::1:2:3:4', addressGeneration: 'none' })
  t.match(eth0, { ipv6Token: '::1:2:3:4', addressGeneration: 'none' })
  await ipDo(red, 'token', 'set', '::77', 'dev', 'eth0')
  t.equal((await eth0.refresh()).ipv6Token, '::77')
  await eth0.set({ ipv6Token: '::' })
  t.equal(eth0.ipv6Token, undefined)
  await eth0.set({ arp: false })
  await t.rejects(eth0.set({ ipv6Token: '::1' }), { code: 'EINVAL' })
})

t.test("GSO and GRO sizes of IPv4's own", await needs('namespaces', 'kernel:6.3'), async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ namespace: red, gsoIpv4MaxSize: 30_000 }, { namespace: red })
  t.equal(left.attributes.gsoIpv4MaxSize, 30_000)
  await left.set({ groIpv4MaxSize: 20_000 })
  t.equal(left.attributes.groIpv4MaxSize, 20_000)
})

t.test('properties that only tell', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, up: true })
  const [left] = await createVeth({ name: 'left', namespace: red, master: br0 }, { name: 'right', namespace: red })
  t.equal(left.promiscuity, 1, "a bridge's port sees all frames")
  await left.set({ promiscuous: true })
  t.equal(left.promiscuity, 2)
  await left.set({ allMulticast: true })
  t.equal(left.allMulticastCount, (await ip(red, 'link', 'show', 'left'))[0].allmulti)
  t.match(left, { broadcast: 'ff:ff:ff:ff:ff:ff', protocolDown: false, xdp: undefined, virtualFunctions: [] })
  t.equal(left.permanentMac, undefined)
  t.equal((await red.links.get('lo')).broadcast, '00:00:00:00:00:00')
})

t.test('ensure compares every one', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const details: LinkDetails = {
    broadcast: 'FF:FF:FF:FF:FF:0A',
    linkMode: 'dormant',
    dynamic: true,
    trailers: false,
    ipv6Token: '0::00CA',
    ipv4: { rpFilter: 2, proxyArp: true },
  }
  const wish = { kind: 'bridge', name: 'br0', up: true, ...details } as const
  await red.links.add(wish)
  const events = await eventsOf(t, red)
  const { changes } = await red.links.ensure(wish)
  t.same(changes, [])
  t.same(await events(), [], 'nothing was touched')
  const others: LinkDetails = {
    broadcast: 'ff:ff:ff:ff:ff:ff',
    linkMode: 'default',
    dynamic: false,
    trailers: true,
    ipv6Token: '::',
    ipv4: { rpFilter: 1 },
  }
  const second = await red.links.ensure({ kind: 'bridge', name: 'br0', ...others })
  t.same(second.changes.sort(), Object.keys(others).sort())
  t.same((await red.links.ensure({ kind: 'bridge', name: 'br0', ...others })).changes, [])
  t.match(second.link.ipv4, { rpFilter: 1, proxyArp: true })
})

t.test('wrong input', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ namespace: red }, { namespace: red })
  const wrong: [Wrong, string, string][] = [
    [{ broadcast: 'all' }, VALUE, "changes.broadcast 'all': a MAC address is"],
    [{ carrier: 1 }, TYPE, 'changes.carrier must be true or false'],
    [{ operationalState: 'down' }, VALUE, "changes.operationalState 'down': expected one of up, dormant, testing"],
    [{ linkMode: 'on' }, VALUE, "changes.linkMode 'on': expected one of default, dormant, testing"],
    [{ protocolDown: 'yes' }, TYPE, 'changes.protocolDown must be true or false'],
    [{ protocolDownReasons: 3 }, TYPE, 'changes.protocolDownReasons must be an array of numbers'],
    [{ protocolDownReasons: [32] }, RANGE, 'changes.protocolDownReasons[0] must be from 0 to 31'],
    [{ dynamic: 0 }, TYPE, 'changes.dynamic must be true or false'],
    [{ ipv6Token: '1' }, VALUE, "changes.ipv6Token '1'"],
    [{ ipv6Token: '10.0.0.1' }, VALUE, "changes.ipv6Token '10.0.0.1': is not an IPv6 address"],
    [{ ipv6Token: 'fd00::1' }, VALUE, "changes.ipv6Token 'fd00::1': has more than its last 64 bits"],
    [{ ipv4: 7 }, TYPE, 'changes.ipv4 must be an object'],
    [{ ipv4: { rp_filter: 1 } }, VALUE, "changes.ipv4 'rp_filter': is not an option here; did you mean 'rpFilter'?"],
    [{ ipv4: { rpFilter: true } }, TYPE, 'changes.ipv4.rpFilter must be an integer'],
    [{ ipv4: { rpFilter: 2 ** 31 } }, RANGE, 'changes.ipv4.rpFilter must be from'],
    [{ ipv4: { forwarding: 1 } }, TYPE, 'changes.ipv4.forwarding must be true or false'],
    [{ ipv4: { mcForwarding: true } }, VALUE, "changes.ipv4 'mcForwarding': is not an option here"],
    [{ index: 5 }, VALUE, 'changes.index 5: is for a link that moves'],
    [{ gsoIpv4MaxSize: -1 }, RANGE, 'changes.gsoIpv4MaxSize must be from 0'],
  ]
  for (const [changes, code, message] of wrong) {
    await refused(t, JSON.stringify(changes), () => left.set(changes), code, message)
  }
  const add = (options: Wrong): Promise<Link> => red.links.add({ kind: 'bridge', ...options })
  await refused(t, 'when creating', () => add({ ipv6Token: 'x' }), VALUE, 'options.ipv6Token')
})
