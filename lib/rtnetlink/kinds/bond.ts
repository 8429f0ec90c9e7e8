/** bond: several links as one (Documentation/networking/bonding.rst; ip-link(8), "BOND Type Support"; linux/if_link.h, IFLA_BOND_…). */
import {
  attributeU8,
  attributeU16,
  attributeU32,
  boolean8,
  hardwareAddress,
  mapped,
  words,
} from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AnyTable, type AttributesOf, attributes, nested } from '../../netlink/table.js'
import { checkInteger, valueError } from '../../validate.js'
import { bondPorts } from './bond-port.js'
import { ipList } from './ip-list.js'
import { defineKind, type LinksIn } from './registry.js'

/** BOND_MODE_… of linux/if_bonding.h, by the names that the kernel's documentation has. */
const modes = headerWords(
  'BOND_MODE_',
  {
    'balance-rr': 0,
    'active-backup': 1,
    'balance-xor': 2,
    broadcast: 3,
    '802.3ad': 4,
    'balance-tlb': 5,
    'balance-alb': 6,
  },
  {
    'balance-rr': 'BOND_MODE_ROUNDROBIN',
    'active-backup': 'BOND_MODE_ACTIVEBACKUP',
    'balance-xor': 'BOND_MODE_XOR',
    '802.3ad': 'BOND_MODE_8023AD',
    'balance-tlb': 'BOND_MODE_TLB',
    'balance-alb': 'BOND_MODE_ALB',
  },
)

const hashPolicies = headerWords(
  'BOND_XMIT_POLICY_',
  { layer2: 0, 'layer3+4': 1, 'layer2+3': 2, 'encap2+3': 3, 'encap3+4': 4, 'vlan+srcmac': 5 },
  {
    'layer3+4': 'BOND_XMIT_POLICY_LAYER34',
    'layer2+3': 'BOND_XMIT_POLICY_LAYER23',
    'encap2+3': 'BOND_XMIT_POLICY_ENCAP23',
    'encap3+4': 'BOND_XMIT_POLICY_ENCAP34',
    'vlan+srcmac': 'BOND_XMIT_POLICY_VLAN_SRCMAC',
  },
)

// Numbers that the kernel's documentation names, and no header for programs has.
const arpValidations = {
  none: 0,
  active: 1,
  backup: 2,
  all: 3,
  filter: 4,
  'filter-active': 5,
  'filter-backup': 6,
} as const
const arpTargetRules = { any: 0, all: 1 } as const
const reselections = { always: 0, better: 1, failure: 2 } as const
const failOverMacs = { none: 0, active: 1, follow: 2 } as const
const lacpRates = { slow: 0, fast: 1 } as const
const selections = { stable: 0, bandwidth: 1, count: 2 } as const

/** Milliseconds; on the wire seconds. */
const seconds = mapped(
  attributeU32,
  (value) => value * 1000,
  (value, name) => {
    checkInteger(value, name, 0, 0xffff_ffff * 1000)
    if (value % 1000 !== 0) throw valueError(name, value, 'must be a multiple of 1000 milliseconds')
    return value / 1000
  },
)

/** Of mode '802.3ad': what has been agreed on with the other side. */
export const bondAggregatorAttributes = attributes({
  id: [1, 'IFLA_BOND_AD_INFO_AGGREGATOR', attributeU16],
  ports: [2, 'IFLA_BOND_AD_INFO_NUM_PORTS', attributeU16],
  actorKey: [3, 'IFLA_BOND_AD_INFO_ACTOR_KEY', attributeU16],
  partnerKey: [4, 'IFLA_BOND_AD_INFO_PARTNER_KEY', attributeU16],
  partnerMac: [5, 'IFLA_BOND_AD_INFO_PARTNER_MAC', hardwareAddress],
})

