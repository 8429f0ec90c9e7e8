/** Ids by which namespaces know each other, against `ip netns`. */
import { openSync } from 'node:fs'
import t from 'tap'
import { createNamespace, createVeth, openNamespace } from '../dist/index.js'
import { rtnetlinkConstants } from '../dist/rtnetlink/constants.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch, uniqueName } from './support/scratch.js'

const namespaces = await needs('namespaces')

t.test('assign, find, get, list', namespaces, async (t) => {
  const [red, box, far] = [await scratch(t), await scratch(t), await scratch(t)]
  t.same(await red.namespaceIds.list(), [])
  t.equal(await red.namespaceIds.find(box), undefined)
  await t.rejects(red.namespaceIds.get(box), {
    code: 'ENOENT',
    syscall: 'RTM_GETNSID',
    message: new RegExp(`^namespace ${box.inode} has no id in namespace ${red.inode}: `),
  })
  t.equal(await red.namespaceIds.assign(box), 0, 'the first free one')
  t.equal(await red.namespaceIds.assign(far, { id: 77 }), 77)
  t.equal(await red.namespaceIds.find(box), 0)
  t.equal(await red.namespaceIds.get(far), 77)
  t.same(await red.namespaceIds.list(), [{ id: 0 }, { id: 77 }])
  const streamed = []
  for await (const one of red.namespaceIds.stream()) streamed.push(one)
  t.same(streamed, [{ id: 0 }, { id: 77 }])
  t.equal(await box.namespaceIds.find(red), undefined, 'not the other way round')
  const own = await red.namespaceIds.assign(red, { id: 5 })
  t.equal(own, 5, 'its own')
  const twice = { code: 'EEXIST', syscall: 'RTM_NEWNSID', message: new RegExp(`cannot give namespace ${box.inode}`) }
  await t.rejects(red.namespaceIds.assign(box), twice)
  await t.rejects(red.namespaceIds.assign(box, { id: 9 }), twice)
  const third = await scratch(t)
  await t.rejects(red.namespaceIds.assign(third, { id: 77 }), { code: 'EEXIST', message: /the id 77/ })
})

t.test('ensure touches nothing that is as asked', namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  t.same(await red.namespaceIds.ensure(box, { id: 3 }), { id: 3, changed: true })
  t.same(await red.namespaceIds.ensure(box, { id: 3 }), { id: 3, changed: false })
  t.same(await red.namespaceIds.ensure(box), { id: 3, changed: false })
  await t.rejects(red.namespaceIds.ensure(box, { id: 4 }), { code: 'EEXIST' })
  const other = await scratch(t)
  const all = await Promise.all(Array.from({ length: 4 }, () => red.namespaceIds.ensure(other)))
  t.same(
    all.map(({ id }) => id),
    [0, 0, 0, 0],
  )
  t.equal(all.filter(({ changed }) => changed).length, 1, 'one of those who came together gave it')
})

t.test('by pid, descriptor and path', namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const child = box.spawn('sleep', ['30'])
  t.teardown(() => child.kill())
  await red.namespaceIds.assign({ pid: child.pid as number }, { id: 12 })
  t.equal(await red.namespaceIds.find(box), 12)
  t.equal(await red.namespaceIds.find({ fd: box.fd }), 12)
  t.equal(await red.namespaceIds.find({ path: `/proc/${child.pid}/ns/net` }), 12)
  await t.rejects(red.namespaceIds.find({ path: '/nowhere' }), { code: 'ENOENT' })
  await t.rejects(red.namespaceIds.find({ fd: openSync('/dev/null', 'r') }), { code: 'EINVAL' })
})

t.test('the ids that another namespace has given', namespaces, async (t) => {
  const [red, box, far] = [await scratch(t), await scratch(t), await scratch(t)]
  await box.namespaceIds.assign(red, { id: 1 })
  await box.namespaceIds.assign(far, { id: 2 })
  await t.rejects(red.namespaceIds.list({ target: box }), { code: 'ENOENT' }, 'it needs an id itself')
  await red.namespaceIds.assign(box, { id: 10 })
  await red.namespaceIds.assign(far, { id: 20 })
  t.same(await red.namespaceIds.list({ target: box }), [{ id: 1 }, { id: 2, currentId: 20 }])
})

t.test('iproute2 gives and reads them', await needs('namespaces', 'names', 'ip'), async (t) => {
  const red = await scratch(t)
  const [one, two] = [uniqueName(), uniqueName()]
  await using first = await createNamespace(one)
  await using second = await createNamespace(two)
  await ipDo(red, 'netns', 'set', one, '30')
  t.equal(await red.namespaceIds.get(first), 30)
  await red.namespaceIds.assign(second, { id: 31 })
  const list: { nsid: number; name?: string }[] = await ip(red, 'netns', 'list-id')
  t.match(list, [
    { nsid: 30, name: one },
    { nsid: 31, name: two },
  ])
  await using again = await openNamespace(two)
  t.equal(await red.namespaceIds.find(again), 31)
})

t.test('links of other namespaces bring ids, and events tell', namespaces, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const events = await eventsOf(t, red, [rtnetlinkConstants.RTNLGRP_NSID])
  const [left] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: box })
  await left.refresh()
  t.equal(left.attributes.parentNamespaceId, await red.namespaceIds.get(box))
  t.ok((await events()).includes('RTM_NEWNSID'))
})

t.test('wrong input', namespaces, async (t) => {
  const red = await scratch(t)
  const { namespaceIds: ids } = red
  await refused(t, 'a name', () => ids.find('box' as Wrong), TYPE, 'other must be a Namespace, or one of')
  await refused(t, 'nothing', () => ids.find(undefined as Wrong), TYPE, 'other must be a Namespace')
  await refused(t, 'two', () => ids.find({ pid: 1, fd: 0 } as Wrong), VALUE, 'target ')
  await refused(t, 'a wrong id', () => ids.assign(red, { id: -1 }), RANGE, 'options.id must be from 0')
  await refused(t, 'an option', () => ids.assign(red, { nsid: 1 } as Wrong), VALUE, "options 'nsid': is not an option")
  await refused(t, 'a filter', () => ids.list({ id: 1 } as Wrong), VALUE, "filter 'id': is not an option")
})
