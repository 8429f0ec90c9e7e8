/** RTM_NEWLINK messages of a dump, as Linux 6.18 (x86-64) sent them. */
import { capture } from './capture.js'

/** lo, up. */
export const loopback = capture(`
  bc050000 10000200 01000000 34120000      # 1468 bytes, RTM_NEWLINK, flags 0x2, sequence 1, port 4660
  00000403 01000000 49000100 00000000      # ifinfomsg: family 0, pad 0, type 772, index 1, flags 65609, change 0
  07000300 6c6f0000                        # IFLA_IFNAME lo
  08000d00 e8030000                        # IFLA_TXQLEN 1000
  05001000 00000000                        # IFLA_OPERSTATE unknown
  05001100 00000000                        # IFLA_LINKMODE 0
  05004300 01000000                        # IFLA_NETNS_IMMUTABLE
  08000400 00000100                        # IFLA_MTU 65536
  08003200 00000000                        # IFLA_MIN_MTU 0
  08003300 00000000                        # IFLA_MAX_MTU 0
  08001b00 00000000                        # IFLA_GROUP 0
  08001e00 00000000                        # IFLA_PROMISCUITY 0
  08003d00 00000000                        # IFLA_ALLMULTI 0
  08001f00 01000000                        # IFLA_NUM_TX_QUEUES 1
  08002800 ffff0000                        # IFLA_GSO_MAX_SEGS 65535
  08002900 00000100                        # IFLA_GSO_MAX_SIZE 65536
  08003a00 00000100                        # IFLA_GRO_MAX_SIZE 65536
  08003f00 00000100                        # IFLA_GSO_IPV4_MAX_SIZE
  08004000 00000100                        # IFLA_GRO_IPV4_MAX_SIZE
  08003b00 f8ff0700                        # IFLA_TSO_MAX_SIZE 524280
  08003c00 ffff0000                        # IFLA_TSO_MAX_SEGS 65535
  08004200 00000000                        # IFLA_MAX_PACING_OFFLOAD_HORIZON
  08002000 01000000                        # IFLA_NUM_RX_QUEUES 1
  05002100 01000000                        # IFLA_CARRIER true
  08002300 00000000                        # IFLA_CARRIER_CHANGES 0
  08002f00 00000000                        # IFLA_CARRIER_UP_COUNT 0
  08003000 00000000                        # IFLA_CARRIER_DOWN_COUNT 0
  06004400 00000000                        # IFLA_HEADROOM
  06004500 00000000                        # IFLA_TAILROOM
  05002700 00000000                        # IFLA_PROTO_DOWN false
  0a000100 00000000 00000000               # IFLA_ADDRESS 00:00:00:00:00:00
  0a000200 00000000 00000000               # IFLA_BROADCAST 00:00:00:00:00:00
  cc001700 00000000*50                     # IFLA_STATS64
  64000700 00000000*24                     # IFLA_STATS
  0c002b00 05000200 00000000               # IFLA_XDP
  0c000600 6e6f7175 65756500               # IFLA_QDISC noqueue
  30031a00                                 # IFLA_AF_SPEC:
    8c000200                               # AF_INET:
      88000100 00000000*3 01000000*4 00000000 01000000 # IFLA_INET_CONF
        00000000*5 01000000 01000000 00000000*10 10270000
        e8030000 00000000*4 01000000
    a0020a00                               # AF_INET6:
      08000100 00000080                    # IFLA_INET6_FLAGS 2147483648
      14000500 ffff0000 3a8b0600 40490000 e8030000 # IFLA_INET6_CACHEINFO
      f4000200 00000000 40000000 00000100 01000000*4 ffffffff # IFLA_INET6_CONF
        a00f0000 e8030000 ffffffff 803a0900 80510100 03000000
        58020000 10000000 00000000 01000000*3 60ea0000
        00000000*6 ffffffff 00000000 00000000 10270000 e8030000
        01000000 00000000 00000000 01000000 00000000 00000000
        01000000 00000000*4 80ee3600 00000000 00000000 01000000
        00000000*5 00040000 00000000 ffff0000 ffffffff 01000000
        00000000*3
      34010300 26000000 00000000*75        # IFLA_INET6_STATS
      3c000600 07000000 00000000*13        # IFLA_INET6_ICMP6STATS
      14000700 00000000*4                  # IFLA_INET6_TOKEN ::
      05000800 00000000                    # IFLA_INET6_ADDR_GEN_MODE eui64
  24000e00 00000000*8                      # IFLA_MAP
  04003e80                                 # IFLA_DEVLINK_PORT
  04004180                                 # IFLA_DPLL_PIN
`)

