/** createBridge: its options, its ports, and what is left when it fails. */
import t from 'tap'
import {
  type BridgeOptions,
  createBridge,
  createVeth,
  type Link,
  type Namespace,
  type NetkitError,
} from '../dist/index.js'
import { eventually } from './support/counting.js'
import { needs } from './support/needs.js'
import { bothOf } from './support/referee.js'
import { ip, scratch } from './support/scratch.js'

const namespaces = await needs('namespaces')

const namesIn = async (namespace: Namespace) => (await namespace.links.list()).map(({ name }) => name).sort()

type Option = keyof BridgeOptions & string

/**
 * Every option, each with a value that is not the default, and how iproute2 shows it. `undefined`: this iproute2 does not, and
 * the kernel is asked through netkit alone.
 */
const options: [option: Option, value: unknown, shown: [key: string, value: unknown] | undefined][] = [
  ['forwardDelay', 4000, ['forward_delay', 400]],
  ['helloTime', 3000, ['hello_time', 300]],
  ['maxAge', 8000, ['max_age', 800]],
  ['ageingTime', 10_000, ['ageing_time', 1000]],
  ['stp', true, ['stp_state', 1]],
  ['priority', 4096, ['priority', 4096]],
  ['vlanFiltering', true, ['vlan_filtering', 1]],
  ['vlanProtocol', '802.1ad', ['vlan_protocol', '802.1ad']],
  ['groupForwardMask', 8, ['group_fwd_mask', '0x8']],
  ['groupAddress', '01:80:c2:00:00:0d', ['group_addr', '01:80:c2:00:00:0d']],
  ['multicastRouter', 'enabled', ['mcast_router', 2]],
  ['multicastSnooping', false, ['mcast_snooping', 0]],
  ['multicastQueryUseIfaddr', true, ['mcast_query_use_ifaddr', 1]],
  ['multicastQuerier', true, ['mcast_querier', 1]],
  ['multicastHashMax', 1024, ['mcast_hash_max', 1024]],
  ['multicastLastMemberCount', 3, ['mcast_last_member_cnt', 3]],
  ['multicastStartupQueryCount', 4, ['mcast_startup_query_cnt', 4]],
  ['multicastLastMemberInterval', 2000, ['mcast_last_member_intvl', 200]],
  ['multicastMembershipInterval', 300_000, ['mcast_membership_intvl', 30_000]],
  ['multicastQuerierInterval', 260_000, ['mcast_querier_intvl', 26_000]],
  ['multicastQueryInterval', 130_000, ['mcast_query_intvl', 13_000]],
  ['multicastQueryResponseInterval', 11_000, ['mcast_query_response_intvl', 1100]],
  ['multicastStartupQueryInterval', 32_000, ['mcast_startup_query_intvl', 3200]],
  ['callIptables', true, ['nf_call_iptables', 1]],
  ['callIp6tables', true, ['nf_call_ip6tables', 1]],
  ['callArptables', true, ['nf_call_arptables', 1]],
  ['defaultPvid', 7, ['vlan_default_pvid', 7]],
  ['vlanStatistics', true, ['vlan_stats_enabled', 1]],
  ['vlanStatisticsPerPort', true, ['vlan_stats_per_port', 1]],
  ['multicastStatistics', true, ['mcast_stats_enabled', 1]],
  ['igmpVersion', 3, ['mcast_igmp_version', 3]],
  ['mldVersion', 2, ['mcast_mld_version', 2]],
  ['booleanOptions', { noLinkLocalLearn: true }, ['no_linklocal_learn', 1]],
  ['fdbMaxLearned', 5, undefined],
]

const only = (option: string, value: unknown) => ({ [option]: value }) as Partial<BridgeOptions>

/** Options that a kernel without VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING) does not report. */
const ofVlans: readonly Option[] = [
  'vlanFiltering',
  'vlanProtocol',
  'defaultPvid',
  'vlanStatistics',
  'vlanStatisticsPerPort',
]

