/**
 * sit: IPv6 over IPv4 (RFC 4213; what tunnels of IP in IP share is in iptunnel-attributes.ts), between two ends, to any end whose
 * address says where it is (6to4, RFC 3056; 6rd, RFC 5969), or within a site (ISATAP, RFC 5214).
 */
import { attributeU8, attributeU16, words } from '../../netlink/attribute.js'
import { convertedAttributes, type Loose } from '../../netlink/converted.js'
import { headerConstants } from '../../netlink/header-words.js'
import { checkBoolean, valueError } from '../../validate.js'
import { AF_INET, checkPrefix, formatIp } from '../../values/ip.js'
import { carried, ipTunnel4Wire, type TunnelDevice } from './iptunnel-attributes.js'
import { defineKind } from './registry.js'
import { type Ipv4TunnelOptions, ipv4, ipv6, type StateOf, type TunnelParent, tunnelKind } from './tunnel-attributes.js'

const { SIT_ISATAP } = headerConstants({ SIT_ISATAP: 1 })
const { any, ipv4: ipip, ipv6: ip6ip, mpls: mplsip } = carried

// It takes no ends from outside.
const { external: _, ...shared } = ipTunnel4Wire

const wire = {
  ...shared,
  // The kernel's number is of the machine's byte order, though it is called one of the network's.
  flags: [8, 'IFLA_IPTUN_FLAGS', attributeU16],
  mode: [9, 'IFLA_IPTUN_PROTO', words(attributeU8, { any, ipip, ip6ip, mplsip })],
  mappedPrefix: [11, 'IFLA_IPTUN_6RD_PREFIX', ipv6],
  relayPrefix: [12, 'IFLA_IPTUN_6RD_RELAY_PREFIX', ipv4],
  mappedPrefixLength: [13, 'IFLA_IPTUN_6RD_PREFIXLEN', attributeU16],
  relayPrefixLength: [14, 'IFLA_IPTUN_6RD_RELAY_PREFIXLEN', attributeU16],
} as const

const notOptions = ['flags', 'mappedPrefix', 'relayPrefix', 'mappedPrefixLength', 'relayPrefixLength']

/** The address and the length of a prefix, each with an attribute of its own. */
function prefixAttributes(value: unknown, name: string, key: string, four: boolean): Loose {
  if (value === undefined) return {}
  const { family, octets, prefixLength } = checkPrefix(value, name)
  if ((family === AF_INET) !== four) throw valueError(name, value, `is not an IPv${four ? 4 : 6} prefix`)
  return { [key]: formatIp(octets), [`${key}Length`]: prefixLength }
}

/** And back, when both are there and make sense. */
function readPrefix(attributes: Loose, key: string, name: string, bits: number): Loose {
  const { [key]: address, [`${key}Length`]: length, ...rest } = attributes
  if (typeof address !== 'string' || typeof length !== 'number' || length > bits) return attributes
  return { ...rest, [name]: `${address}/${length}` }
}

export const sitAttributes = convertedAttributes(wire, {
  keys: [...Object.keys(wire).filter((key) => !notOptions.includes(key)), 'isatap', 'sixRdPrefix', 'sixRdRelayPrefix'],
  write({ isatap, sixRdPrefix, sixRdRelayPrefix, ...rest }, path) {
    if (isatap !== undefined) checkBoolean(isatap, `${path}.isatap`)
    return {
      ...rest,
      ...(isatap === undefined ? {} : { flags: isatap ? SIT_ISATAP : 0 }),
      ...prefixAttributes(sixRdPrefix, `${path}.sixRdPrefix`, 'mappedPrefix', false),
      ...prefixAttributes(sixRdRelayPrefix, `${path}.sixRdRelayPrefix`, 'relayPrefix', true),
    }
  },
  read({ flags, ...rest }) {
    return {
      ...readPrefix(readPrefix(rest, 'mappedPrefix', 'sixRdPrefix', 128), 'relayPrefix', 'sixRdRelayPrefix', 32),
      ...(typeof flags === 'number' ? { isatap: (flags & SIT_ISATAP) !== 0 } : {}),
    }
  },
})

/** Options of sit. */
export interface SitOptions extends TunnelDevice, Omit<Ipv4TunnelOptions, 'external'> {
  /** Time to live, 1 to 255, or 'inherit' (0): the inner packet's. Default: 64. */
  ttl?: 'inherit' | number
  /** What it carries: 'ip6ip' (IPv6), 'ipip' (IPv4), 'mplsip', or 'any' of them. Default: 'ip6ip'. */
  mode?: 'any' | 'ipip' | 'ip6ip' | 'mplsip' | number
  /** Tunnel within a site (RFC 5214). Default: false. */
  isatap?: boolean
  /** IPv6 prefix whose addresses have their IPv4 end in them (RFC 5969). Default: '2002::/16', which is 6to4. */
  sixRdPrefix?: string
  /** What all IPv4 ends begin with, and is left out of the addresses. Default: '0.0.0.0/0'. */
  sixRdRelayPrefix?: string
}

declare module './registry.js' {
  interface LinkKinds {
    sit: SitOptions
  }
  interface LinkKindStates {
    sit: StateOf<SitOptions>
  }
  interface LinkKindNeeds {
    sit: TunnelParent
  }
}

defineKind({
  ...tunnelKind,
  kind: 'sit',
  options: sitAttributes,
  kernel: { config: 'CONFIG_IPV6_SIT', module: 'sit' },
})
