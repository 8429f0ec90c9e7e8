/** bond and its ports, held against iproute2. */
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { createLink, createVeth, type Namespace } from '../dist/index.js'
import { eventually } from './support/counting.js'
import { type KindCase, refereeKind, refereePorts, type Said } from './support/kind-referee.js'
import { needs } from './support/needs.js'
import { refused, VALUE, type Wrong } from './support/refused.js'
import { ip, scratch } from './support/scratch.js'

const inMode = (mode: string): Said => ({ options: { mode }, words: ['mode', mode] })
const lacp = inMode('802.3ad')
const monitored: Said = { options: { miiMonitorInterval: 100 }, words: ['miimon', '100'] }

/** An option that iproute2 shows as it takes it. */
const plain = (option: string, key: string, value: unknown, more: Partial<KindCase> = {}): KindCase => ({
  option,
  value,
  words: [key, String(value)],
  shown: [key, value],
  ...more,
})
const flag = (option: string, key: string, value: boolean, more: Partial<KindCase> = {}): KindCase =>
  plain(option, key, value, { words: [key, value ? '1' : '0'], shown: [key, value ? 1 : 0], ...more })

await refereeKind(t, {
  kind: 'bond',
  cases: [
    ...['active-backup', 'balance-xor', 'broadcast', '802.3ad', 'balance-tlb', 'balance-alb'].map((mode) =>
      plain('mode', 'mode', mode),
    ),
    plain('miiMonitorInterval', 'miimon', 100),
    plain('upDelay', 'updelay', 200, { with: monitored }),
    plain('downDelay', 'downdelay', 300, { with: monitored }),
    flag('useCarrier', 'use_carrier', false),
    plain('arpInterval', 'arp_interval', 500, { with: inMode('active-backup') }),
    {
      option: 'arpTargets',
      value: ['10.0.0.1', '10.0.0.2'],
      words: ['arp_ip_target', '10.0.0.1,10.0.0.2'],
      shown: ['arp_ip_target', ['10.0.0.1', '10.0.0.2']],
    },
    ...['active', 'backup', 'all', 'filter', 'filter_active', 'filter_backup'].map((word) =>
      plain('arpValidation', 'arp_validate', word.replace('_', '-'), {
        words: ['arp_validate', word],
        shown: ['arp_validate', word],
        with: {
          options: { mode: 'active-backup', arpInterval: 500 },
          words: ['mode', 'active-backup', 'arp_interval', '500'],
        },
      }),
    ),
    plain('arpTargetRule', 'arp_all_targets', 'all'),
    plain('primaryReselect', 'primary_reselect', 'failure', { with: inMode('active-backup') }),
    plain('failOverMac', 'fail_over_mac', 'follow', { with: inMode('active-backup') }),
    ...['layer2+3', 'layer3+4', 'encap2+3', 'encap3+4', 'vlan+srcmac'].map((policy) =>
      plain('hashPolicy', 'xmit_hash_policy', policy, { with: inMode('balance-xor') }),
    ),
    plain('resendIgmp', 'resend_igmp', 7),
    { ...plain('peerNotifications', 'num_peer_notif', 9), words: ['num_grat_arp', '9'] },
    flag('allPortsActive', 'all_slaves_active', true),
    plain('minimumLinks', 'min_links', 2, { with: lacp }),
    { ...plain('learningPacketInterval', 'lp_interval', 5), value: 5000 },
    plain('packetsPerPort', 'packets_per_slave', 3),
    { ...plain('lacpRate', 'ad_lacp_rate', 'fast', { with: lacp }), words: ['lacp_rate', 'fast'] },
    { ...plain('aggregatorSelection', 'ad_select', 'count', { with: lacp }) },
    plain('actorSystemPriority', 'ad_actor_sys_prio', 99, { with: lacp }),
    plain('userPortKey', 'ad_user_port_key', 55, { with: lacp }),
    plain('actorSystem', 'ad_actor_system', '02:00:00:00:00:09', { with: lacp }),
    flag('dynamicLoadBalancing', 'tlb_dynamic_lb', false, { with: inMode('balance-tlb') }),
    plain('peerNotificationDelay', 'peer_notify_delay', 400, { with: monitored }),
    {
      option: 'lacpActive',
      value: false,
      words: ['lacp_active', 'off'],
      shown: ['ad_lacp_active', 'off'],
      with: lacp,
    },
    { ...plain('missedMaximum', 'arp_missed_max', 9) },
    {
      option: 'neighborTargets',
      value: ['2001:db8::1', '2001:db8::2'],
      words: ['ns_ip6_target', '2001:db8::1,2001:db8::2'],
      shown: ['ns_ip6_target', ['2001:db8::1', '2001:db8::2']],
      with: inMode('active-backup'),
    },
    { option: 'coupledControl', value: false, with: lacp, needs: 'kernel:6.9' },
  ],
  excused: {
    activePort: 'a link: below',
    primary: 'a link: below',
    aggregator: 'takes a partner: below',
  },
})

