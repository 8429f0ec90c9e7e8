/** Filters of every kind but flower, and actions: netkit makes and tc reads, tc makes and netkit reads. */
import { type FilterCase, filterTest } from './support/traffic.js'

const anything = { kind: 'u32', words: 'match u32 0 0' }
const police = { kind: 'police', rate: '10mbit', burst: 20_000, mtu: 3000 }

const cases: FilterCase[] = [
  {
    ...anything,
    actions: [{ kind: 'mirred', action: 'redirect', link: 'right' }],
    words: 'match u32 0 0 action mirred egress redirect dev right',
    action: { action: 'redirect', direction: 'egress', verdict: 'stolen' },
  },
  {
    ...anything,
    actions: [{ kind: 'mirred', action: 'mirror', link: 'right', direction: 'ingress' }],
    words: 'match u32 0 0 action mirred ingress mirror dev right',
    action: { action: 'mirror', direction: 'ingress', verdict: 'pipe' },
  },
  {
    ...anything,
    actions: [police],
    action: { rate: 10_000_000, burst: 20_000, mtu: 3000, exceed: 'drop', notExceed: 'pass' },
    words: 'match u32 0 0 action police rate 10mbit burst 20000 mtu 3000 conform-exceed drop/ok',
  },
  {
    ...anything,
    actions: [{ ...police, rate: '80gbit', burst: 2_000_000, exceed: 'pipe', notExceed: 'continue' }, 'drop'],
    words: 'match u32 0 0 action police rate 80gbit burst 2000000 mtu 3000 conform-exceed pipe/continue action drop',
    needed: ['action:gact', 'action:police'],
    action: { rate: 80_000_000_000, exceed: 'pipe', notExceed: 'continue' },
  },
  {
    ...anything,
    actions: [{ kind: 'police', packetRate: 1000, packetBurst: 50 }],
    words: 'match u32 0 0 action police pkts_rate 1000 pkts_burst 50 mtu 2147483647 conform-exceed drop/ok',
    action: { packetRate: 1000, packetBurst: 50, exceed: 'drop' },
  },
  { ...anything, actions: ['drop'], words: 'match u32 0 0 action drop', action: { action: 'drop' } },
  {
    ...anything,
    actions: [{ kind: 'gact', action: { chain: 7 } }],
    words: 'match u32 0 0 action goto chain 7',
    action: { action: { chain: 7 } },
  },
  {
    ...anything,
    actions: [{ kind: 'gact', action: 'pass', random: { type: 'counted', each: 3, action: 'drop' } }],
    words: 'match u32 0 0 action pass random determ drop 3',
    action: { action: 'pass', random: { type: 'counted', each: 3, action: 'drop' } },
  },
  {
    ...anything,
    actions: ['pipe', 'trap'],
    words: 'match u32 0 0 action pipe action trap',
    action: { action: 'pipe' },
  },
  {
    ...anything,
    actions: [{ kind: 'vlan', action: 'push', id: 100, priority: 3, protocol: '802.1ad' }],
    words: 'match u32 0 0 action vlan push id 100 protocol 802.1ad priority 3',
    action: { action: 'push', id: 100, priority: 3, protocol: '802.1ad', verdict: 'pipe' },
  },
  {
    ...anything,
    actions: [{ kind: 'vlan', action: 'pop' }],
    words: 'match u32 0 0 action vlan pop',
    action: { action: 'pop' },
  },
  {
    ...anything,
    actions: [{ kind: 'vlan', action: 'modify', id: 7, verdict: 'pass' }],
    words: 'match u32 0 0 action vlan modify id 7 pass',
    action: { action: 'modify', id: 7, verdict: 'pass' },
  },
  {
    ...anything,
    actions: [{ kind: 'skbedit', mark: 5, priority: '1:10' }],
    words: 'match u32 0 0 action skbedit priority 1:10 mark 5',
    action: { mark: 5, priority: '1:10', verdict: 'pipe' },
  },
  {
    kind: 'u32',
    protocol: 'ip',
    options: {
      match: { source: '10.1.0.0/16', destination: '10.2.3.4', protocol: 'tcp', destinationPort: 80, sourcePort: 1024 },
    },
    words:
      'match ip src 10.1.0.0/16 match ip dst 10.2.3.4 match ip protocol 6 0xff match ip dport 80 0xffff match ip sport 1024 0xffff',
    classId: '1:5',
  },
  {
    kind: 'u32',
    protocol: 'ipv6',
    options: {
      match: { source: 'fd00:1::/40', destination: 'fd00::7', protocol: 'udp', destinationPort: 53, tos: 16 },
    },
    words:
      'match ip6 src fd00:1::/40 match ip6 dst fd00::7 match ip6 protocol 17 0xff match ip6 dport 53 0xffff match ip6 priority 16 0xff',
    classId: '1:5',
  },
  {
    kind: 'u32',
    options: {
      keys: [
        { value: 0x1234_0000, mask: 0xffff_0000, offset: 4 },
        { value: 0xdead_beef, mask: 0xffff_ffff, offset: -8, offsetMask: 0 },
      ],
    },
    words: 'match u32 0x12340000 0xffff0000 at 4 match u32 0xdeadbeef 0xffffffff at -8',
    classId: '1:5',
    handle: '800::7',
  },
  { kind: 'u32', options: {}, words: 'match u32 0 0', classId: '1:5' },
  { kind: 'matchall', words: '', classId: '1:5' },
  {
    kind: 'matchall',
    options: { skipHardware: true },
    words: 'skip_hw action drop',
    actions: ['drop'],
    needed: ['action:gact'],
    handle: 5,
  },
  { kind: 'basic', words: '', classId: '1:5' },
  { kind: 'fw', options: { mask: 255 }, handle: 7, words: '', classId: '1:5' },
  {
    kind: 'bpf',
    options: { instructions: Buffer.from('06000000ffffffff', 'hex') },
    words: 'bytecode 1,6|0|0|4294967295',
    classId: '1:5',
  },
]

for (const one of cases) await filterTest(one)
