/** RTM_NEWROUTE messages of a dump, as Linux 6.18 (x86-64) sent them. */
import { capture } from './capture.js'

/** IPv4, with a gateway, a metric, a source address and an MTU. */
export const gateway = capture(`
  58000000 18002200 01000000 34120000      # 88 bytes, RTM_NEWROUTE, flags 0x22, sequence 1, port 4660
  02180000 fe030001 00000000               # rtmsg: family 2, destinationLength 24, sourceLength 0, tos 0, table 254, protocol 3, scope 0, type 1, flags 0
  08000f00 fe000000                        # RTA_TABLE 254
  08000100 0a000200                        # RTA_DST 10.0.2.0
  08000600 64000000                        # RTA_PRIORITY 100
  0c000800                                 # RTA_METRICS:
    08000200 78050000                      # RTAX_MTU 1400
  08000700 0a000101                        # RTA_PREFSRC 10.0.1.1
  08000500 0a0001fe                        # RTA_GATEWAY 10.0.1.254
  08000400 04000000                        # RTA_OIF 4
`)

/** IPv4, default. */
export const defaultRoute = capture(`
  34000000 18002200 01000000 34120000      # 52 bytes, RTM_NEWROUTE, flags 0x22, sequence 1, port 4660
  02000000 fe030001 00000000               # rtmsg: family 2, destinationLength 0, sourceLength 0, tos 0, table 254, protocol 3, scope 0, type 1, flags 0
  08000f00 fe000000                        # RTA_TABLE 254
  08000500 0a0001fe                        # RTA_GATEWAY 10.0.1.254
  08000400 04000000                        # RTA_OIF 4
`)

/** IPv4, two next hops, of which one has an IPv6 address. */
export const multipath = capture(`
  60000000 18002200 01000000 34120000      # 96 bytes, RTM_NEWROUTE, flags 0x22, sequence 1, port 4660
  02180000 fe030001 00000000               # rtmsg: family 2, destinationLength 24, sourceLength 0, tos 0, table 254, protocol 3, scope 0, type 1, flags 0
  08000f00 fe000000                        # RTA_TABLE 254
  08000100 0a000300                        # RTA_DST 10.0.3.0
  34000900                                 # RTA_MULTIPATH:
    10000001 04000000                      # rtnexthop: length 16, flags 0x0, hops 1, index 4
      08000500 0a0001fd                    # RTA_GATEWAY 10.0.1.253
    20000000 04000000                      # rtnexthop: length 32, flags 0x0, hops 0, index 4
      16001200 0a00fd00 00000000*3 00fe0000 # RTA_VIA fd00::fe
`)

/** IPv4, in a table whose number does not fit in the header. */
export const blackhole = capture(`
  2c000000 18002200 01000000 34120000      # 44 bytes, RTM_NEWROUTE, flags 0x22, sequence 1, port 4660
  02180000 fc040006 00000000               # rtmsg: family 2, destinationLength 24, sourceLength 0, tos 0, table 252, protocol 4, scope 0, type 6, flags 0
  08000f00 e8030000                        # RTA_TABLE 1000
  08000100 0a000400                        # RTA_DST 10.0.4.0
`)

/** IPv6, with a gateway. */
export const inet6 = capture(`
  88000000 18002200 01000000 34120000      # 136 bytes, RTM_NEWROUTE, flags 0x22, sequence 1, port 4660
  0a400000 fe030001 00000000               # rtmsg: family 10, destinationLength 64, sourceLength 0, tos 0, table 254, protocol 3, scope 0, type 1, flags 0
  08000f00 fe000000                        # RTA_TABLE 254
  14000100 fd000002 00000000*3             # RTA_DST fd00:2::
  08000600 00040000                        # RTA_PRIORITY 1024
  14000500 fd000000 00000000 00000000 000000ff # RTA_GATEWAY fd00::ff
  08000400 04000000                        # RTA_OIF 4
  24000c00 00000000*8                      # RTA_CACHEINFO {clients: 0, lastUse: 0, expires: 0, error: 0, used: 0, id: 0, timestamp: 0, timestampAge: 0}
  05001400 00000000                        # RTA_PREF 0
`)
