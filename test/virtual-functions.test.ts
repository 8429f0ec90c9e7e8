/**
 * SR-IOV's virtual functions, without a card: messages put together by hand as linux/if_link.h has them are read, compared, and
 * written again.
 */
import t from 'tap'
import { createBridge } from '../dist/index.js'
import { HEADER_SIZE } from '../dist/netlink/message.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import {
  checkVirtualFunction,
  readVirtualFunctions,
  type VirtualFunctionSettings,
  virtualFunctionRequest,
} from '../dist/rtnetlink/virtual-functions.js'
import { needs } from './support/needs.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

const u32 = (...numbers: number[]) => Buffer.from(Uint32Array.from(numbers).buffer)
const u64 = (...numbers: bigint[]) => Buffer.from(BigUint64Array.from(numbers).buffer)
const mac32 = (...octets: number[]) => Buffer.concat([Buffer.from(octets), Buffer.alloc(32 - octets.length)])

/** struct nlattr, its payload, and padding to 4 bytes. */
function attribute(number: number, ...payload: Buffer[]): Buffer {
  const content = Buffer.concat(payload)
  const head = Buffer.from(Uint16Array.of(4 + content.length, number).buffer)
  return Buffer.concat([head, content, Buffer.alloc(-content.length & 3)])
}

/** Two functions of a card, as drivers of Intel's cards say them (rtnl_fill_vfinfo in net/core/rtnetlink.c has the order). */
const capture = Buffer.concat([
  // struct ifinfomsg: AF_UNSPEC, ARPHRD_ETHER, index 4, IFF_UP | IFF_BROADCAST | IFF_MULTICAST
  u32(0x0001_0000, 4, 0x1003, 0),
  attribute(3, Buffer.from('ens1f0\0')), // IFLA_IFNAME
  attribute(29, u32(1)), // IFLA_EXT_MASK: RTEXT_FILTER_VF
  attribute(21, u32(2)), // IFLA_NUM_VF
  attribute(
    22, // IFLA_VFINFO_LIST
    attribute(
      1, // IFLA_VF_INFO
      attribute(1, u32(0), mac32(2, 0, 0, 0, 1, 0)), // IFLA_VF_MAC
      attribute(13, mac32(255, 255, 255, 255, 255, 255)), // IFLA_VF_BROADCAST
      attribute(2, u32(0, 100, 3)), // IFLA_VF_VLAN: VLAN 100, priority 3
      attribute(6, u32(0, 50, 1000)), // IFLA_VF_RATE: 50 to 1000 Mbit/s
      attribute(3, u32(0, 1000)), // IFLA_VF_TX_RATE
      attribute(4, u32(0, 1)), // IFLA_VF_SPOOFCHK
      attribute(5, u32(0, 2)), // IFLA_VF_LINK_STATE: disable
      attribute(7, u32(0, 0)), // IFLA_VF_RSS_QUERY_EN
      attribute(9, u32(0, 1)), // IFLA_VF_TRUST
      attribute(10, u32(0, 0), u64(0x0011_2233_4455_6677n)), // IFLA_VF_IB_NODE_GUID
      attribute(11, u32(0, 0), u64(0x8899_aabb_ccdd_eeffn)), // IFLA_VF_IB_PORT_GUID
      // IFLA_VF_VLAN_LIST { IFLA_VF_VLAN_INFO }: struct ifla_vf_vlan_info, the protocol (802.1ad) in network order
      attribute(12, attribute(1, u32(0, 100, 3), Buffer.from([0x88, 0xa8, 0, 0]))),
      attribute(
        8, // IFLA_VF_STATS
        ...[1n, 2n, 300n, 400n, 5n, 6n].map((count, i) => attribute(i, u64(count))),
        attribute(7, u64(7n)),
        attribute(8, u64(8n)),
      ),
    ),
    attribute(
      1,
      attribute(1, u32(1), mac32()),
      attribute(2, u32(1, 0, 0)),
      attribute(3, u32(1, 200)), // an older driver: no IFLA_VF_RATE
      attribute(4, u32(1, 0xffff_ffff)), // -1: it does not know
      attribute(5, u32(1, 9)), // a state that nobody has a word for
      attribute(9, u32(1, 0xffff_ffff)),
    ),
  ),
])

function message(bytes: Buffer) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { source: { bytes, view }, type: 16, flags: 0, sequence: 1, start: 0, end: bytes.length }
}

t.test('are read', (t) => {
  const { attributes } = linkMessage.decode(message(capture))
  t.equal(attributes.virtualFunctionCount, 2)
  t.same(readVirtualFunctions(attributes.virtualFunctions, '02:00:00:00:00:01'), [
    {
      number: 0,
      mac: '02:00:00:00:01:00',
      broadcast: 'ff:ff:ff:ff:ff:ff',
      vlan: 100,
      vlanPriority: 3,
      vlanProtocol: '802.1ad',
      minimumRate: 50_000_000,
      maximumRate: 1_000_000_000,
      spoofCheck: true,
      linkState: 'disable',
      rssQuery: false,
      trust: true,
      nodeGuid: '00:11:22:33:44:55:66:77',
      portGuid: '88:99:aa:bb:cc:dd:ee:ff',
      statistics: {
        receivedPackets: 1,
        sentPackets: 2,
        receivedBytes: 300,
        sentBytes: 400,
        broadcast: 5,
        multicast: 6,
        receiveDropped: 7,
        sendDropped: 8,
      },
    },
    {
      number: 1,
      mac: '00:00:00:00:00:00',
      vlan: 0,
      vlanPriority: 0,
      vlanProtocol: '802.1q',
      minimumRate: 0,
      maximumRate: 200_000_000,
      linkState: 9,
    },
  ])
  t.equal(readVirtualFunctions(attributes.virtualFunctions, '').at(0)?.mac, '02:00:00:00:01:00')
  const twenty = Array.from({ length: 20 }, () => '00').join(':')
  t.equal(readVirtualFunctions(attributes.virtualFunctions, twenty).at(0)?.mac.length, 59, "InfiniBand's are longer")
  t.same(readVirtualFunctions(undefined, ''), [])
  t.end()
})

