/** The collection of addresses: list, find, get, add, replace, ensure, remove; and the same through a Link. */
import t from 'tap'
import { createBridge, createVeth, type Link, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { refused, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

/** Two bridges on which the kernel makes no addresses of its own. */
async function twoBridges(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; br0: Link; br1: Link }> {
  const red = await scratch(t)
  const options = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [br0, br1] = await Promise.all(['br0', 'br1'].map((name) => createBridge({ name, ...options })))
  return { red, br0: br0 as Link, br1: br1 as Link }
}

const textsOf = (list: readonly { address: string }[]) => list.map(({ address }) => address).sort()

t.test('list and its filters', namespaces, async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  await Promise.all([
    br0.addAddress('10.0.1.1/24'),
    br0.addAddress('10.0.2.1/24', { scope: 'link' }),
    br1.addAddress('10.0.1.1/25'),
    br1.addAddress('fd00::1/64'),
  ])
  const list = async (filter: Parameters<typeof red.addresses.list>[0]) => textsOf(await red.addresses.list(filter))
  const loopback = ['127.0.0.1/8', '::1/128']
  t.same(await list({}), ['10.0.1.1/24', '10.0.1.1/25', '10.0.2.1/24', ...loopback, 'fd00::1/64'].sort())
  t.same(textsOf(await red.addresses.list()), await list({}), 'no filter is an empty one')
  t.same(await list({ link: br0 }), ['10.0.1.1/24', '10.0.2.1/24'])
  t.same(await list({ link: 'br1' }), ['10.0.1.1/25', 'fd00::1/64'])
  t.same(await list({ link: br1.index, family: 'inet6' }), ['fd00::1/64'])
  t.same(await list({ family: 'inet6' }), ['::1/128', 'fd00::1/64'])
  t.same(await list({ scope: 'link' }), ['10.0.2.1/24'])
  t.same(await list({ scope: 'host' }), loopback)
  t.same(await list({ scope: 77 }), [])
  t.same(await list({ address: '10.0.1.1' }), ['10.0.1.1/24', '10.0.1.1/25'], 'without a prefix length: any')
  t.same(await list({ address: '10.0.1.1/25' }), ['10.0.1.1/25'])
  t.same(await list({ address: 'FD00:0::1' }), ['fd00::1/64'], 'however it is written')
  t.same(await list({ address: '10.0.1.1', link: br1 }), ['10.0.1.1/25'])
  t.same(await list({ address: '10.0.1.1', family: 'inet6' }), [])
  t.same(await list({ address: '10.0.1.9' }), [])
  await t.rejects(red.addresses.list({ link: 'none' }), { code: 'ENODEV', message: /filter\.link 'none' in/ })
  await t.rejects(red.addresses.list({ link: 7777 }), { code: 'ENODEV' }, 'an index that nobody has')
})

t.test('find and get', namespaces, async (t) => {
  const { red, br0 } = await twoBridges(t)
  await br0.addAddress('10.0.1.1/24', { label: 'br0:x' })
  const address = await red.addresses.get('10.0.1.1')
  t.same(address, {
    family: 'inet',
    address: '10.0.1.1/24',
    index: br0.index,
    scope: 'global',
    flags: ['permanent'],
    label: 'br0:x',
    validLifetime: Number.POSITIVE_INFINITY,
    preferredLifetime: Number.POSITIVE_INFINITY,
  })
  t.same(await red.addresses.find({ link: br0 }), address)
  t.equal(await red.addresses.find('10.0.1.2'), undefined)
  await t.rejects(red.addresses.get('10.0.1.2'), { code: 'ENOENT', message: /no address 10\.0\.1\.2 in namespace/ })
  await t.rejects(red.addresses.get({ link: br0, family: 'inet6' }), { code: 'ENOENT' })
})

t.test('add', namespaces, async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  const link = br0
  t.equal(await red.addresses.add({ link, address: '10.0.1.1/24' }), undefined)
  const twice = { code: 'EEXIST', syscall: 'RTM_NEWADDR', message: /cannot add 10\.0\.1\.1\/24 to br0/ }
  await t.rejects(red.addresses.add({ link, address: '10.0.1.1/24' }), twice)
  await t.rejects(br0.addAddress('10.0.1.1/24'), twice)
  await t.rejects(red.addresses.add({ link: 'br0', address: '10.0.1.1/24', label: 'br0:2' }), twice)
  await red.addresses.add({ link, address: '10.0.1.1/25' })
  await red.addresses.add({ link: br1, address: '10.0.1.1/24' })
  await br0.addAddress('fd00::1/64')
  await t.rejects(br0.addAddress('fd00::1/64'), { code: 'EEXIST' })
  await t.rejects(red.addresses.add({ link: 'none', address: '10.0.1.1/24' }), {
    code: 'ENODEV',
    message: /^options\.link 'none' in namespace \d+: no such device \(ENODEV, RTM_GETLINK\)$/,
  })
  await t.rejects(red.addresses.add({ link: 7777, address: '10.0.1.1/24' }), { code: 'ENODEV' })
  await t.rejects(red.addresses.add({ link: 7777, address: 'fd00::1/64' }), { code: 'ENODEV' })
  t.same(textsOf(await red.addresses.list({ link })), ['10.0.1.1/24', '10.0.1.1/25', 'fd00::1/64'])
})

