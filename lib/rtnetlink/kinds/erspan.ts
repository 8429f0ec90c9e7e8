/** erspan: mirrored frames over IPv4 by GRE (what the kinds of GRE share is in gre-attributes.ts). */
import {
  type ErspanHeaderOptions,
  erspanKind,
  type GreOptions,
  type GreState,
  greAttributes,
} from './gre-attributes.js'
import { defineKind } from './registry.js'
import type { TunnelParent } from './tunnel-attributes.js'

/** Options of erspan: `key` is the session, 10 bits. */
export interface ErspanOptions extends GreOptions, ErspanHeaderOptions {}

declare module './registry.js' {
  interface LinkKinds {
    erspan: ErspanOptions
  }
  interface LinkKindStates {
    erspan: GreState<ErspanOptions>
  }
  interface LinkKindNeeds {
    erspan: TunnelParent
  }
}

defineKind({
  ...erspanKind,
  kind: 'erspan',
  options: greAttributes,
  kernel: { config: 'CONFIG_NET_IPGRE', module: 'ip_gre' },
})
