/** Filters: what they are read as, and what a caller says of a new one. */
import { endianness } from 'node:os'
import { headerWords } from '../../netlink/header-words.js'
import type { Decoded } from '../../netlink/message.js'
import { valueError } from '../../validate.js'
import { type Action, type NewAction, type RawAction, readAction } from './action.js'
import { formatFilterParent, formatHandle } from './handles.js'
import { filterKinds, type RawOptions, rawKind } from './kinds.js'
import type { filterMessage, tcmsg } from './message.js'
import { checkCount } from './units.js'

/** Ethernet types that a filter may be for; 'all' is every one. */
export const protocols = headerWords(
  'ETH_P_',
  {
    all: 0x0003,
    ip: 0x0800,
    arp: 0x0806,
    ipv6: 0x86dd,
    '802.1q': 0x8100,
    '802.1ad': 0x88a8,
    mpls: 0x8847,
    lldp: 0x88cc,
  },
  { '802.1q': 'ETH_P_8021Q', '802.1ad': 'ETH_P_8021AD', mpls: 'ETH_P_MPLS_UC' },
)

export type ProtocolName = keyof typeof protocols

export function checkProtocol(value: unknown, name: string): number {
  if (typeof value === 'string' && Object.hasOwn(protocols, value)) return protocols[value as ProtocolName]
  if (typeof value === 'string')
    throw valueError(name, value, `expected one of ${Object.keys(protocols).join(', ')}, or a number`)
  return checkCount(value, name, 0, 0xffff)
}

export function readProtocol(number: number): ProtocolName | number {
  return (Object.keys(protocols) as ProtocolName[]).find((name) => protocols[name] === number) ?? number
}

/** `tcm_info` has the preference, and the protocol in network byte order. */
const swapped = (number: number) =>
  endianness() === 'LE' ? ((number & 0xff) << 8) | ((number >> 8) & 0xff) : number & 0xffff

export function filterInfo(preference: number, protocol: number): number {
  return preference * 0x1_0000 + swapped(protocol)
}

/** The options of each kind, for adding and replacing. Each kind's file adds its own. */
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface FilterKinds {}

export type FilterOptionsOf<K extends string> = K extends keyof FilterKinds
  ? Partial<FilterKinds[K]>
  : Record<string, unknown>

/** A filter, as read from the kernel. */
export interface TrafficFilter<K extends string = string> {
  /** The index of the link. */
  index: number
  kind: K
  /** Where it hangs: 'ingress' and 'egress' of clsact, or a queueing discipline or class: '1:'. */
  parent: string
  /** What it looks at: 'ip', 'ipv6', 'all' … */
  protocol: ProtocolName | number
  /** Filters of smaller numbers are asked first. */
  preference: number
  /** Which of those of one preference it is: a number; for u32 '800::800'. */
  handle: number | string
  chain: number
  /** The class that it leads to. */
  classId?: string
  options: FilterOptionsOf<K>
  actions: Action[]
}

/** What every new one may be given. */
export interface FilterPlace {
  /** 'ingress' or 'egress' (of a clsact; 'ingress' also of an ingress), 'root', or a queueing discipline or class: '1:'. */
  parent: string
  /** What it looks at. Default: 'all'. */
  protocol?: ProtocolName | number
  /** Filters of smaller numbers are asked first: 1 to 65,535. Default: the kernel chooses; `ensure` must be told. */
  preference?: number
  /** Which of those of one preference it is. Default: the kernel chooses. For fw, the mark. */
  handle?: number | string
  /** Default: 0, where each packet begins. */
  chain?: number
  /** The class that it leads to: '1:10'. */
  classId?: string
  /** What is done with the packets, one after the other. */
  actions?: readonly NewAction[]
}

/** One of a kind that netkit has a file for. */
export type NewFilterOfKind<K extends keyof FilterKinds> = FilterPlace & { kind: K } & FilterKinds[K]

/** One of any other kind: `data` has all of its attributes by number (`{ '#1': bytes }`), also those of actions. */
export interface NewRawFilter extends Omit<FilterPlace, 'classId' | 'actions'> {
  kind: string
  data?: RawOptions
}

export type NewFilter = { [K in keyof FilterKinds]: NewFilterOfKind<K> }[keyof FilterKinds]

/** What the kinds' tables call what all of them have. */
export interface CommonWire {
  classId?: number
  actions?: RawAction[]
}

/** '800::800': a table of u32's, a place in it, a filter in that. */
export function formatU32Handle(handle: number): string {
  const part = (number: number) => (number === 0 ? '' : number.toString(16))
  const bucket = (handle >>> 12) & 0xff
  const node = handle & 0xfff
  const table = `${(handle >>> 20).toString(16)}:`
  return node === 0 && bucket === 0 ? table : `${table}${part(bucket)}:${part(node)}`
}

/** The tables that u32 makes unasked are called '800:' and more; a caller's have smaller names. */
const isOwnTable = (handle: number) => (handle & 0xf_ffff) === 0 && handle >>> 20 >= 0x800

/** A kernel's message as a filter; undefined for those that only say that a preference is in use, or a table of u32's own. */
export function readFilter({
  header,
  attributes,
}: Decoded<typeof tcmsg, typeof filterMessage.table>): TrafficFilter | undefined {
  const { kind = '', options, chain = 0 } = attributes
  if (header.handle === 0 || options === undefined) return undefined
  if (kind === 'u32' && isOwnTable(header.handle)) return undefined
  const known = filterKinds.of(kind) ?? rawKind
  const common = options as CommonWire
  const read: TrafficFilter = {
    index: header.index,
    kind,
    parent: formatFilterParent(header.parent),
    protocol: readProtocol(swapped(header.info & 0xffff)),
    preference: header.info >>> 16,
    handle: kind === 'u32' ? formatU32Handle(header.handle) : header.handle,
    chain,
    options: known.fromWire(options, header.handle) as TrafficFilter['options'],
    actions: known === rawKind ? [] : (common.actions ?? []).map(readAction),
  }
  if (known !== rawKind && common.classId !== undefined) read.classId = formatHandle(common.classId)
  return read
}
