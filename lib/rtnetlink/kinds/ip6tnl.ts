/** ip6tnl: IPv4 and IPv6 over IPv6 (RFC 2473; what tunnels of IP in IP share is in iptunnel-attributes.ts). */
import { attributeBe32, attributeU8, attributeU32, words } from '../../netlink/attribute.js'
import { convertedAttributes, type Loose } from '../../netlink/converted.js'
import { carried, ipTunnelWire, type TunnelDevice } from './iptunnel-attributes.js'
import { defineKind } from './registry.js'
import {
  type Ipv6TunnelOptions,
  ipv6,
  ipv6FromAttributes,
  ipv6Keys,
  ipv6ToAttributes,
  isIpv6AsAsked,
  type StateOf,
  type TunnelParent,
  tunnelKind,
  withoutFalse,
} from './tunnel-attributes.js'

const { any, ipv4: ipip6, ipv6: ip6ip6 } = carried

const wire = {
  ...ipTunnelWire,
  local: [2, 'IFLA_IPTUN_LOCAL', ipv6],
  remote: [3, 'IFLA_IPTUN_REMOTE', ipv6],
  encapsulationLimit: [6, 'IFLA_IPTUN_ENCAP_LIMIT', attributeU8],
  flowInformation: [7, 'IFLA_IPTUN_FLOWINFO', attributeBe32],
  flags: [8, 'IFLA_IPTUN_FLAGS', attributeU32],
  mode: [9, 'IFLA_IPTUN_PROTO', words(attributeU8, { any, ipip6, ip6ip6 })],
} as const

export const ip6tnlAttributes = convertedAttributes(wire, {
  keys: [...Object.keys(wire).filter((key) => key !== 'flowInformation' && key !== 'flags'), ...ipv6Keys],
  write: (options, path) => ipv6ToAttributes(withoutFalse(options, ['external']), path),
  read: (attributes) => ipv6FromAttributes(withoutFalse(attributes, ['external'])),
})

/** Options of ip6tnl. */
export interface Ip6TunnelOptions extends TunnelDevice, Ipv6TunnelOptions {
  /** What it carries: 'ip6ip6' (IPv6), 'ipip6' (IPv4), or 'any' of both. Default: 'any'. */
  mode?: 'any' | 'ipip6' | 'ip6ip6' | number
}

declare module './registry.js' {
  interface LinkKinds {
    ip6tnl: Ip6TunnelOptions
  }
  interface LinkKindStates {
    ip6tnl: StateOf<Ip6TunnelOptions>
  }
  interface LinkKindNeeds {
    ip6tnl: TunnelParent
  }
}

defineKind({
  ...tunnelKind,
  kind: 'ip6tnl',
  options: ip6tnlAttributes,
  kernel: { config: 'CONFIG_IPV6_TUNNEL', module: 'ip6_tunnel' },
  isAsAsked: (key: string, wanted: unknown, known: Readonly<Loose>) =>
    isIpv6AsAsked(key, wanted, known) ?? tunnelKind.isAsAsked(key, wanted, known),
})
