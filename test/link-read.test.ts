/** Links that iproute2 makes, as netkit reads them; and kinds that netkit has no table for. */
import t from 'tap'
import { createBridge, createLink, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { bothLinks, bothOf } from './support/referee.js'
import { ip, ipDo, joined, scratch } from './support/scratch.js'

t.test('what iproute2 makes', await needs('namespaces', 'ip', 'ping'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const target = `/proc/${process.pid}/fd/${box.fd}`
  const steps: string[][] = [
    ['link', 'set', 'lo', 'down'],
    ['link', 'set', 'lo', 'up'],
    ['link', 'add', 'br0', 'type', 'bridge', 'stp_state', '1', 'priority', '4096', 'ageing_time', '1000'],
    ['link', 'add', 'br1', 'index', '77', 'type', 'bridge', 'group_fwd_mask', '8', 'no_linklocal_learn', '1'],
    ['link', 'set', 'br1', 'type', 'bridge', 'mcast_snooping', '0', 'mcast_router', '2', 'hello_time', '300'],
    ['link', 'add', 'v0', 'mtu', '1400', 'txqueuelen', '50', 'type', 'veth', 'peer', 'name', 'v1', 'mtu', '1300'],
    ['link', 'add', 'v2', 'numtxqueues', '4', 'numrxqueues', '2', 'type', 'veth', 'peer', 'name', 'v3'],
    ['link', 'add', 'out', 'type', 'veth', 'peer', 'name', 'in', 'netns', target],
    ['link', 'set', 'v0', 'master', 'br0', 'up'],
    ['link', 'set', 'v1', 'address', '02:00:00:00:01:01', 'arp', 'off', 'multicast', 'off', 'up'],
    ['link', 'set', 'v2', 'alias', 'two words and ünicode', 'group', '9', 'allmulticast', 'on', 'promisc', 'on'],
    ['link', 'set', 'v2', 'gso_max_size', '30000', 'gso_max_segs', '20', 'addrgenmode', 'none'],
    ['link', 'set', 'v3', 'gro_max_size', '40000', 'addrgenmode', 'random', 'up'],
    ['link', 'property', 'add', 'dev', 'v2', 'altname', 'a-name-longer-than-fifteen-bytes'],
    ['link', 'property', 'add', 'dev', 'v2', 'altname', 'second'],
    ['link', 'set', 'br0', 'up'],
    ['link', 'set', 'br1', 'address', '02:00:00:00:00:77', 'mtu', '9000'],
    ['link', 'add', 'cap0', 'type', 'ifb'],
    ['link', 'set', 'v3', 'nomaster', 'down'],
  ]
  const lacking: string[] = []
  for (const step of steps) {
    await ipDo(red, ...step).catch((error: Error & { stderr?: string }) => {
      if (!/Unknown device type|not supported/.test(`${error.message} ${error.stderr}`)) throw error
      lacking.push(step.join(' '))
    })
    const { iproute2, netkit } = await bothLinks(red)
    t.same(netkit, iproute2, `ip ${step.join(' ')}`)
  }
  if (lacking.length > 0) t.comment(`this kernel lacks: ${lacking.join('; ')}`)
  t.ok(lacking.length < 3, 'nearly all of it was made')
  const inside = await bothLinks(box)
  t.same(inside.netkit, inside.iproute2, 'the end in another namespace')
  t.equal(inside.netkit.length, 2)
})

t.test('counters after traffic', await needs('namespaces', 'ip', 'ping'), async (t) => {
  const [left] = await joined(t)
  const link = await left.links.get('left')
  await link.waitFor({ running: true })
  await left.exec('ping', ['-c', '3', '-i', '0.05', '-s', '1000', '10.0.1.2'], { check: true })
  const { iproute2, netkit } = await bothOf(left, 'left')
  t.same(netkit, iproute2)
  await link.refresh()
  t.ok((link.stats?.sentPackets ?? 0) >= 3)
  t.ok((link.stats?.receivedBytes ?? 0) >= 3 * 1000)
})

t.test('every field of a link', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  await ipDo(red, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
  await ipDo(red, 'link', 'property', 'add', 'dev', 'v0', 'altname', 'the-other-name-of-v0')
  const link = await red.links.get('v0')
  const [peer] = await ip(red, 'link', 'show', 'v1')
  t.match(link, { kind: 'veth', name: 'v0', mtu: 1500, up: false, running: false, operationalState: 'down', group: 0 })
  t.equal(link.parent, peer.ifindex)
  t.equal(link.master, undefined)
  t.equal(link.alias, undefined)
  t.same(link.options, {}, 'a veth has none')
  t.same(link.alternativeNames, ['the-other-name-of-v0'])
  t.equal(link.namespace, red)
  const lo = await red.links.get(1)
  t.equal(lo.kind, undefined)
  t.same(lo.flags, ['UP', 'LOOPBACK', 'RUNNING', 'LOWER_UP'])
  t.equal(lo.operationalState, 'unknown')
})

/** Attributes as the raw options of a kind have them. */
const u8 = (value: number) => Uint8Array.of(value)
const little16 = (value: number) => new Uint8Array(Uint16Array.of(value).buffer)
const big16 = (value: number) => Uint8Array.of(value >> 8, value & 0xff)
const hex = (bytes: unknown) => Buffer.from(bytes as Uint8Array).toString('hex')

interface RawKind {
  kind: string
  /** What the link stands on. */
  parent?: boolean
  /** What iproute2 is told, and the same as raw attributes of linux/if_link.h. */
  arguments: string[]
  data: Record<`#${number}`, Uint8Array>
  /** What iproute2 shows of it. */
  shown: object
}

const raw: RawKind[] = [
  {
    kind: 'bareudp',
    arguments: ['dstport', '6635', 'ethertype', 'ipv4', 'srcportmin', '12345'],
    // IFLA_BAREUDP_PORT, _ETHERTYPE (both in network byte order), _SRCPORT_MIN
    data: { '#1': big16(6635), '#2': big16(0x0800), '#3': little16(12_345) },
    shown: { info_kind: 'bareudp', info_data: { dstport: 6635, srcportmin: 12_345 } },
  },
  {
    kind: 'macsec',
    parent: true,
    arguments: ['encrypt', 'on'],
    // IFLA_MACSEC_ENCRYPT
    data: { '#7': u8(1) },
    shown: { info_kind: 'macsec', info_data: { encrypt: true } },
  },
]

async function made(red: Namespace, { kind, parent, arguments: more }: RawKind): Promise<string | undefined> {
  const under = parent === true ? ['link', 'under'] : []
  try {
    await ipDo(red, 'link', 'add', 'theirs', ...under, 'type', kind, ...more)
    return undefined
  } catch (error) {
    return `${(error as Error).message} ${(error as { stderr?: string }).stderr}`
  }
}

for (const one of raw) {
  const { kind, data, shown, parent } = one
  t.test(`kind ${kind}, which has no table`, await needs('namespaces', 'ip'), async (t) => {
    const red = await scratch(t)
    const under = await createBridge({ name: 'under', namespace: red })
    const refused = await made(red, one)
    if (refused !== undefined && /Unknown device type/.test(refused)) {
      await t.rejects(createLink({ kind, namespace: red, data }), { code: 'EOPNOTSUPP', syscall: 'RTM_NEWLINK' })
      t.comment(`this kernel has no ${kind}`)
      return
    }
    t.equal(refused, undefined)
    const theirs = await red.links.get('theirs')
    t.equal(theirs.kind, kind)
    for (const [key, bytes] of Object.entries(data)) t.equal(hex(theirs.options[key]), hex(bytes), `${kind} ${key}`)
    await theirs.delete()
    const below = parent === true ? { parent: under } : {}
    const ours = await createLink({ kind, name: 'ours', namespace: red, data, alias: 'raw', ...below })
    if (parent === true) t.equal(ours.parent, under.index)
    const [json] = await ip(red, 'link', 'show', 'ours')
    t.match(json.linkinfo, shown)
    t.equal(json.ifalias, 'raw')
    for (const [key, bytes] of Object.entries(data)) t.equal(hex(ours.options[key]), hex(bytes), `${kind} ${key}`)
    t.match(ours.toJSON().options, Object.fromEntries(Object.entries(data).map(([key, bytes]) => [key, hex(bytes)])))
    const again = await red.links.ensure({ kind, name: 'ours', data, ...below })
    t.same(again.changes, [], 'ensure compares raw attributes too')
    const another = { code: 'EEXIST', message: /a link of that name has parent/ }
    await t.rejects(red.links.ensure({ kind, name: 'ours', data, parent: 'lo' }), another)
    const { iproute2, netkit } = await bothOf(red, 'ours')
    t.same(netkit, iproute2)
    const same: Link = await red.links.get(ours)
    t.same(same.toJSON(), ours.toJSON())
  })
}
