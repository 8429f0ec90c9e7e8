/** What the frames of a link begin with, as captures have them, by its type of hardware. */
import { headerConstants } from '../netlink/header-words.js'
import { linkTypes } from './constants.js'

/** linux/if_arp.h. A test compares every value with the header's. */
export const arpHardware = headerConstants({
  ARPHRD_ETHER: 1,
  ARPHRD_RAWIP: 519,
  ARPHRD_TUNNEL: 768,
  ARPHRD_TUNNEL6: 769,
  ARPHRD_LOOPBACK: 772,
  ARPHRD_SIT: 776,
  ARPHRD_IEEE80211: 801,
  ARPHRD_IEEE80211_RADIOTAP: 803,
  ARPHRD_NONE: 0xfffe,
})

const { ethernet, raw, ieee80211, radiotap } = linkTypes

const byHardware = new Map<number, number>([
  [arpHardware.ARPHRD_ETHER, ethernet],
  [arpHardware.ARPHRD_LOOPBACK, ethernet],
  [arpHardware.ARPHRD_NONE, raw],
  [arpHardware.ARPHRD_RAWIP, raw],
  [arpHardware.ARPHRD_TUNNEL, raw],
  [arpHardware.ARPHRD_TUNNEL6, raw],
  [arpHardware.ARPHRD_SIT, raw],
  [arpHardware.ARPHRD_IEEE80211, ieee80211],
  [arpHardware.ARPHRD_IEEE80211_RADIOTAP, radiotap],
])

/** The link type (LINKTYPE_…) of a type of hardware (ARPHRD_…); undefined when captures have none for it. */
export function linkTypeOfHardware(type: number): number | undefined {
  return byHardware.get(type)
}
