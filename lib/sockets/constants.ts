/** What netkit uses of sys/socket.h, linux/udp.h and linux/sock_diag.h for its sockets. A test compares every value with the header's. */
export const socketConstants = {
  SO_SNDBUF: 7,
  SO_RCVBUF: 8,
  SO_SNDBUFFORCE: 32,
  SO_RCVBUFFORCE: 33,
  /** linux/sock_diag.h: the counters of a socket's memory. */
  SO_MEMINFO: 55,
  SK_MEMINFO_DROPS: 8,
  IPPROTO_TCP: 6,
  TCP_NODELAY: 1,
  IPPROTO_UDP: 17,
  /** udp(7): one large datagram that the kernel cuts. */
  UDP_SEGMENT: 103,
  /** udp(7): several datagrams in one, as they arrived. */
  UDP_GRO: 104,
} as const

/** `flags` of `native.createDatagramEnd` (src-native/datagram_end.h). */
export const datagramFlags = { layer3: 1, unix: 2, connected: 4, gso: 8, gro: 16, learn: 32 } as const
