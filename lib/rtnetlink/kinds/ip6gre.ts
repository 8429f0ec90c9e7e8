/** ip6gre: IP and other protocols over IPv6 (RFC 7676; what the kinds of GRE share is in gre-attributes.ts). */
import { erspanKeys, type GreState, greKind, type Ip6GreOptions, ip6greAttributes } from './gre-attributes.js'
import { defineKind } from './registry.js'
import type { TunnelParent } from './tunnel-attributes.js'

declare module './registry.js' {
  interface LinkKinds {
    ip6gre: Ip6GreOptions
  }
  interface LinkKindStates {
    ip6gre: GreState<Ip6GreOptions>
  }
  interface LinkKindNeeds {
    ip6gre: TunnelParent
  }
}

defineKind({
  ...greKind,
  kind: 'ip6gre',
  options: ip6greAttributes,
  readOnly: erspanKeys,
  kernel: { config: 'CONFIG_IPV6_GRE', module: 'ip6_gre' },
})
