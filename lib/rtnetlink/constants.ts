/** Numbers of the kernel's headers that rtnetlink's messages are made of; a test compiles them against the headers. */
import { headerConstants, headerWords } from '../netlink/header-words.js'
import { nameMessageTypes } from '../netlink/words.js'

/** linux/rtnetlink.h, linux/if.h, linux/if_addr.h, linux/if_link.h. */
export const rtnetlinkConstants = headerConstants({
  RTM_NEWLINK: 16,
  RTM_DELLINK: 17,
  RTM_GETLINK: 18,
  RTM_SETLINK: 19,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_GETADDR: 22,
  RTM_NEWROUTE: 24,
  RTM_DELROUTE: 25,
  RTM_GETROUTE: 26,
  RTM_NEWNEIGH: 28,
  RTM_DELNEIGH: 29,
  RTM_GETNEIGH: 30,
  RTM_NEWRULE: 32,
  RTM_DELRULE: 33,
  RTM_GETRULE: 34,
  RTM_NEWQDISC: 36,
  RTM_DELQDISC: 37,
  RTM_GETQDISC: 38,
  RTM_NEWTCLASS: 40,
  RTM_DELTCLASS: 41,
  RTM_GETTCLASS: 42,
  RTM_NEWTFILTER: 44,
  RTM_DELTFILTER: 45,
  RTM_GETTFILTER: 46,
  RTM_NEWACTION: 48,
  RTM_DELACTION: 49,
  RTM_GETACTION: 50,
  RTM_NEWNEIGHTBL: 64,
  RTM_GETMULTICAST: 58,
  RTM_GETANYCAST: 62,
  RTM_GETNEIGHTBL: 66,
  RTM_SETNEIGHTBL: 67,
  RTM_NEWNETCONF: 80,
  RTM_DELNETCONF: 81,
  RTM_GETNETCONF: 82,
  RTM_NEWMDB: 84,
  RTM_DELMDB: 85,
  RTM_GETMDB: 86,
  RTM_NEWNSID: 88,
  RTM_DELNSID: 89,
  RTM_GETNSID: 90,
  RTM_NEWSTATS: 92,
  RTM_GETSTATS: 94,
  RTM_NEWCHAIN: 100,
  RTM_DELCHAIN: 101,
  RTM_GETCHAIN: 102,
  RTM_NEWNEXTHOP: 104,
  RTM_DELNEXTHOP: 105,
  RTM_GETNEXTHOP: 106,
  RTM_NEWLINKPROP: 108,
  RTM_DELLINKPROP: 109,
  RTM_GETLINKPROP: 110,
  RTM_NEWVLAN: 112,
  RTM_DELVLAN: 113,
  RTM_GETVLAN: 114,
  RTM_NEWNEXTHOPBUCKET: 116,
  RTM_DELNEXTHOPBUCKET: 117,
  RTM_GETNEXTHOPBUCKET: 118,
  RTNLGRP_LINK: 1,
  RTNLGRP_NEIGH: 3,
  RTNLGRP_TC: 4,
  RTNLGRP_IPV4_IFADDR: 5,
  RTNLGRP_IPV4_ROUTE: 7,
  RTNLGRP_IPV4_RULE: 8,
  RTNLGRP_IPV6_IFADDR: 9,
  RTNLGRP_IPV6_ROUTE: 11,
  RTNLGRP_IPV6_RULE: 19,
  RTNLGRP_MDB: 26,
  RTNLGRP_MPLS_ROUTE: 27,
  RTNLGRP_NSID: 28,
  RTNLGRP_NEXTHOP: 32,
  RTNLGRP_BRVLAN: 33,
  RTEXT_FILTER_VF: 1,
  RTM_F_CLONED: 0x200,
  RTM_F_LOOKUP_TABLE: 0x1000,
  RTM_F_FIB_MATCH: 0x2000,
  RT_TABLE_COMPAT: 252,
})

nameMessageTypes(rtnetlinkConstants, 'RTM_')

/** Flags of an interface: ifi_flags (linux/if.h). `ip link` shows the same names. */
export const linkFlags = headerWords('IFF_', {
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
})

/** A link's operational state, IF_OPER_… (linux/if.h, RFC 2863). */
export const operationalStates = headerWords(
  'IF_OPER_',
  {
    unknown: 0,
    'not-present': 1,
    down: 2,
    'lower-layer-down': 3,
    testing: 4,
    dormant: 5,
    up: 6,
  },
  {
    'not-present': 'IF_OPER_NOTPRESENT',
    'lower-layer-down': 'IF_OPER_LOWERLAYERDOWN',
  },
)

/** Flags of an address, IFA_F_… (linux/if_addr.h), by the names that `ip address` takes. */
export const addressFlags = headerWords(
  'IFA_F_',
  {
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
  },
  {
    home: 'IFA_F_HOMEADDRESS',
    mngtmpaddr: 'IFA_F_MANAGETEMPADDR',
    autojoin: 'IFA_F_MCAUTOJOIN',
  },
)

/** Who made an address, IFAPROT_… (linux/if_addr.h): the kernel for the loopback, for router advertisements, for itself. */
export const addressProtocols = headerWords('IFAPROT_', { unspec: 0, 'kernel-lo': 1, 'kernel-ra': 2, 'kernel-ll': 3 })

/** Scopes of addresses and routes, RT_SCOPE_… */
export const scopes = headerWords(
  'RT_SCOPE_',
  { global: 0, site: 200, link: 253, host: 254, nowhere: 255 },
  {
    global: 'RT_SCOPE_UNIVERSE',
  },
)

/** Types of routes, RTN_… */
export const routeTypes = headerWords('RTN_', {
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
})

/** Who made a route, RTPROT_… */
export const routeProtocols = headerWords('RTPROT_', {
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
})

/** Routing tables with names, RT_TABLE_… */
export const routeTables = headerWords('RT_TABLE_', { default: 253, main: 254, local: 255 })

/** Flags of a next hop, RTNH_F_… */
export const nexthopFlags = headerWords('RTNH_F_', {
  dead: 1,
  pervasive: 2,
  onlink: 4,
  offload: 8,
  linkdown: 16,
  unresolved: 32,
  trap: 64,
})

/** Flags of a route, RTM_F_… */
export const routeFlags = headerWords(
  'RTM_F_',
  { notify: 0x100, cloned: 0x200, prefix: 0x800, 'route-offload': 0x4000, 'route-trap': 0x8000 },
  { 'route-offload': 'RTM_F_OFFLOAD', 'route-trap': 'RTM_F_TRAP' },
)

/** What is known of a table of numbers: put together once, as rows are read by the thousand. */
const known = new WeakMap<object, { names: readonly string[]; words: ReadonlyMap<number, string> }>()

function knownOf(table: Readonly<Record<string, number>>) {
  let found = known.get(table)
  if (found === undefined) {
    const names = Object.keys(table)
    // Of two words for a number the first counts.
    const words = new Map(names.reverse().map((name) => [table[name] as number, name]))
    found = { names: names.reverse(), words }
    known.set(table, found)
  }
  return found
}

/** The names of the bits that are set. */
export function flagNames<N extends string>(table: Readonly<Record<N, number>>, bits: number): N[] {
  if (bits === 0) return []
  return (knownOf(table).names as N[]).filter((name) => (bits & table[name]) !== 0)
}

/** The word for a number, or the number when it has none. */
export function wordOf<N extends string>(table: Readonly<Record<N, number>>, number: number): N | number {
  return (knownOf(table).words.get(number) as N | undefined) ?? number
}
