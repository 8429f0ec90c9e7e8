/** ip6gretap: Ethernet over IPv6 by GRE (what the kinds of GRE share is in gre-attributes.ts). */
import { erspanKeys, type GreState, greKind, type Ip6GreOptions, ip6greAttributes } from './gre-attributes.js'
import { defineKind } from './registry.js'
import type { TunnelParent } from './tunnel-attributes.js'

declare module './registry.js' {
  interface LinkKinds {
    ip6gretap: Ip6GreOptions
  }
  interface LinkKindStates {
    ip6gretap: GreState<Ip6GreOptions>
  }
  interface LinkKindNeeds {
    ip6gretap: TunnelParent
  }
}

defineKind({
  ...greKind,
  kind: 'ip6gretap',
  options: ip6greAttributes,
  readOnly: erspanKeys,
  kernel: { config: 'CONFIG_IPV6_GRE', module: 'ip6_gre' },
})
