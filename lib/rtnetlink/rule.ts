/** Routing rules: their messages (linux/fib_rules.h, ip-rule(8)), and the plain objects they are read as. */
import {
  attributeBe32,
  attributeBe64,
  attributeU8,
  attributeU16,
  attributeU32,
  binary,
  ip,
  structure,
  text,
} from '../netlink/attribute.js'
import { headerWords } from '../netlink/header-words.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { Struct, u8, u16, u32 } from '../netlink/struct.js'
import { attributes } from '../netlink/table.js'
import { AF_INET } from '../values/ip.js'
import type { routeProtocols, routeTables } from './constants.js'
import { protocolWord, tableWord } from './route.js'

export const ruleHeader = new Struct('fib_rule_hdr', {
  family: ['family', u8],
  destinationLength: ['dst_len', u8],
  sourceLength: ['src_len', u8],
  tos: ['tos', u8],
  table: ['table', u8],
  reserved1: ['res1', u8],
  reserved2: ['res2', u8],
  action: ['action', u8],
  flags: ['flags', u32],
})

const uidRange = new Struct('fib_rule_uid_range', { start: ['start', u32], end: ['end', u32] })
const portRange = new Struct('fib_rule_port_range', { start: ['start', u16], end: ['end', u16] })

export const ruleAttributes = attributes({
  destination: [1, 'FRA_DST', ip],
  source: [2, 'FRA_SRC', ip],
  inputLink: [3, 'FRA_IIFNAME', text],
  goto: [4, 'FRA_GOTO', attributeU32],
  priority: [6, 'FRA_PRIORITY', attributeU32],
  mark: [10, 'FRA_FWMARK', attributeU32],
  flow: [11, 'FRA_FLOW', attributeU32],
  tunnelId: [12, 'FRA_TUN_ID', attributeBe64],
  suppressGroup: [13, 'FRA_SUPPRESS_IFGROUP', attributeU32],
  suppressPrefixLength: [14, 'FRA_SUPPRESS_PREFIXLEN', attributeU32],
  table: [15, 'FRA_TABLE', attributeU32],
  markMask: [16, 'FRA_FWMASK', attributeU32],
  outputLink: [17, 'FRA_OIFNAME', text],
  padding: [18, 'FRA_PAD', binary],
  l3mdev: [19, 'FRA_L3MDEV', attributeU8],
  uidRange: [20, 'FRA_UID_RANGE', structure(uidRange)],
  protocol: [21, 'FRA_PROTOCOL', attributeU8],
  ipProtocol: [22, 'FRA_IP_PROTO', attributeU8],
  sourcePorts: [23, 'FRA_SPORT_RANGE', structure(portRange)],
  destinationPorts: [24, 'FRA_DPORT_RANGE', structure(portRange)],
  dscp: [25, 'FRA_DSCP', attributeU8],
  flowLabel: [26, 'FRA_FLOWLABEL', attributeBe32],
  flowLabelMask: [27, 'FRA_FLOWLABEL_MASK', attributeBe32],
  sourcePortMask: [28, 'FRA_SPORT_MASK', attributeU16],
  destinationPortMask: [29, 'FRA_DPORT_MASK', attributeU16],
  dscpMask: [30, 'FRA_DSCP_MASK', attributeU8],
})

/** RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE. */
export const ruleMessage = new MessageDefinition(ruleHeader, ruleAttributes)

/** What a rule does, FR_ACT_…: 'lookup' goes on in a table, 'goto' at another rule. */
export const ruleActions = headerWords(
  'FR_ACT_',
  { lookup: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 },
  { lookup: 'FR_ACT_TO_TBL' },
)

/** FIB_RULE_… */
export const ruleFlags = headerWords(
  'FIB_RULE_',
  { permanent: 0x1, invert: 0x2, unresolved: 0x4, 'input-detached': 0x8, 'output-detached': 0x10 },
  { 'input-detached': 'FIB_RULE_IIF_DETACHED', 'output-detached': 'FIB_RULE_OIF_DETACHED' },
)

/** Protocols of packets that have names here, IPPROTO_… (linux/in.h). */
export const ipProtocols = headerWords('IPPROTO_', {
  icmp: 1,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  icmpv6: 58,
  sctp: 132,
})

/** The first and the last of some numbers. */
export interface Range {
  start: number
  end: number
}

