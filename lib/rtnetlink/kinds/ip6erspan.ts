/** ip6erspan: mirrored frames over IPv6 by GRE (what the kinds of GRE share is in gre-attributes.ts). */
import {
  type ErspanHeaderOptions,
  erspanKind,
  type GreState,
  type Ip6GreOptions,
  ip6greAttributes,
} from './gre-attributes.js'
import { defineKind } from './registry.js'
import type { TunnelParent } from './tunnel-attributes.js'

/** Options of ip6erspan: `key` is the session, 10 bits. */
export interface Ip6ErspanOptions extends Ip6GreOptions, ErspanHeaderOptions {}

declare module './registry.js' {
  interface LinkKinds {
    ip6erspan: Ip6ErspanOptions
  }
  interface LinkKindStates {
    ip6erspan: GreState<Ip6ErspanOptions>
  }
  interface LinkKindNeeds {
    ip6erspan: TunnelParent
  }
}

defineKind({
  ...erspanKind,
  kind: 'ip6erspan',
  options: ip6greAttributes,
  kernel: { config: 'CONFIG_IPV6_GRE', module: 'ip6_gre' },
})
