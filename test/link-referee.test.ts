/** Links that netkit makes, as iproute2 shows them. */
import t from 'tap'
import { createBridge, createLink, createVeth, type Link } from '../dist/index.js'
import { needs } from './support/needs.js'
import { bothOf } from './support/referee.js'
import { ip, scratch } from './support/scratch.js'

/** Every option that all links have, with what `ip -j -d link` shows for it. */
const common = {
  mtu: 1400,
  mac: '02:00:00:00:00:aa',
  arp: false,
  multicast: false,
  allMulticast: true,
  promiscuous: true,
  alias: 'to the other side ✓',
  group: 7,
  txQueueLength: 77,
  gsoMaxSize: 40_000,
  gsoMaxSegments: 64,
  groMaxSize: 50_000,
  addressGeneration: 'none',
  broadcast: 'ff:ff:ff:ff:ff:00',
  linkMode: 'dormant',
  dynamic: true,
  trailers: false,
} as const
const shown = {
  mtu: 1400,
  address: '02:00:00:00:00:aa',
  flags: ['ALLMULTI', 'BROADCAST', 'DYNAMIC', 'NOARP', 'NOTRAILERS', 'PROMISC'],
  ifalias: 'to the other side ✓',
  group: '7',
  txqlen: 77,
  gso_max_size: 40_000,
  gso_max_segs: 64,
  gro_max_size: 50_000,
  inet6_addr_gen_mode: 'none',
  promiscuity: 1,
  allmulti: 1,
  broadcast: 'ff:ff:ff:ff:ff:00',
  linkmode: 'DORMANT',
}

/** iproute2 adds two of its own. */
const flagsOf = (flags: readonly string[]) => flags.filter((flag) => flag !== 'M-DOWN' && flag !== 'NO-CARRIER').sort()

t.test('every common option of a new link', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const makers: Record<string, () => Promise<Link>> = {
    createLink: () => createLink({ kind: 'bridge', name: 'link', namespace: red, ...common }),
    createBridge: () => createBridge({ name: 'bridge', namespace: red, ...common }),
    'links.add': () => red.links.add({ kind: 'bridge', name: 'added', ...common }),
    'the left end of a veth': async () => (await createVeth({ name: 'left', namespace: red, ...common }))[0],
    'the right end of a veth': async () => (await createVeth({}, { name: 'right', namespace: red, ...common }))[1],
    'the far end of a veth': async () =>
      (await createVeth({ namespace: box }, { name: 'far', namespace: red, ...common }))[1],
  }
  for (const [what, make] of Object.entries(makers)) {
    const link = await make()
    const [json] = await ip(red, 'link', 'show', link.name)
    t.match({ ...json, flags: flagsOf(json.flags) }, shown, what)
    const { mtu, mac, alias, group, txQueueLength, addressGeneration } = link
    const same = { mtu, mac, alias, group, txQueueLength, addressGeneration }
    t.match(common, same, `${what}: the object says the same`)
    t.same(flagsOf(link.flags), shown.flags)
    await link.delete()
  }
})

t.test('every common option that is set', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red })
  t.equal(await left.set(common), left, 'resolves to the link')
  const [json] = await ip(red, 'link', 'show', 'left')
  t.match({ ...json, flags: flagsOf(json.flags) }, shown)
  await left.set({
    arp: true,
    multicast: true,
    allMulticast: false,
    promiscuous: false,
    alias: '',
    group: 0,
    dynamic: false,
    trailers: true,
    linkMode: 'default',
  })
  const [back] = await ip(red, 'link', 'show', 'left')
  t.same(flagsOf(back.flags), ['BROADCAST', 'MULTICAST'])
  t.match(
    back,
    { group: 'default', promiscuity: 0, allmulti: 0, mtu: 1400, linkmode: 'DEFAULT' },
    'what is not given stays',
  )
  t.notOk('ifalias' in back)
  t.notOk(left.alias)
  for (const addressGeneration of ['eui64', 'random', 'none'] as const) {
    await left.set({ addressGeneration })
    const [{ inet6_addr_gen_mode }] = await ip(red, 'link', 'show', 'left')
    t.equal(inet6_addr_gen_mode, addressGeneration)
  }
})

t.test('no IPv6 address is made when none is to be', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const up = { up: true, addressGeneration: 'none' } as const
  const [left, right] = await createVeth({ namespace: red, ...up }, { namespace: red, ...up })
  const [third, fourth] = await createVeth({ namespace: red }, { namespace: red, up: true, addressGeneration: 'eui64' })
  await third.set(up)
  t.ok(left.up && right.up && third.up && fourth.up)
  await Promise.all([left, right, third, fourth].map((link) => link.waitFor({ running: true })))
  const list = await red.addresses.list({ family: 'inet6', scope: 'link' })
  t.same(
    list.map(({ index }) => index),
    [fourth.index],
  )
})

t.test('queues, index and a name by number', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [left, right] = await createVeth(
    { name: 'cable%d', namespace: red, index: 400, txQueues: 3, rxQueues: 2 },
    { name: 'cable%d', namespace: red, index: 500, txQueues: 2, rxQueues: 4 },
  )
  t.same([left.name, right.name, left.index, right.index].sort(), [400, 500, 'cable0', 'cable1'])
  const [near] = await ip(red, 'link', 'show', left.name)
  t.match(near, { ifindex: 400, link: right.name, num_tx_queues: 3, num_rx_queues: 2 })
  const [far] = await ip(red, 'link', 'show', right.name)
  t.match(far, { ifindex: 500, link: left.name, num_tx_queues: 2, num_rx_queues: 4 })
  const bridge = await createBridge({ namespace: red })
  t.equal(bridge.name, 'bridge0', 'without a name, the kernel makes one of the kind')
  const unnamed = await createVeth({ namespace: red }, { namespace: red })
  t.same(unnamed.map(({ name }) => name).sort(), ['veth0', 'veth1'])
})

t.test('what is made reads as iproute2 reads it', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const bridge = await createBridge({ name: 'br0', namespace: red, up: true })
  await createVeth(
    { name: 'in', namespace: red, master: bridge, up: true, ...common },
    { name: 'out', namespace: box, up: true },
  )
  const other = await createBridge({ name: 'br1', namespace: box })
  const [, far] = await createVeth(
    { name: 'near', namespace: red },
    { name: 'far', namespace: box, master: other, up: true },
  )
  t.equal(far.master, other.index, 'the far end is a port at once')
  for (const [namespace, name] of [
    [red, 'br0'],
    [red, 'in'],
    [red, 'near'],
    [box, 'out'],
    [box, 'br1'],
    [box, 'far'],
  ] as const) {
    const { iproute2, netkit } = await bothOf(namespace, name)
    t.same(netkit, iproute2, name)
  }
})