t.test('replace', namespaces, async (t) => {
  const { red, br0: link } = await twoBridges(t)
  await red.addresses.replace({ link, address: '10.0.1.1/24' })
  t.equal((await red.addresses.get('10.0.1.1')).metric, undefined, 'makes one that is not there')
  await red.addresses.replace({ link, address: '10.0.1.1/24', metric: 9, validLifetime: 900_000 })
  const four = await red.addresses.get('10.0.1.1')
  t.equal(four.metric, 9)
  t.ok(four.validLifetime > 800_000 && four.validLifetime <= 900_000, 'changes the lifetimes')
  await red.addresses.replace({ link, address: '10.0.1.1/24' })
  t.equal((await red.addresses.get('10.0.1.1')).validLifetime, Number.POSITIVE_INFINITY)
  await link.addAddress('fd00::1/64', { noDad: true })
  await red.addresses.replace({ link, address: 'fd00::1/64', metric: 9, noDad: true, noPrefixRoute: true })
  t.match(await red.addresses.get('fd00::1'), { metric: 9, flags: /nodad.*noprefixroute/ })
  t.equal((await red.addresses.list({ link })).length, 2)
})

t.test('ensure touches nothing that is as asked', namespaces, async (t) => {
  const { red, br0: link } = await twoBridges(t)
  const events = await eventsOf(t, red)
  const wishes = [
    { address: '10.0.1.1/24' },
    { address: '10.0.2.1/24', label: 'br0:two', broadcast: '+', metric: 5 },
    { address: '10.0.3.1/24', broadcast: '10.0.3.9', scope: 'link', noPrefixRoute: true },
    { address: '10.0.4.1/32', peer: '10.0.4.2' },
    { address: '10.0.4.1/32', peer: '10.0.5.2/24' },
    { address: '10.0.7.1/32', peer: '10.0.8.2/24', broadcast: '+' },
    { address: '10.0.9.0/31', broadcast: '+' },
    { address: '10.0.9.9/32', broadcast: '+' },
    { address: '10.0.6.1/24', preferredLifetime: 0, metric: 0 },
    { address: 'FD00::0:1/64', noDad: true, scope: 'global' },
    { address: 'fd01::1/128', peer: 'FD01::2' },
    { address: 'fe80::5/64', scope: 'link' },
  ] as const
  for (const wish of wishes) {
    const what = JSON.stringify(wish)
    const first = await red.addresses.ensure({ link, ...wish })
    t.equal(first.changed, true, `${what} is made`)
    t.ok((await events()).includes('RTM_NEWADDR'))
    const second = await red.addresses.ensure({ link: 'br0', ...wish })
    t.equal(second.changed, false, `${what} is there`)
    t.same(second.address.address, first.address.address)
    t.same(second.address.peer, first.address.peer)
    // The end of duplicate address detection is told as an event of its own.
    const told = (await events()).filter((type) => type !== 'RTM_NEWADDR' || !wish.address.startsWith('f'))
    t.same(told, [], 'nothing was touched')
  }
  t.equal((await red.addresses.list({ link })).length, wishes.length)
})

