/** vti: IPsec over IPv4 as a link (what vti and vti6 share is in vti-attributes.ts). */
import { defineKind } from './registry.js'
import { ipv4, type TunnelParent } from './tunnel-attributes.js'
import { type VtiOptions, type VtiState, vtiAttributes, vtiKind } from './vti-attributes.js'

declare module './registry.js' {
  interface LinkKinds {
    vti: VtiOptions
  }
  interface LinkKindStates {
    vti: VtiState
  }
  interface LinkKindNeeds {
    vti: TunnelParent
  }
}

defineKind({
  ...vtiKind,
  kind: 'vti',
  options: vtiAttributes(ipv4),
  kernel: { config: 'CONFIG_NET_IPVTI', module: 'ip_vti' },
})
