/** gretap: Ethernet over IPv4 by GRE (RFC 2784; what the kinds of GRE share is in gre-attributes.ts). */
import { erspanKeys, type GreOptions, type GreState, greAttributes, greKind } from './gre-attributes.js'
import { defineKind } from './registry.js'
import type { TunnelParent } from './tunnel-attributes.js'

declare module './registry.js' {
  interface LinkKinds {
    gretap: GreOptions
  }
  interface LinkKindStates {
    gretap: GreState<GreOptions>
  }
  interface LinkKindNeeds {
    gretap: TunnelParent
  }
}

defineKind({
  ...greKind,
  kind: 'gretap',
  options: greAttributes,
  readOnly: erspanKeys,
  kernel: { config: 'CONFIG_NET_IPGRE', module: 'ip_gre' },
})