export const bondAttributes = attributes({
  /** How packets are spread over the ports. Changes only without ports. Default 'balance-rr'. */
  mode: [1, 'IFLA_BOND_MODE', words(attributeU8, modes)],
  /** The port in use, of modes that use one at a time; null lets the bond choose. Read as its index. */
  activePort: [2, 'IFLA_BOND_ACTIVE_SLAVE', attributeU32],
  /** How often the ports' carriers are looked at, in milliseconds; 0 (default of rtnetlink's bonds) for never. */
  miiMonitorInterval: [3, 'IFLA_BOND_MIIMON', attributeU32],
  /** How long a port's carrier must be there before it is used, and gone before it is not, in milliseconds. Default 0. */
  upDelay: [4, 'IFLA_BOND_UPDELAY', attributeU32],
  downDelay: [5, 'IFLA_BOND_DOWNDELAY', attributeU32],
  /** Looks at the driver's carrier, not at the MII registers. Default true; newer kernels do nothing else. */
  useCarrier: [6, 'IFLA_BOND_USE_CARRIER', boolean8],
  /** How often `arpTargets` are asked to find out whether ports work, in milliseconds, in place of the MII; 0 (default) for never. */
  arpInterval: [7, 'IFLA_BOND_ARP_INTERVAL', attributeU32],
  /** IPv4 addresses, up to 16. The list as a whole is replaced. */
  arpTargets: [8, 'IFLA_BOND_ARP_IP_TARGET', ipList(4)],
  /** Which ports' answers are looked into, and whether only ARP counts as a sign of life ('filter…'). Default 'none'. */
  arpValidation: [9, 'IFLA_BOND_ARP_VALIDATE', words(attributeU32, arpValidations)],
  /** Whether any or all of the targets must answer. Default 'any'. */
  arpTargetRule: [10, 'IFLA_BOND_ARP_ALL_TARGETS', words(attributeU32, arpTargetRules)],
  /** The port that is used when it works; null for none. Read as its index. */
  primary: [11, 'IFLA_BOND_PRIMARY', attributeU32],
  /** When the primary is used again after it recovered. Default 'always'. */
  primaryReselect: [12, 'IFLA_BOND_PRIMARY_RESELECT', words(attributeU8, reselections)],
  /** Of mode 'active-backup': whether all ports have the bond's MAC ('none', default), or it the active one's. */
  failOverMac: [13, 'IFLA_BOND_FAIL_OVER_MAC', words(attributeU8, failOverMacs)],
  /** What of a packet decides by which port it leaves. Default 'layer2'. */
  hashPolicy: [14, 'IFLA_BOND_XMIT_HASH_POLICY', words(attributeU8, hashPolicies)],
  /** How many IGMP reports follow a failover, 0 to 255. Default 1. */
  resendIgmp: [15, 'IFLA_BOND_RESEND_IGMP', attributeU32],
  /** How many gratuitous ARPs and neighbor advertisements follow a failover, 0 to 255. Default 1. */
  peerNotifications: [16, 'IFLA_BOND_NUM_PEER_NOTIF', attributeU8],
  /** Takes what arrives at inactive ports too. Default false. */
  allPortsActive: [17, 'IFLA_BOND_ALL_SLAVES_ACTIVE', boolean8],
  /** Of mode '802.3ad': ports with a carrier without which the bond has none. Default 0. */
  minimumLinks: [18, 'IFLA_BOND_MIN_LINKS', attributeU32],
  /** How often the switches are taught where the bond is, in milliseconds (whole seconds). Default 1000. */
  learningPacketInterval: [19, 'IFLA_BOND_LP_INTERVAL', seconds],
  /** Of mode 'balance-rr': packets in a row by one port; 0 chooses at random. Default 1. */
  packetsPerPort: [20, 'IFLA_BOND_PACKETS_PER_SLAVE', attributeU32],
  /** Of mode '802.3ad', as the next ones: how often the partner is to send: every 30 s ('slow', default) or 1 s. */
  lacpRate: [21, 'IFLA_BOND_AD_LACP_RATE', words(attributeU8, lacpRates)],
  /** When another aggregator is chosen: if none is left ('stable', default), or for more bandwidth or ports. */
  aggregatorSelection: [22, 'IFLA_BOND_AD_SELECT', words(attributeU8, selections)],
  aggregator: [23, 'IFLA_BOND_AD_INFO', nested(bondAggregatorAttributes)],
  /** Priority of this system, 1 to 65535, lower wins. Default 65535. */
  actorSystemPriority: [24, 'IFLA_BOND_AD_ACTOR_SYS_PRIO', attributeU16],
  /** Upper ten bits of the port's key, 0 to 1023. Default 0. */
  userPortKey: [25, 'IFLA_BOND_AD_USER_PORT_KEY', attributeU16],
  /** MAC address that stands for this system; all zeros (default) for the bond's own. */
  actorSystem: [26, 'IFLA_BOND_AD_ACTOR_SYSTEM', hardwareAddress],
  /** Of modes 'balance-tlb' and 'balance-alb': spreads by the ports' load, not by the hash policy. Default true. */
  dynamicLoadBalancing: [27, 'IFLA_BOND_TLB_DYNAMIC_LB', boolean8],
  /** Between peer notifications, in milliseconds; a multiple of `miiMonitorInterval`. Default 0: that interval. */
  peerNotificationDelay: [28, 'IFLA_BOND_PEER_NOTIF_DELAY', attributeU32],
  /** Of mode '802.3ad': sends LACP frames unasked. Default true. */
  lacpActive: [29, 'IFLA_BOND_AD_LACP_ACTIVE', boolean8],
  /** Intervals without an answer after which a port is taken to be down, 1 to 255. Default 2. */
  missedMaximum: [30, 'IFLA_BOND_MISSED_MAX', attributeU8],
  /** IPv6 addresses that are asked as `arpTargets` are. The list as a whole is replaced. */
  neighborTargets: [31, 'IFLA_BOND_NS_IP6_TARGET', ipList(16)],
  /** Of mode '802.3ad': collects and distributes at once, and not one after the other. Linux 6.9. Default true. */
  coupledControl: [32, 'IFLA_BOND_COUPLED_CONTROL', boolean8],
})

const readOnly = ['aggregator'] as const
const links = ['activePort', 'primary'] as const

/** What a bond tells of itself. */
export type BondState = AttributesOf<typeof bondAttributes>

/** A bond's own options. The kernel refuses those that are not for its mode. */
export type BondOptions = LinksIn<Omit<BondState, (typeof readOnly)[number]>, (typeof links)[number]>

declare module './registry.js' {
  interface LinkKinds {
    bond: BondOptions
  }
  interface LinkKindStates {
    bond: BondState
  }
}

defineKind({
  kind: 'bond',
  options: bondAttributes as unknown as AnyTable,
  readOnly,
  links,
  kernel: { config: 'CONFIG_BONDING', module: 'bonding' },
  port: { ...bondPorts, options: bondPorts.options as unknown as AnyTable },
})
