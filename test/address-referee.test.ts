/** Addresses that netkit gives, as iproute2 shows them, and the other way round. */
import t from 'tap'
import { createBridge, createVeth, type Link, type NewAddress } from '../dist/index.js'
import { needs } from './support/needs.js'
import { bothAddresses } from './support/referee.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const forEver = 4_294_967_295

/** What is asked of netkit, and what `ip -j -d address` shows for it. */
const cases: [what: string, asked: Omit<NewAddress, 'link'>, shown: Record<string, unknown>][] = [
  [
    'IPv4, plain',
    { address: '10.0.1.1/24' },
    { family: 'inet', local: '10.0.1.1', prefixlen: 24, scope: 'global', label: 'eth0', valid_life_time: forEver },
  ],
  ['label', { address: '10.0.2.1/24', label: 'eth0:two' }, { local: '10.0.2.1', label: 'eth0:two' }],
  ['broadcast', { address: '10.0.3.1/24', broadcast: '10.0.3.99' }, { local: '10.0.3.1', broadcast: '10.0.3.99' }],
  ["broadcast '+'", { address: '10.0.4.1/20', broadcast: '+' }, { local: '10.0.4.1', broadcast: '10.0.15.255' }],
  [
    "broadcast '+' of the peer's network",
    { address: '10.0.15.1/32', peer: '10.0.14.2/24', broadcast: '+' },
    { local: '10.0.15.1', broadcast: '10.0.14.255' },
  ],
  [
    "broadcast '+' of two addresses",
    { address: '10.0.13.0/31', broadcast: '+' },
    { local: '10.0.13.0', broadcast: undefined },
  ],
  [
    'peer, a host',
    { address: '10.0.16.1/32', peer: '10.0.16.2' },
    { local: '10.0.16.1', address: '10.0.16.2', prefixlen: 32 },
  ],
  [
    'peer, a network',
    { address: '10.0.17.1/32', peer: '10.0.18.2/24' },
    { local: '10.0.17.1', address: '10.0.18.2', prefixlen: 24 },
  ],
  ['scope link', { address: '10.0.20.1/24', scope: 'link' }, { local: '10.0.20.1', scope: 'link' }],
  ['scope host', { address: '10.0.21.1/32', scope: 'host' }, { local: '10.0.21.1', scope: 'host' }],
  ['scope of the loopback network', { address: '127.7.7.7/8' }, { local: '127.7.7.7', scope: 'host' }],
  ['scope site', { address: '10.0.22.1/32', scope: 'site' }, { local: '10.0.22.1', scope: 'site' }],
  ['metric', { address: '10.0.23.1/24', metric: 77 }, { local: '10.0.23.1', metric: 77 }],
  [
    'no route',
    { address: '10.0.24.1/24', noPrefixRoute: true },
    { local: '10.0.24.1', noprefixroute: true, prefixlen: 24 },
  ],
  [
    'lifetimes',
    { address: '10.0.25.1/24', validLifetime: 5_000_000, preferredLifetime: 3_000_000 },
    { local: '10.0.25.1', dynamic: true, valid_life_time: 5000, preferred_life_time: 3000 },
  ],
  [
    'one lifetime for both',
    { address: '10.0.26.1/24', validLifetime: 6_000_000 },
    { local: '10.0.26.1', dynamic: true, valid_life_time: 6000, preferred_life_time: 6000 },
  ],
  [
    'deprecated at once',
    { address: '10.0.27.1/24', preferredLifetime: 0 },
    // The kernel shows no preferred lifetime of an IPv4 address that is valid for ever.
    { local: '10.0.27.1', deprecated: true, valid_life_time: forEver, preferred_life_time: forEver },
  ],
  ['all zeros after the prefix', { address: '10.0.28.0/31' }, { local: '10.0.28.0', prefixlen: 31 }],
  [
    'IPv6, plain',
    { address: 'fd00:1::1/64' },
    { family: 'inet6', local: 'fd00:1::1', prefixlen: 64, scope: 'global', valid_life_time: forEver },
  ],
  ['IPv6, not in its shortest form', { address: 'FD00:0002:0:0::0001/48' }, { local: 'fd00:2::1', prefixlen: 48 }],
  ['noDad', { address: 'fd00:3::1/64', noDad: true }, { local: 'fd00:3::1', nodad: true }],
  ['IPv6, no route', { address: 'fd00:4::1/64', noPrefixRoute: true }, { local: 'fd00:4::1', noprefixroute: true }],
  [
    'IPv6, peer',
    { address: 'fd00:5::1/128', peer: 'fd00:5::2' },
    { local: 'fd00:5::1', address: 'fd00:5::2', prefixlen: 128 },
  ],
  ['IPv6, metric', { address: 'fd00:6::1/64', metric: 99 }, { local: 'fd00:6::1', metric: 99 }],
  [
    'IPv6, lifetimes',
    { address: 'fd00:7::1/64', validLifetime: 7_000_000, preferredLifetime: 1_000_000 },
    { local: 'fd00:7::1', dynamic: true, valid_life_time: 7000, preferred_life_time: 1000 },
  ],
  ['IPv6, home', { address: 'fd00:8::1/64', home: true }, { local: 'fd00:8::1', home: true }],
  [
    'IPv6, temporary addresses from it',
    { address: 'fd00:9::1/64', manageTemporaryAddresses: true, noDad: true },
    { local: 'fd00:9::1', mngtmpaddr: true, nodad: true },
  ],
  [
    'a multicast group that is joined',
    { address: '239.1.2.3/32', multicastAutoJoin: true },
    { local: '239.1.2.3', autojoin: true },
  ],
  [
    'IPv6, a multicast group that is joined',
    { address: 'ff0e::1:77/128', multicastAutoJoin: true },
    { local: 'ff0e::1:77', autojoin: true },
  ],
  ['IPv6, link-local', { address: 'fe80::77/64' }, { local: 'fe80::77', scope: 'link' }],
]

