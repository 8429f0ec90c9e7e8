/** Deleting many links at once. */
import t from 'tap'
import { createBridge, createVeth, type Link, type Namespace } from '../dist/index.js'
import { NetlinkConnection } from '../dist/netlink/connection.js'
import { needs } from './support/needs.js'
import { eventsOf, requestsDuring } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const namesOf = (list: readonly { name: string }[]) => list.map(({ name }) => name).sort()
const namesIn = async (namespace: Namespace) => namesOf(await namespace.links.list())

async function pairs(red: Namespace, box: Namespace, count: number): Promise<[Link, Link][]> {
  const numbers = Array.from({ length: count }, (_, i) => i)
  return Promise.all(
    numbers.map((i) => createVeth({ name: `left${i}`, namespace: red }, { name: `right${i}`, namespace: box })),
  )
}

t.test('a list', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const all = await pairs(red, red, 4)
  await ipDo(red, 'link', 'property', 'add', 'dev', 'left3', 'altname', 'the-last-one-on-the-left')
  const br0 = await createBridge({ name: 'br0', namespace: red, group: 5 })
  const [[left0, right0]] = all as [[Link, Link]]
  const removed = await red.links.removeMany([left0, right0, left0, 'right1', br0.index, 'the-last-one-on-the-left'])
  t.same(namesOf(removed), ['br0', 'left0', 'left3', 'right0', 'right1'], 'each once, also both ends of a pair')
  t.equal(removed.find(({ name }) => name === 'br0')?.group, 5, 'as they were')
  t.same(await namesIn(red), ['left2', 'lo', 'right2'])
  t.match(await ip(red, 'link', 'show', 'left2'), [{ group: 'default' }])
  t.same(await red.links.removeMany([left0, 'right1', 77_777]), [], 'those that are gone are passed over')
  t.same(await red.links.removeMany([]), [])
})

t.test('a group', namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const all = await pairs(red, box, 5)
  await Promise.all(all.slice(0, 3).map(([left]) => left.set({ group: 70 })))
  t.same(namesOf(await red.links.removeMany({ group: 70 })), ['left0', 'left1', 'left2'])
  t.same(await namesIn(red), ['left3', 'left4', 'lo'])
  t.same(await namesIn(box), ['lo', 'right3', 'right4'], 'the other ends are gone')
  t.same(await red.links.removeMany({ group: 70 }), [])
})

t.test('those that match', namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const all = await pairs(red, box, 5)
  const ports = all.slice(0, 3).map(([left]) => left)
  const br0 = await createBridge({ name: 'br0', namespace: red, ports, group: 9 })
  await all[2]?.[0].set({ group: 9 })
  t.same(namesOf(await red.links.removeMany({ master: br0, group: 9 })), ['left2'])
  t.same(namesOf(await red.links.removeMany({ master: 'br0' })), ['left0', 'left1'])
  t.same(namesOf(await red.links.removeMany({ kind: 'veth', up: true })), [])
  t.same(namesOf(await red.links.removeMany({ kind: 'veth', master: null })), ['left3', 'left4'])
  t.same(await namesIn(red), ['br0', 'lo'])
  await t.rejects(red.links.removeMany({ master: 'br9' }), { code: 'ENODEV', message: /^links\.master 'br9'/ })
})

t.test('one that cannot be deleted', namespaces, async (t) => {
  const red = await scratch(t)
  const all = await pairs(red, red, 2)
  await all[0]?.[0].set({ group: 9 })
  const events = await eventsOf(t, red)
  const refusal = {
    code: 'EOPNOTSUPP',
    syscall: 'RTM_DELLINK',
    message: /^cannot delete lo: only links of a kind can be deleted/,
  }
  await t.rejects(red.links.removeMany(['left0', 'lo', 'left1']), refusal)
  await t.rejects(red.links.removeMany({ group: 0 }), refusal)
  t.same(await events(), [], 'nothing was touched')
  t.equal((await red.links.get('left0')).group, 9)
  t.equal((await red.links.list()).length, 5)
})

t.test('a refusal half way leaves all as they were', namespaces, async (t) => {
  const red = await scratch(t)
  const all = await pairs(red, red, 3)
  await all[1]?.[0].set({ group: 9 })
  const RTM_DELLINK = 17
  // The kernel has no link of a kind here that it would not delete: the request is made one that it refuses.
  const original = NetlinkConnection.prototype.request
  NetlinkConnection.prototype.request = function (request) {
    const view = new DataView(request.bytes.buffer, request.bytes.byteOffset)
    // The group's number becomes the index of the loopback, which cannot be deleted.
    if (view.getUint16(4, true) === RTM_DELLINK) view.setInt32(20, 1, true)
    return original.call(this, request)
  }
  t.teardown(() => {
    NetlinkConnection.prototype.request = original
  })
  await t.rejects(red.links.removeMany(['left0', 'left1', 'left2']), { code: 'EOPNOTSUPP' })
  NetlinkConnection.prototype.request = original
  const groups = (await red.links.list({ kind: 'veth' })).map(({ name, group }) => [name, group])
  t.same(Object.fromEntries(groups), { left0: 0, left1: 9, left2: 0, right0: 0, right1: 0, right2: 0 })
})

t.test('links that vanish meanwhile', namespaces, async (t) => {
  const red = await scratch(t)
  const all = await pairs(red, red, 30)
  const lefts = all.map(([left]) => left)
  const removing = red.links.removeMany(lefts)
  await Promise.all([removing, ...all.slice(0, 10).map(([, right]) => right.delete())])
  t.same(await namesIn(red), ['lo'])
})

t.test('many', namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const all = await pairs(red, box, 200)
  let removed: Link[] = []
  const start = performance.now()
  const sent = await requestsDuring(async () => {
    removed = await red.links.removeMany(all.map(([left]) => left))
  })
  t.comment(`200 pairs in ${(performance.now() - start).toFixed(0)} ms`)
  t.equal(removed.length, 200)
  t.ok(sent <= 3, `${sent} requests of their own: the list, the deletion`)
  t.same([await namesIn(red), await namesIn(box)], [['lo'], ['lo']])
})

t.test('wrong input', namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const [, far] = await createVeth({ namespace: red }, { name: 'far', namespace: box })
  const remove = (which: Wrong) => () => red.links.removeMany(which)
  await refused(t, 'a name', remove('left'), TYPE, 'links must be an array of links, or a filter')
  await refused(t, 'nothing', remove(undefined), TYPE, 'links must be an array of links')
  await refused(t, 'no group', remove({}), VALUE, 'links {}: says nothing')
  await refused(t, 'no group', remove({ group: undefined }), VALUE, 'links { group: undefined }: says nothing')
  await refused(t, 'a group', remove({ group: -1 }), RANGE, 'links.group must be from 0')
  await refused(t, 'an option', remove({ name: 'veth' }), VALUE, "links 'name': is not an option")
  await refused(t, 'one', remove(['a', {}]), TYPE, 'links[1] must be a Link')
  await refused(t, 'elsewhere', remove([far]), VALUE, `links[0] 'far': is in namespace ${box.inode}`)
})
