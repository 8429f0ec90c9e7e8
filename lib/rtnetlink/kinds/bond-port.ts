/** Ports of a bond (ip-link(8), "Bonding Slave Support"; linux/if_link.h, IFLA_BOND_SLAVE_…). */
import {
  attributeS32,
  attributeU8,
  attributeU16,
  attributeU32,
  hardwareAddress,
  words,
} from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AttributesOf, attributes } from '../../netlink/table.js'

const states = headerWords('BOND_STATE_', { active: 0, backup: 1 })
const linkStates = headerWords(
  'BOND_LINK_',
  { up: 0, failing: 1, down: 2, recovering: 3 },
  {
    failing: 'BOND_LINK_FAIL',
    recovering: 'BOND_LINK_BACK',
  },
)

export const bondPortAttributes = attributes({
  /** Whether it sends and receives now. */
  state: [1, 'IFLA_BOND_SLAVE_STATE', words(attributeU8, states)],
  /** What the bond's monitoring says of its carrier. */
  linkState: [2, 'IFLA_BOND_SLAVE_MII_STATUS', words(attributeU8, linkStates)],
  failures: [3, 'IFLA_BOND_SLAVE_LINK_FAILURE_COUNT', attributeU32],
  /** The MAC address that it had before, and gets back. */
  permanentMac: [4, 'IFLA_BOND_SLAVE_PERM_HWADDR', hardwareAddress],
  /** Packets of this transmit queue of the bond leave here; 0 (default) for none in particular. No two ports have the same. */
  queueId: [5, 'IFLA_BOND_SLAVE_QUEUE_ID', attributeU16],
  /** Of mode '802.3ad': the aggregator that it belongs to, and the state of both sides as the protocol's bits. */
  aggregatorId: [6, 'IFLA_BOND_SLAVE_AD_AGGREGATOR_ID', attributeU16],
  actorState: [7, 'IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE', attributeU8],
  partnerState: [8, 'IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE', attributeU16],
  /** For the choice of the active port: higher wins. Default 0. */
  priority: [9, 'IFLA_BOND_SLAVE_PRIO', attributeS32],
})

const readOnly = [
  'state',
  'linkState',
  'failures',
  'permanentMac',
  'aggregatorId',
  'actorState',
  'partnerState',
] as const

/** What a bond tells of a port. */
export type BondPortState = AttributesOf<typeof bondPortAttributes>

/** What can be asked of a bond's port. A link that is up cannot become one (EPERM): the bond brings its ports up itself. */
export type BondPortOptions = Omit<BondPortState, (typeof readOnly)[number]>

declare module './registry.js' {
  interface PortKinds {
    bond: BondPortOptions
  }
  interface PortKindStates {
    bond: BondPortState
  }
}

export const bondPorts = { options: bondPortAttributes, readOnly } as const
