/** The collection of links: list, find, get, add, replace, ensure, remove. */
import t from 'tap'
import { createBridge, createVeth, type Namespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { ip, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const withIp = await needs('namespaces', 'ip')

const namesIn = async (namespace: Namespace) => (await namespace.links.list()).map(({ name }) => name).sort()

t.test('list and its filters', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red, up: true })
  await createBridge({ name: 'br1', namespace: red })
  await createVeth({ name: 'a', namespace: red, master: br0 }, { name: 'b', namespace: red, up: true })
  await createVeth({ name: 'c', namespace: red, master: 'br1' }, { name: 'd', namespace: red })
  const list = async (filter: Parameters<typeof red.links.list>[0]) =>
    (await red.links.list(filter)).map(({ name }) => name).sort()
  t.same(await list({}), ['a', 'b', 'br0', 'br1', 'c', 'd', 'lo'])
  t.same(await namesIn(red), await list({}), 'no filter is an empty one')
  t.same(await list({ kind: 'bridge' }), ['br0', 'br1'])
  t.same(await list({ kind: 'veth' }), ['a', 'b', 'c', 'd'])
  t.same(await list({ kind: 'nothing-like-it' }), [], 'a kind that the kernel does not know')
  t.same(await list({ master: br0 }), ['a'])
  t.same(await list({ master: 'br1', kind: 'veth' }), ['c'])
  t.same(await list({ master: br0.index, kind: 'bridge' }), [])
  t.same(await list({ master: null }), ['b', 'br0', 'br1', 'd', 'lo'], "nobody's ports")
  t.same(await list({ up: true }), ['b', 'br0', 'lo'])
  t.same(await list({ up: false, kind: 'bridge' }), ['br1'])
  await t.rejects(red.links.list({ master: 'none' }), { code: 'ENODEV', message: /^filter\.master 'none' in/ })
})

t.test('get and find', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  t.match(await red.links.get('br0'), { index: br0.index, kind: 'bridge', namespace: red })
  t.match(await red.links.find(br0.index), { name: 'br0' })
  const missing = { code: 'ENODEV', syscall: 'RTM_GETLINK', errno: -19 }
  await t.rejects(red.links.get('none'), { ...missing, message: /^no link none in namespace \d+: no such device/ })
  await t.rejects(red.links.get(7777), { ...missing, message: /^no link with index 7777 in namespace/ })
  await t.rejects(red.links.get('a-name-longer-than-fifteen-bytes'), missing)
  t.equal(await red.links.find('none'), undefined)
  t.equal(await red.links.find(7777), undefined)
  t.equal(await red.links.find('a-name-longer-than-fifteen-bytes'), undefined)
  await br0.delete()
  t.equal(await red.links.find(br0), undefined)
})

t.test('add and replace', withIp, async (t) => {
  const red = await scratch(t)
  const first = await red.links.add({ kind: 'bridge', name: 'br0', mtu: 1400 })
  t.equal(first.namespace, red)
  await t.rejects(red.links.add({ kind: 'bridge', name: 'br0' }), {
    code: 'EEXIST',
    syscall: 'RTM_NEWLINK',
    message: /^cannot create the bridge br0: file exists/,
  })
  await t.rejects(red.links.add({ kind: 'bridge', name: 'br9', index: first.index }), { code: /EBUSY|EEXIST/ })
  const second = await red.links.replace({ kind: 'bridge', name: 'br0', mtu: 1300 })
  t.not(second.index, first.index, 'another link')
  t.match(await ip(red, 'link', 'show', 'br0'), [{ ifindex: second.index, mtu: 1300 }])
  await t.rejects(first.refresh(), { code: 'ENODEV' })
  const third = await red.links.replace({ kind: 'bridge', name: 'br1', stp: true })
  t.equal(third.options.stp, true, 'replace makes one that is not there')
  await t.rejects(red.links.replace({ kind: 'no-such-kind', name: 'br0' }), { code: /EEXIST|EOPNOTSUPP/ })
  await t.rejects(red.links.replace({ kind: 'bridge', name: 'br0', mtu: 3 }), { code: 'EINVAL' })
  await t.rejects(red.links.replace({ kind: 'bridge', name: 'br0', mut: 3 } as never), {
    code: 'ERR_INVALID_ARG_VALUE',
  })
  await t.rejects(red.links.replace({ kind: 'bridge', name: 'lo' }), { code: 'EOPNOTSUPP' }, 'the loopback stays')
})

