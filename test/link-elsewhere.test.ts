/** Links of other namespaces: moved there by pid, descriptor, path and index, and read through this one's socket. */
import { openSync } from 'node:fs'
import t from 'tap'
import { createBridge, createVeth, currentNamespace } from '../dist/index.js'
import { needs } from './support/needs.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, scratch } from './support/scratch.js'

t.test('moving by pid, descriptor and path', await needs('namespaces', 'ip'), async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const child = box.spawn('sleep', ['30'])
  t.teardown(() => child.kill())
  const pid = child.pid as number
  for (const target of [{ pid }, { fd: box.fd }, { path: `/proc/${pid}/ns/net` }]) {
    const what = Object.keys(target)[0] as string
    const [link] = await createVeth({ name: what, namespace: red, mtu: 1400 }, { namespace: red })
    t.equal(await link.set({ namespace: target, up: true }), link)
    t.not(link.namespace, box, 'a handle of its own')
    t.equal(link.namespace.inode, box.inode)
    t.match(await ip(box, 'link', 'show', what), [{ ifindex: link.index, mtu: 1400 }])
    await link.set({ mtu: 1300 })
    t.equal(link.mtu, 1300, 'it can be used there')
    t.equal(await red.links.find(what), undefined)
    await link.namespace.close()
    t.notOk(box.closed)
  }
})

t.test('moving that fails leaves the link and no handle', await needs('namespaces'), async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const [eth0] = await createVeth({ name: 'eth0', namespace: red }, { namespace: red })
  await createBridge({ name: 'eth0', namespace: box })
  await t.rejects(eth0.set({ namespace: { fd: box.fd } }), { code: 'EEXIST' })
  t.equal(eth0.namespace, red)
  await t.rejects(eth0.set({ namespace: { path: '/nowhere' } }), { code: 'ENOENT' })
  await t.rejects(eth0.set({ namespace: { fd: openSync('/dev/null', 'r') } }), { code: 'EINVAL' })
  await eth0.set({ namespace: { fd: red.fd }, mtu: 1400 })
  t.equal(eth0.namespace, red, 'where it is already')
  t.equal(eth0.mtu, 1400)
  await refused(
    t,
    'a name',
    () => eth0.set({ namespace: 'box' as Wrong }),
    TYPE,
    'changes.namespace must be a Namespace',
  )
  const both = { pid: 1, fd: 2 } as Wrong
  await refused(t, 'both', () => eth0.set({ namespace: both }), VALUE, 'target ')
})

t.test('the index after a move', await needs('namespaces', 'ip'), async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const [here] = await createVeth({ name: 'here', namespace: red, index: 700 }, { namespace: red, index: 701 })
  await createBridge({ name: 'there', namespace: box, index: 700 })
  await here.set({ namespace: box })
  t.not(here.index, 700, 'another, as the old one is taken')
  t.equal((await box.links.get('here')).index, here.index)
  const [second] = await createVeth({ name: 'second', namespace: red, index: 800 }, { namespace: red, index: 801 })
  await second.set({ namespace: box, index: 900, name: 'moved' })
  t.match(await ip(box, 'link', 'show', 'moved'), [{ ifindex: 900 }])
  t.equal(second.index, 900)
  const [third] = await createVeth({ name: 'third', namespace: red }, { namespace: red })
  const index = third.index
  await t.rejects(third.set({ namespace: box, index: 900 }), { code: /EBUSY|EEXIST/ })
  t.match([third.index, third.namespace === red], [index, true], 'it stays where it was')
})

t.test("another namespace's links", await needs('namespaces'), async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  await t.rejects(red.links.list({ target: box }), { code: 'ENOENT', syscall: 'RTM_GETNSID' }, 'it has no id yet')
  await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: box, up: true })
  const br0 = await createBridge({
    name: 'br0',
    namespace: box,
    up: true,
    alternativeNames: ['a-bridge-with-a-long-name'],
  })
  await box.links.get('right').then((right) => right.set({ master: br0 }))
  const through = await red.links.list({ target: box })
  const names = (list: { name: string }[]) => list.map(({ name }) => name).sort()
  t.same(names(through), names(await box.links.list()))
  t.ok(through.every(({ namespace }) => namespace === box))
  t.same(names(await red.links.list({ target: box, kind: 'bridge' })), ['br0'])
  t.same(names(await red.links.list({ target: box, master: 'br0' })), ['right'], 'the master is looked up there')
  const streamed = []
  for await (const link of red.links.stream({ target: box, up: true })) streamed.push(link)
  t.same(names(streamed), ['br0', 'lo', 'right'])
  const one = await red.links.get('a-bridge-with-a-long-name', { target: box })
  t.equal(one.index, br0.index)
  t.equal((await red.links.get(br0, { target: box })).name, 'br0')
  await one.set({ mtu: 1400 })
  t.equal((await box.links.get('br0')).mtu, 1400, 'what was read so is changed where it is')
  t.equal(await red.links.find('left', { target: box }), undefined)
  await t.rejects(red.links.get('left', { target: box }), {
    code: 'ENODEV',
    message: new RegExp(`in namespace ${box.inode}`),
  })
})

t.test('what is read', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  await createBridge({ name: 'br0', namespace: red, group: 9 })
  t.same((await red.links.get('lo', { virtualFunctions: true })).virtualFunctions, [])
  t.same(
    (await red.links.list({ group: 9 })).map(({ name }) => name),
    ['br0'],
  )
})

t.test('wrong input', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const target = 'box' as Wrong
  await refused(t, 'a name', () => red.links.list({ target }), TYPE, 'filter.target must be a Namespace')
  await refused(t, 'get', () => red.links.get('lo', { target }), TYPE, 'options.target must be a Namespace')
  const functions = { virtualFunctions: 1 } as Wrong
  await refused(t, 'functions', () => red.links.list(functions), TYPE, 'filter.virtualFunctions must be')
  const master = await currentNamespace().links.get('lo')
  await refused(t, 'a master from elsewhere', () => red.links.list({ master }), VALUE, "filter.master 'lo': is in")
})
