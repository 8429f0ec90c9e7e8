/** What a caller says about a routing rule, its checks, and the message that it becomes. */
import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOneOfOrNumber,
  checkOptions,
  typeError,
  valueError,
} from '../validate.js'
import { AF_INET, AF_INET6 } from '../values/ip.js'
import { type routeProtocols, type routeTables, rtnetlinkConstants } from './constants.js'
import type { Link } from './link.js'
import { isLink } from './link-options.js'
import { checkLinkName } from './names.js'
import { checkNetwork, checkProtocol, checkTable, protocolNumber, tableNumber } from './route-options.js'
import { ipProtocols, type Range, type Rule, ruleActions, ruleFlags, ruleMessage } from './rule.js'
import type { Ask } from './talk.js'

const { RT_TABLE_COMPAT } = rtnetlinkConstants

/** A new rule (ip-rule(8)). What is not said matches everything. `add` and `ensure` take a row of `list` too, as it is. */
export interface NewRule {
  /** Default: that of `from` or `to`, and IPv4 without them. */
  family?: 'inet' | 'inet6'
  /** Rules are looked at from the smallest number up. Default: one less than that of the first rule after the one with 0. */
  priority?: number
  /** What the rule does. Default: 'goto' with `goto`, 'lookup' otherwise. */
  action?: keyof typeof ruleActions | number
  /** Where 'lookup' looks. Default: 'main', unless `l3mdev` is given. */
  table?: keyof typeof routeTables | number
  /** The priority of the rule to go on at, which must be a later one. */
  goto?: number
  /** The rule holds for what does *not* match. */
  invert?: boolean
  /** Packets from this network or address. */
  from?: string
  /** Packets to this network or address. */
  to?: string
  /** The link that packets come in by, or its name: 'lo' for those that are sent here. There need be no link of the name yet. */
  inputLink?: Link | string
  /** The link that packets leave by, those of sockets that are bound to one. */
  outputLink?: Link | string
  /** The mark of packets. */
  mark?: number
  /** Bits of the mark that count. Default: all. */
  markMask?: number
  /** The type of service. */
  tos?: number
  /** DSCP: the upper six bits of the type of service, from 0 to 63 (Linux 6.12). */
  dscp?: number
  /** Bits of it that count (Linux 6.15). */
  dscpMask?: number
  /** IPv6's flow label (Linux 6.14). */
  flowLabel?: number
  /** Bits of it that count. Default: all. */
  flowLabelMask?: number
  /** The tunnel's key that packets came with. */
  tunnelId?: number | bigint
  /** IPv4: the realm that packets get; that of the source in the upper 16 bits (`realms` of ip-rule(8)). */
  flow?: number
  /** Look in the table of the VRF that the link belongs to. */
  l3mdev?: boolean
  /** A route that is found does not count when its prefix has this many bits, or fewer: 0 leaves out default routes. */
  suppressPrefixLength?: number
  /** A route that is found does not count when it leads out of a link of this group. */
  suppressGroup?: number
  /** The user whose sockets send the packets, or the first and last. */
  uidRange?: number | Range
  ipProtocol?: keyof typeof ipProtocols | number
  /** The port, or the first and last. */
  sourcePorts?: number | Range
  /** Bits of the one port that count (Linux 6.15). */
  sourcePortMask?: number
  /** The port, or the first and last. */
  destinationPorts?: number | Range
  destinationPortMask?: number
  /** Who made it. Default: 'static'. */
  protocol?: keyof typeof routeProtocols | number
}

/** Which rules are meant: those that have all that is said. */
export type RuleMatch = NewRule

const ruleKeys = [
  ...(['family', 'priority', 'action', 'table', 'goto', 'invert', 'from', 'to', 'inputLink', 'outputLink'] as const),
  ...(['mark', 'markMask', 'tos', 'dscp', 'dscpMask', 'flowLabel', 'flowLabelMask', 'tunnelId', 'flow'] as const),
  ...(['l3mdev', 'suppressPrefixLength', 'suppressGroup', 'uidRange', 'ipProtocol', 'sourcePorts'] as const),
  ...(['sourcePortMask', 'destinationPorts', 'destinationPortMask', 'protocol'] as const),
] as const satisfies readonly (keyof NewRule)[]

const U32 = 0xffff_ffff
const ALL_OF_FLOW_LABEL = 0xf_ffff

/** The most that numbers may be. */
const most = {
  priority: U32,
  goto: U32,
  mark: U32,
  markMask: U32,
  tos: 255,
  dscp: 63,
  dscpMask: 63,
  flowLabel: ALL_OF_FLOW_LABEL,
  flowLabelMask: ALL_OF_FLOW_LABEL,
  flow: U32,
  suppressPrefixLength: 128,
  suppressGroup: U32 - 1,
  sourcePortMask: 0xffff,
  destinationPortMask: 0xffff,
} as const satisfies Partial<Record<keyof NewRule, number>>

/** A row of `list`, without what only rows have. */
export function ruleOf(given: NewRule | Rule): NewRule {
  if (typeof given !== 'object' || given === null || !('flags' in given)) return given
  const { flags: _, ...wish } = given
  return wish
}

