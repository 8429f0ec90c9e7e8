/** NLMSG_ERROR and NLMSG_DONE messages, as Linux 6.18 (x86-64) sent them. */
import { capture } from './capture.js'

/** An RTM_NEWLINK of a bridge whose priority has one byte where two are needed. */
export const refusedRequest = capture(`
  4c000000 10000106 01000000 00000000      # 76 bytes, RTM_NEWLINK, flags 0x601, sequence 1, port 0
  00000000*4                               # ifinfomsg: family 0, pad 0, type 0, index 0, flags 0, change 0
  08000300 62723100                        # IFLA_IFNAME br1
  24001200                                 # IFLA_LINKINFO:
    0b000100 62726964 67650000             # IFLA_INFO_KIND bridge
    14000200                               # IFLA_INFO_DATA:
      08000200 00000000                    # IFLA_BR_HELLO_TIME 0
      05000600 00000000                    # IFLA_BR_PRIORITY with 1 byte
`)

/** Its refusal: what is wrong, and where. */
export const refusal = capture(`
  78000000 02000003 01000000 34120000      # 120 bytes, NLMSG_ERROR, flags 0x300, sequence 1, port 4660
  deffffff                                 # -34
  4c000000 10000106 01000000 00000000      # 76 bytes, RTM_NEWLINK, flags 0x601, sequence 1, port 0
  27000100 41747472 69627574 65206661 696c6564 20706f6c # NLMSGERR_ATTR_MSG Attribute failed policy validation
    69637920 76616c69 64617469 6f6e0000
  08000200 44000000                        # NLMSGERR_ATTR_OFFS 68
  24000480 0c000400 00000000 00000000 0c000500 ffff0000 # NLMSGERR_ATTR_POLICY
    00000000 08000100 03000000
`)

/** The same without NETLINK_CAP_ACK: it has the whole request in it. */
export const wholeRefusal = capture(`
  b4000000 02000002 01000000 34120000      # 180 bytes, NLMSG_ERROR, flags 0x200, sequence 1, port 4660
  deffffff                                 # -34
  4c000000 10000106 01000000 00000000      # 76 bytes, RTM_NEWLINK, flags 0x601, sequence 1, port 0
  00000000*4                               # ifinfomsg: family 0, pad 0, type 0, index 0, flags 0, change 0
  08000300 62723100                        # IFLA_IFNAME br1
  24001200                                 # IFLA_LINKINFO:
    0b000100 62726964 67650000             # IFLA_INFO_KIND bridge
    14000200                               # IFLA_INFO_DATA:
      08000200 00000000                    # IFLA_BR_HELLO_TIME 0
      05000600 00000000                    # IFLA_BR_PRIORITY with 1 byte
  27000100 41747472 69627574 65206661 696c6564 20706f6c # NLMSGERR_ATTR_MSG Attribute failed policy validation
    69637920 76616c69 64617469 6f6e0000
  08000200 44000000                        # NLMSGERR_ATTR_OFFS 68
  24000480 0c000400 00000000 00000000 0c000500 ffff0000 # NLMSGERR_ATTR_POLICY
    00000000 08000100 03000000
`)

/** The refusal of an RTM_GETLINK. */
export const noDevice = capture(`
  24000000 02000001 01000000 34120000      # 36 bytes, NLMSG_ERROR, flags 0x100, sequence 1, port 4660
  edffffff                                 # -19
  2c000000 12000100 01000000 00000000      # 44 bytes, RTM_GETLINK, flags 0x1, sequence 1, port 0
`)

/** An acknowledgement. */
export const acknowledgement = capture(`
  24000000 02000001 01000000 34120000      # 36 bytes, NLMSG_ERROR, flags 0x100, sequence 1, port 4660
  00000000                                 # 0
  20000000 10000500 01000000 00000000      # 32 bytes, RTM_NEWLINK, flags 0x5, sequence 1, port 0
`)

/** The end of a dump. */
export const done = capture(`
  14000000 03000200 01000000 34120000      # 20 bytes, NLMSG_DONE, flags 0x2, sequence 1, port 4660
  00000000                                 # 0
`)

/** The end of a dump that failed at once. */
export const failedDump = capture(`
  4c000000 03000202 01000000 34120000      # 76 bytes, NLMSG_DONE, flags 0x202, sequence 1, port 4660
  eaffffff                                 # -22
  38000100 46696c74 65722062 79206465 76696365 20696e64 # NLMSGERR_ATTR_MSG Filter by device index not supported for link dumps
    6578206e 6f742073 7570706f 72746564 20666f72 206c696e
    6b206475 6d707300
`)
