/** Filters of kind flower: netkit makes and tc reads, tc makes and netkit reads. */
import { filterTest } from './support/traffic.js'

/** The protocol, what netkit is told, what tc is told, and what netkit reads where that is otherwise. */
const cases: [string, Record<string, unknown>, string, Record<string, unknown>?][] = [
  [
    'ip',
    {
      source: '10.1.0.0/16',
      destination: '10.2.3.4',
      ipProtocol: 'tcp',
      destinationPort: 80,
      sourcePort: '1000-2000',
    },
    'ip_proto tcp src_ip 10.1.0.0/16 dst_ip 10.2.3.4 dst_port 80 src_port 1000-2000',
    { destination: '10.2.3.4/32' },
  ],
  [
    'ipv6',
    {
      source: 'fd00:1::/40',
      destination: 'fd00::7',
      ipProtocol: 'udp',
      destinationPort: { value: 0x1000, mask: 0xf000 },
    },
    'ip_proto udp src_ip fd00:1::/40 dst_ip fd00::7 dst_port 4096/0xf000',
    { destination: 'fd00::7/128' },
  ],
  [
    'all',
    { sourceMac: '02:00:00:00:00:01', destinationMac: '02:00:00:00:00:00/ff:ff:00:00:00:00' },
    'src_mac 02:00:00:00:00:01 dst_mac 02:00:00:00:00:00/ff:ff:00:00:00:00',
  ],
  [
    '802.1q',
    { vlanId: 100, vlanPriority: 3, vlanEthernetType: 'ip', destination: '10.0.0.0/8' },
    'vlan_id 100 vlan_prio 3 vlan_ethtype ipv4 dst_ip 10.0.0.0/8',
  ],
  [
    '802.1ad',
    {
      vlanId: 100,
      vlanEthernetType: '802.1q',
      innerVlanId: 200,
      innerVlanPriority: 1,
      innerVlanEthernetType: 'ipv6',
    },
    'vlan_id 100 vlan_ethtype 802.1q cvlan_id 200 cvlan_prio 1 cvlan_ethtype ipv6',
  ],
  [
    'ip',
    { ipProtocol: 'tcp', tcpFlags: { value: 2, mask: 18 }, tos: { value: 16, mask: 252 }, ttl: 64 },
    'ip_proto tcp tcp_flags 0x2/0x12 ip_tos 0x10/0xfc ip_ttl 64',
  ],
  [
    'ip',
    { ipProtocol: 'icmp', icmpType: 8, icmpCode: 0, fragment: false },
    'ip_proto icmp type 8 code 0 ip_flags nofrag',
  ],
  [
    'ipv6',
    { ipProtocol: 'icmpv6', icmpType: 128, fragment: 'first' },
    'ip_proto icmpv6 type 128 ip_flags frag/firstfrag',
  ],
  [
    'arp',
    { arpOperation: 'request', arpSource: '10.0.0.1', arpTarget: '10.0.0.0/24', arpSourceMac: '02:00:00:00:00:01' },
    'arp_op request arp_sip 10.0.0.1 arp_tip 10.0.0.0/24 arp_sha 02:00:00:00:00:01',
    { arpSource: '10.0.0.1/32' },
  ],
  ['mpls', { mplsLabel: 77, mplsClass: 3, mplsBottom: 1, mplsTtl: 9 }, 'mpls_label 77 mpls_tc 3 mpls_bos 1 mpls_ttl 9'],
  [
    'ip',
    {
      tunnelId: 42,
      tunnelSource: '10.9.0.1',
      tunnelDestination: '10.9.0.0/24',
      tunnelDestinationPort: 4789,
      tunnelTtl: 5,
    },
    'enc_key_id 42 enc_src_ip 10.9.0.1 enc_dst_ip 10.9.0.0/24 enc_dst_port 4789 enc_ttl 5',
    { tunnelSource: '10.9.0.1/32' },
  ],
  [
    'ip',
    { ctState: ['tracked', 'established', '-invalid'].sort(), ctZone: 5, ctMark: { value: 1, mask: 15 } },
    'ct_state +trk+est-inv ct_zone 5 ct_mark 1/15',
    { ctState: undefined },
  ],
  [
    'ip',
    { inputLink: 'right', ipProtocol: 'sctp', destinationPort: 9, skipHardware: true },
    'indev right ip_proto sctp dst_port 9 skip_hw',
  ],
]

for (const [protocol, options, words, read] of cases) {
  await filterTest({ kind: 'flower', protocol, options, read, words, classId: '1:5' })
}
