/** Forwarding entries that netkit makes, as `bridge fdb` shows them, and the other way round. */
import t from 'tap'
import { createBridge, createVeth, type FdbEntry, type Link, type Namespace, type NewFdbEntry } from '../dist/index.js'
import { needs } from './support/needs.js'
import { ipDo, scratch } from './support/scratch.js'

// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
type Json = any

const mac = '02:00:00:00:00:07'

interface Fabric {
  red: Namespace
  br0: Link<'bridge'>
  left: Link
  vx: Link
}

async function fabric(t: Parameters<typeof scratch>[0]): Promise<Fabric> {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left] = await createVeth({ name: 'left', ...up }, { name: 'left-end', ...up })
  const br0 = await createBridge({ name: 'br0', ...up, mac: '02:00:00:00:00:01', ports: [left] })
  await ipDo(red, ...'link add vx10 type vxlan id 10 dstport 4789 local 10.9.0.1 nolearning'.split(' '))
  await ipDo(red, ...'link set vx10 master br0 addrgenmode none up'.split(' '))
  return { red, br0, left, vx: await red.links.get('vx10') }
}

const flags: [iproute2: string, netkit: string][] = [
  ['self', 'self'],
  ['extern_learn', 'externallyLearned'],
  ['sticky', 'sticky'],
  ['router', 'router'],
  ['offload', 'offloaded'],
]

function byIp(json: Json): object {
  const words: string[] = json.flags.map((word: string) => flags.find(([theirs]) => theirs === word)?.[1] ?? word)
  return {
    mac: json.mac,
    link: json.ifname,
    master: json.master,
    vlan: json.vlan,
    destination: json.dst,
    destinationPort: json.port,
    vni: json.vni,
    via: json.viaIf,
    state: json.state === '' ? 'dynamic' : json.state,
    flags: words.sort(),
  }
}

function byNetkit(entry: FdbEntry, names: Map<number, string>): object {
  const { mac, index, master, vlan, destination, destinationPort, vni, via, state, flags } = entry
  return {
    mac,
    link: names.get(index),
    master: master === undefined ? undefined : names.get(master),
    vlan,
    destination,
    destinationPort,
    vni,
    via: via === undefined ? undefined : names.get(via),
    state,
    flags: [...flags].sort(),
  }
}

const inOrder = (rows: object[]) =>
  rows
    .map((row) => JSON.stringify(row))
    .sort()
    .map((row) => JSON.parse(row))

/** What both show of a namespace, or with the same words of a part of it. */
async function both(red: Namespace, words: string[], listed: Promise<FdbEntry[]>) {
  const { stdout } = await red.exec('bridge', ['-j', '-d', '-s', 'fdb', 'show', ...words], { check: true })
  const shown: Json[] = JSON.parse(stdout)
  const names = new Map((await red.links.list()).map(({ index, name }) => [index, name]))
  return {
    iproute2: inOrder(shown.map((json) => byIp({ ifname: words[1], ...json }))),
    netkit: inOrder((await listed).map((entry) => byNetkit(entry, names))),
  }
}

async function compare(t: Parameters<typeof scratch>[0], { red, br0, vx, left }: Fabric, what: string) {
  const all = await both(red, [], red.fdb.list())
  t.same(all.netkit, all.iproute2, what)
  const ofBridge = await both(red, ['br', 'br0'], br0.fdb.list())
  t.same(ofBridge.netkit, ofBridge.iproute2, `${what}: of the bridge`)
  for (const link of [vx, left]) {
    const ofLink = await both(red, ['dev', link.name], link.fdb.list())
    t.same(ofLink.netkit, ofLink.iproute2, `${what}: at ${link.name}`)
  }
  return all.netkit
}

const able = await needs('namespaces', 'ip', 'bridge', 'kind:vxlan')