t.test('a replacement that the kernel refuses costs nobody a link', namespaces, async (t) => {
  const red = await scratch(t)
  const old = await red.links.add({ kind: 'bridge', name: 'br0', addresses: ['10.0.0.1/24'], up: true })
  const twice = { kind: 'bridge' as const, name: 'br0', addresses: ['10.0.0.1/24', '10.0.0.1/24'] }
  await t.rejects(red.links.replace({ kind: 'bridge', name: 'br0', mtu: 100_000 }), { code: 'EINVAL' })
  await t.rejects(red.links.replace({ kind: 'nothing-like-it', name: 'br0' }), { code: 'EOPNOTSUPP' })
  await t.rejects(red.links.replace(twice), { code: 'EEXIST' })
  t.same(await namesIn(red), ['br0', 'lo'], 'and leaves nothing of the rehearsal')
  t.match(await red.links.get('br0'), { index: old.index, up: true })
  const labelled = { address: '10.0.0.1/24', label: 'br0:1' }
  const another = await red.links.replace({ kind: 'bridge', name: 'br0', addresses: [labelled], up: true })
  t.not(another.index, old.index)
  t.match(await red.addresses.list({ link: another, family: 'inet' }), [labelled])
})

t.test('two that ensure the same link at the same time', namespaces, async (t) => {
  const red = await scratch(t)
  const options = { kind: 'bridge' as const, name: 'br0', up: true }
  const [one, other] = await Promise.all([red.links.ensure(options), red.links.ensure(options)])
  t.equal(one.link.index, other.link.index)
  t.same([one.created, other.created].sort(), [false, true])
})

t.test('ensure touches nothing that is as asked', namespaces, async (t) => {
  const red = await scratch(t)
  const br9 = await createBridge({ name: 'br9', namespace: red })
  const events = await eventsOf(t, red)
  const options = {
    kind: 'bridge',
    name: 'br0',
    mtu: 1400,
    mac: '02-00-00-00-00-AA',
    up: true,
    arp: false,
    multicast: true,
    allMulticast: false,
    promiscuous: true,
    alias: 'text',
    group: 4,
    txQueueLength: 50,
    gsoMaxSize: 30_000,
    gsoMaxSegments: 30,
    groMaxSize: 40_000,
    addressGeneration: 'none',
    master: null,
    stp: true,
    ageingTime: 10_000,
    groupAddress: '01:80:C2:00:00:0D',
    multicastRouter: 2,
    booleanOptions: { noLinkLocalLearn: true },
    addresses: ['10.0.0.1/24', { address: '10.0.1.1/24', label: 'br0:x', broadcast: '+' }, 'FD00:0::1/64'],
  } as const
  const first = await red.links.ensure(options)
  t.match(first, { created: true, changed: true, changes: [] })
  t.match(first.link, { name: 'br0', mtu: 1400, alias: 'text', options: { stp: true } })
  t.not((await events()).length, 0)
  const second = await red.links.ensure(options)
  t.match(second, { created: false, changed: false, changes: [] })
  t.equal(second.link.index, first.link.index)
  t.match(await red.links.ensure({ kind: 'bridge', name: 'br0' }), { created: false, changed: false, changes: [] })
  t.match(await red.links.ensure({ kind: 'bridge', name: 'br9', alias: '', index: br9.index }), {
    changed: false,
    changes: [],
  })
  // The end of duplicate address detection is an event of its own.
  t.same(
    (await events()).filter((type) => type !== 'RTM_NEWADDR'),
    [],
    'nothing was touched',
  )
})

