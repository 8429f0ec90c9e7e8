/** What addresses are told apart by, flushing, streaming, and the addresses of other namespaces. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { type Address, createBridge, createVeth, type Link, type Namespace, type NewAddress } from '../dist/index.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const textsOf = (list: readonly { address: string }[]) => list.map(({ address }) => address).sort()

/** Two bridges on which the kernel makes no addresses of its own, with addresses. */
async function filled(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; br0: Link; br1: Link }> {
  const red = await scratch(t, { loopback: false })
  const options = { namespace: red, up: true, addressGeneration: 'none' } as const
  const br0 = await createBridge({ name: 'br0', ...options })
  const br1 = await createBridge({ name: 'br1', ...options })
  await br0.addAddress('10.0.1.1/24', { label: 'br0:web' })
  await br0.addAddress('10.0.1.2/24')
  await br0.addAddress('10.9.0.1/16', { validLifetime: 900_000, noPrefixRoute: true })
  await br1.addAddress('10.0.1.1/32', { peer: '10.0.2.2/24' })
  await br1.addAddress('fd00::1/64', { home: true, noDad: true })
  await br1.addAddress('fd01::1/64', { validLifetime: 900_000 })
  return { red, br0, br1 }
}

t.test('filters', namespaces, async (t) => {
  const { red, br0 } = await filled(t)
  const list = async (filter: Parameters<typeof red.addresses.list>[0]) => textsOf(await red.addresses.list(filter))
  t.same(await list({ label: 'br0:web' }), ['10.0.1.1/24'])
  t.same(await list({ label: 'br0' }), ['10.0.1.2/24', '10.9.0.1/16'])
  t.same(await list({ dynamic: true }), ['10.9.0.1/16', 'fd01::1/64'])
  t.same(await list({ dynamic: false, link: br0 }), ['10.0.1.1/24', '10.0.1.2/24'])
  t.same(await list({ flags: ['secondary'] }), ['10.0.1.2/24'])
  t.same(await list({ flags: ['nodad', 'home'] }), ['fd00::1/64'])
  t.same(await list({ flags: ['nodad', 'secondary'] }), [])
  t.same(await list({ flags: [] }), await list({}))
  t.same(await list({ within: '10.0.0.0/16' }), ['10.0.1.1/24', '10.0.1.1/32', '10.0.1.2/24'])
  t.same(await list({ within: '10.0.1.2/31' }), ['10.0.1.2/24'])
  t.same(await list({ within: 'fd00::/15' }), ['fd00::1/64', 'fd01::1/64'])
  t.same(await list({ within: '0.0.0.0/0', family: 'inet6' }), [])
  const streamed: Address[] = []
  for await (const row of red.addresses.stream({ within: '10.0.0.0/8', link: 'br0' })) streamed.push(row)
  t.same(textsOf(streamed), ['10.0.1.1/24', '10.0.1.2/24', '10.9.0.1/16'])
})

t.test('the protocol', await needs('namespaces', 'kernel:5.18'), async (t) => {
  const { red, br0, br1 } = await filled(t)
  await br0.addAddress('10.7.0.1/24', { protocol: 77 })
  await br1.addAddress('fd07::1/64', { protocol: 'kernel-ra' })
  t.equal((await red.addresses.get('10.7.0.1')).protocol, 77)
  t.same(textsOf(await red.addresses.list({ protocol: 77 })), ['10.7.0.1/24'])
  t.same(textsOf(await red.addresses.list({ protocol: 'kernel-ra' })), ['fd07::1/64'])
  t.equal((await red.addresses.get('10.0.1.2')).protocol, undefined)
  for (const [link, address] of [
    [br0, '10.7.0.1/24'],
    [br1, 'fd07::1/64'],
  ] as const) {
    const asked = { link, address, protocol: 78 }
    try {
      const { changed, changes, address: row } = await red.addresses.ensure(asked)
      t.same([changed, changes, row.protocol], [true, ['protocol'], 78], address)
      t.equal((await red.addresses.ensure(asked)).changed, false)
    } catch (error) {
      // Older kernels do not change that of an IPv4 address.
      t.match(error, {
        code: 'EEXIST',
        message: /^cannot add 10\.7\.0\.1\/24 to br0: it is there with another protocol/,
      })
    }
    const { protocol } = await red.addresses.get({ link, address })
    const other = await red.addresses.ensure({ link, address, metric: 9 })
    t.same([other.changes, other.address.protocol], [['metric'], protocol], 'stays when another thing changes')
  }
})

