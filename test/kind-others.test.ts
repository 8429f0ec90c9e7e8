/** vrf, hsr, and the kinds without options of their own, held against iproute2; the pairs of netkit and vxcan. */
import t from 'tap'
import { createLink, createNetkit, createVeth, createVxcan, type Namespace } from '../dist/index.js'
import { refereeKind, refereePorts } from './support/kind-referee.js'
import { needs } from './support/needs.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, ipDo, scratch } from './support/scratch.js'

await refereeKind(t, {
  kind: 'vrf',
  base: { options: { table: 10 }, words: ['table', '10'] },
  cases: [{ option: 'table', value: 77, words: ['table', '77'], shown: ['table', 77], change: false }],
})

await refereePorts(t, {
  kind: 'vrf',
  prepare: (namespace: Namespace) => createLink({ kind: 'vrf', name: 'master', namespace, table: 10 }),
  cases: [],
  reads: { table: (data) => data.table },
})

await refereeKind(t, {
  kind: 'hsr',
  async prepare(namespace) {
    for (const name of ['one', 'two']) await createVeth({ name, namespace, up: true }, { namespace, up: true })
  },
  base: { options: { port1: 'one', port2: 'two' }, words: ['slave1', 'one', 'slave2', 'two'] },
  cases: [
    { option: 'protocol', value: 'prp', words: ['proto', '1'], shown: ['proto', 1], change: false },
    {
      option: 'multicastSpecifier',
      value: 45,
      read: undefined,
      words: ['supervision', '45'],
      shown: ['supervision_addr', '01:15:4e:00:01:2d'],
      change: false,
    },
    { option: 'version', value: 1, read: undefined, words: ['version', '1'], change: false },
  ],
  reads: { supervisionAddress: (data) => data.supervision_addr },
  excused: {
    port1: 'a link: below',
    port2: 'the same',
    sequenceNumber: 'it runs',
  },
})

t.test('the links of an hsr', await needs('namespaces', 'ip', 'kind:hsr'), async (t) => {
  const red = await scratch(t)
  const [one] = await createVeth({ name: 'one', namespace: red, up: true }, { namespace: red, up: true })
  const [two] = await createVeth({ name: 'two', namespace: red, up: true }, { namespace: red, up: true })
  const link = await createLink({ kind: 'hsr', name: 'ring', namespace: red, port1: one, port2: 'two' })
  t.match(link.options, { port1: one.index, port2: two.index })
  const [json] = await ip(red, 'link', 'show', 'ring')
  t.match(json.linkinfo.info_data, { slave1: 'one', slave2: 'two' })
  const options = { kind: 'hsr', name: 'ring', port1: 'one', port2: two } as const
  t.same((await red.links.ensure(options)).changes, [])
  await t.rejects(red.links.ensure({ ...options, port2: 'one' }), { code: 'EEXIST', message: /has port2 \d+/ })
})

for (const kind of ['dummy', 'ifb', 'nlmon', 'vcan', 'team'] as const) {
  await refereeKind(t, { kind, cases: [] })
  t.test(`${kind}: made, ensured and changed`, await needs('namespaces', 'ip', `kind:${kind}`), async (t) => {
    const red = await scratch(t)
    const link = await createLink({ kind, name: 'it', namespace: red, txQueueLength: 33 })
    t.match(link, { kind, txQueueLength: 33, options: {} })
    t.match(await ip(red, 'link', 'show', 'it'), [{ txqlen: 33, linkinfo: { info_kind: kind } }])
    t.same(await red.links.ensure({ kind, name: 'it', txQueueLength: 33 }), {
      link,
      created: false,
      changed: false,
      changes: [],
    })
    await link.set({ up: true })
    t.equal(link.up, true)
    const wrong = () => createLink({ kind, namespace: red, mode: 'x' } as Wrong)
    await refused(t, 'an option', wrong, VALUE, "options 'mode': is not an option here")
    await ipDo(red, 'link', 'add', 'theirs', 'type', kind)
    t.equal((await red.links.get('theirs')).kind, kind)
  })
}