t.test('what netkit makes', able, async (t) => {
  const net = await fabric(t)
  const { br0, left, vx } = net
  const cases: [link: Link, asked: NewFdbEntry, shown: Json][] = [
    [br0, { mac, port: left }, { ifname: 'left', master: 'br0', state: 'static', flags: [] }],
    [br0, { mac: '02:00:00:00:00:08', port: left, state: 'permanent' }, { state: 'permanent', master: 'br0' }],
    [br0, { mac: '02:00:00:00:00:09', port: left, state: 'dynamic' }, { state: '', master: 'br0' }],
    [br0, { mac: '02:00:00:00:00:0a', port: left, sticky: true }, { flags: ['sticky'] }],
    [br0, { mac: '02:00:00:00:00:0b', port: left, externallyLearned: true }, { flags: ['extern_learn'] }],
    [br0, { mac: '02:00:00:00:00:0d' }, { ifname: 'br0', master: 'br0', state: 'permanent' }],
    [vx, { mac, destination: '10.9.0.2' }, { ifname: 'vx10', dst: '10.9.0.2', flags: ['self'], state: 'permanent' }],
    [vx, { mac: '02:00:00:00:00:0e', destination: '10.9.0.2', state: 'static' }, { state: 'static' }],
    [vx, { mac: '02:00:00:00:00:0f', destination: '10.9.0.2', state: 'dynamic' }, { state: '' }],
    [
      vx,
      { mac: '02:00:00:00:00:10', destination: '10.9.0.2', destinationPort: 8472, vni: 99, via: 'left-end' },
      { dst: '10.9.0.2', port: 8472, vni: 99, viaIf: 'left-end' },
    ],
    [
      vx,
      { mac: '02:00:00:00:00:11', destination: '10.9.0.2', externallyLearned: true },
      { flags: ['self', 'extern_learn'] },
    ],
    [vx, { mac: '00:00:00:00:00:00', destination: '10.9.0.3' }, { dst: '10.9.0.3', flags: ['self'] }],
    [left, { mac: '02:00:00:00:00:12' }, { ifname: 'left', flags: ['self'], state: 'permanent' }],
  ]
  const shown = async (): Promise<Json[]> => {
    const { stdout } = await net.red.exec('bridge', ['-j', '-d', 'fdb', 'show'], { check: true })
    return JSON.parse(stdout)
  }
  for (const [link, asked, expected] of cases) {
    const before = new Set((await shown()).map((row) => JSON.stringify(row)))
    await link.fdb.add(asked)
    const made = (await shown()).filter((row) => !before.has(JSON.stringify(row)))
    // Where bridges have VLANs, an entry of no VLAN is in those of its port, too.
    const plain = made.filter(({ vlan }) => vlan === undefined)
    t.equal(plain.length, 1, JSON.stringify(expected))
    t.match(plain[0], { mac: asked.mac, ...expected })
  }
  const entries = await compare(t, net, 'both read the same')
  t.ok(entries.length > cases.length)
  for (const [link, { mac, port, destination, vni, destinationPort, via }] of cases)
    await link.fdb.remove({ mac, port: link === br0 ? port : undefined, destination, vni, destinationPort, via })
  const rest = await compare(t, net, 'after all were removed')
  t.same(
    rest.filter((entry) => cases.some(([, { mac }]) => (entry as FdbEntry).mac === mac)),
    [],
  )
})

t.test('what iproute2 makes', able, async (t) => {
  const net = await fabric(t)
  const commands = [
    '02:00:00:00:00:21 dev left master static',
    '02:00:00:00:00:22 dev left master permanent',
    '02:00:00:00:00:23 dev left master dynamic',
    '02:00:00:00:00:24 dev left master static sticky',
    '02:00:00:00:00:25 dev left master extern_learn',
    '02:00:00:00:00:26 dev left self',
    '02:00:00:00:00:27 dev br0 self',
    '02:00:00:00:00:28 dev vx10 dst 10.9.0.2',
    '02:00:00:00:00:29 dev vx10 dst 10.9.0.2 port 99 vni 7 via left-end static',
    '02:00:00:00:00:2a dev vx10 dst 10.9.0.2 self master dynamic',
    '00:00:00:00:00:00 dev vx10 dst 10.9.0.2',
    '02:00:00:00:00:2b dev vx10 dst 10.9.0.2 extern_learn router',
  ]
  let read = (await compare(t, net, 'before')).length
  for (const command of commands) {
    await net.red.exec('bridge', ['fdb', 'add', ...command.split(' ')], { check: true })
    const entries = await compare(t, net, command)
    t.ok(entries.length > read, 'one more')
    read = entries.length
  }
  await net.red.exec('bridge', 'fdb append 00:00:00:00:00:00 dev vx10 dst 10.9.0.3'.split(' '), { check: true })
  t.equal((await compare(t, net, 'appended')).length, read + 1)
})

t.test('VLANs', await needs('namespaces', 'ip', 'bridge', 'kind:vxlan', 'bridge:vlan-filtering'), async (t) => {
  const net = await fabric(t)
  await net.br0.set({ vlanFiltering: true })
  await net.br0.fdb.add({ mac, port: net.left, vlan: 1 })
  await net.br0.fdb.add({ mac: '02:00:00:00:00:08', port: net.left })
  await net.red.exec('bridge', 'fdb add 02:00:00:00:00:21 dev left master static vlan 1'.split(' '), { check: true })
  const entries = await compare(t, net, 'with VLANs')
  t.equal(entries.filter((entry) => (entry as FdbEntry).vlan === 1 && (entry as FdbEntry).state === 'static').length, 3)
})
