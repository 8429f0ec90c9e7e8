/** vti6: IPsec over IPv6 as a link (what vti and vti6 share is in vti-attributes.ts). */
import { defineKind } from './registry.js'
import { ipv6, type TunnelParent } from './tunnel-attributes.js'
import { type VtiOptions, type VtiState, vtiAttributes, vtiKind } from './vti-attributes.js'

declare module './registry.js' {
  interface LinkKinds {
    vti6: VtiOptions
  }
  interface LinkKindStates {
    vti6: VtiState
  }
  interface LinkKindNeeds {
    vti6: TunnelParent
  }
}

defineKind({
  ...vtiKind,
  kind: 'vti6',
  options: vtiAttributes(ipv6),
  kernel: { config: 'CONFIG_IPV6_VTI', module: 'ip6_vti' },
})
