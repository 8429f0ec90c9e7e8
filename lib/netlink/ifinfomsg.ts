/** struct ifinfomsg of linux/rtnetlink.h: the header of the messages of links. */
import { Struct, s32, u8, u16, u32 } from './struct.js'

export const ifinfomsg = new Struct('ifinfomsg', {
  family: ['ifi_family', u8],
  pad: ['__ifi_pad', u8],
  type: ['ifi_type', u16],
  index: ['ifi_index', s32],
  flags: ['ifi_flags', u32],
  change: ['ifi_change', u32],
})
