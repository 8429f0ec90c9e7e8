import { takenConstants } from '../packets/constants.js'

/** What netkit uses of the kernel header linux/if_tun.h. A test compares every value with the header's. */
export const tunConstants = {
  /** TUNSETIFF flag: IP packets (layer 3). */
  IFF_TUN: 0x0001,
  /** TUNSETIFF flag: Ethernet frames (layer 2). */
  IFF_TAP: 0x0002,
  /** TUNSETIFF flag: several descriptors, each a queue. */
  IFF_MULTI_QUEUE: 0x0100,
  /** TUNSETQUEUE: the queue carries frames again. */
  IFF_ATTACH_QUEUE: 0x0200,
  /** TUNSETQUEUE: the queue carries no frames until it is attached. */
  IFF_DETACH_QUEUE: 0x0400,
  /** TUNSETIFF flag: no struct tun_pi before each frame. */
  IFF_NO_PI: 0x1000,
  /** TUNSETIFF flag: a struct virtio_net_hdr before each frame. */
  IFF_VNET_HDR: 0x4000,
  /** TUNSETIFF flag: fail with EBUSY when the interface exists. */
  IFF_TUN_EXCL: 0x8000,
  /** _IOW('T', 203, int): whether the interface stays when its last descriptor is closed. */
  TUNSETPERSIST: 0x400454cb,
  /** _IOW('T', 204, int): the user who may attach without CAP_NET_ADMIN. */
  TUNSETOWNER: 0x400454cc,
  /** _IOW('T', 206, int): the group that may attach without CAP_NET_ADMIN. */
  TUNSETGROUP: 0x400454ce,
  /** _IOW('T', 208, unsigned int): what the reader does itself, and the kernel leaves undone. */
  TUNSETOFFLOAD: 0x400454d0,
  /** _IOW('T', 216, int): the length of the header before each frame. */
  TUNSETVNETHDRSZ: 0x400454d8,
  /** _IOW('T', 217, int): attaches or detaches a queue. */
  TUNSETQUEUE: 0x400454d9,
  ...takenConstants,
  /** _IOR('T', 224, int): the descriptor of the eBPF program that picks a packet's queue, -1 for none. */
  TUNSETSTEERINGEBPF: 0x800454e0,
  /** _IOR('T', 225, int): the descriptor of the eBPF program that decides which packets get to a queue, -1 for none. */
  TUNSETFILTEREBPF: 0x800454e1,
} as const
