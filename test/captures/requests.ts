/** What iproute2 6.1 sends, as strace(1) saw it. */
import { capture } from './capture.js'

/** `ip link add veth5 mtu 1400 address 02:00:00:00:00:05 type veth peer name veth6 address 02:00:00:00:00:06` */
export const addVeth = capture(`
  7c000000 10000506 01000000 00000000      # 124 bytes, RTM_NEWLINK, flags 0x605, sequence 1, port 0
  00000000*4                               # ifinfomsg: family 0, pad 0, type 0, index 0, flags 0, change 0
  08000400 78050000                        # IFLA_MTU 1400
  0a000100 02000000 00050000               # IFLA_ADDRESS 02:00:00:00:00:05
  0a000300 76657468 35000000               # IFLA_IFNAME veth5
  3c001200                                 # IFLA_LINKINFO:
    08000100 76657468                      # IFLA_INFO_KIND veth
    30000200                               # IFLA_INFO_DATA:
      2c000100 00000000*4                  # VETH_INFO_PEER: ifinfomsg
        0a000100 02000000 00060000         # IFLA_ADDRESS 02:00:00:00:00:06
        0a000300 76657468 36000000         # IFLA_IFNAME veth6
`)

/** `ip link add br1 type bridge forward_delay 400 ageing_time 10000` */
export const addBridge = capture(`
  4c000000 10000506 01000000 00000000      # 76 bytes, RTM_NEWLINK, flags 0x605, sequence 1, port 0
  00000000*4                               # ifinfomsg: family 0, pad 0, type 0, index 0, flags 0, change 0
  08000300 62723100                        # IFLA_IFNAME br1
  24001200                                 # IFLA_LINKINFO:
    0a000100 62726964 67650000             # IFLA_INFO_KIND bridge
    14000200                               # IFLA_INFO_DATA:
      08000100 90010000                    # IFLA_BR_FORWARD_DELAY 4000
      08000400 10270000                    # IFLA_BR_AGEING_TIME 100000
`)

/** `ip link set dev veth1 mtu 1400 up` */
export const setLink = capture(`
  28000000 10000500 01000000 00000000      # 40 bytes, RTM_NEWLINK, flags 0x5, sequence 1, port 0
  00000000 0b000000 01000000 01000000      # ifinfomsg: family 0, pad 0, type 0, index 11, flags 1, change 1
  08000400 78050000                        # IFLA_MTU 1400
`)

/** `ip link set dev veth1 master br0` */
export const setMaster = capture(`
  28000000 10000500 01000000 00000000      # 40 bytes, RTM_NEWLINK, flags 0x5, sequence 1, port 0
  00000000 0b000000 00000000 00000000      # ifinfomsg: family 0, pad 0, type 0, index 11, flags 0, change 0
  08000a00 0a000000                        # IFLA_MASTER 10
`)

/** `ip link delete dev br1` */
export const deleteLink = capture(`
  20000000 11000500 01000000 00000000      # 32 bytes, RTM_DELLINK, flags 0x5, sequence 1, port 0
  00000000 04000000 00000000 00000000      # ifinfomsg: family 0, pad 0, type 0, index 4, flags 0, change 0
`)

/** `ip address add 10.0.2.1/24 brd + label br0:a dev br0` */
export const addAddress = capture(`
  3c000000 14000506 01000000 00000000      # 60 bytes, RTM_NEWADDR, flags 0x605, sequence 1, port 0
  02180000 0a000000                        # ifaddrmsg: family 2, prefixLength 24, flags 0, scope 0, index 10
  08000200 0a000201                        # IFA_LOCAL 10.0.2.1
  0a000300 6272303a 61000000               # IFA_LABEL br0:a
  08000100 0a000201                        # IFA_ADDRESS 10.0.2.1
  08000400 0a0002ff                        # IFA_BROADCAST 10.0.2.255
`)

