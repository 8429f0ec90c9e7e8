/**
 * What tunnels of IP in IP share (ip-link(8), "GRE, IPIP, SIT Type Support" and "IP6TNL"; linux/if_tunnel.h, IFLA_IPTUN_…):
 * ipip and sit over IPv4, ip6tnl over IPv6.
 */
import { attributeU32, boolean8 } from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import type { LinkReference } from '../link-options.js'
import { encapsulationWire, inheritedTtl, ipv4, presence, typeOfService } from './tunnel-attributes.js'

/** What such a tunnel carries: IPPROTO_… of linux/in.h. */
export const carried = headerWords(
  'IPPROTO_',
  { any: 0, ipv4: 4, ipv6: 41, mpls: 137 },
  { any: null, ipv4: 'IPPROTO_IPIP' },
)

/** The attributes that all of them have. */
export const ipTunnelWire = {
  device: [1, 'IFLA_IPTUN_LINK', attributeU32],
  ttl: [4, 'IFLA_IPTUN_TTL', inheritedTtl],
  ...encapsulationWire('IFLA_IPTUN', 15),
  external: [19, 'IFLA_IPTUN_COLLECT_METADATA', presence],
  fwmark: [20, 'IFLA_IPTUN_FWMARK', attributeU32],
} as const

/** And those over IPv4. */
export const ipTunnel4Wire = {
  ...ipTunnelWire,
  local: [2, 'IFLA_IPTUN_LOCAL', ipv4],
  remote: [3, 'IFLA_IPTUN_REMOTE', ipv4],
  tos: [5, 'IFLA_IPTUN_TOS', typeOfService],
  pmtuDiscovery: [10, 'IFLA_IPTUN_PMTUDISC', boolean8],
} as const

/** The link that a tunnel's packets leave through. */
export interface TunnelDevice {
  /** The link under this one, which packets leave through: a Link, its name or index; null for none. Read back as its index. */
  device?: LinkReference | null
}
