/** gre: IP and other protocols over IPv4 (RFC 2784; what the kinds of GRE share is in gre-attributes.ts). */
import { erspanKeys, type GreOptions, type GreState, greAttributes, greKind } from './gre-attributes.js'
import { defineKind } from './registry.js'
import type { TunnelParent } from './tunnel-attributes.js'

declare module './registry.js' {
  interface LinkKinds {
    gre: GreOptions
  }
  interface LinkKindStates {
    gre: GreState<GreOptions>
  }
  interface LinkKindNeeds {
    gre: TunnelParent
  }
}

defineKind({
  ...greKind,
  kind: 'gre',
  options: greAttributes,
  readOnly: erspanKeys,
  kernel: { config: 'CONFIG_NET_IPGRE', module: 'ip_gre' },
})