/** Checks a rule; its family. */
export function checkRule(rule: NewRule, name: string): number {
  checkOptions(rule, name, ruleKeys)
  const { family, action, tunnelId, ipProtocol, protocol } = rule
  if (family !== undefined) checkOneOf(family, `${name}.family`, ['inet', 'inet6'])
  const networks = (['from', 'to'] as const).map((key) =>
    rule[key] === undefined ? undefined : checkNetwork(rule[key], `${name}.${key}`),
  )
  const own = networks.find((network) => network !== undefined)?.family ?? (family === 'inet6' ? AF_INET6 : AF_INET)
  if (family !== undefined && (family === 'inet6' ? AF_INET6 : AF_INET) !== own) {
    throw valueError(`${name}.family`, family, "is not the addresses'")
  }
  if (networks[1] !== undefined && networks[1].family !== own) {
    throw valueError(`${name}.to`, rule.to, "is not of the family of 'from'")
  }
  if (action !== undefined) checkOneOfOrNumber(action, `${name}.action`, Object.keys(ruleActions), 0, 255)
  checkTable(rule.table, `${name}.table`)
  for (const [key, maximum] of Object.entries(most) as [keyof typeof most, number][]) {
    if (rule[key] !== undefined) checkInteger(rule[key], `${name}.${key}`, 0, maximum)
  }
  for (const key of ['invert', 'l3mdev'] as const) {
    if (rule[key] !== undefined) checkBoolean(rule[key], `${name}.${key}`)
  }
  for (const key of ['inputLink', 'outputLink'] as const) {
    const link = rule[key]
    if (link !== undefined && !isLink(link)) checkLinkName(link, `${name}.${key}`)
  }
  if (typeof tunnelId === 'bigint') {
    if (tunnelId < 0n || tunnelId >= 2n ** 64n) throw valueError(`${name}.tunnelId`, tunnelId, 'has more than 64 bits')
  } else if (tunnelId !== undefined) checkInteger(tunnelId, `${name}.tunnelId`, 0, Number.MAX_SAFE_INTEGER)
  if (ipProtocol !== undefined) {
    checkOneOfOrNumber(ipProtocol, `${name}.ipProtocol`, Object.keys(ipProtocols), 0, 255)
  }
  if (protocol !== undefined) checkProtocol(protocol, `${name}.protocol`)
  checkRange(rule.uidRange, `${name}.uidRange`, 0, U32 - 1)
  checkRange(rule.sourcePorts, `${name}.sourcePorts`, 1, 65_535)
  checkRange(rule.destinationPorts, `${name}.destinationPorts`, 1, 65_535)
  return own
}

function checkRange(value: unknown, name: string, minimum: number, maximum: number): void {
  if (value === undefined) return
  if (typeof value === 'number') {
    checkInteger(value, name, minimum, maximum)
    return
  }
  if (typeof value !== 'object') throw typeError(name, 'a number, or { start, end }', value)
  checkOptions(value, name, ['start', 'end'])
  const { start, end } = value as Range
  checkInteger(start, `${name}.start`, minimum, maximum)
  checkInteger(end, `${name}.end`, minimum, maximum)
  if (end < start) throw valueError(`${name}.end`, end, `is before the start, ${start}`)
}

const rangeOf = (range: number | Range | undefined) =>
  typeof range === 'number' ? { start: range, end: range } : range

const nameOf = (link: Link | string | undefined) => (typeof link === 'object' ? link.name : link)

export type RuleAsk = Ask<typeof ruleMessage.header, typeof ruleMessage.table>

/** The request for a checked rule. A new one gets its defaults; when removing, what is not said matches anything. */
export function ruleRequest(
  request: 'RTM_NEWRULE' | 'RTM_DELRULE',
  family: number,
  rule: NewRule,
  what: string,
  flags: number,
): RuleAsk {
  const adds = request === 'RTM_NEWRULE'
  const from = rule.from === undefined ? undefined : checkNetwork(rule.from, 'rule.from')
  const to = rule.to === undefined ? undefined : checkNetwork(rule.to, 'rule.to')
  const action = rule.action ?? (adds ? (rule.goto === undefined ? 'lookup' : 'goto') : 0)
  const looks = adds && action === 'lookup' && rule.l3mdev !== true
  const table = rule.table === undefined && !looks ? 0 : tableNumber(rule.table)
  const { flowLabel } = rule
  const ipProtocol = typeof rule.ipProtocol === 'string' ? ipProtocols[rule.ipProtocol] : rule.ipProtocol
  return {
    definition: ruleMessage,
    request,
    flags,
    header: {
      family,
      destinationLength: to?.prefixLength ?? 0,
      sourceLength: from?.prefixLength ?? 0,
      tos: rule.tos ?? 0,
      table: table < 256 ? table : RT_TABLE_COMPAT,
      action: typeof action === 'number' ? action : ruleActions[action],
      flags: rule.invert === true ? ruleFlags.invert : 0,
    },
    attributes: {
      destination: to?.text,
      source: from?.text,
      inputLink: nameOf(rule.inputLink),
      outputLink: nameOf(rule.outputLink),
      goto: rule.goto,
      priority: rule.priority,
      mark: rule.mark,
      markMask: rule.markMask,
      flow: rule.flow,
      tunnelId: rule.tunnelId === undefined ? undefined : BigInt(rule.tunnelId),
      suppressGroup: rule.suppressGroup,
      suppressPrefixLength: rule.suppressPrefixLength,
      table: table < 256 ? undefined : table,
      l3mdev: rule.l3mdev === true ? 1 : undefined,
      uidRange: rangeOf(rule.uidRange),
      protocol: rule.protocol === undefined && !adds ? undefined : protocolNumber(rule.protocol),
      ipProtocol,
      sourcePorts: rangeOf(rule.sourcePorts),
      destinationPorts: rangeOf(rule.destinationPorts),
      dscp: rule.dscp,
      flowLabel,
      flowLabelMask: rule.flowLabelMask ?? (flowLabel === undefined ? undefined : ALL_OF_FLOW_LABEL),
      sourcePortMask: rule.sourcePortMask,
      destinationPortMask: rule.destinationPortMask,
      dscpMask: rule.dscpMask,
    },
    what,
  }
}