/** A rule, as read from the kernel. `add`, `ensure` and `remove` take it as it is. */
export interface Rule {
  family: 'inet' | 'inet6'
  /** Rules are looked at from the smallest number up. */
  priority: number
  action: keyof typeof ruleActions | number
  /** Where 'lookup' looks; with `l3mdev`, the VRF's is taken. */
  table?: keyof typeof routeTables | number
  /** The priority of the rule that 'goto' goes on at. */
  goto?: number
  /** The rule holds for what does *not* match. */
  invert: boolean
  /** Packets from this network; without it, from any. */
  from?: string
  /** Packets to this network; without it, to any. */
  to?: string
  /** The name of the link that packets come in by: 'lo' for those that are sent here. */
  inputLink?: string
  /** The name of the link that packets leave by, those of sockets that are bound to one. */
  outputLink?: string
  /** The mark of packets, in the bits of `markMask`. */
  mark?: number
  markMask?: number
  /** The type of service. */
  tos?: number
  /** DSCP: the upper six bits of the type of service, from 0 to 63 (Linux 6.12). */
  dscp?: number
  dscpMask?: number
  /** The flow label of IPv6, in the bits of `flowLabelMask` (Linux 6.14). */
  flowLabel?: number
  flowLabelMask?: number
  /** The tunnel's key that packets came with. */
  tunnelId?: number | bigint
  /** The realm that packets get; that of the source in the upper 16 bits. */
  flow?: number
  /** Looks in the table of the VRF that the link belongs to. */
  l3mdev?: boolean
  /** A route that is found does not count when its prefix has this many bits, or fewer. */
  suppressPrefixLength?: number
  /** A route that is found does not count when it leads out of a link of this group. */
  suppressGroup?: number
  /** The users whose sockets send the packets. */
  uidRange?: Range
  ipProtocol?: keyof typeof ipProtocols | number
  sourcePorts?: Range
  /** Bits of the port that count, where there is one port (Linux 6.15). */
  sourcePortMask?: number
  destinationPorts?: Range
  destinationPortMask?: number
  /** Who made it. */
  protocol: keyof typeof routeProtocols | number
  /** 'unresolved': the rule that 'goto' names is not there. '…-detached': there is no link of the name. */
  flags: Exclude<keyof typeof ruleFlags, 'invert'>[]
}

function reader<N extends string>(table: Readonly<Record<N, number>>): (number: number) => N | number {
  return (number) => (Object.keys(table) as N[]).find((name) => table[name] === number) ?? number
}

const actionWord = reader(ruleActions)
const ipProtocolWord = reader(ipProtocols)
const flagWords = (Object.keys(ruleFlags) as (keyof typeof ruleFlags)[]).filter((name) => name !== 'invert')

/** -1, which the kernel says for a suppressor that is off. */
const OFF = 0xffff_ffff

/** A kernel's message as a Rule. */
export function readRule({ header, attributes: own }: Decoded<typeof ruleHeader, typeof ruleAttributes>): Rule {
  const { destination, source, tunnelId } = own
  const rule: Rule = {
    family: header.family === AF_INET ? 'inet' : 'inet6',
    priority: own.priority ?? 0,
    action: actionWord(header.action),
    invert: (header.flags & ruleFlags.invert) !== 0,
    protocol: protocolWord(own.protocol ?? 0),
    flags: flagWords.filter((name) => (header.flags & ruleFlags[name]) !== 0) as Rule['flags'],
  }
  const table = own.table ?? header.table
  if (table !== 0) rule.table = tableWord(table)
  if (source !== undefined) rule.from = `${source}/${header.sourceLength}`
  if (destination !== undefined) rule.to = `${destination}/${header.destinationLength}`
  if (header.tos !== 0) rule.tos = header.tos
  if (own.l3mdev !== undefined && own.l3mdev !== 0) rule.l3mdev = true
  if (tunnelId !== undefined) rule.tunnelId = tunnelId <= Number.MAX_SAFE_INTEGER ? Number(tunnelId) : tunnelId
  if (own.ipProtocol !== undefined) rule.ipProtocol = ipProtocolWord(own.ipProtocol)
  if (own.suppressPrefixLength !== undefined && own.suppressPrefixLength !== OFF) {
    rule.suppressPrefixLength = own.suppressPrefixLength
  }
  if (own.suppressGroup !== undefined && own.suppressGroup !== OFF) rule.suppressGroup = own.suppressGroup
  for (const key of asTheyAre) {
    const value = own[key]
    if (value !== undefined) (rule as unknown as Record<string, unknown>)[key] = value
  }
  return rule
}

/** What a rule has in the words of its message. */
const asTheyAre = [
  ...([
    'goto',
    'inputLink',
    'outputLink',
    'mark',
    'markMask',
    'flow',
    'uidRange',
    'sourcePorts',
    'destinationPorts',
  ] as const),
  ...(['dscp', 'dscpMask', 'flowLabel', 'flowLabelMask', 'sourcePortMask', 'destinationPortMask'] as const),
] as const
