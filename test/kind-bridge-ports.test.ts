/** Ports of a bridge, held against iproute2. */
import t from 'tap'
import { createBridge, type Namespace } from '../dist/index.js'
import { type KindCase, refereePorts } from './support/kind-referee.js'

const flag = (option: string, key: string, value: boolean, word = key, more: Partial<KindCase> = {}): KindCase => ({
  option,
  value,
  words: [word, value ? 'on' : 'off'],
  shown: [key, value],
  ...more,
})

const hex = (text: string) => Number(text)
const padded = (id: string) => id.replace(/(?<=[.:])[0-9a-f](?=:|$)/g, '0$&')
const milliseconds = (seconds: number) => Math.round(seconds * 1000)

await refereePorts(t, {
  kind: 'bridge',
  async prepare(namespace: Namespace) {
    // It is down, or it would set its ports' states itself.
    await createBridge({ name: 'master', namespace })
    await namespace.links.add({ kind: 'ifb', name: 'other', master: 'master' })
  },
  base: { options: { up: true }, words: ['up'] },
  cases: [
    { option: 'state', value: 'forwarding', words: ['state', '3'], shown: ['state', 'forwarding'] },
    { option: 'priority', value: 5, words: ['priority', '5'], shown: ['priority', 5] },
    { option: 'cost', value: 77, words: ['cost', '77'], shown: ['cost', 77] },
    flag('hairpin', 'hairpin', true),
    flag('guard', 'guard', true),
    flag('rootBlock', 'root_block', true),
    flag('fastLeave', 'fastleave', true),
    flag('learning', 'learning', false),
    flag('flood', 'flood', false),
    flag('proxyArp', 'proxy_arp', true),
    flag('proxyArpWifi', 'proxy_arp_wifi', true),
    { option: 'multicastRouter', value: 'enabled', words: ['mcast_router', '2'], shown: ['multicast_router', 2] },
    flag('multicastFlood', 'mcast_flood', false),
    flag('broadcastFlood', 'bcast_flood', false),
    flag('multicastToUnicast', 'mcast_to_unicast', true),
    flag('neighborSuppression', 'neigh_suppress', true),
    {
      option: 'groupForwardMask',
      value: 16_392,
      words: ['group_fwd_mask', '0x4008'],
      shown: ['group_fwd_mask', '0x4008'],
    },
    flag('vlanTunnel', 'vlan_tunnel', true),
    flag('isolated', 'isolated', true),
    flag('locked', 'locked', true),
    {
      option: 'macAuthenticationBypass',
      value: true,
      with: { options: { locked: true }, words: [] },
      needs: 'kernel:6.2',
    },
    { option: 'multicastHostsLimit', value: 9 },
    { option: 'multicastMaxGroups', value: 9, needs: 'kernel:6.3' },
    { option: 'neighborVlanSuppression', value: true, needs: 'kernel:6.4' },
    { option: 'backupNexthopId', value: 9, needs: 'kernel:6.6' },
  ],
  reads: {
    id: ({ id }) => hex(id),
    number: ({ no }) => hex(no),
    designatedPort: (data) => data.designated_port,
    designatedCost: (data) => data.designated_cost,
    bridgeId: (data) => padded(data.bridge_id),
    rootId: (data) => padded(data.root_id),
    holdTimer: (data) => milliseconds(data.hold_timer),
    messageAgeTimer: (data) => milliseconds(data.message_age_timer),
    topologyChangeAcknowledge: (data) => data.topology_change_ack !== 0,
    configurationPending: (data) => data.config_pending !== 0,
  },
  excused: {
    backupPort: 'a link: test/link-ports.test.ts has it',
    forwardDelayTimer: 'it runs',
    learningSync: 'the kernel does not tell it',
    padding: 'nothing is in it',
    ringOpen: 'of the media redundancy protocol, which iproute2 does not show',
    interconnectOpen: 'the same',
    multicastHostsCount: 'iproute2 does not show it',
    multicastGroups: 'iproute2 does not show it',
  },
})
