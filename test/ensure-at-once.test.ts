/** Two `ensure`s of the same thing at once: one makes it, the other finds it. */
import t from 'tap'
import { createBridge, createLink, createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'

const mac = '02:00:00:00:00:07'

interface Place {
  red: Namespace
  left: Link
  bridge: Link
  vxlan: Link
}

type Ensure = (at: Place) => Promise<{ changed: boolean }>

const cases: Record<string, [ensure: Ensure, ...needed: string[]]> = {
  link: [({ red }) => red.links.ensure({ kind: 'bridge', name: 'new' })],
  address: [({ red, left }) => red.addresses.ensure({ link: left, address: '10.5.0.1/24' })],
  route: [({ red }) => red.routes.ensure({ to: '10.9.0.0/16', via: '10.0.0.9' })],
  rule: [({ red }) => red.rules.ensure({ from: '10.5.0.0/24', table: 100 })],
  'nexthop object': [({ red, left }) => red.nexthops.ensure({ via: '10.0.0.9', link: left })],
  neighbor: [({ red, left }) => red.neighbors.ensure({ address: '10.0.0.7', mac, link: left })],
  proxy: [({ red, left }) => red.neighbors.proxies.ensure({ address: '10.0.0.8', link: left })],
  'forwarding entry': [({ bridge }) => bridge.fdb.ensure({ mac, port: 'port' })],
  'forwarding entry of a VXLAN': [({ vxlan }) => vxlan.fdb.ensure({ mac, destination: '10.0.0.9' })],
  'one of several destinations': [
    ({ vxlan }) => vxlan.fdb.ensure({ mac: '00:00:00:00:00:00', destination: '10.0.0.9' }),
  ],
  'multicast entry': [({ bridge }) => bridge.mdb.ensure({ group: '239.0.0.1', port: 'port' })],
  vlan: [({ bridge }) => bridge.vlans.ensure({ id: 10 }), 'bridge:vlan-filtering'],
  tbf: [({ left }) => left.qdiscs.ensure({ kind: 'tbf', rate: '1mbit', burst: 10_000, latency: 50 }), 'qdisc:tbf'],
  htb: [({ left }) => left.qdiscs.ensure({ kind: 'htb', handle: '1:' }), 'qdisc:htb'],
  class: [
    async ({ left }) => {
      if ((await left.qdiscs.find())?.kind !== 'htb') await left.qdiscs.ensure({ kind: 'htb', handle: '1:' })
      return left.classes.ensure({ kind: 'htb', parent: '1:', handle: '1:1', rate: '1mbit' })
    },
    'qdisc:htb',
  ],
  filter: [
    async ({ left }) => {
      await left.qdiscs.ensure({ kind: 'clsact' })
      return left.filters.ensure({ kind: 'u32', parent: 'ingress', preference: 10 })
    },
    'qdisc:clsact',
    'filter:u32',
  ],
  limits: [({ left }) => left.limit({ egress: '10mbit', ingress: '5mbit' }), 'qdisc:tbf', 'qdisc:clsact', 'filter:u32'],
}

for (const [name, [ensure, ...needed]] of Object.entries(cases)) {
  t.test(name, await needs('namespaces', 'kind:vxlan', ...needed), async (t) => {
    const red = await scratch(t)
    const [left] = await createVeth(
      { name: 'left', namespace: red, up: true, addresses: ['10.0.0.1/24'] },
      { name: 'port', namespace: red, up: true },
    )
    const bridge = await createBridge({ name: 'bridge', namespace: red, ports: ['port'], up: true })
    const vxlan = await createLink({ kind: 'vxlan', name: 'vxlan', namespace: red, id: 10, port: 4789, up: true })
    const at = { red, left, bridge, vxlan }
    const done = await Promise.all([ensure(at), ensure(at), ensure(at)])
    t.equal(done.filter(({ changed }) => changed === true).length, 1, 'one of them made it')
    t.equal((await ensure(at)).changed, false)
  })
}

t.test('what looks first is not overtaken', await needs('namespaces', 'kind:vxlan'), async (t) => {
  const red = await scratch(t)
  const vxlan = await createLink({ kind: 'vxlan', name: 'vxlan', namespace: red, id: 10, port: 4789, up: true })
  const bridge = await createBridge({ name: 'bridge', namespace: red, ports: [vxlan], up: true })
  const lo = await red.links.get('lo')
  // biome-ignore lint/suspicious/noExplicitAny: the same verbs of several collections
  const collections: [what: string, collection: any, entry: object, match?: object][] = [
    ['proxy', red.neighbors.proxies, { address: '10.0.0.8', link: lo }],
    ['entry of a bridge, wherever it is', bridge.fdb, { mac, port: vxlan }, { mac }],
    ['entry of a VXLAN', vxlan.fdb, { mac: '02:00:00:00:00:08', destination: '10.0.0.9' }],
    ['entry of both', bridge.fdb, { mac: '02:00:00:00:00:09', port: vxlan, destination: '10.0.0.9' }],
  ]
  for (const [what, collection, entry, match = entry] of collections) {
    const verbs = [
      collection.add(entry),
      collection.remove(match),
      collection.ensure(entry),
      collection.add(entry),
      collection.remove(match),
      collection.add(entry),
      collection.add(entry),
    ]
    const results = await Promise.allSettled(verbs)
    const codes = results.map((one) => (one.status === 'fulfilled' ? 'done' : one.reason.code))
    t.same(codes, ['done', 'done', 'done', 'EEXIST', 'done', 'done', 'EEXIST'], what)
  }
})

t.test('an htb with other options', await needs('namespaces', 'qdisc:htb'), async (t) => {
  const red = await scratch(t)
  const bridge = await createBridge({ name: 'bridge', namespace: red, up: true })
  await bridge.qdiscs.ensure({ kind: 'htb', handle: '1:', defaultClass: '1:10' })
  const ensured = await bridge.qdiscs.ensure({ kind: 'htb', handle: '1:', defaultClass: '1:20' })
  t.match(ensured, { changed: true, qdisc: { kind: 'htb', options: { defaultClass: '1:20' } } })
})
