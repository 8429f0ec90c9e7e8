/** Links that stand on another, and kinds that the kernel lacks. */
import t from 'tap'
import { createBridge, createLink, createVeth, type Link, type NetkitError } from '../dist/index.js'
import { needs } from './support/needs.js'
import { eventsOf } from './support/netlink.js'
import { refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { ip, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')
const macvlans = await needs('namespaces', 'ip', 'kind:macvlan')

t.test('the parent is told by a Link, a name or an index', macvlans, async (t) => {
  const red = await scratch(t)
  const [base] = await createVeth({ name: 'base', namespace: red, up: true }, { namespace: red, up: true })
  for (const [i, parent] of [base, 'base', base.index].entries()) {
    const name = `m${i}`
    const link = await createLink({ kind: 'macvlan', name, namespace: red, parent, mode: 'bridge', up: true })
    t.match(link, { parent: base.index, options: { mode: 'bridge' }, up: true })
    t.match(await ip(red, 'link', 'show', name), [{ link: 'base', linkinfo: { info_data: { mode: 'bridge' } } }])
  }
})

t.test('the parent is in another namespace', macvlans, async (t) => {
  const red = await scratch(t)
  const blue = await scratch(t)
  const [base] = await createVeth({ name: 'base', namespace: red }, { namespace: red })
  const bridge = await createBridge({ name: 'br0', namespace: blue })
  const options = {
    kind: 'macvlan',
    name: 'mv0',
    namespace: blue,
    parent: base,
    mode: 'private',
    mtu: 1400,
    alias: 'from elsewhere',
    addresses: ['10.0.0.1/24'],
  } as const
  const link = await createLink(options)
  t.match(link, { name: 'mv0', parent: base.index, mtu: 1400, alias: 'from elsewhere' })
  t.equal(link.namespace, blue)
  t.type(link.attributes.parentNamespaceId, 'number')
  const [shown] = await ip(blue, 'link', 'show', 'mv0')
  t.match(shown, { link_index: base.index, link_netnsid: link.attributes.parentNamespaceId })
  t.same((await red.links.list({ kind: 'macvlan' })).length, 0, 'nothing of it is where the parent is')
  t.match(await blue.addresses.list({ link, family: 'inet' }), [{ address: '10.0.0.1/24' }])

  const events = await eventsOf(t, blue)
  const { namespace: _, ...here } = options
  t.same(await blue.links.ensure(here), { link, created: false, changed: false, changes: [] })
  t.same(await events(), [], 'ensure knows it again')
  const [same] = await createVeth({ name: 'same', namespace: blue, index: base.index }, { namespace: blue })
  t.equal(same.index, base.index, 'a link of the same index in the other namespace')
  await t.rejects(blue.links.ensure({ ...here, parent: same }), { code: 'EEXIST', message: /has parent/ })

  const third = await scratch(t)
  const [other] = await createVeth({ name: 'other', namespace: third, index: base.index }, { namespace: third })
  await t.rejects(
    blue.links.ensure({ ...here, parent: other }),
    { code: 'EEXIST', message: /has parent/ },
    'or a third',
  )

  await t.rejects(createLink(options), { code: 'EEXIST' }, 'the name is taken')
  const unnamed = await createLink({ kind: 'macvlan', namespace: blue, parent: base, master: bridge })
  t.match(unnamed, { name: 'macvlan0', master: bridge.index, parent: base.index })
  await t.rejects(createLink({ ...options, name: 'mv1', addresses: ['10.0.0.1/24', '10.0.0.1/24'] }), {
    code: 'EEXIST',
  })
  t.equal(await blue.links.find('mv1'), undefined, 'a failure leaves nothing')
})

t.test('wrong parents', namespaces, async (t) => {
  const red = await scratch(t)
  const blue = await scratch(t)
  const [base] = await createVeth({ name: 'base', namespace: red }, { namespace: red })
  const make = (options: object) => () => createLink({ namespace: blue, ...options } as Wrong)
  const missing =
    "options.parent must be a Link, a link's name or its index, not undefined: a vlan stands on another link"
  await refused(t, 'none', make({ kind: 'vlan', id: 10 }), TYPE, missing)
  await refused(
    t,
    'no id',
    make({ kind: 'vlan', parent: base }),
    TYPE,
    'options.id must be a number from 0 to 4094, not undefined: a vlan',
  )
  await refused(
    t,
    'an id',
    make({ kind: 'vlan', parent: base, id: 4095 }),
    'ERR_OUT_OF_RANGE',
    'options.id must be from 0 to',
  )
  const bridge = make({ kind: 'bridge', parent: base })
  await refused(t, 'too much', bridge, VALUE, "options.parent 'base': a bridge stands on no other link")
  await refused(t, 'tun', make({ kind: 'tun' }), VALUE, "options.kind 'tun': is made through /dev/net/tun: use openTap")
  await t.rejects(make({ kind: 'macvlan', parent: 'base' })(), {
    code: 'ENODEV',
    message: /^options.parent 'base' in /,
  })
  await t.rejects(base.set({ vlan: 1 } as never), { code: VALUE })
})

t.test('a kernel without a kind says what would give it', namespaces, async (t) => {
  const red = await scratch(t)
  const [base] = await createVeth({ name: 'base', namespace: red }, { namespace: red })
  const refusal = (making: Promise<Link>) =>
    making.then(
      () => undefined,
      (error: NetkitError) => error,
    )
  const unheard = await refusal(createLink({ kind: 'no-such-kind', name: 'x', namespace: red }))
  t.match(unheard, { code: 'EOPNOTSUPP', syscall: 'RTM_NEWLINK', kernelMessage: 'Unknown device type' })
  t.equal(unheard?.hint, 'this kernel has no links of kind no-such-kind, and netkit does not know it either')
  t.match(
    unheard?.message,
    /^cannot create the no-such-kind x: Unknown device type \(EOPNOTSUPP, RTM_NEWLINK\); this kernel/,
  )
  t.match(unheard?.stack, /link-parents\.test/, 'with the caller’s line')
  const vlan = await refusal(createLink({ kind: 'vlan', name: 'base.10', namespace: red, parent: base, id: 10 }))
  if ((await needs('kind:vlan')).skip === false) t.equal(vlan, undefined)
  else
    t.match(
      vlan?.hint,
      /no links of kind vlan: CONFIG_VLAN_8021Q gives them, as module 8021q where it is not built in$/,
    )
  t.match(await refusal(createLink({ kind: 'bridge', namespace: red, mtu: 100_000 })), {
    hint: undefined,
    code: 'EINVAL',
  })
})