t.test('ensure tells what it changed', namespaces, async (t) => {
  const { red, br0, br1 } = await filled(t)
  const made = await red.addresses.ensure({ link: br0, address: '10.3.0.1/24', metric: 5 })
  t.match(made, { changed: true, created: true, changes: [] })
  // The end of the detection of duplicate addresses is an event too.
  await eventually(async () => (await red.addresses.list({ flags: ['tentative'] })).length === 0)
  const events = await eventsOf(t, red)
  const same = await red.addresses.ensure({ link: br0, address: '10.3.0.1/24', metric: 5 })
  t.match(same, { changed: false, created: false, changes: [] })
  t.same(await events(), [])
  const changed = await red.addresses.ensure({ link: br0, address: '10.3.0.1/24', metric: 6, validLifetime: 900_000 })
  t.match(changed, { changed: true, created: false, changes: ['metric', 'validLifetime'] })
  const six = { link: br1, address: 'fd00::1/64' }
  t.same((await red.addresses.ensure({ ...six, home: true, noDad: true, optimistic: true })).changes, [])
  const flags = await red.addresses.ensure({ ...six, home: false, manageTemporaryAddresses: true })
  t.same(flags.changes, ['home', 'manageTemporaryAddresses'])
  t.ok(flags.address.flags.includes('mngtmpaddr') && !flags.address.flags.includes('home'))
  t.ok(flags.address.flags.includes('nodad'), 'what is not asked for stays')
  const join = red.addresses.ensure({ ...six, multicastAutoJoin: true })
  await t.rejects(join, { code: 'EEXIST', message: /another multicastAutoJoin/ })
})

t.test('flush', namespaces, async (t) => {
  const { red, br0 } = await filled(t)
  t.same(textsOf(await red.addresses.flush({ dynamic: true })), ['10.9.0.1/16', 'fd01::1/64'])
  t.same(textsOf(await red.addresses.flush({ link: br0, label: 'br0:web' })), ['10.0.1.1/24'])
  t.same(textsOf(await red.addresses.list()), ['10.0.1.1/32', 'fd00::1/64'], 'the secondary one went with the first')
  t.same(textsOf(await red.addresses.flush({ address: '10.0.1.1' })), ['10.0.1.1/32'], 'with its peer')
  t.same(await red.addresses.flush({ within: '10.0.0.0/8' }), [])
  t.same(textsOf(await red.addresses.flush({ family: 'inet6' })), ['fd00::1/64'])
  t.same(await red.addresses.list(), [])
  await br0.addAddress('10.0.1.1/24', { label: 'br0:web' })
  await br0.addAddress('10.0.3.1/24')
  t.same(textsOf(await br0.flushAddresses({ label: 'br0:web' })), ['10.0.1.1/24'])
})

t.test('rows are removed as they are', namespaces, async (t) => {
  const { red } = await filled(t)
  const rows = (await red.addresses.list()).filter(({ flags }) => !flags.includes('secondary'))
  for (const row of rows) await red.addresses.remove(row)
  t.same(await red.addresses.list(), [])
  await t.rejects(red.addresses.remove(rows[0] as Address), {
    code: 'ENOENT',
    message: /^cannot remove 10\.0\.1\.1\/24 from /,
  })
})