/** A veth that is down: its other end is in the namespace with id 0; it has an alias and an alternative name. */
export const veth = capture(`
  10060000 10000200 01000000 34120000      # 1552 bytes, RTM_NEWLINK, flags 0x2, sequence 1, port 4660
  00000100 07000000 02100000 00000000      # ifinfomsg: family 0, pad 0, type 1, index 7, flags 4098, change 0
  0a000300 76657468 33000000               # IFLA_IFNAME veth3
  08000d00 e8030000                        # IFLA_TXQLEN 1000
  05001000 02000000                        # IFLA_OPERSTATE down
  05001100 00000000                        # IFLA_LINKMODE 0
  05004300 00000000                        # IFLA_NETNS_IMMUTABLE
  08000400 dc050000                        # IFLA_MTU 1500
  08003200 44000000                        # IFLA_MIN_MTU 68
  08003300 ffff0000                        # IFLA_MAX_MTU 65535
  08001b00 00000000                        # IFLA_GROUP 0
  08001e00 00000000                        # IFLA_PROMISCUITY 0
  08003d00 00000000                        # IFLA_ALLMULTI 0
  08001f00 02000000                        # IFLA_NUM_TX_QUEUES 2
  08002800 ffff0000                        # IFLA_GSO_MAX_SEGS 65535
  08002900 00000100                        # IFLA_GSO_MAX_SIZE 65536
  08003a00 00000100                        # IFLA_GRO_MAX_SIZE 65536
  08003f00 00000100                        # IFLA_GSO_IPV4_MAX_SIZE
  08004000 00000100                        # IFLA_GRO_IPV4_MAX_SIZE
  08003b00 f8ff0700                        # IFLA_TSO_MAX_SIZE 524280
  08003c00 ffff0000                        # IFLA_TSO_MAX_SEGS 65535
  08004200 00000000                        # IFLA_MAX_PACING_OFFLOAD_HORIZON
  08002000 02000000                        # IFLA_NUM_RX_QUEUES 2
  05002100 00000000                        # IFLA_CARRIER false
  0b001400 75706c69 6e6b0000               # IFLA_IFALIAS uplink
  08002300 01000000                        # IFLA_CARRIER_CHANGES 1
  08002f00 00000000                        # IFLA_CARRIER_UP_COUNT 0
  08003000 01000000                        # IFLA_CARRIER_DOWN_COUNT 1
  06004400 00000000                        # IFLA_HEADROOM
  06004500 00000000                        # IFLA_TAILROOM
  05002700 00000000                        # IFLA_PROTO_DOWN false
  0a000100 02000000 00030000               # IFLA_ADDRESS 02:00:00:00:00:03
  0a000200 ffffffff ffff0000               # IFLA_BROADCAST ff:ff:ff:ff:ff:ff
  cc001700 00000000*50                     # IFLA_STATS64
  64000700 00000000*24                     # IFLA_STATS
  0c002b00 05000200 00000000               # IFLA_XDP
  10001200                                 # IFLA_LINKINFO:
    09000100 76657468 00000000             # IFLA_INFO_KIND veth
  08002500 00000000                        # IFLA_LINK_NETNSID 0
  08000500 02000000                        # IFLA_LINK 2
  09000600 6e6f6f70 00000000               # IFLA_QDISC noop
  30031a00                                 # IFLA_AF_SPEC:
    8c000200                               # AF_INET:
      88000100 00000000*3 01000000*4 00000000 01000000 # IFLA_INET_CONF
        00000000*17 10270000 e8030000 00000000*4 01000000
    a0020a00                               # AF_INET6:
      08000100 00000000                    # IFLA_INET6_FLAGS 0
      14000500 ffff0000 3a8b0600 f0a20000 e8030000 # IFLA_INET6_CACHEINFO
      f4000200 00000000 40000000 dc050000 01000000*4 ffffffff # IFLA_INET6_CONF
        a00f0000 e8030000 00000000 803a0900 80510100 03000000
        58020000 10000000 00000000 01000000*3 60ea0000
        00000000*6 01000000 00000000 00000000 10270000 e8030000
        01000000 00000000 00000000 01000000 00000000 00000000
        01000000 00000000*4 80ee3600 00000000 00000000 01000000
        00000000*5 00040000 00000000 ffff0000 ffffffff 01000000
        00000000*3
      34010300 26000000 00000000*75        # IFLA_INET6_STATS
      3c000600 07000000 00000000*13        # IFLA_INET6_ICMP6STATS
      14000700 00000000*4                  # IFLA_INET6_TOKEN ::
      05000800 00000000                    # IFLA_INET6_ADDR_GEN_MODE eui64
  24000e00 00000000*8                      # IFLA_MAP
  24003480                                 # IFLA_PROP_LIST:
    1f003500 612d6e61 6d652d6c 6f6e6765 722d7468 616e2d66 # IFLA_ALT_IFNAME a-name-longer-than-fifteen
      69667465 656e0000
  04003e80                                 # IFLA_DEVLINK_PORT
  04004180                                 # IFLA_DPLL_PIN
`)

