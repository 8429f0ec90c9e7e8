/** veth: two links joined like the ends of a cable (veth(4)). */
import { type AnyTable, attributes } from '../../netlink/table.js'
import { nestedLink } from '../link-attributes.js'
import { defineKind } from './registry.js'

declare module './registry.js' {
  interface LinkKinds {
    veth: NoOptions
  }
}

export const vethAttributes = attributes({
  peer: [1, 'VETH_INFO_PEER', nestedLink],
})

defineKind({
  kind: 'veth',
  options: vethAttributes as unknown as AnyTable,
  maker: 'has two ends: use createVeth',
  kernel: { config: 'CONFIG_VETH', module: 'veth' },
})
