/** vlan: one VLAN of a link as a link of its own (ip-link(8), "VLAN Type Support"; linux/if_link.h, IFLA_VLAN_…). */
import {
  type AttributeType,
  attributeBe16,
  attributeU16,
  mapped,
  repeated,
  structure,
  words,
} from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { Struct, u32 } from '../../netlink/struct.js'
import { type AnyTable, type AttributesOf, attributes, nested } from '../../netlink/table.js'
import { checkInteger, typeError } from '../../validate.js'
import type { LinkReference } from '../link-options.js'
import { maskedFlags } from './flags.js'
import { defineKind } from './registry.js'

/** Ethernet types of VLAN tags (linux/if_ether.h). */
export const vlanProtocols = headerWords(
  'ETH_P_',
  { '802.1q': 0x8100, '802.1ad': 0x88a8 },
  { '802.1q': 'ETH_P_8021Q', '802.1ad': 'ETH_P_8021AD' },
)

/** Bits of ifla_vlan_flags, VLAN_FLAG_… (linux/if_vlan.h). */
const flagBits = headerWords(
  'VLAN_FLAG_',
  { reorderHeader: 1, gvrp: 2, looseBinding: 4, mvrp: 8, bridgeBinding: 16 },
  {
    reorderHeader: 'VLAN_FLAG_REORDER_HDR',
    looseBinding: 'VLAN_FLAG_LOOSE_BINDING',
    bridgeBinding: 'VLAN_FLAG_BRIDGE_BINDING',
  },
)

const vlanFlags = new Struct('ifla_vlan_flags', { values: ['flags', u32], mask: ['mask', u32] })
const qosMapping = new Struct('ifla_vlan_qos_mapping', { from: ['from', u32], to: ['to', u32] })
const qosMappings = attributes({
  mappings: [1, 'IFLA_VLAN_QOS_MAPPING', repeated(structure(qosMapping))],
})

/** From one priority to another, by the first. */
const priorityMap: AttributeType<Record<number, number>> = mapped(
  nested(qosMappings),
  ({ mappings = [] }) => Object.fromEntries(mappings.map(({ from, to }) => [from, to])),
  (map, name) => {
    if (typeof map !== 'object' || map === null) throw typeError(name, 'an object, { from: to }', map)
    const mappings = Object.entries(map).map(([key, to]) => {
      const from = /^\d+$/.test(key) ? Number(key) : key
      checkInteger(from, `a key of ${name}`, 0, 0xffff_ffff)
      checkInteger(to, `${name}[${key}]`, 0, 0xffff_ffff)
      return { from, to }
    })
    return { mappings }
  },
)

export const vlanAttributes = attributes({
  /** The VLAN's number, 0 to 4094; 0 is for priority tags. Must be given, and stays. */
  id: [1, 'IFLA_VLAN_ID', attributeU16],
  /**
   * `reorderHeader` (default on): captures of the link see frames without the tag. `gvrp`, `mvrp`: registers the VLAN at the
   * switch. `looseBinding`: its state does not follow the parent's. `bridgeBinding`: on a bridge, it follows that of the ports
   * that are members of the VLAN. What is not given stays as it is. Not told of when none is set.
   */
  flags: [2, 'IFLA_VLAN_FLAGS', maskedFlags(vlanFlags, flagBits)],
  /** From the packet's priority to that in the tag (0 to 7), by the former: `{ 6: 5 }`. 0 takes a mapping away; others stay. */
  egressPriorities: [3, 'IFLA_VLAN_EGRESS_QOS', priorityMap],
  /** From the priority in the tag (0 to 7) to the packet's, likewise. */
  ingressPriorities: [4, 'IFLA_VLAN_INGRESS_QOS', priorityMap],
  /** '802.1q' (default) or '802.1ad', the outer tag of two. Stays. */
  protocol: [5, 'IFLA_VLAN_PROTOCOL', words(attributeBe16, vlanProtocols)],
})

/** A VLAN's own options. */
export type VlanOptions = AttributesOf<typeof vlanAttributes>

declare module './registry.js' {
  interface LinkKinds {
    vlan: VlanOptions
  }
  interface LinkKindNeeds {
    vlan: { parent: LinkReference; id: number }
  }
}

defineKind({
  kind: 'vlan',
  options: vlanAttributes as unknown as AnyTable,
  required: { id: 'a number from 0 to 4094' },
  fixed: ['id', 'protocol'],
  parent: 'required',
  kernel: { config: 'CONFIG_VLAN_8021Q', module: '8021q' },
  check({ id }, path) {
    if (id !== undefined) checkInteger(id, `${path}.id`, 0, 4094)
  },
  isAsAsked(key, wanted, known) {
    if (key === 'flags') {
      // When none is set, the kernel tells of none.
      const flags = (known.flags ?? {}) as Record<string, boolean>
      return Object.entries(wanted as Record<string, boolean>).every(([flag, on]) => (flags[flag] ?? false) === on)
    }
    if (key !== 'egressPriorities' && key !== 'ingressPriorities') return undefined
    // A mapping to 0 is as good as none, and not told of.
    const map = (known[key] ?? {}) as Record<string, number>
    return Object.entries(wanted as Record<string, number>).every(([from, to]) => (map[from] ?? 0) === to)
  },
})