t.test('a pair of netkit', await needs('namespaces', 'ip', 'kind:netkit'), async (t) => {
  const red = await scratch(t)
  const blue = await scratch(t)
  const addresses = ['10.0.0.1/24']
  const [near, far] = await createNetkit(
    { name: 'near', namespace: red, mode: 'l2', policy: 'drop', addresses, up: true },
    { name: 'far', namespace: blue, mac: '02:00:00:00:00:02', up: true },
  )
  t.match(near, { kind: 'netkit', parent: far.index, up: true, running: true })
  t.match(near.options, { primary: true, mode: 'l2', policy: 'drop', peerPolicy: 'pass' })
  t.match(far, { namespace: blue, mac: '02:00:00:00:00:02', options: { primary: false, mode: 'l2', policy: 'pass' } })
  t.match(await ip(red, 'link', 'show', 'near'), [{ link_index: far.index, linkinfo: { info_kind: 'netkit' } }])
  t.match(await ip(blue, 'link', 'show', 'far'), [{ address: '02:00:00:00:00:02', operstate: 'UP' }])
  await near.set({ policy: 'pass', peerPolicy: 'drop' })
  t.match(near.options, { policy: 'pass', peerPolicy: 'drop' })
  await far.refresh()
  t.match(far.options, { policy: 'drop' })
  await t.rejects(far.set({ policy: 'pass' }), { code: 'EACCES' }, 'only through the primary')
  await near.delete()
  t.equal(await blue.links.find('far'), undefined)

  const [a, b] = await createNetkit({ namespace: red })
  t.match([a.name, b.name].sort(), ['nk0', 'nk1'])
  t.match(a.options, { mode: 'l3', policy: 'pass' }, 'the defaults')
  await ipDo(red, 'link', 'add', 'theirs', 'type', 'netkit')
  t.match((await red.links.get('theirs')).options, { mode: 'l3', primary: true, policy: 'pass' })
})

t.test('options of netkit', await needs('namespaces', 'kind:netkit', 'kernel:6.12'), async (t) => {
  const red = await scratch(t)
  const [near] = await createNetkit({ namespace: red, scrub: 'none', peerScrub: 'none' })
  t.match(near.options, { scrub: 'none', peerScrub: 'none' })
})

t.test('wrong options of netkit', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const make = (options: object) => () => createNetkit({ namespace: red, ...options } as Wrong)
  await refused(t, 'nothing', () => createNetkit(undefined as Wrong), TYPE, 'primary must be an object, not undefined')
  await refused(t, 'a mode', make({ mode: 'l4' }), VALUE, "primary.mode 'l4': expected one of l2, l3")
  await refused(t, 'an MTU', make({ mtu: 'x' }), TYPE, "primary.mtu must be an integer, not 'x'")
  await refused(t, 'read only', make({ primary: true }), VALUE, "primary 'primary': is not an option here")
  const other = () => createNetkit({ namespace: red }, { namespace: red, mode: 'l2' } as Wrong)
  await refused(t, 'the other end', other, VALUE, "peer 'mode': is not an option here")
  const plain = () => createLink({ kind: 'netkit', namespace: red } as Wrong)
  await refused(t, 'one end', plain, VALUE, "options.kind 'netkit': has two ends: use createNetkit")
})

t.test('a pair of vxcan', await needs('namespaces', 'ip', 'kind:vxcan'), async (t) => {
  const red = await scratch(t)
  const blue = await scratch(t)
  const [left, right] = await createVxcan(
    { name: 'left', namespace: red, up: true },
    { name: 'right', namespace: blue, txQueueLength: 17, up: true },
  )
  t.match(left, { kind: 'vxcan', parent: right.index, running: true })
  t.match(right, { namespace: blue, txQueueLength: 17, parent: left.index })
  t.match(await ip(blue, 'link', 'show', 'right'), [{ txqlen: 17, link_type: 'can', linkinfo: { info_kind: 'vxcan' } }])
  await right.delete()
  t.equal(await red.links.find('left'), undefined)
})
