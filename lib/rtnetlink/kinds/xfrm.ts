/** xfrm: IPsec as a link (ip-link(8), "XFRM Type Support"; linux/if_link.h, IFLA_XFRM_…). */
import { attributeU32 } from '../../netlink/attribute.js'
import { convertedAttributes } from '../../netlink/converted.js'
import type { TunnelDevice } from './iptunnel-attributes.js'
import { defineKind } from './registry.js'
import { presence, type StateOf, type TunnelParent, tunnelKind, withoutFalse } from './tunnel-attributes.js'

const wire = {
  device: [1, 'IFLA_XFRM_LINK', attributeU32],
  interfaceId: [2, 'IFLA_XFRM_IF_ID', attributeU32],
  external: [3, 'IFLA_XFRM_COLLECT_METADATA', presence],
} as const

export const xfrmAttributes = convertedAttributes(wire, {
  keys: Object.keys(wire),
  write: (options) => withoutFalse(options, ['external']),
  read: (attributes) => withoutFalse(attributes, ['external']),
})

/** Options of an xfrm link. */
export interface XfrmOptions extends TunnelDevice {
  /** What IPsec states and policies are its own, by their `if_id`: 1 to 0xffffffff. Needed unless `external`. */
  interfaceId?: number
  /** The interface's identifier comes with each packet, from a route. Default: false; cannot be changed. Kernel 6.1. */
  external?: boolean
}

declare module './registry.js' {
  interface LinkKinds {
    xfrm: XfrmOptions
  }
  interface LinkKindStates {
    xfrm: StateOf<XfrmOptions>
  }
  interface LinkKindNeeds {
    xfrm: TunnelParent
  }
}

defineKind({
  ...tunnelKind,
  kind: 'xfrm',
  options: xfrmAttributes,
  kernel: { config: 'CONFIG_XFRM_INTERFACE', module: 'xfrm_interface' },
})
