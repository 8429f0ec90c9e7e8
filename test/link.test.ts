/** What can be done with a Link: changing, reading anew, deleting, disposing. */
import { inspect } from 'node:util'
import t from 'tap'
import {
  createBridge,
  createLink,
  createNamespace,
  createVeth,
  Link,
  type Namespace,
  openNamespace,
} from '../dist/index.js'
import { needs } from './support/needs.js'
import { ip, ipDo, joined, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const withIp = await needs('namespaces', 'ip')

const namesIn = async (namespace: Namespace) => (await namespace.links.list()).map(({ name }) => name).sort()

t.test('everything in one call', withIp, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const master = await createBridge({ name: 'br0', namespace: box })
  const [left, right] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red, up: true })
  const before = left.index
  const result = await left.set({
    name: 'eth0',
    namespace: box,
    master,
    mac: '02-00-00-00-00-AB',
    mtu: 1400,
    up: true,
    arp: false,
    alias: 'moved',
    group: 3,
    txQueueLength: 9,
  })
  t.equal(result, left)
  t.equal(left.namespace, box)
  t.match(left, {
    name: 'eth0',
    mac: '02:00:00:00:00:ab',
    mtu: 1400,
    up: true,
    running: true,
    alias: 'moved',
    group: 3,
    txQueueLength: 9,
    master: master.index,
  })
  t.match(await ip(box, 'link', 'show', 'eth0'), [
    { ifindex: left.index, ifalias: 'moved', master: 'br0', address: '02:00:00:00:00:ab', mtu: 1400, group: '3' },
  ])
  t.same(await namesIn(red), ['lo', 'right'])
  await left.set({ namespace: red, master: null, name: 'left' })
  t.match(left, { name: 'left', master: undefined, up: false, mtu: 1400, index: before })
  t.same(await namesIn(box), ['br0', 'lo'])
  await left.set({ namespace: red })
  t.equal(left.name, 'left', 'a move to where it is already')
  await left.set({})
  await right.refresh()
  t.equal(right.parent, left.index)
})

t.test('a move that fails', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  await createBridge({ name: 'taken', namespace: box })
  const [left] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red })
  await t.rejects(left.set({ namespace: box, mtu: 70_000 }), { code: 'EINVAL', syscall: 'RTM_NEWLINK' })
  t.equal(left.namespace, box, 'the kernel moves first: the object follows the link')
  t.equal(left.name, 'left')
  await left.set({ namespace: red })
  await t.rejects(left.set({ namespace: box, name: 'taken' }), { code: 'EEXIST' })
  t.equal((await left.namespace.links.get('left')).index, left.index, 'wherever it is, the object says so')
  await left.delete()
  t.same([await namesIn(red), await namesIn(box)], [['lo'], ['lo', 'taken']])
})

t.test('a change that fails', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  await createBridge({ name: 'br1', namespace: red })
  await t.rejects(br0.set({ name: 'br1' }), {
    code: 'EEXIST',
    syscall: 'RTM_NEWLINK',
    message: /^cannot change br0, as the name br1 is taken in namespace \d+: file exists \(EEXIST, RTM_NEWLINK\)$/,
  })
  await t.rejects(br0.set({ mtu: 20 }), { code: 'EINVAL', kernelMessage: 'mtu less than device minimum' })
  await t.rejects(br0.set({ master: br0 }), { code: /^E/ })
  t.equal(br0.name, 'br0')
  await t.rejects(br0.set({ stp: 'yes' } as never), { code: 'ERR_INVALID_ARG_TYPE', message: /^changes\.stp/ })
})

t.test('options of the kind', withIp, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  await br0.set({ stp: true, ageingTime: 10_000, up: true, mtu: 1400 })
  t.match(br0.options, { stp: true, ageingTime: 10_000, priority: 32_768 })
  t.match(await ip(red, 'link', 'show', 'br0'), [{ mtu: 1400, linkinfo: { info_data: { ageing_time: 1000 } } }])
  const found = await red.links.get('br0')
  await found.set({ stp: false })
  t.equal(found.options.stp, false, 'a link that was looked up has them too')
  t.equal(br0.options.stp, true, 'a snapshot is a snapshot')
  await br0.refresh()
  t.equal(br0.options.stp, false)
})

