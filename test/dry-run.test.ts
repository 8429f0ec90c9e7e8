/** Dry runs: nothing is sent, and what would be is told in words. */
import t from 'tap'
import { createBridge, createVeth, dryRun } from '../dist/index.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'

const able = await needs('namespaces', 'ip')

t.test('nothing is sent', able, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const before = [await ip(red, 'address', 'show'), await ip(box, 'address', 'show')]
  const { requests, result } = await dryRun([red, box], async (dry, other) => {
    const br0 = await createBridge({ name: 'br0', namespace: dry, ageingTime: 60_000, mtu: 1400, up: true })
    const [port, eth0] = await createVeth(
      { name: 'port%d', namespace: dry, master: br0, up: true },
      { name: 'eth0', namespace: other, addresses: ['10.0.0.2/24'] },
    )
    await eth0.set({ mtu: 1300, name: 'eth1', up: true })
    await other.routes.add({ to: 'default', via: '10.0.0.1' })
    await dry.addresses.ensure({ link: 'lo', address: '10.9.0.1/32' }).catch(() => {})
    await br0.delete()
    return { mtu: br0.mtu, master: port.master === br0.index, name: eth0.name, renamed: eth0.mtu, up: eth0.up }
  })
  t.same(result, { mtu: 1400, master: true, name: 'eth1', renamed: 1300, up: true }, 'what would be there can be read')
  t.same([await ip(red, 'address', 'show'), await ip(box, 'address', 'show')], before)
  t.same(
    requests.map(({ name, namespace }) => [name, namespace === `namespace ${red.inode}`]),
    [
      ['RTM_NEWLINK', true],
      ['RTM_NEWLINK', true],
      ['RTM_NEWADDR', false],
      ['RTM_NEWLINK', false],
      ['RTM_NEWROUTE', false],
      ['RTM_NEWADDR', true],
      ['RTM_DELLINK', true],
    ],
  )
  const [bridge, pair, address] = requests
  t.equal(bridge?.what, 'cannot create the bridge br0')
  t.match(bridge, {
    flags: ['create', 'exclusive'],
    header: { ifi_flags: 1, ifi_change: 1 },
    attributes: {
      IFLA_IFNAME: 'br0',
      IFLA_MTU: 1400,
      IFLA_LINKINFO: { IFLA_INFO_KIND: 'bridge', IFLA_INFO_DATA: { IFLA_BR_AGEING_TIME: 60_000 } },
    },
  })
  const line =
    "RTM_NEWLINK create exclusive: ifi_flags 1, ifi_change 1, IFLA_IFNAME 'br0', IFLA_MTU 1400, " +
    "IFLA_LINKINFO { IFLA_INFO_KIND 'bridge', IFLA_INFO_DATA { IFLA_BR_AGEING_TIME 60000 } }"
  t.equal(bridge?.text, line)
  t.match(pair?.attributes, { IFLA_LINKINFO: { IFLA_INFO_DATA: { VETH_INFO_PEER: { IFLA_IFNAME: 'eth0' } } } })
  t.match(address?.attributes, { IFA_LOCAL: '10.0.0.2' })
  t.ok(bridge?.bytes instanceof Uint8Array && bridge.bytes.length > 32)
})

t.test('bad input is found, and the kernel is asked what is there', able, async (t) => {
  const red = await scratch(t)
  await createBridge({ name: 'br0', namespace: red, mtu: 1400 })
  await t.rejects(
    red.dryRun((dry) => createBridge({ namespace: dry, mtu: -1 })),
    { code: 'ERR_OUT_OF_RANGE' },
  )
  await t.rejects(
    red.dryRun((dry) => dry.links.get('br9')),
    { code: 'ENODEV' },
  )
  const { requests } = await red.dryRun((dry) => dry.links.ensure({ kind: 'bridge', name: 'br0', mtu: 1400, up: true }))
  t.same(
    requests.map(({ name, header }) => [name, header.ifi_flags]),
    [['RTM_NEWLINK', 1]],
    'ensure would only bring it up',
  )
  t.equal((await red.links.get('br0')).up, false)
})

t.test('afterwards nothing is sent either', able, async (t) => {
  const red = await scratch(t)
  const { result } = await red.dryRun((dry) => createBridge({ name: 'br0', namespace: dry }))
  await t.rejects(result.set({ mtu: 1300 }), { code: 'EINVAL', message: /the dry run is over/ })
  t.equal(await red.links.find('br0'), undefined)
  await t.rejects(red.dryRun('no' as never), { code: 'ERR_INVALID_ARG_TYPE' })
  await t.rejects(
    dryRun(red as never, () => {}),
    { code: 'ERR_INVALID_ARG_TYPE' },
  )
})

t.test(
  'a link that would be there is limited, and has addresses',
  await needs('namespaces', 'qdisc:tbf'),
  async (t) => {
    const red = await scratch(t)
    const { requests, result } = await red.dryRun(async (dry) => {
      const [left] = await createVeth({ name: 'left', namespace: dry }, { name: 'right', namespace: dry })
      const before = [await left.qdiscs.list(), await dry.addresses.list({ link: left }), await left.limits()]
      const limited = await left.limit({ egress: '8mbit', ingress: '4mbit', ingressBy: 'queue' })
      const added = await dry.addresses.ensure({ link: left, address: '10.0.0.1/24' })
      await left.removeAddress('10.0.0.1/24')
      return { before, limited, limits: await left.limits(), added, after: await dry.addresses.list({ link: left }) }
    })
    t.match(result, {
      before: [[], [], {}],
      limited: { changed: true },
      limits: { egress: { rate: 8_000_000 } },
      added: { created: true, address: { address: '10.0.0.1/24' } },
      after: [],
    })
    t.ok(requests.some(({ name }) => name === 'RTM_NEWTFILTER'))
    t.equal((await red.links.list()).length, 1)
  },
)

t.test('what leads out of it', able, async (t) => {
  const [red, box] = [await scratch(t), await scratch(t)]
  const reason = new RegExp(`namespace ${box.inode} is not part of this dry run; use dryRun\\(\\[a, b\\], …\\)`)
  const pair = red.dryRun((dry) => createVeth({ name: 'left', namespace: dry }, { name: 'right', namespace: box }))
  await t.rejects(pair, { code: 'EINVAL', message: reason })
  const [left] = await createVeth({ name: 'left', namespace: red }, { name: 'right', namespace: red })
  const { requests } = await red.dryRun((dry) =>
    dry.links.add({ kind: 'macvlan', name: 'mv0', parent: left, mode: 'bridge' }),
  )
  t.equal(requests.length, 1, 'a parent that is a Link of the namespace itself leads nowhere else')
  t.equal(await red.links.find('mv0'), undefined)
})