await refereePorts(t, {
  kind: 'bond',
  prepare: (namespace: Namespace) => createLink({ kind: 'bond', name: 'master', namespace, mode: 'active-backup' }),
  cases: [
    { option: 'queueId', value: 3, words: ['queue_id', '3'], shown: ['queue_id', 3] },
    { option: 'priority', value: -5, words: ['prio', '-5'], shown: ['prio', -5] },
  ],
  reads: {
    state: ({ state }) => state.toLowerCase(),
    linkState: (data) => data.mii_status.toLowerCase(),
    failures: (data) => data.link_failure_count,
    permanentMac: (data) => data.perm_hwaddr,
  },
  excused: {
    aggregatorId: 'of mode 802.3ad: below',
    actorState: 'the same',
    partnerState: 'the same',
  },
})

t.test('the links of a bond', await needs('namespaces', 'ip', 'kind:bond', 'kind:ifb'), async (t) => {
  const red = await scratch(t)
  const bond = await createLink({ kind: 'bond', name: 'bond7', namespace: red, mode: 'active-backup', up: true })
  const [one, two] = await Promise.all(
    ['one', 'two'].map((name, i) => red.links.add({ kind: 'ifb', name, master: bond, port: { queueId: i + 1 } })),
  )
  if (one === undefined || two === undefined) throw new Error('there are two')
  t.match(one.port, { state: 'active', linkState: 'up', queueId: 1 })
  await bond.set({ primary: 'two', activePort: two })
  t.match(bond.options, { primary: two.index, activePort: two.index })
  const [json] = await ip(red, 'link', 'show', 'bond7')
  t.match(json.linkinfo.info_data, { primary: 'two', active_slave: 'two' })
  const options = { kind: 'bond', name: 'bond7', mode: 'active-backup' } as const
  t.same((await red.links.ensure({ ...options, primary: 'two' })).changes, [])
  t.same((await red.links.ensure({ ...options, primary: one })).changes, ['primary'])
  await bond.set({ primary: null })
  t.equal(bond.options.primary, undefined)
  t.same((await red.links.ensure({ ...options, primary: null })).changes, [])
  await t.rejects(bond.set({ mode: 'balance-rr' }), { code: 'ENOTEMPTY' }, 'with ports the mode stays')
})

t.test('what a bond has agreed on', await needs('namespaces', 'ip', 'kind:bond', 'kind:ifb'), async (t) => {
  const red = await scratch(t)
  const bond = await createLink({
    kind: 'bond',
    name: 'bond7',
    namespace: red,
    mode: '802.3ad',
    miiMonitorInterval: 10,
    up: true,
  })
  const up = red.links.add({ kind: 'ifb', name: 'up', master: bond, up: true })
  await t.rejects(up, { code: 'EPERM', message: /Device can not be enslaved while up/ })
  // Its MAC must be one that can be changed, which that of an ifb cannot everywhere.
  const [port] = await createVeth({ name: 'port', namespace: red, master: bond }, { namespace: red, up: true })
  t.equal(port.up, true, 'the bond brings its ports up')
  // It is agreed on step by step.
  const asIpShows = async () => {
    const [json] = await ip(red, 'link', 'show', 'bond7')
    await bond.refresh()
    const { ad_info: info } = json.linkinfo.info_data
    const { id, ports, actorKey, partnerKey, partnerMac } = bond.options.aggregator ?? {}
    return isDeepStrictEqual(
      { ports: 1, actorKey: info?.actor_key || undefined, info },
      {
        ports,
        actorKey,
        info: {
          aggregator: id,
          num_ports: ports,
          actor_key: actorKey,
          partner_key: partnerKey,
          partner_mac: partnerMac,
        },
      },
    )
  }
  t.ok(await eventually(asIpShows, 20_000), 'iproute2 shows the same', { aggregator: bond.options.aggregator })
  // Without a partner the port's state keeps changing: what waits for one expires, and waits again.
  const portAsIpShows = async () => {
    const [theirs] = await ip(red, 'link', 'show', 'port')
    const data = theirs.linkinfo.info_slave_data
    await port.refresh()
    const { aggregatorId, actorState } = port.port ?? {}
    return aggregatorId === data.ad_aggregator_id && actorState === data.ad_actor_oper_port_state
  }
  t.ok(await eventually(portAsIpShows, 20_000), 'and of the port', { port: port.port })
  t.type(port.port?.actorState, 'number')
  t.type(port.port?.partnerState, 'number')
})

t.test('wrong options of a bond', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const make = (options: object) => () => createLink({ kind: 'bond', namespace: red, ...options } as Wrong)
  await refused(
    t,
    'a target',
    make({ arpTargets: ['fd00::1'] }),
    VALUE,
    "options.arpTargets[0] 'fd00::1': is no IPv4 address",
  )
  await refused(
    t,
    'a target',
    make({ arpTargets: ['x'] }),
    VALUE,
    "options.arpTargets[0] 'x': is not an IPv4 or IPv6 address",
  )
  await refused(
    t,
    'a list',
    make({ neighborTargets: 'fd00::1' }),
    'ERR_INVALID_ARG_TYPE',
    'options.neighborTargets must be',
  )
  await refused(
    t,
    'seconds',
    make({ learningPacketInterval: 1500 }),
    VALUE,
    'options.learningPacketInterval 1500: must be',
  )
  await refused(t, 'read only', make({ aggregator: {} }), VALUE, "options 'aggregator': is not an option here")
  await refused(t, 'a link', make({ primary: {} }), 'ERR_INVALID_ARG_TYPE', 'options.primary must be a Link')
})