t.test("another namespace's addresses", namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  await t.rejects(red.addresses.list({ target: box }), { code: 'ENOENT', syscall: 'RTM_GETNSID' })
  const addresses = ['10.0.1.1/24', '10.0.2.1/24']
  await createVeth({ namespace: red }, { name: 'far', namespace: box, addresses })
  await createVeth({ namespace: red }, { name: 'other', namespace: box, addresses: ['10.0.3.1/24'] })
  t.same(textsOf(await red.addresses.list({ target: box, link: 'far' })), addresses)
  t.same(await red.addresses.list({ target: box, family: 'inet' }), await box.addresses.list({ family: 'inet' }))
  t.equal((await red.addresses.get({ target: box, address: '10.0.3.1' })).label, 'other')
})

t.test('groups that are joined, and addresses that are shared', namespaces, async (t) => {
  const { red, br1 } = await filled(t)
  red.sysctl.set('net.ipv6.conf.all.forwarding', 1)
  const proc = (file: string) =>
    red
      .run(() => readFileSync(`/proc/thread-self/net/${file}`, 'latin1'))
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, name]) => name === 'br1')
      .map(([, , hex = '']) => hex.replace(/(....)(?=.)/g, '$1:'))
  const full = (text: string) => new URL(`http://[${text}]`).hostname
  const rows = async (type: 'multicast' | 'anycast') =>
    (await red.addresses.list({ link: br1, family: 'inet6', type })).map(({ address }) =>
      full(address.split('/')[0] ?? ''),
    )
  t.same((await rows('multicast')).sort(), proc('igmp6').map(full).sort())
  const anycast = await rows('anycast')
  t.same(anycast.sort(), proc('anycast6').map(full).sort())
  t.ok(anycast.includes('[fd00::]'), "the routers' of a network")
})

t.test('wrong input', namespaces, async (t) => {
  const { red, br0: link } = await filled(t)
  const add = (options: Wrong) => () => red.addresses.add({ link, address: '10.0.0.1/24', ...options } as NewAddress)
  const list = (filter: Wrong) => () => red.addresses.list(filter)
  await refused(t, 'home', add({ home: true }), VALUE, 'options.home true: is for IPv6 addresses')
  await refused(t, 'optimistic', add({ optimistic: 1 }), TYPE, 'options.optimistic must be true or false')
  await refused(t, 'join', add({ multicastAutoJoin: 1 }), TYPE, 'options.multicastAutoJoin must be true or false')
  await refused(t, 'protocol', add({ protocol: 256 }), RANGE, 'options.protocol must be from 0 to 255')
  await refused(
    t,
    'a word',
    add({ protocol: 'dhcp' }),
    VALUE,
    "options.protocol 'dhcp': expected one of unspec, kernel-lo",
  )
  await refused(t, 'flags', list({ flags: 'home' }), TYPE, 'filter.flags must be an array')
  await refused(t, 'a flag', list({ flags: ['up'] }), VALUE, "filter.flags[0] 'up': expected one of secondary")
  await refused(t, 'dynamic', list({ dynamic: 1 }), TYPE, 'filter.dynamic must be')
  await refused(t, 'label', list({ label: 1 }), TYPE, 'filter.label must be a string')
  await refused(t, 'within', list({ within: '10.0.0.0' }), VALUE, "filter.within '10.0.0.0'")
  await refused(t, 'type', list({ type: 'broadcast' }), VALUE, "filter.type 'broadcast': expected one of unicast")
  await refused(t, 'target', list({ target: 'box' }), TYPE, 'filter.target must be a Namespace')
  const flush = () => red.addresses.flush({ target: red } as Wrong)
  await refused(t, 'flush', flush, VALUE, "filter 'target': is not an option here")
  await refused(
    t,
    'a row',
    () => red.addresses.remove({ index: 'x', address: '10.0.0.1/24' } as Wrong),
    TYPE,
    'options.index',
  )
  await refused(t, 'nothing', () => red.addresses.remove(undefined as Wrong), TYPE, 'options must be an object')
})
