/** Links as ports of a master: the option `port`, and `link.port`. */
import t from 'tap'
import { createBridge, createLink, createVeth } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const referee = await needs('namespaces', 'ip')

t.test('a port is made with its options', referee, async (t) => {
  const red = await scratch(t)
  const blue = await scratch(t)
  const bridge = await createBridge({ name: 'br0', namespace: red })
  const port = { isolated: true, learning: false, cost: 17 }
  const said = async (name: string) => (await ip(red, 'link', 'show', name))[0].linkinfo.info_slave_data
  const shown = { isolated: true, learning: false, cost: 17, flood: true }
  const [a] = await createVeth({ name: 'a', namespace: red, master: bridge, port }, { namespace: blue })
  const [, b] = await createVeth({ namespace: blue }, { name: 'bb', namespace: red, master: 'br0', port, up: true })
  const c = await createLink({ kind: 'ifb', name: 'c', namespace: red, master: bridge.index, port })
  for (const link of [a, b, c]) {
    t.match(link.port, port, `${link.name} says so`)
    t.match(await said(link.name), shown, `and iproute2 of ${link.name}`)
    t.equal(link.master, bridge.index)
  }
  t.equal(b.up, true)
  t.match(JSON.parse(JSON.stringify(a)), { port: { cost: 17, number: 1 } })
  t.equal(bridge.port, undefined, 'the bridge is nobody’s port')
})

t.test('a port is changed', referee, async (t) => {
  const red = await scratch(t)
  await createBridge({ name: 'br0', namespace: red })
  const [a, b] = await createVeth({ name: 'a', namespace: red }, { name: 'bb', namespace: red })
  await a.set({ master: 'br0', port: { hairpin: true }, mtu: 1400 })
  t.match(a, { mtu: 1400, port: { hairpin: true, isolated: false } }, 'while it becomes one')
  await a.set({ port: { hairpin: false, priority: 3 } })
  t.match(a.port, { hairpin: false, priority: 3, id: 0x0c01 })
  const [json] = await ip(red, 'link', 'show', 'a')
  t.match(json.linkinfo.info_slave_data, { hairpin: false, priority: 3 })
  t.equal(json.mtu, 1400)
  await ipDo(red, 'link', 'set', 'bb', 'master', 'br0')
  t.equal(b.port, undefined, 'the snapshot is older')
  await b.set({ port: { backupPort: 'a' } })
  t.equal(b.port?.backupPort, a.index, 'a link among the options is told by its name')
  await b.set({ port: { backupPort: null } })
  t.equal(b.port?.backupPort, undefined)
  await b.set({ port: { backupPort: a } })
  t.equal(b.port?.backupPort, a.index)
  await b.set({ port: { data: { '#33': Uint8Array.of(1) } } })
  t.equal(b.port?.isolated, true, 'raw attributes go through')
  await b.set({ master: null })
  t.equal(b.port, undefined)
})

t.test('ensure compares what a link is as a port', namespaces, async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  await createBridge({ name: 'br1', namespace: red })
  const wanted = { kind: 'ifb', name: 'ifb9', master: br0, port: { isolated: true, backupPort: null } } as const
  t.equal((await red.links.ensure(wanted)).created, true)
  const events = await eventsOf(t, red)
  t.same((await red.links.ensure(wanted)).changes, [])
  t.same(await events(), [], 'nothing is touched')
  t.same((await red.links.ensure({ ...wanted, port: { isolated: true, learning: false } })).changes, ['port'])
  const moved = await red.links.ensure({ ...wanted, master: 'br1' })
  t.same(moved.changes.sort(), ['master', 'port'], 'under another master it is a new port')
  t.match(moved.link.port, { isolated: true, learning: true })
  t.same((await red.links.ensure({ ...wanted, master: 'br1' })).changes, [])
})

t.test('wrong options of a port', namespaces, async (t) => {
  const red = await scratch(t)
  const bridge = await createBridge({ name: 'br0', namespace: red })
  const [a, b] = await createVeth({ name: 'a', namespace: red, master: bridge }, { name: 'bb', namespace: red })
  const set = (port: Wrong) => () => a.set({ port })
  await refused(t, 'no object', set(true), TYPE, 'changes.port must be an object, not true')
  await refused(
    t,
    'a typo',
    set({ isolatd: true }),
    VALUE,
    "changes.port 'isolatd': is not an option here; did you mean",
  )
  await refused(t, 'a type', set({ isolated: 1 }), TYPE, 'changes.port.isolated must be true or false, not 1')
  await refused(t, 'a range', set({ cost: -1 }), RANGE, 'changes.port.cost must be from 0')
  await refused(t, 'read only', set({ number: 1 }), VALUE, "changes.port 'number': is not an option here")
  await refused(t, 'no link', set({ backupPort: '' }), VALUE, "changes.port.backupPort '': is empty")
  await refused(t, 'raw', set({ data: { x: 1 } }), VALUE, "changes.port.data 'x': is not the key of a raw attribute")
  const none = () => a.set({ port: {}, master: null })
  await refused(t, 'no master', none, VALUE, /^changes.port .*: is for a link that has a master$/)
  const make = (options: object) => () => createLink({ kind: 'ifb', namespace: red, ...options } as Wrong)
  await refused(
    t,
    'without',
    make({ port: {} }),
    VALUE,
    'options.port {}: is for a link that has a master: give it one',
  )
  const wrong = { master: bridge, port: { cost: 'x' } }
  await refused(t, 'made', make(wrong), TYPE, "options.port.cost must be an integer, not 'x'")
  const pair = () => createVeth({ namespace: red }, { namespace: red, ...wrong } as Wrong)
  await refused(t, 'right', pair, TYPE, "right.port.cost must be an integer, not 'x'")
  await t.rejects(b.set({ port: { isolated: true } }), {
    code: VALUE,
    message: /: is for a port, and bb has no master$/,
  })
  await t.rejects(make({ master: 'br0', port: { cost: 'x' } })(), { code: TYPE }, 'a master told by name is looked up')
  await t.rejects(make({ master: 4711, port: {} })(), { code: 'ENODEV', message: /^options.master: no link 4711/ })
  await t.rejects(a.set({ port: { backupPort: 'nobody' } }), { code: 'ENODEV', message: /^changes.port.backupPort/ })
  t.same((await red.links.list({ kind: 'ifb' })).length, 0, 'and nothing was made')
  const gone = createLink({ kind: 'ifb', name: 'gone', namespace: red, master: bridge, port: { priority: 100 } })
  await t.rejects(gone, { code: 'ERANGE', message: /^cannot change gone as a port/ })
  t.equal(await red.links.find('gone'), undefined, 'what the kernel refuses leaves no link')
})
