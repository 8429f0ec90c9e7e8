/** Neighbors, proxies and neighbor tables that netkit makes, as iproute2 shows them, and the other way round. */
import t from 'tap'
import { createVeth, type Link, type Namespace, type Neighbor, type NewNeighbor } from '../dist/index.js'
import { needs } from './support/needs.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const able = await needs('namespaces', 'ip')
const mac = '02:00:00:00:00:07'
// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any

async function cable(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; left: Link }> {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left, right] = await createVeth({ name: 'left', ...up }, { name: 'right', ...up })
  await Promise.all([left.waitFor({ running: true }), right.waitFor({ running: true })])
  return { red, left }
}

function byIp(json: Json): object {
  const flags: string[] = []
  if (json.router !== undefined) flags.push('router')
  if (json.extern_learn !== undefined) flags.push('externallyLearned')
  if (json.managed !== undefined) flags.push('managed')
  if (json.proxy !== undefined) flags.push('proxy')
  return {
    address: json.dst,
    link: json.dev,
    mac: json.lladdr,
    state: (json.state ?? []).join().toLowerCase(),
    flags: flags.sort(),
    protocol: json.protocol,
  }
}

function byNetkit(neighbor: Neighbor, name: string): object {
  const { address, mac, state, flags, protocol } = neighbor
  return {
    address,
    link: name,
    mac,
    state: [state].flat().join(),
    flags: flags.filter((flag) => flag !== 'use').sort(),
    protocol: protocol === undefined || protocol === 'unspec' ? undefined : String(protocol),
  }
}

/** Both lists of what is on one link, in one order; the multicast addresses that the kernel adds are left out. */
async function both(red: Namespace, link: Link): Promise<{ iproute2: object[]; netkit: object[] }> {
  const order = (rows: object[]) =>
    rows
      .map((row) => JSON.stringify(row))
      .sort()
      .map((row) => JSON.parse(row))
  const mine = ({ address }: { address?: string }) => !/^(22|ff)/.test(address ?? '')
  const shown: Json[] = await ip(red, 'neigh', 'show', 'dev', link.name, 'nud', 'all')
  const listed = await red.neighbors.list({ link })
  return {
    iproute2: order(shown.map((json) => byIp({ dev: link.name, ...json })).filter(mine)),
    netkit: order(listed.filter(mine).map((neighbor) => byNetkit(neighbor, link.name))),
  }
}

const cases: [asked: Omit<NewNeighbor, 'link'>, shown: object][] = [
  [
    { address: '10.0.1.7', mac },
    { state: 'permanent', mac, flags: [] },
  ],
  [{ address: '10.0.1.8', mac, state: 'noarp' }, { state: 'noarp' }],
  [{ address: '10.0.1.9', mac, state: 'reachable' }, { state: 'reachable' }],
  [{ address: '10.0.1.10', mac, state: 'stale' }, { state: 'stale' }],
  [{ address: '10.0.1.11', mac, externallyLearned: true, state: 'noarp' }, { flags: ['externallyLearned'] }],
  [{ address: '10.0.1.12', mac, protocol: 'bgp' }, { protocol: 'bgp' }],
  [
    { address: 'fd00::7', mac, router: true },
    { state: 'permanent', flags: ['router'] },
  ],
  [
    { address: 'fd00::8', mac, state: 'stale', protocol: 'zebra' },
    { state: 'stale', protocol: 'zebra' },
  ],
]

t.test('what netkit makes', able, async (t) => {
  const { red, left } = await cable(t)
  for (const method of ['add', 'replace'] as const) {
    for (const [asked, shown] of cases) {
      await red.neighbors[method]({ ...asked, link: left })
      const { iproute2 } = await both(red, left)
      const found = iproute2.find((row) => (row as Neighbor).address === asked.address)
      t.match(found, shown, `${method} ${JSON.stringify(asked)}`)
    }
    const { iproute2, netkit } = await both(red, left)
    t.equal(netkit.length, cases.length)
    t.same(netkit, iproute2, 'both read the same')
    if (method === 'replace') continue
    for (const [{ address }] of cases) await red.neighbors.remove({ address, link: left })
    t.same((await both(red, left)).iproute2, [], 'nothing is left')
  }
})

