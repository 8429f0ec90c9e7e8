/** ipip: IPv4 over IPv4 (RFC 2003; what tunnels of IP in IP share is in iptunnel-attributes.ts). */
import { attributeU8, words } from '../../netlink/attribute.js'
import { convertedAttributes } from '../../netlink/converted.js'
import { carried, ipTunnel4Wire, type TunnelDevice } from './iptunnel-attributes.js'
import { defineKind } from './registry.js'
import {
  type Ipv4TunnelOptions,
  type StateOf,
  type TunnelParent,
  tunnelKind,
  withoutFalse,
} from './tunnel-attributes.js'

const { any, ipv4: ipip, mpls } = carried
const wire = { ...ipTunnel4Wire, mode: [9, 'IFLA_IPTUN_PROTO', words(attributeU8, { any, ipip, mpls })] } as const

export const ipipAttributes = convertedAttributes(wire, {
  keys: Object.keys(wire),
  write: (options) => withoutFalse(options, ['external']),
  read: (attributes) => withoutFalse(attributes, ['external']),
})

/** Options of ipip. */
export interface IpipOptions extends TunnelDevice, Ipv4TunnelOptions {
  /** What it carries: 'ipip' (IPv4), 'mpls', or 'any' of both. Default: 'ipip'. */
  mode?: 'any' | 'ipip' | 'mpls' | number
}

declare module './registry.js' {
  interface LinkKinds {
    ipip: IpipOptions
  }
  interface LinkKindStates {
    ipip: StateOf<IpipOptions>
  }
  interface LinkKindNeeds {
    ipip: TunnelParent
  }
}

defineKind({
  ...tunnelKind,
  kind: 'ipip',
  options: ipipAttributes,
  kernel: { config: 'CONFIG_NET_IPIP', module: 'ipip' },
})