t.test('ensure changes what can be changed, and says so', namespaces, async (t) => {
  const { red, br0: link } = await twoBridges(t)
  await link.addAddress('10.0.1.1/24', { metric: 5 })
  const metric = await red.addresses.ensure({ link, address: '10.0.1.1/24', metric: 6 })
  t.match(metric, { changed: true, address: { metric: 6 } })
  const lifetime = await red.addresses.ensure({ link, address: '10.0.1.1/24', validLifetime: 700_000 })
  t.equal(lifetime.changed, true)
  t.ok(lifetime.address.validLifetime <= 700_000)
  const forEver = await red.addresses.ensure({ link, address: '10.0.1.1/24', validLifetime: Number.POSITIVE_INFINITY })
  t.match(forEver, { changed: true, address: { validLifetime: Number.POSITIVE_INFINITY } })
  await link.addAddress('fd00::1/64')
  const flags = await red.addresses.ensure({ link, address: 'fd00::1/64', noPrefixRoute: true })
  t.match(flags, { changed: true, address: { flags: /noprefixroute/ } })
  const peer = await red.addresses.ensure({ link, address: 'fd00::1/64', peer: 'fd00::2' })
  t.match(peer.changed, true)

  const another = (what: RegExp) => ({ code: 'EEXIST', message: what })
  await t.rejects(red.addresses.ensure({ link, address: '10.0.1.1/24', label: 'br0:x' }), another(/another label/))
  await t.rejects(red.addresses.ensure({ link, address: '10.0.1.1/24', scope: 'link' }), another(/another scope/))
  await t.rejects(red.addresses.ensure({ link, address: '10.0.1.1/24', broadcast: '+' }), another(/another broadcast/))
  await link.addAddress('fd07::1/64')
  await t.rejects(red.addresses.ensure({ link, address: 'fd07::1/128' }), another(/another prefix length/))
  const kept = await red.addresses.get('10.0.1.1')
  t.match(kept, { label: 'br0', scope: 'global' }, 'what is there stays')
})

t.test('ensure leaves what is not asked for', namespaces, async (t) => {
  const { red, br0: link } = await twoBridges(t)
  const { addresses } = red
  const is = async (address: string) => {
    const { validLifetime: valid, preferredLifetime: preferred, ...rest } = await addresses.get(address)
    // What runs may be a second or two shorter.
    return { ...rest, valid: Math.ceil(valid / 100_000), preferred: Math.ceil(preferred / 100_000) }
  }
  const lifetimes = { validLifetime: 900_000, preferredLifetime: 700_000 }
  for (const [address, text, more] of [
    ['10.0.1.1', '10.0.1.1/24', { broadcast: '+', label: 'br0:x' }],
    ['fd00::1', 'fd00::1/64', { noDad: true, noPrefixRoute: true }],
    ['fd00::2', 'fd00::2/128', { noDad: true, peer: 'fd00::3' }],
  ] as const) {
    await addresses.add({ link, address: text, metric: 5, ...lifetimes, ...more })
    const before = await is(address)
    t.match(before, { metric: 5, valid: 9, preferred: 7 })
    const wish = { link, address: text } as const
    await addresses.ensure({ ...wish, metric: 6 })
    t.same(await is(address), { ...before, metric: 6 }, `${address}: metric`)
    await addresses.ensure({ ...wish, preferredLifetime: 200_000 })
    t.same(await is(address), { ...before, metric: 6, preferred: 2 }, `${address}: preferredLifetime`)
    await addresses.ensure({ ...wish, preferredLifetime: 1_000_000 })
    t.same(await is(address), { ...before, metric: 6, preferred: 10, valid: 10 }, 'it cannot be the longer one')
    await addresses.ensure({ ...wish, validLifetime: 300_000 })
    t.same(await is(address), { ...before, metric: 6, preferred: 3, valid: 3 }, 'validLifetime stands for both')
  }
  await addresses.ensure({ link, address: 'fd00::1/64', noPrefixRoute: false })
  const { flags, metric } = await addresses.get('fd00::1')
  t.ok(flags.includes('nodad') && !flags.includes('noprefixroute') && metric === 6, 'one flag of two')
  await addresses.ensure({ link, address: 'fd00::2/128', peer: 'fd00::4' })
  t.match(await is('fd00::2'), { peer: 'fd00::4/128', metric: 6, valid: 3, flags: /nodad/ })

  await addresses.add({ link, address: '10.0.2.1/24', preferredLifetime: 0 })
  t.match(await addresses.ensure({ link, address: '10.0.2.1/24', metric: 9 }), { address: { flags: /deprecated/ } })
  const again = { link, address: '10.0.2.1/24', preferredLifetime: Number.POSITIVE_INFINITY } as const
  const { changed, address } = await addresses.ensure(again)
  t.match([changed, address.metric, address.flags], [true, 9, ['permanent']], 'and is deprecated no more')
})