t.test('ensure changes what is not as asked, and says what', withIp, async (t) => {
  const red = await scratch(t)
  const master = await createBridge({ name: 'br9', namespace: red })
  const made = await red.links.add({ kind: 'bridge', name: 'br0', mtu: 1400, alias: 'old', ageingTime: 20_000 })
  const { link, changes, created } = await red.links.ensure({
    kind: 'bridge',
    name: 'br0',
    mtu: 1300,
    mac: '02:00:00:00:00:01',
    alias: 'new',
    up: true,
    arp: true,
    ageingTime: 20_000,
    helloTime: 1000,
    booleanOptions: { noLinkLocalLearn: true },
    addresses: ['10.0.0.1/24', '10.0.0.2/24'],
  })
  t.equal(created, false)
  t.same([...changes].sort(), ['addresses', 'alias', 'booleanOptions', 'helloTime', 'mac', 'mtu', 'up'])
  t.equal(link.index, made.index)
  t.match(link, { mtu: 1300, alias: 'new', up: true, mac: '02:00:00:00:00:01', options: { helloTime: 1000 } })
  const [json] = await ip(red, 'address', 'show', 'br0')
  t.match(json, { mtu: 1300, ifalias: 'new', addr_info: [{ local: '10.0.0.1' }, { local: '10.0.0.2' }] })
  const more = await red.links.ensure({ kind: 'bridge', name: 'br0', addresses: ['10.0.0.2/24', '10.0.0.3/24'] })
  t.same(more.changes, ['addresses'])
  t.equal((await red.addresses.list({ link, family: 'inet' })).length, 3, 'what is not asked for is left alone')

  await red.links.ensure({ kind: 'ifb', name: 'port' }).catch(() => createVeth({ name: 'port', namespace: red }))
  const { kind = '' } = await red.links.get('port')
  if (kind === 'ifb') {
    t.same((await red.links.ensure({ kind, name: 'port', master })).changes, ['master'])
    t.same((await red.links.ensure({ kind, name: 'port', master: 'br9' })).changes, [])
    t.same((await red.links.ensure({ kind, name: 'port', master: null })).changes, ['master'])
  }
  const another = { code: 'EEXIST', message: /^cannot make port a bridge: a link of that name has kind (ifb|veth)/ }
  await t.rejects(red.links.ensure({ kind: 'bridge', name: 'port' }), another)
  await t.rejects(red.links.ensure({ kind: 'bridge', name: 'lo' }), { code: 'EEXIST', message: /kind \(none\)/ })
  await t.rejects(red.links.ensure({ kind: 'bridge', name: 'br0', index: 7777 }), { code: 'EEXIST', message: /index/ })
  const label = [{ address: '10.0.0.1/24', label: 'br0:x' }]
  await t.rejects(red.links.ensure({ kind: 'bridge', name: 'br0', addresses: label }), { code: 'EEXIST' })
})

t.test('ensure looks at all options first', namespaces, async (t) => {
  const red = await scratch(t)
  for (const isThere of [false, true]) {
    if (isThere) await red.links.add({ kind: 'bridge', name: 'br0' })
    const wrong: [object, string, RegExp][] = [
      [{ mtu: 'abc' }, 'ERR_INVALID_ARG_TYPE', /^options\.mtu must be an integer/],
      [{ mtuu: 3 }, 'ERR_INVALID_ARG_VALUE', /^options 'mtuu': is not an option here; did you mean 'mtu'\?/],
      [{ addresses: '10.0.0.1/24' }, 'ERR_INVALID_ARG_TYPE', /^options\.addresses must be an array/],
      [{ addresses: ['10.0.0.1'] }, 'ERR_INVALID_ARG_VALUE', /^options\.addresses\[0\] '10\.0\.0\.1': the prefix/],
      [{ stp: 1 }, 'ERR_INVALID_ARG_TYPE', /^options\.stp must be true or false/],
      [{ addressGeneration: 'some' }, 'ERR_INVALID_ARG_VALUE', /^options\.addressGeneration 'some': expected one of/],
      [{ namespace: red }, 'ERR_INVALID_ARG_VALUE', /^options\.namespace/],
      [{ index: 0 }, 'ERR_INVALID_ARG_VALUE', /^options\.index/],
      [{ name: 'br%d' }, 'ERR_INVALID_ARG_VALUE', /^options\.name 'br%d': may not contain '%'/],
    ]
    for (const [more, code, message] of wrong) {
      const asked = red.links.ensure({ kind: 'bridge', name: 'br0', ...more } as never)
      await t.rejects(() => asked as Promise<never>, { code, message }, `${JSON.stringify(more)} (${isThere})`)
    }
    await t.rejects(red.links.ensure({ kind: 'bridge' }), { code: 'ERR_INVALID_ARG_TYPE', message: /^options\.name/ })
    t.same(await namesIn(red), isThere ? ['br0', 'lo'] : ['lo'])
  }
})

t.test('remove', namespaces, async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red })
  t.equal(await red.links.remove('right'), undefined)
  const missing = { code: 'ENOENT', syscall: 'RTM_DELLINK', message: /^no link (right|left|\d+) in namespace/ }
  await t.rejects(red.links.remove('right'), missing)
  await t.rejects(red.links.remove(left), missing)
  await t.rejects(red.links.remove(7777), missing)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  await red.links.remove(br0.index)
  t.same(await namesIn(red), ['lo'])
})