t.test('every option', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const plain = await createBridge({ name: 'plain', namespace: red })
  const hasVlans = 'defaultPvid' in plain.options
  const all: Record<string, unknown> = {}
  for (const [option, value, shown] of options) {
    if (!hasVlans && ofVlans.includes(option)) {
      t.pass(option, { skip: "this kernel's bridge has no VLAN filtering" })
      continue
    }
    if (option === 'fdbMaxLearned' && !('fdbMaxLearned' in plain.options)) {
      t.pass(option, { skip: "this kernel's bridge has no limit of learnt addresses" })
      continue
    }
    t.not(JSON.stringify(plain.options[option]), JSON.stringify(value), `${option} is not ${JSON.stringify(value)}`)
    all[option] = value
    const one = await createBridge({ name: 'one', namespace: red, ...only(option, value) })
    const set = await createBridge({ name: 'set', namespace: red })
    await set.set(only(option, value))
    for (const bridge of [one, set]) {
      t.match(bridge.options, { [option]: value }, `${option} ${bridge === one ? 'when made' : 'when set'}`)
      const [json] = await ip(red, 'link', 'show', bridge.name)
      if (shown !== undefined) t.equal(json.linkinfo.info_data[shown[0]], shown[1], 'and iproute2 shows it')
      await bridge.delete()
    }
  }
  const full = await createBridge({ name: 'full', namespace: red, ...all })
  t.match(full.options, all, 'all together')
  for (const name of ['plain', 'full']) {
    const { iproute2, netkit } = await bothOf(red, name)
    t.same(netkit, iproute2, `${name} reads the same`)
  }
  const known = new Set([...options.map(([option]) => option), 'multicastHashElasticity'])
  const readOnly = /^(root|bridge)Id$|^rootP|^topology|Timer$|^fdbLearned$|^querierState$|^padding$/
  const missed = Object.keys(full.options).filter((key) => !known.has(key as Option) && !readOnly.test(key))
  t.same(missed, [], 'every option that the kernel reports is among them')
})

t.test('options that can only be read', namespaces, async (t) => {
  const red = await scratch(t)
  for (const option of ['rootId', 'bridgeId', 'rootPort', 'topologyChange', 'helloTimer', 'fdbLearned', 'padding']) {
    const wrong = { code: 'ERR_INVALID_ARG_VALUE', message: new RegExp(`^options '${option}': is not an option here`) }
    await t.rejects(createBridge({ namespace: red, ...only(option, 1) }), wrong)
  }
})

// This iproute2 does not show it.
t.test('the querier that is heard', namespaces, async (t) => {
  const red = await scratch(t)
  const asks = {
    multicastQuerier: true,
    multicastQueryUseIfaddr: true,
    multicastStartupQueryInterval: 1000,
    addresses: ['10.0.0.1/24'],
    up: true,
  }
  const asking = await createBridge({ name: 'asking', namespace: red, ...asks })
  const hearing = await createBridge({ name: 'hearing', namespace: red, up: true })
  const [, behind] = await createVeth(
    { namespace: red, master: asking, up: true },
    { name: 'behind', namespace: red, master: hearing, up: true },
  )
  const heard = async () => (await hearing.refresh()).options.querierState?.address !== undefined
  t.ok(await eventually(heard, 10_000), 'it is heard')
  const { address, port, timer = 0 } = hearing.options.querierState ?? {}
  t.same({ address, port }, { address: '10.0.0.1', port: behind.index })
  t.ok(timer > 200_000 && timer <= 255_000, `${timer} ms are left`)
})