t.test('names: index, alternative name, the object', withIp, async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red })
  const long = 'an-alternative-name-of-more-than-fifteen-bytes'
  await ipDo(red, 'link', 'property', 'add', 'dev', 'left', 'altname', long, 'altname', 'short')
  const br0 = await createBridge({ name: 'br0', namespace: red })
  for (const reference of ['left', left.index, left, long, 'short']) {
    const found = await red.links.get(reference)
    t.equal(found.index, left.index)
    t.same([...found.alternativeNames].sort(), [long, 'short'].sort())
    await red.addresses.add({ link: reference, address: '10.0.0.1/24' })
    t.equal((await red.addresses.list({ link: reference, family: 'inet' })).length, 1)
    await red.addresses.remove({ link: reference, address: '10.0.0.1/24' })
  }
  for (const reference of ['br0', br0.index, br0]) {
    await left.set({ master: reference })
    t.equal(left.master, br0.index)
    t.match(await red.links.list({ master: reference }), [{ name: 'left' }])
    await left.set({ master: null })
    t.equal(left.master, undefined)
  }
  await left.set({ name: 'renamed' })
  t.equal((await red.links.get(left)).name, 'renamed', 'an object is its index, not its name')
})

t.test('a link of another namespace', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const far = await createBridge({ name: 'far', namespace: box })
  const link = await createBridge({ name: 'near', namespace: red })
  const wrong = (name: string) => ({
    code: 'ERR_INVALID_ARG_VALUE',
    name: 'RangeError',
    message: `${name} 'far': is in namespace ${box.inode}, not in namespace ${red.inode}`,
  })
  await t.rejects(link.set({ master: far }), wrong('changes.master'))
  await t.rejects(createLink({ kind: 'bridge', namespace: red, master: far }), wrong('options.master'))
  await t.rejects(createBridge({ namespace: red, ports: [far] }), wrong('options.ports[0]'))
  await t.rejects(createVeth({ namespace: red, master: far }), wrong('left.master'))
  await t.rejects(createVeth({ namespace: box }, { namespace: red, master: far }), wrong('right.master'))
  await t.rejects(red.links.get(far), wrong('link'))
  await t.rejects(red.links.list({ master: far }), wrong('filter.master'))
  t.same(await namesIn(red), ['lo', 'near'])
  const same = await openNamespace({ fd: box.fd })
  t.teardown(() => same.close())
  t.equal((await same.links.get(far)).name, 'far', 'another handle on the same namespace will do')
})

t.test('refresh, and two objects of one link', withIp, async (t) => {
  const red = await scratch(t)
  const one = await createBridge({ name: 'br0', namespace: red })
  const two = await red.links.get('br0')
  t.not(one, two)
  await one.set({ name: 'br9', mtu: 1400 })
  t.match(two, { name: 'br0', mtu: 1500 })
  t.equal(await two.refresh(), two)
  t.match(two, { name: 'br9', mtu: 1400 })
  await two.delete()
  await one.delete()
  await one.delete()
  t.pass('both were deleted')
  for (const link of [one, two]) {
    const gone = { code: 'ENODEV', message: /^cannot read br9: no such device/ }
    await t.rejects(link.refresh(), gone)
    await t.rejects(link.set({ mtu: 1500 }), { code: 'ENODEV', message: /^cannot change br9/ })
    await t.rejects(link.addAddress('10.0.0.1/24'), { code: 'ENODEV', message: /^cannot add 10\.0\.0\.1\/24 to br9/ })
    await t.rejects(link.flushAddresses(), { code: 'ENODEV' })
    t.equal(link.name, 'br9', 'the snapshot stays')
  }
})

