/** Numbers of the kernel's headers that rtnetlink's messages are made of; a test compiles them against the headers. */

/** linux/rtnetlink.h, linux/if.h, linux/if_addr.h, linux/if_link.h. */
export const rtnetlinkConstants = {
  RTM_NEWLINK: 16,
  RTM_DELLINK: 17,
  RTM_GETLINK: 18,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_GETADDR: 22,
  RTM_NEWROUTE: 24,
  RTM_DELROUTE: 25,
  RTM_GETROUTE: 26,
  RTNLGRP_LINK: 1,
  RTM_F_CLONED: 0x200,
  RTM_F_LOOKUP_TABLE: 0x1000,
  RT_TABLE_COMPAT: 252,
} as const

/** Flags of an interface: ifi_flags (linux/if.h). `ip link` shows the same names. */
export const linkFlags = {
  UP: 0x1,
  BROADCAST: 0x2,
  DEBUG: 0x4,
  LOOPBACK: 0x8,
  POINTOPOINT: 0x10,
  NOTRAILERS: 0x20,
  RUNNING: 0x40,
  NOARP: 0x80,
  PROMISC: 0x100,
  ALLMULTI: 0x200,
  MASTER: 0x400,
  SLAVE: 0x800,
  MULTICAST: 0x1000,
  PORTSEL: 0x2000,
  AUTOMEDIA: 0x4000,
  DYNAMIC: 0x8000,
  LOWER_UP: 0x10000,
  DORMANT: 0x20000,
  ECHO: 0x40000,
} as const

/** A link's operational state, IF_OPER_… (linux/if.h, RFC 2863). */
export const operationalStates = {
  unknown: 0,
  'not-present': 1,
  down: 2,
  'lower-layer-down': 3,
  testing: 4,
  dormant: 5,
  up: 6,
} as const

/** Flags of an address, IFA_F_… (linux/if_addr.h), by the names that `ip address` takes. */
export const addressFlags = {
  secondary: 0x01,
  nodad: 0x02,
  optimistic: 0x04,
  dadfailed: 0x08,
  home: 0x10,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
  mngtmpaddr: 0x100,
  noprefixroute: 0x200,
  autojoin: 0x400,
  'stable-privacy': 0x800,
} as const

/** Scopes of addresses and routes, RT_SCOPE_… */
export const scopes = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const

/** Types of routes, RTN_… */
export const routeTypes = {
  unspec: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
  nat: 10,
} as const

/** Who made a route, RTPROT_… */
export const routeProtocols = {
  unspec: 0,
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  gated: 8,
  ra: 9,
  mrt: 10,
  zebra: 11,
  bird: 12,
  dnrouted: 13,
  xorp: 14,
  ntk: 15,
  dhcp: 16,
  mrouted: 17,
  keepalived: 18,
  babel: 42,
  openr: 99,
  bgp: 186,
  isis: 187,
  ospf: 188,
  rip: 189,
  eigrp: 192,
} as const

/** Routing tables with names, RT_TABLE_… */
export const routeTables = { default: 253, main: 254, local: 255 } as const

/** Flags of a next hop, RTNH_F_… */
export const nexthopFlags = { dead: 1, pervasive: 2, onlink: 4, offload: 8, linkdown: 16, unresolved: 32 } as const

/** The names of the bits that are set. */
export function flagNames<N extends string>(table: Readonly<Record<N, number>>, bits: number): N[] {
  return (Object.keys(table) as N[]).filter((name) => (bits & table[name]) !== 0)
}
