/** Rows of the collections: what `list` gives is taken by the other verbs as it is, and every verb answers alike. */
import t, { type Test } from 'tap'
import { createBridge, createLink, createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { requestsDuring } from './support/netlink.js'
import { refused, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const mac = '02:00:00:00:00:07'

interface Place {
  red: Namespace
  left: Link
  bridge: Link
  vxlan: Link
}

async function place(t: Test): Promise<Place> {
  const red = await scratch(t)
  const [left] = await createVeth(
    { name: 'left', namespace: red, up: true, addresses: ['10.0.0.1/24', { address: 'fd00::1/64', noDad: true }] },
    { name: 'right', namespace: red, up: true },
  )
  const [port] = await createVeth({ name: 'port', namespace: red, up: true }, { name: 'far', namespace: red, up: true })
  const bridge = await createBridge({ name: 'bridge', namespace: red, ports: [port], up: true })
  const vxlan = await createLink({ kind: 'vxlan', name: 'vxlan', namespace: red, id: 10, port: 4789, up: true })
  return { red, left, bridge, vxlan }
}

interface Case {
  of: (at: Place) => Wrong
  /** What `add` is told. */
  new: (at: Place) => Wrong
  /** The row of it. */
  row: (row: Wrong) => boolean
  /** That has no `replace`. */
  fixed?: true
}

const cases: Record<string, Case> = {
  'route, IPv4': {
    of: ({ red }) => red.routes,
    new: () => ({ to: '10.9.0.0/16', via: '10.0.0.9', metric: 5 }),
    row: ({ to }) => to === '10.9.0.0/16',
  },
  'route, IPv6': {
    of: ({ red }) => red.routes,
    new: () => ({ to: 'fd09::/64', via: 'fd00::9' }),
    row: ({ to }) => to === 'fd09::/64',
  },
  'address, IPv4': {
    of: ({ red }) => red.addresses,
    new: ({ left }) => ({ link: left, address: '10.5.0.1/24', label: 'left:1', noPrefixRoute: true, scope: 'link' }),
    row: ({ address }) => address === '10.5.0.1/24',
  },
  'address with a peer': {
    of: ({ red }) => red.addresses,
    new: ({ left }) => ({ link: left, address: '10.6.0.1/32', peer: '10.6.0.2/32', metric: 9 }),
    row: ({ address }) => address === '10.6.0.1/32',
  },
  'address, IPv6': {
    of: ({ red }) => red.addresses,
    new: ({ left }) => ({ link: left, address: 'fd05::1/64', noDad: true }),
    row: ({ address }) => address === 'fd05::1/64',
  },
  rule: {
    of: ({ red }) => red.rules,
    new: () => ({ from: '10.5.0.0/24', table: 100, priority: 77 }),
    row: ({ priority }) => priority === 77,
    fixed: true,
  },
  'nexthop object': {
    of: ({ red }) => red.nexthops,
    new: ({ left }) => ({ id: 9, via: '10.0.0.9', link: left }),
    row: ({ id }) => id === 9,
  },
  neighbor: {
    of: ({ red }) => red.neighbors,
    new: ({ left }) => ({ address: '10.0.0.7', mac, link: left, protocol: 'static' }),
    row: ({ address }) => address === '10.0.0.7',
  },
  'neighbor that is a router': {
    of: ({ red }) => red.neighbors,
    new: ({ left }) => ({ address: 'fd00::7', mac, link: left, state: 'noarp', router: true }),
    row: ({ address }) => address === 'fd00::7',
  },
  proxy: {
    of: ({ red }) => red.neighbors.proxies,
    new: ({ left }) => ({ address: '10.0.0.8', link: left }),
    row: ({ address }) => address === '10.0.0.8',
  },
  'proxy of all links': {
    of: ({ red }) => red.neighbors.proxies,
    new: () => ({ address: '10.0.0.8' }),
    row: ({ address }) => address === '10.0.0.8',
  },
  'forwarding entry of a bridge': {
    of: ({ bridge }) => bridge.fdb,
    new: () => ({ mac, port: 'port', sticky: true }),
    // A bridge with VLANs makes one for each of them, too.
    row: (row) => row.mac === mac && row.vlan === undefined,
  },
  'forwarding entry of the bridge itself': {
    of: ({ bridge }) => bridge.fdb,
    new: () => ({ mac }),
    // A bridge with VLANs makes one for each of them, too.
    row: (row) => row.mac === mac && row.vlan === undefined,
  },
  'forwarding entry of a VXLAN': {
    of: ({ vxlan }) => vxlan.fdb,
    new: () => ({ mac, destination: '10.9.0.2', vni: 11, router: true }),
    row: (row) => row.mac === mac,
  },
  'multicast entry': {
    of: ({ bridge }) => bridge.mdb,
    new: () => ({ group: '239.0.0.1', port: 'port' }),
    row: ({ group }) => group === '239.0.0.1',
  },
  "multicast entry of the bridge's host": {
    of: ({ bridge }) => bridge.mdb,
    new: () => ({ group: '239.0.0.1' }),
    row: ({ group }) => group === '239.0.0.1',
  },
}

/** What does not stay the same: ages. */
const lasting = ({ cacheInfo: _, timer: __, ...row }: Wrong) => row

for (const [name, one] of Object.entries(cases)) {
  t.test(name, await needs('namespaces', 'kind:vxlan'), async (t) => {
    const at = await place(t)
    const collection = one.of(at)
    await collection.add(one.new(at))
    const search = async () => ((await collection.list()) as Wrong[]).find(one.row)
    const row = await search()
    t.ok(row, 'is listed')
    await t.rejects(collection.add(row), { name: 'NetkitError', code: 'EEXIST' })
    t.match(await collection.ensure(row), { changed: false }, 'is as asked')
    t.same(lasting(await collection.find(row)), lasting(row))
    t.same(lasting(await collection.get(row)), lasting(row))
    await collection.remove(row)
    t.equal(await search(), undefined, 'removed')
    t.equal(await collection.find(row), undefined)
    await t.rejects(collection.get(row), { name: 'NetkitError', code: 'ENOENT' })
    await t.rejects(collection.remove(row), { name: 'NetkitError', code: 'ENOENT' })
    for (const verb of ['add', 'ensure', ...(one.fixed ? [] : ['replace'])]) {
      await collection[verb](row)
      t.same(lasting(await search()), lasting(row), `${verb} makes it again`)
      await collection.remove(row)
    }
  })
}

t.test('queueing', await needs('namespaces', 'qdisc:htb', 'qdisc:clsact', 'filter:u32'), async (t) => {
  const { left } = await place(t)
  await left.qdiscs.add({ kind: 'htb', handle: '1:' })
  await left.classes.add({ kind: 'htb', parent: '1:', handle: '1:1', rate: '1mbit' })
  await left.qdiscs.add({ kind: 'clsact' })
  const key = { value: 0, mask: 0, offset: 0 }
  await left.filters.add({ kind: 'u32', parent: 'ingress', preference: 10, keys: [key] } as Wrong)
  for (const collection of [left.filters, left.classes, left.qdiscs] as Wrong[]) {
    const rows: Wrong[] = await collection.list()
    const streamed: Wrong[] = []
    for await (const row of collection.stream()) streamed.push(row)
    t.same(streamed, rows)
    t.ok(rows.length > 0)
    for (const row of rows) {
      t.match(await collection.find(row), { handle: row.handle, kind: row.kind })
      t.match(await collection.get(row), { handle: row.handle, kind: row.kind })
    }
    for (const row of rows.reverse()) {
      await collection.remove(row).catch((error: Wrong) => {
        // The rest of a u32 filter goes with the first of its rows.
        if (collection !== left.filters || error.code !== 'ENOENT') throw error
      })
      t.equal(await collection.find(row), undefined)
      await t.rejects(collection.get(row), { name: 'NetkitError', code: 'ENOENT' })
      await t.rejects(collection.remove(row), { name: 'NetkitError', code: 'ENOENT' })
    }
  }
})

t.test('VLANs', await needs('namespaces', 'kind:vxlan', 'bridge:vlan-filtering'), async (t) => {
  const { vlans } = (await place(t)).bridge
  await vlans.add({ id: 10, to: 12 })
  const [row] = (await vlans.list()).filter(({ id }) => id === 10)
  if (row === undefined) return void t.fail('is not listed')
  t.same(await vlans.find(row), row)
  t.same(await vlans.get(row), row)
  await vlans.remove(row)
  t.equal(await vlans.find(row), undefined)
  await t.rejects(vlans.remove(row), { name: 'NetkitError', code: 'ENOENT' })
})

t.test(
  'filters by protocol, and a word that flush does not know',
  await needs('namespaces', 'filter:u32'),
  async (t) => {
    const { left } = await place(t)
    await left.qdiscs.add({ kind: 'clsact' })
    const match = { destination: '10.0.0.9' }
    await left.filters.add({ kind: 'u32', parent: 'ingress', preference: 10, protocol: 'ip', match })
    t.match(await left.filters.find({ parent: 'ingress', protocol: 'ip' }), { protocol: 'ip' })
    t.match(await left.filters.find({ parent: 'ingress', protocol: 0x0800 }), { protocol: 'ip' }, 'by its number')
    t.equal(await left.filters.find({ parent: 'ingress', protocol: 'ipv6' }), undefined)
    const typo = { parent: 'ingress', chian: 7 } as Wrong
    const message = "filter 'chian': is not an option here; did you mean 'chain'?"
    await refused(t, 'flush', () => left.filters.flush(typo), VALUE, message)
    t.ok((await left.filters.list()).length > 0, 'nothing is flushed by a typo')
  },
)

const verbs = ['add', 'append', 'replace', 'ensure', 'set', 'assign', 'remove', 'find', 'get', 'list']
verbs.push('flush')

t.test(
  'what is no row either is refused before anything is sent',
  await needs('namespaces', 'kind:vxlan'),
  async (t) => {
    const at = await place(t)
    const { left } = at
    const { red, bridge } = at
    const collections: Wrong[] = [...new Set(Object.values(cases).map((one) => one.of(at)))]
    collections.push(left.qdiscs, left.classes, left.filters, bridge.vlans)
    collections.push(red.links, red.fdb, red.qdiscs, red.namespaceIds, red.neighborTables)
    for (const collection of collections) {
      for (const verb of verbs) {
        if (collection[verb] === undefined) continue
        for (const wrong of [null, 7.5, true, [], { adress: '10.0.0.1' }, { nonsense: undefined }]) {
          let error: Wrong
          const sent = await requestsDuring(async () => {
            error = await collection[verb](wrong).catch((reason: unknown) => reason)
          })
          t.match(
            error?.code,
            /^ERR_(INVALID_ARG_(TYPE|VALUE)|OUT_OF_RANGE)$/,
            `${collection.constructor.name}.${verb}(${JSON.stringify(wrong)}): ${error?.message ?? JSON.stringify(error)}`,
          )
          t.equal(sent, 0)
        }
      }
    }
  },
)

t.test('a flush that says nothing removes nothing', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const before = [await red.addresses.list(), await red.rules.list()]
  for (const collection of ['addresses', 'neighbors', 'nexthops', 'routes', 'rules'] as const) {
    for (const filter of [undefined, {}, { family: undefined }]) {
      const flush = () => red[collection].flush(filter as Wrong)
      await refused(t, `${collection} ${JSON.stringify(filter)}`, flush, VALUE, /^filter .*: says nothing; \{ /)
    }
  }
  t.same([await red.addresses.list(), await red.rules.list()], before)
})
