/** What netkit uses of the kernel header linux/if_tun.h. A test compares every value with the header's. */
export const tunConstants = {
  /** TUNSETIFF flag: IP packets (layer 3). */
  IFF_TUN: 0x0001,
  /** TUNSETIFF flag: Ethernet frames (layer 2). */
  IFF_TAP: 0x0002,
  /** TUNSETIFF flag: no struct tun_pi before each frame. */
  IFF_NO_PI: 0x1000,
  /** TUNSETIFF flag: fail with EBUSY when the interface exists. */
  IFF_TUN_EXCL: 0x8000,
  /** _IOW('T', 203, int): whether the interface stays when its last descriptor is closed. */
  TUNSETPERSIST: 0x400454cb,
  /** _IOW('T', 204, int): the user who may attach without CAP_NET_ADMIN. */
  TUNSETOWNER: 0x400454cc,
  /** _IOW('T', 206, int): the group that may attach without CAP_NET_ADMIN. */
  TUNSETGROUP: 0x400454ce,
} as const

/**
 * Room for the longest frame that the driver can hand over, so that none is ever cut: an MTU of at most 65,535
 * (drivers/net/tun.c, MAX_MTU), an Ethernet header of 14, two VLAN tags of 4, a struct tun_pi of 4; rounded up to 64.
 */
export const FRAME_ROOM = 65_600