/** A lifetime that runs may be a second or two shorter when it is looked at. */
function near(actual: unknown, wanted: unknown): boolean {
  if (actual === wanted) return true
  if (typeof actual !== 'number' || typeof wanted !== 'number' || wanted === forEver || wanted === 0) return false
  return actual <= wanted && actual > wanted - 20
}

t.test('what netkit gives', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [eth0] = await createVeth({ name: 'eth0', namespace: red, up: true }, { name: 'far', namespace: red, up: true })
  const ways: Record<string, (link: Link, asked: Omit<NewAddress, 'link'>) => Promise<void>> = {
    'addresses.add': (link, asked) => red.addresses.add({ link, ...asked }),
    'Link#addAddress': (link, { address, ...options }) => link.addAddress(address, options),
    'addresses.replace': (link, asked) => red.addresses.replace({ link, ...asked }),
  }
  for (const [way, add] of Object.entries(ways)) {
    for (const [what, asked, shown] of cases) {
      await add(eth0, asked)
      const [{ addr_info: list }] = await ip(red, 'address', 'show', 'dev', 'eth0')
      const found = list.find(({ local }: { local: string }) => local === shown.local)
      const wrong = Object.entries(shown).filter(([key, value]) => !near(found?.[key], value))
      t.same(wrong, [], `${way}: ${what}`)
    }
    const { iproute2, netkit } = await bothAddresses(red)
    t.same(netkit, iproute2, `${way}: both read the same`)
    const flushed = await eth0.flushAddresses()
    const texts = flushed.map(({ address }) => address)
    t.ok(flushed.length >= cases.length && texts.includes('10.0.17.1/32') && texts.includes('fd00:5::1/128'))
    const [{ addr_info: left }] = await ip(red, 'address', 'show', 'dev', 'eth0')
    t.same(left, [], 'flushed')
  }
})