t.test('ensure leaves flags that it has no word for', await needs('namespaces', 'ip'), async (t) => {
  const { red, br0: link } = await twoBridges(t)
  await ipDo(red, 'address', 'add', 'fd00::1/64', 'dev', 'br0', 'home', 'mngtmpaddr', 'nodad')
  const { changed, address } = await red.addresses.ensure({ link, address: 'fd00::1/64', metric: 9 })
  t.match([changed, address.metric], [true, 9])
  for (const flag of ['home', 'mngtmpaddr', 'nodad'] as const) t.ok(address.flags.includes(flag), flag)
})

t.test("ensure and the broadcast address '+'", namespaces, async (t) => {
  const { red, br0: link } = await twoBridges(t)
  const { addresses } = red
  const broadcast = '+'
  const ensured = async (wish: { address: string; peer?: string }) => {
    const { changed, address } = await addresses.ensure({ link, broadcast, ...wish })
    return [changed, address.broadcast]
  }
  t.same(await ensured({ address: '10.0.1.1/30' }), [true, '10.0.1.3'])
  t.same(await ensured({ address: '10.0.2.0/31' }), [true, undefined])
  t.same(await ensured({ address: '10.0.3.1/32' }), [true, undefined])
  t.same(await ensured({ address: '10.0.4.1/32', peer: '10.0.5.2/24' }), [true, '10.0.5.255'], "the peer's network's")
  t.same(await ensured({ address: '10.0.4.1/32', peer: '10.0.6.2' }), [true, undefined])
  t.same(await ensured({ address: '10.0.4.1/32', peer: '10.0.5.2/24' }), [false, '10.0.5.255'])
  await addresses.add({ link, address: '10.0.7.1/32', broadcast: '10.0.7.9' })
  await t.rejects(ensured({ address: '10.0.7.1/32' }), { code: 'EEXIST', message: /another broadcast/ })
})

t.test('ensure of the same address at the same time', namespaces, async (t) => {
  const { red, br0: link } = await twoBridges(t)
  for (const address of ['10.0.1.1/24', 'fd00::1/64']) {
    const all = await Promise.all(Array.from({ length: 5 }, () => red.addresses.ensure({ link, address })))
    t.equal(all.filter(({ changed }) => changed).length, 1, `one made ${address}`)
    for (const one of all) t.equal(one.address.address, address)
  }
  await red.addresses.add({ link, address: '10.0.2.1/32', peer: '10.0.3.2/24' })
  const other = red.addresses.ensure({ link, address: '10.0.2.1/32', peer: '10.0.3.3/24' })
  await t.rejects(other, { code: 'EEXIST' }, 'the kernel has one a network, whatever the peer')
})