/** A persistent tun without a carrier. */
export const tun = capture(`
  e0050000 10000200 01000000 34120000      # 1504 bytes, RTM_NEWLINK, flags 0x2, sequence 1, port 4660
  0000feff 05000000 90100000 00000000      # ifinfomsg: family 0, pad 0, type 65534, index 5, flags 4240, change 0
  09000300 74756e30 00000000               # IFLA_IFNAME tun0
  08000d00 f4010000                        # IFLA_TXQLEN 500
  05001000 02000000                        # IFLA_OPERSTATE down
  05001100 00000000                        # IFLA_LINKMODE 0
  05004300 00000000                        # IFLA_NETNS_IMMUTABLE
  08000400 dc050000                        # IFLA_MTU 1500
  08003200 44000000                        # IFLA_MIN_MTU 68
  08003300 ffff0000                        # IFLA_MAX_MTU 65535
  08001b00 00000000                        # IFLA_GROUP 0
  08001e00 00000000                        # IFLA_PROMISCUITY 0
  08003d00 00000000                        # IFLA_ALLMULTI 0
  08001f00 01000000                        # IFLA_NUM_TX_QUEUES 1
  08002800 ffff0000                        # IFLA_GSO_MAX_SEGS 65535
  08002900 00000100                        # IFLA_GSO_MAX_SIZE 65536
  08003a00 00000100                        # IFLA_GRO_MAX_SIZE 65536
  08003f00 00000100                        # IFLA_GSO_IPV4_MAX_SIZE
  08004000 00000100                        # IFLA_GRO_IPV4_MAX_SIZE
  08003b00 00000100                        # IFLA_TSO_MAX_SIZE 65536
  08003c00 ffff0000                        # IFLA_TSO_MAX_SEGS 65535
  08004200 00000000                        # IFLA_MAX_PACING_OFFLOAD_HORIZON
  08002000 01000000                        # IFLA_NUM_RX_QUEUES 1
  05002100 00000000                        # IFLA_CARRIER false
  08002300 01000000                        # IFLA_CARRIER_CHANGES 1
  08002f00 00000000                        # IFLA_CARRIER_UP_COUNT 0
  08003000 01000000                        # IFLA_CARRIER_DOWN_COUNT 1
  06004400 00000000                        # IFLA_HEADROOM
  06004500 00000000                        # IFLA_TAILROOM
  05002700 00000000                        # IFLA_PROTO_DOWN false
  cc001700 00000000*50                     # IFLA_STATS64
  64000700 00000000*24                     # IFLA_STATS
  0c002b00 05000200 00000000               # IFLA_XDP
  38001200                                 # IFLA_LINKINFO:
    08000100 74756e00                      # IFLA_INFO_KIND tun
    2c000200 05000300 01000000 05000400 00000000 05000500 # IFLA_INFO_DATA
      00000000 05000600 01000000 05000700 00000000
  09000600 6e6f6f70 00000000               # IFLA_QDISC noop
  30031a00                                 # IFLA_AF_SPEC:
    8c000200                               # AF_INET:
      88000100 00000000*3 01000000*4 00000000 01000000 # IFLA_INET_CONF
        00000000*17 10270000 e8030000 00000000*4 01000000
    a0020a00                               # AF_INET6:
      08000100 00000000                    # IFLA_INET6_FLAGS 0
      14000500 ffff0000 3e8b0600 5c820000 e8030000 # IFLA_INET6_CACHEINFO
      f4000200 00000000 40000000 dc050000 01000000*4 ffffffff # IFLA_INET6_CONF
        a00f0000 e8030000 ffffffff 803a0900 80510100 03000000
        58020000 10000000 00000000 01000000*3 60ea0000
        00000000*6 ffffffff 00000000 00000000 10270000 e8030000
        01000000 00000000 00000000 01000000 00000000 00000000
        01000000 00000000*4 80ee3600 00000000 00000000 01000000
        00000000*5 00040000 00000000 ffff0000 ffffffff 01000000
        00000000*3
      34010300 26000000 00000000*75        # IFLA_INET6_STATS
      3c000600 07000000 00000000*13        # IFLA_INET6_ICMP6STATS
      14000700 00000000*4                  # IFLA_INET6_TOKEN ::
      05000800 00000000                    # IFLA_INET6_ADDR_GEN_MODE eui64
  24000e00 00000000*8                      # IFLA_MAP
  04003e80                                 # IFLA_DEVLINK_PORT
  04004180                                 # IFLA_DPLL_PIN
`)