t.test('addresses of new links', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const addresses = ['10.0.1.1/24', { address: '10.0.1.9/24', label: 'br0:x', metric: 5 }, 'fd00::1/64'] as const
  await createBridge({ name: 'br0', namespace: red, addresses, up: true })
  await createVeth(
    { namespace: red, name: 'left', addresses: ['10.0.2.1/24'] },
    { namespace: box, name: 'right', addresses: ['10.0.2.2/24', { address: 'fd02::2/64', noDad: true }], up: true },
  )
  const seen = async (namespace: typeof red, name: string) => {
    const [{ addr_info: list }] = await ip(namespace, 'address', 'show', 'dev', name)
    return list
      .filter(({ scope }: { scope: string }) => scope !== 'link')
      .map(({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`)
  }
  t.same(await seen(red, 'br0'), ['10.0.1.1/24', '10.0.1.9/24', 'fd00::1/64'])
  t.same(await seen(red, 'left'), ['10.0.2.1/24'])
  t.same(await seen(box, 'right'), ['10.0.2.2/24', 'fd02::2/64'])
  for (const namespace of [red, box]) {
    const { iproute2, netkit } = await bothAddresses(namespace)
    t.same(netkit, iproute2)
  }
})

t.test('what iproute2 gives', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  await ipDo(red, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1')
  await ipDo(red, 'link', 'set', 'eth0', 'up')
  await ipDo(red, 'link', 'set', 'eth1', 'up')
  const commands = [
    '10.0.1.1/24 dev eth0',
    '10.0.1.2/24 dev eth0',
    '10.0.2.1/24 brd + dev eth0 label eth0:b',
    '10.0.2.2/24 brd 10.0.2.77 dev eth1 scope link',
    '10.0.3.1 peer 10.0.3.2 dev eth0',
    '10.0.4.1 peer 10.0.5.1/24 dev eth0 metric 7',
    '10.0.6.1/32 dev lo scope host',
    '10.0.7.1/16 dev eth1 scope 150',
    '10.0.8.1/24 dev eth1 valid_lft 5000 preferred_lft 4000',
    '10.0.9.1/24 dev eth1 preferred_lft 0 noprefixroute',
    'fd01::1/64 dev eth0',
    'fd01::2/64 dev eth0 nodad noprefixroute',
    'fd02::1/64 dev eth1 peer fd02::2/128 metric 50',
    'fd03::1/128 dev lo',
    'fd04::1/64 dev eth1 valid_lft 5000 preferred_lft 0',
    'fd05::1/64 dev eth1 home optimistic',
    '::ffff:10.0.0.1/128 dev lo',
    'fe80::5/64 dev eth1',
  ]
  for (const command of commands) {
    await ipDo(red, 'address', 'add', ...command.split(' '))
    const { iproute2, netkit } = await bothAddresses(red)
    t.same(netkit, iproute2, `ip address add ${command}`)
  }
  await ipDo(red, 'address', 'del', '10.0.1.1/24', 'dev', 'eth0')
  const { iproute2, netkit } = await bothAddresses(red)
  t.same(netkit, iproute2, 'ip address del')
})

t.test('duplicate address detection', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const up = { up: true, addressGeneration: 'none' } as const
  const [left, right] = await createVeth({ namespace: red, ...up }, { namespace: box, ...up })
  await Promise.all([left.waitFor({ running: true }), right.waitFor({ running: true })])
  await left.addAddress('fd00::1/64', { noDad: true })
  const own = await red.addresses.get('fd00::1')
  t.match(own, { flags: ['nodad', 'permanent'] })
  await right.addAddress('fd00::1/64')
  t.ok((await box.addresses.get('fd00::1')).flags.includes('tentative'))
  let flags: readonly string[] = []
  for (let i = 0; i < 300 && !flags.includes('dadfailed'); i++) {
    flags = (await box.addresses.get('fd00::1')).flags
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.ok(flags.includes('dadfailed'), 'the other end has it')
})