t.test('ports', await needs('namespaces', 'ip'), async (t) => {
  const red = await scratch(t)
  const [a, b] = await createVeth({ name: 'a', namespace: red, up: true }, { name: 'b', namespace: red, up: true })
  const [c] = await createVeth({ name: 'c', namespace: red, up: true }, { namespace: red, up: true })
  const [d] = await createVeth({ name: 'd', namespace: red, up: true }, { namespace: red, up: true })
  const bridge = await createBridge({ name: 'br0', namespace: red, up: true, ports: [a, 'c', d.index] })
  const ports = await red.links.list({ master: bridge })
  t.same(ports.map(({ name }) => name).sort(), ['a', 'c', 'd'])
  t.ok([a.mac, c.mac, d.mac].includes(bridge.mac), 'a bridge has the MAC address of one of its ports')
  t.ok(bridge.flags.includes('LOWER_UP'))
  for (const name of ['br0', 'a', 'b', 'c']) {
    const { iproute2, netkit } = await bothOf(red, name)
    t.same(netkit, iproute2, name)
  }
  await bridge.delete()
  await a.refresh()
  t.equal(a.master, undefined)
  t.equal(a.up, true, 'ports outlive their bridge')
  t.equal(b.master, undefined)
})

t.test('a failure leaves nothing', namespaces, async (t) => {
  const red = await scratch(t)
  const box = await scratch(t)
  const other = await createBridge({ name: 'other', namespace: red })
  const [free, owned] = await createVeth(
    { name: 'free', namespace: red },
    { name: 'owned', namespace: red, master: other },
  )
  await createBridge({ name: 'far', namespace: box })
  const masters = async () => (await red.links.list()).map(({ name, master }) => [name, master])
  const before = await masters()
  const cases: [what: string, make: () => Promise<Link>, expected: object][] = [
    [
      'a port that cannot be one',
      () => createBridge({ name: 'br0', namespace: red, ports: [free, owned, 'lo'] }),
      { code: 'EINVAL', message: /^cannot make lo a port of br0: / },
    ],
    [
      'a port that cannot be one, first',
      () => createBridge({ name: 'br0', namespace: red, ports: ['lo', free, owned] }),
      { code: 'EINVAL', syscall: 'RTM_NEWLINK' },
    ],
    [
      'a bridge as a port',
      () => createBridge({ name: 'br0', namespace: red, ports: [owned, other] }),
      { code: /^E(LOOP|INVAL)$/, message: /^cannot make other a port of br0: / },
    ],
    [
      'a port elsewhere, by name',
      () => createBridge({ name: 'br0', namespace: red, ports: [free, 'far'] }),
      { code: 'ENODEV', message: /^options\.ports\[1\] 'far' in namespace/ },
    ],
    [
      'a port elsewhere, by index',
      () => createBridge({ name: 'br0', namespace: red, ports: [free, 7777] }),
      { code: 'ENODEV', message: /^options\.ports\[1\]: no link 7777/ },
    ],
    [
      'an address twice',
      () => createBridge({ name: 'br0', namespace: red, ports: [free], addresses: ['10.0.0.1/24', '10.0.0.1/24'] }),
      { code: 'EEXIST', syscall: 'RTM_NEWADDR' },
    ],
    [
      'a label that does not fit',
      () =>
        createBridge({
          name: 'br0',
          namespace: red,
          addresses: [{ address: '10.0.0.1/24', label: `br0:${'x'.repeat(12)}` }],
        }),
      { code: 'ERR_INVALID_ARG_VALUE' },
    ],
    [
      'a value that the kernel refuses',
      () => createBridge({ name: 'br0', namespace: red, ports: [free], groupForwardMask: 1 }),
      { code: 'EINVAL', syscall: 'RTM_NEWLINK', message: /^cannot create the bridge br0: / },
    ],
    [
      'a name that is taken',
      () => createBridge({ name: 'other', namespace: red, ports: [free] }),
      { code: 'EEXIST', message: /^cannot create the bridge other: file exists/ },
    ],
    [
      'an alias that is too long',
      () => createBridge({ namespace: red, alias: 'ü'.repeat(128) }),
      { code: 'ERR_INVALID_ARG_VALUE' },
    ],
  ]
  for (const [what, make, expected] of cases) {
    const error = await make().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    t.match(error, expected, what)
    t.notOk((error as NetkitError | undefined)?.undoFailure)
    t.same(await masters(), before, 'no link is left, and no port has changed')
  }
  t.same(await namesIn(box), ['far', 'lo'])
})
