/** Numbers of frames and of offload headers. A test compares those of the kernel with its headers. */

/** linux/virtio_net.h: the flags and the kinds of segmentation of struct virtio_net_hdr. */
export const offloadConstants = {
  VIRTIO_NET_HDR_F_NEEDS_CSUM: 1,
  VIRTIO_NET_HDR_F_DATA_VALID: 2,
  VIRTIO_NET_HDR_GSO_NONE: 0,
  VIRTIO_NET_HDR_GSO_TCPV4: 1,
  VIRTIO_NET_HDR_GSO_UDP: 3,
  VIRTIO_NET_HDR_GSO_TCPV6: 4,
  VIRTIO_NET_HDR_GSO_UDP_L4: 5,
  VIRTIO_NET_HDR_GSO_ECN: 0x80,
} as const

/** linux/if_tun.h: what a reader or writer of frames with offload headers takes. */
export const takenConstants = {
  /** Checksums. The others need it. */
  TUN_F_CSUM: 0x01,
  TUN_F_TSO4: 0x02,
  TUN_F_TSO6: 0x04,
  TUN_F_TSO_ECN: 0x08,
  /** Cutting UDP into datagrams; since Linux 6.2. */
  TUN_F_USO4: 0x20,
  TUN_F_USO6: 0x40,
} as const

/** Bytes of struct virtio_net_hdr, which lies right before a frame that has one. */
export const OFFLOAD_HEADER_SIZE = 10

/** In a span's length: an offload header lies before the frame (src-native/frame.h). */
export const HAS_HEADER = 0x8000_0000
/** What is left of a span's length without that. */
export const LENGTH = 0x7fff_ffff

/**
 * Room for the longest frame that any end can hand over, so that none is ever cut: an offload header of 10, an MTU of at most 65,535
 * (drivers/net/tun.c, MAX_MTU), an Ethernet header of 14, two VLAN tags of 4, a struct tun_pi of 4; rounded up to 64, and 64 more for
 * where it begins.
 */
export const FRAME_ROOM = 65_664

/** Frames begin at multiples of this in a slab. */
export const FRAME_ALIGNMENT = 64