t.test('what iproute2 makes', able, async (t) => {
  const { red, left } = await cable(t)
  const commands = [
    '10.0.1.7 lladdr 02:00:00:00:00:01 nud permanent',
    '10.0.1.8 lladdr 02:00:00:00:00:02 nud noarp',
    '10.0.1.9 lladdr 02:00:00:00:00:03 nud reachable',
    '10.0.1.10 lladdr 02:00:00:00:00:04 nud stale router',
    '10.0.1.11 lladdr 02:00:00:00:00:05 nud noarp extern_learn',
    '10.0.1.12 lladdr 02:00:00:00:00:06 protocol bgp',
    'fd00::7 lladdr 02:00:00:00:00:07 router',
    'fd00::8 lladdr 02:00:00:00:00:08 nud stale',
  ]
  for (const [i, command] of commands.entries()) {
    await ipDo(red, 'neigh', 'add', ...command.split(' '), 'dev', 'left')
    const { iproute2, netkit } = await both(red, left)
    t.equal(netkit.length, i + 1)
    t.same(netkit, iproute2, command)
  }
})

t.test('proxies', able, async (t) => {
  const { red, left } = await cable(t)
  await red.neighbors.proxies.add({ address: '10.0.1.50', link: left })
  await ipDo(red, 'neigh', 'add', 'proxy', 'fd00::50', 'dev', 'left', 'router')
  const shown = [...(await ip(red, 'neigh', 'show', 'proxy')), ...(await ip(red, '-6', 'neigh', 'show', 'proxy'))]
  const theirs = new Set(shown.map((json) => `${json.dst} ${json.dev} ${json.router !== undefined}`))
  const ours = (await red.neighbors.proxies.list()).map(
    ({ address, flags }) => `${address} left ${flags.includes('router')}`,
  )
  t.same([...theirs].sort(), ours.sort())
  t.equal(ours.length, 2)
})

t.test('tables', able, async (t) => {
  const { red, left } = await cable(t)
  await red.neighborTables.set({ family: 'inet', link: left, staleTime: 70_000, delayProbeTime: 3000, proxyDelay: 500 })
  await ipDo(
    red,
    'ntable',
    'change',
    'name',
    'ndisc_cache',
    'dev',
    'left',
    'base_reachable',
    '50000',
    'ucast_probes',
    '4',
  )
  const names = new Map((await red.links.list()).map(({ index, name }) => [index, name]))
  const shown: Json[] = await ip(red, 'ntable', 'show')
  const theirs = shown.map((json) => [
    json.family,
    json.name,
    json.dev,
    json.thresh1,
    json.thresh3,
    json.gc_interval,
    json.base_reachable,
    json.retrans,
    json.gc_stale,
    json.delay_probe,
    json.ucast_probes,
    json.mcast_probes,
    json.app_probes,
    json.anycast_delay,
    json.proxy_delay,
    json.proxy_queue,
    json.locktime,
  ])
  const ours = (await red.neighborTables.list()).map((row) => [
    row.family,
    row.name,
    row.index === undefined ? undefined : names.get(row.index),
    row.threshold1,
    row.threshold3,
    row.collectionInterval,
    row.parameters.baseReachableTime,
    row.parameters.retransmitTime,
    row.parameters.staleTime,
    row.parameters.delayProbeTime,
    row.parameters.unicastProbes,
    row.parameters.multicastProbes,
    row.parameters.applicationProbes,
    row.parameters.anycastDelay,
    row.parameters.proxyDelay,
    row.parameters.proxyQueueLength,
    row.parameters.lockTime,
  ])
  t.same(ours, theirs)
  t.ok(ours.some((row) => row[2] === 'left' && row[8] === 70_000 && row[9] === 3000 && row[14] === 500))
  t.ok(ours.some((row) => row[1] === 'ndisc_cache' && row[2] === 'left' && row[6] === 50_000 && row[10] === 4))
})