/** `ip address add fd00::1/64 dev br0 nodad valid_lft 3600 preferred_lft 1800` */
export const addAddress6 = capture(`
  54000000 14000506 01000000 00000000      # 84 bytes, RTM_NEWADDR, flags 0x605, sequence 1, port 0
  0a400200 0a000000                        # ifaddrmsg: family 10, prefixLength 64, flags 2, scope 0, index 10
  14000200 fd000000 00000000 00000000 00000001 # IFA_LOCAL fd00::1
  14000100 fd000000 00000000 00000000 00000001 # IFA_ADDRESS fd00::1
  14000600 08070000 100e0000 00000000 00000000 # IFA_CACHEINFO {preferred: 1800, valid: 3600, created: 0, updated: 0}
`)

/** `ip address delete 10.0.2.1/24 dev br0` */
export const deleteAddress = capture(`
  28000000 15000500 01000000 00000000      # 40 bytes, RTM_DELADDR, flags 0x5, sequence 1, port 0
  02180000 0a000000                        # ifaddrmsg: family 2, prefixLength 24, flags 0, scope 0, index 10
  08000200 0a000201                        # IFA_LOCAL 10.0.2.1
  08000100 0a000201                        # IFA_ADDRESS 10.0.2.1
`)

/** `ip route add 10.0.5.0/24 via 10.0.1.254 metric 100 mtu 1400` */
export const addRoute = capture(`
  40000000 18000506 01000000 00000000      # 64 bytes, RTM_NEWROUTE, flags 0x605, sequence 1, port 0
  02180000 fe030001 00000000               # rtmsg: family 2, destinationLength 24, sourceLength 0, tos 0, table 254, protocol 3, scope 0, type 1, flags 0
  08000100 0a000500                        # RTA_DST 10.0.5.0
  08000500 0a0001fe                        # RTA_GATEWAY 10.0.1.254
  08000600 64000000                        # RTA_PRIORITY 100
  0c000800                                 # RTA_METRICS:
    08000200 78050000                      # RTAX_MTU 1400
`)

/** `ip route add 10.0.6.0/24 nexthop via 10.0.1.253 dev br0 weight 2 nexthop via inet6 fd00::fe dev br0` */
export const addMultipath = capture(`
  58000000 18000506 01000000 00000000      # 88 bytes, RTM_NEWROUTE, flags 0x605, sequence 1, port 0
  02180000 fe030001 00000000               # rtmsg: family 2, destinationLength 24, sourceLength 0, tos 0, table 254, protocol 3, scope 0, type 1, flags 0
  08000100 0a000600                        # RTA_DST 10.0.6.0
  34000900                                 # RTA_MULTIPATH:
    10000001 0a000000                      # rtnexthop: length 16, flags 0x0, hops 1, index 10
      08000500 0a0001fd                    # RTA_GATEWAY 10.0.1.253
    20000000 0a000000                      # rtnexthop: length 32, flags 0x0, hops 0, index 10
      16001200 0a00fd00 00000000*3 00fe0100 # RTA_VIA fd00::fe
`)

/** `ip -6 route add fd00:2::/64 via fd00::ff dev br0` */
export const addRoute6 = capture(`
  4c000000 18000506 01000000 00000000      # 76 bytes, RTM_NEWROUTE, flags 0x605, sequence 1, port 0
  0a400000 fe030001 00000000               # rtmsg: family 10, destinationLength 64, sourceLength 0, tos 0, table 254, protocol 3, scope 0, type 1, flags 0
  14000100 fd000002 00000000*3             # RTA_DST fd00:2::
  14000500 fd000000 00000000 00000000 000000ff # RTA_GATEWAY fd00::ff
  08000400 0a000000                        # RTA_OIF 10
`)

/** `ip route delete 10.0.5.0/24` */
export const deleteRoute = capture(`
  24000000 19000500 01000000 00000000      # 36 bytes, RTM_DELROUTE, flags 0x5, sequence 1, port 0
  02180000 fe00ff00 00000000               # rtmsg: family 2, destinationLength 24, sourceLength 0, tos 0, table 254, protocol 0, scope 255, type 0, flags 0
  08000100 0a000500                        # RTA_DST 10.0.5.0
`)
