/** vrf: a link whose ports have a routing table of their own (ip-vrf(8); linux/if_link.h, IFLA_VRF_…). */
import { attributeU32 } from '../../netlink/attribute.js'
import { type AnyTable, type AttributesOf, attributes } from '../../netlink/table.js'
import { checkInteger } from '../../validate.js'
import { defineKind } from './registry.js'

export const vrfAttributes = attributes({
  /** The routing table's number, 1 to 4294967295. Must be given, and stays. */
  table: [1, 'IFLA_VRF_TABLE', attributeU32],
})

export const vrfPortAttributes = attributes({
  /** The routing table of the VRF that the port belongs to. */
  table: [1, 'IFLA_VRF_PORT_TABLE', attributeU32],
})

/** A VRF's own options. */
export type VrfOptions = AttributesOf<typeof vrfAttributes>

/** What a VRF tells of a port; nothing of it can be set. */
export type VrfPortState = AttributesOf<typeof vrfPortAttributes>

declare module './registry.js' {
  interface LinkKinds {
    vrf: VrfOptions
  }
  interface LinkKindNeeds {
    vrf: { table: number }
  }
  interface PortKindStates {
    vrf: VrfPortState
  }
}

defineKind({
  kind: 'vrf',
  options: vrfAttributes as unknown as AnyTable,
  required: { table: 'the number of a routing table' },
  fixed: ['table'],
  kernel: { config: 'CONFIG_NET_VRF', module: 'vrf' },
  check({ table }, path) {
    if (table !== undefined) checkInteger(table, `${path}.table`, 1, 0xffff_ffff)
  },
  port: { options: vrfPortAttributes as unknown as AnyTable, readOnly: ['table'] },
})