t.test('remove', await needs('namespaces', 'ip'), async (t) => {
  const { red, br0: link } = await twoBridges(t)
  const addresses = ['10.0.1.1/24', '10.0.1.2/24', 'fd00::1/64'] as const
  for (const address of addresses) await link.addAddress(address)
  await ipDo(red, 'address', 'add', '10.9.0.1', 'peer', '10.9.0.2', 'dev', 'br0')
  await red.addresses.remove({ link, address: '10.0.1.2/24' })
  await link.removeAddress('fd00::1/64')
  const missing = { code: 'ENOENT', syscall: 'RTM_DELADDR', message: /^cannot remove .+ from br0: no such address/ }
  await t.rejects(red.addresses.remove({ link, address: '10.0.1.2/24' }), missing)
  await t.rejects(link.removeAddress('fd00::1/64'), missing)
  await t.rejects(link.removeAddress('10.0.1.1/25'), missing, 'another prefix length is another address')
  await t.rejects(link.removeAddress('10.9.0.1/32'), missing, 'one with a peer is named with it')
  await link.removeAddress({ address: '10.9.0.1/32', peer: '10.9.0.2' })
  await t.rejects(red.addresses.remove({ link: 'none', address: '10.0.1.2/24' }), { code: 'ENODEV' })
  const [{ addr_info: list }] = await ip(red, 'address', 'show', 'dev', 'br0')
  t.same(
    list.map(({ local }: { local: string }) => local),
    ['10.0.1.1'],
  )
})

t.test('flush', namespaces, async (t) => {
  const { red, br0, br1 } = await twoBridges(t)
  const all = ['10.0.1.1/24', '10.0.1.2/24', '10.0.1.3/24', '10.0.9.1/32', 'fd00::1/64', 'fe80::9/64']
  const fill = () => Promise.all(all.map((address) => br0.addAddress(address)))
  await fill()
  await br0.addAddress('10.7.0.1/32', { peer: '10.7.0.2/24', scope: 'link' })
  await br1.addAddress('10.0.1.1/24')
  t.same(textsOf(await br0.flushAddresses({ family: 'inet6' })), ['fd00::1/64', 'fe80::9/64'])
  t.same(textsOf(await br0.flushAddresses({ scope: 'link' })), ['10.7.0.1/32'])
  t.same(textsOf(await br0.flushAddresses()), all.slice(0, 4), 'secondary ones go with the first, and are told too')
  t.same(await br0.flushAddresses(), [])
  t.same(await red.addresses.list({ link: br0 }), [])
  t.equal((await red.addresses.list({ link: br1 })).length, 1, "another link's stay")
  await fill()
  t.equal((await br0.flushAddresses({ family: 'inet' })).length, 4)
  for (const key of ['link', 'address']) {
    const flush = () => br0.flushAddresses({ [key]: 'br1' } as Wrong)
    await refused(t, key, flush, VALUE, `filter '${key}': is not an option here`)
  }
})

t.test('a link of another namespace', namespaces, async (t) => {
  const { red } = await twoBridges(t)
  const box = await scratch(t)
  const [, far] = await createVeth({ namespace: red }, { name: 'far', namespace: box })
  const elsewhere = {
    code: 'ERR_INVALID_ARG_VALUE',
    name: 'RangeError',
    message: `options.link 'far': is in namespace ${box.inode}, not in namespace ${red.inode}`,
  }
  await t.rejects(red.addresses.add({ link: far, address: '10.0.1.1/24' }), elsewhere)
  await t.rejects(red.addresses.ensure({ link: far, address: '10.0.1.1/24' }), elsewhere)
  await t.rejects(red.addresses.remove({ link: far, address: '10.0.1.1/24' }), elsewhere)
  await t.rejects(red.addresses.list({ link: far }), { code: 'ERR_INVALID_ARG_VALUE', message: /^filter\.link 'far'/ })
})