t.test('delete when the link is gone already', withIp, async (t) => {
  const red = await scratch(t)
  const [left, right] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red })
  await ipDo(red, 'link', 'del', 'left')
  await right.delete()
  await left.delete()
  t.same(await namesIn(red), ['lo'])
  const lo = await red.links.get('lo')
  await t.rejects(lo.delete(), { code: 'EOPNOTSUPP', syscall: 'RTM_DELLINK', message: /^cannot delete lo: / })
})

t.test('disposal', namespaces, async (t) => {
  const red = await scratch(t)
  const made = await createBridge({ name: 'made', namespace: red })
  const found = await red.links.get('made')
  await found[Symbol.asyncDispose]()
  t.same(await namesIn(red), ['lo', 'made'], 'what was looked up stays')
  for (const kept of [...(await red.links.list()), (await red.links.ensure({ kind: 'bridge', name: 'made' })).link]) {
    await kept[Symbol.asyncDispose]()
  }
  t.same(await namesIn(red), ['lo', 'made'], 'and what was listed, or was there')
  await made[Symbol.asyncDispose]()
  await made[Symbol.asyncDispose]()
  t.same(await namesIn(red), ['lo'], 'what was made goes')
  const { link: ensured } = await red.links.ensure({ kind: 'bridge', name: 'ensured' })
  await ensured[Symbol.asyncDispose]()
  const [left] = await createVeth({ namespace: red }, { namespace: red })
  await left[Symbol.asyncDispose]()
  t.same(await namesIn(red), ['lo'])
})

t.test('a move keeps a name that was given elsewhere', withIp, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const [link] = await createVeth({ name: 'before', namespace: red }, { namespace: red })
  await red.exec('ip', ['link', 'set', 'before', 'name', 'after'], { check: true })
  await link.set({ namespace: box })
  t.equal(link.name, 'after')
  t.match(await box.links.get('after'), { index: link.index })
})

t.test('an alias of the greatest length', namespaces, async (t) => {
  const red = await scratch(t)
  const link = await createBridge({ name: 'br0', namespace: red, alias: 'x'.repeat(255) })
  t.equal((await link.refresh()).alias, 'x'.repeat(255))
})

t.test('disposing a link whose namespace handle is closed is no error', namespaces, async (t) => {
  const red = await createNamespace()
  const link = await createBridge({ name: 'br0', namespace: red })
  await red.delete()
  await link[Symbol.asyncDispose]()
  await t.rejects(link.delete(), { code: 'EBADF' })
})

t.test('plain data', await needs('namespaces', 'ip', 'ping'), async (t) => {
  const [near] = await joined(t)
  const link = await near.links.get('left')
  const json = JSON.parse(JSON.stringify(link))
  t.match(json, { index: link.index, name: 'left', kind: 'veth', mac: link.mac, mtu: 1500, flags: ['UP'] })
  t.equal(typeof json.stats.sentPackets, 'number')
  t.same(json.options, {})
  const bridge = await createBridge({ name: 'br0', namespace: near })
  const shown = inspect(bridge)
  t.match(shown, /^Link \{\n {2}index: \d+,\n {2}name: 'br0',\n {2}kind: 'bridge'/)
  t.notMatch(shown, /stats|#|Uint8Array|Namespace/)
  t.match(JSON.parse(JSON.stringify(bridge)).options, { stp: false, forwardDelay: 15_000 })
  for (const value of Object.values(bridge.toJSON().options as object)) t.notOk(value instanceof Uint8Array)
  t.ok(link instanceof Link)
  await link.waitFor({ running: true })
  const before = link.stats?.sentPackets ?? 0
  await near.exec('ping', ['-c', '2', '-i', '0.05', '10.0.1.2'], { check: true })
  t.equal(link.stats?.sentPackets, before, 'a snapshot')
  await link.refresh()
  t.ok((link.stats?.sentPackets ?? 0) >= before + 2, 'the counters have grown')
})