t.test('are written as they came', (t) => {
  const { header, attributes } = linkMessage.decode(message(capture))
  const again = linkMessage.encode(16, 0, header, attributes)
  t.equal(Buffer.from(again.subarray(HEADER_SIZE)).toString('hex'), capture.toString('hex'))
  t.end()
})

t.test('what is sent to change one', (t) => {
  const sent = (settings: VirtualFunctionSettings, known?: { minimumRate: number; maximumRate: number }) => {
    checkVirtualFunction(5, settings)
    const attributes = { virtualFunctions: virtualFunctionRequest(5, settings, known) }
    const bytes = linkMessage.encode(16, 0, { index: 4 }, attributes)
    return Buffer.from(bytes.subarray(HEADER_SIZE + 16)).toString('hex')
  }
  const list = (...contents: Buffer[]) => attribute(22, attribute(1, ...contents)).toString('hex')
  const vlan = (id: number, priority: number, ...protocol: number[]) =>
    attribute(12, attribute(1, u32(5, id, priority), Buffer.from([...protocol, 0, 0])))
  t.equal(sent({ mac: '02-00-00-00-00-AA' }), list(attribute(1, u32(5), mac32(2, 0, 0, 0, 0, 0xaa))))
  t.equal(sent({ vlan: 7 }), list(vlan(7, 0, 0x81, 0)))
  t.equal(sent({ vlan: 7, vlanPriority: 2, vlanProtocol: '802.1ad' }), list(vlan(7, 2, 0x88, 0xa8)))
  t.equal(sent({ minimumRate: 10_000_000, maximumRate: 0 }), list(attribute(6, u32(5, 10, 0))))
  const known = { minimumRate: 3_000_000, maximumRate: 4_000_000 }
  t.equal(sent({ maximumRate: 9_000_000 }, known), list(attribute(6, u32(5, 3, 9))), 'the other rate stays')
  t.equal(sent({ minimumRate: 1_000_000 }, known), list(attribute(6, u32(5, 1, 4))))
  t.equal(sent({ spoofCheck: false }), list(attribute(4, u32(5, 0))))
  t.equal(sent({ linkState: 'enable' }), list(attribute(5, u32(5, 1))))
  t.equal(sent({ rssQuery: true, trust: true }), list(attribute(7, u32(5, 1)), attribute(9, u32(5, 1))))
  const guid = '00:11:22:33:44:55:66:FF'
  t.equal(sent({ nodeGuid: guid }), list(attribute(10, u32(5, 0), u64(0x0011_2233_4455_66ffn))))
  t.equal(sent({ portGuid: guid }), list(attribute(11, u32(5, 0), u64(0x0011_2233_4455_66ffn))))
  t.end()
})

t.test('a link that has none', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const br0 = await createBridge({ name: 'br0', namespace: red })
  const cannot = { code: 'EOPNOTSUPP', message: /^cannot change the virtual function 0 of br0: / }
  await t.rejects(br0.setVirtualFunction(0, { mac: '02:00:00:00:00:01' }), cannot)
  await t.rejects(br0.setVirtualFunction(0, { maximumRate: 1_000_000 }), cannot)
  const wrong: [Wrong, Wrong, string, string][] = [
    [-1, {}, RANGE, 'number must be from 0'],
    [0, { speed: 1 }, VALUE, "settings 'speed': is not an option here"],
    [0, { mac: 'x' }, VALUE, "settings.mac 'x'"],
    [0, { vlan: 4095 }, RANGE, 'settings.vlan must be from 0 to 4094'],
    [0, { vlanPriority: 3 }, VALUE, 'settings.vlanPriority 3: is given with vlan'],
    [0, { vlan: 1, vlanPriority: 8 }, RANGE, 'settings.vlanPriority must be'],
    [0, { vlan: 1, vlanProtocol: 'q' }, VALUE, "settings.vlanProtocol 'q': expected one of 802.1q, 802.1ad"],
    [0, { maximumRate: 1_500_000.5 }, TYPE, 'settings.maximumRate must be an integer'],
    [0, { maximumRate: 1_500_000 }, VALUE, 'settings.maximumRate 1500000: must be whole megabits'],
    [0, { trust: 1 }, TYPE, 'settings.trust must be true or false'],
    [0, { linkState: 'up' }, VALUE, "settings.linkState 'up': expected one of auto, enable, disable"],
    [0, { nodeGuid: '1' }, VALUE, "settings.nodeGuid '1': is not eight"],
  ]
  for (const [number, settings, code, text] of wrong) {
    await refused(t, JSON.stringify(settings), () => br0.setVirtualFunction(number, settings), code, text)
  }
})
