/**
 * SR-IOV: the virtual functions of a network card, each a card of its own for a virtual machine, as the card's own link (the
 * physical function) shows and sets them (ip-link(8), "vf"; IFLA_VFINFO_LIST, linux/if_link.h).
 */
import { attributeU64, mapped, repeated, structure } from '../netlink/attribute.js'
import { headerWords } from '../netlink/header-words.js'
import { be16, octets, Struct, type StructOf, u32, u64 } from '../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../netlink/table.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, checkString, valueError } from '../validate.js'
import { checkInterfaceMac, formatMac } from '../values/mac.js'

const MAX_ADDR_LEN = 32

const macStruct = new Struct('ifla_vf_mac', { vf: ['vf', u32], mac: ['mac', octets(MAX_ADDR_LEN)] })
const broadcastStruct = new Struct('ifla_vf_broadcast', { broadcast: ['broadcast', octets(MAX_ADDR_LEN)] })
const vlanStruct = new Struct('ifla_vf_vlan', { vf: ['vf', u32], vlan: ['vlan', u32], priority: ['qos', u32] })
const vlanInfoStruct = new Struct('ifla_vf_vlan_info', {
  vf: ['vf', u32],
  vlan: ['vlan', u32],
  priority: ['qos', u32],
  protocol: ['vlan_proto', be16],
})
const txRateStruct = new Struct('ifla_vf_tx_rate', { vf: ['vf', u32], rate: ['rate', u32] })
const rateStruct = new Struct('ifla_vf_rate', {
  vf: ['vf', u32],
  minimum: ['min_tx_rate', u32],
  maximum: ['max_tx_rate', u32],
})
const spoofCheckStruct = new Struct('ifla_vf_spoofchk', { vf: ['vf', u32], setting: ['setting', u32] })
const linkStateStruct = new Struct('ifla_vf_link_state', { vf: ['vf', u32], state: ['link_state', u32] })
const rssQueryStruct = new Struct('ifla_vf_rss_query_en', { vf: ['vf', u32], setting: ['setting', u32] })
const trustStruct = new Struct('ifla_vf_trust', { vf: ['vf', u32], setting: ['setting', u32] })
const guidStruct = new Struct('ifla_vf_guid', { vf: ['vf', u32], guid: ['guid', u64] })

/** A counter as a number, exact up to 2^53. */
const counter = mapped(attributeU64, Number, BigInt)

const statisticsAttributes = attributes({
  receivedPackets: [0, 'IFLA_VF_STATS_RX_PACKETS', counter],
  sentPackets: [1, 'IFLA_VF_STATS_TX_PACKETS', counter],
  receivedBytes: [2, 'IFLA_VF_STATS_RX_BYTES', counter],
  sentBytes: [3, 'IFLA_VF_STATS_TX_BYTES', counter],
  broadcast: [4, 'IFLA_VF_STATS_BROADCAST', counter],
  multicast: [5, 'IFLA_VF_STATS_MULTICAST', counter],
  receiveDropped: [7, 'IFLA_VF_STATS_RX_DROPPED', counter],
  sendDropped: [8, 'IFLA_VF_STATS_TX_DROPPED', counter],
})

const vlanListAttributes = attributes({
  vlans: [1, 'IFLA_VF_VLAN_INFO', repeated(structure(vlanInfoStruct))],
})

const functionAttributes = attributes({
  mac: [1, 'IFLA_VF_MAC', structure(macStruct)],
  vlan: [2, 'IFLA_VF_VLAN', structure(vlanStruct)],
  txRate: [3, 'IFLA_VF_TX_RATE', structure(txRateStruct)],
  spoofCheck: [4, 'IFLA_VF_SPOOFCHK', structure(spoofCheckStruct)],
  linkState: [5, 'IFLA_VF_LINK_STATE', structure(linkStateStruct)],
  rate: [6, 'IFLA_VF_RATE', structure(rateStruct)],
  rssQuery: [7, 'IFLA_VF_RSS_QUERY_EN', structure(rssQueryStruct)],
  statistics: [8, 'IFLA_VF_STATS', nested(statisticsAttributes)],
  trust: [9, 'IFLA_VF_TRUST', structure(trustStruct)],
  nodeGuid: [10, 'IFLA_VF_IB_NODE_GUID', structure(guidStruct)],
  portGuid: [11, 'IFLA_VF_IB_PORT_GUID', structure(guidStruct)],
  vlanList: [12, 'IFLA_VF_VLAN_LIST', nested(vlanListAttributes)],
  broadcast: [13, 'IFLA_VF_BROADCAST', structure(broadcastStruct)],
})

/** IFLA_VFINFO_LIST. */
export const virtualFunctionAttributes = attributes({
  functions: [1, 'IFLA_VF_INFO', repeated(nested(functionAttributes))],
})

type FunctionAttributes = AttributesOf<typeof functionAttributes>

/** Whether a virtual function has a carrier: as the card's, always, never (IFLA_VF_LINK_STATE_…). */
const linkStates = headerWords('IFLA_VF_LINK_STATE_', { auto: 0, enable: 1, disable: 2 })

const vlanProtocols = headerWords(
  'ETH_P_',
  { '802.1q': 0x8100, '802.1ad': 0x88a8 },
  { '802.1q': 'ETH_P_8021Q', '802.1ad': 'ETH_P_8021AD' },
)

/** What can be set of a virtual function. The card decides what it can do: EOPNOTSUPP. */
export interface VirtualFunctionSettings {
  mac?: string
  /** The VLAN that all of its frames are put into, 1 to 4094; 0 for none. */
  vlan?: number
  /** The priority of those frames (802.1p), 0 to 7. Needs `vlan`. */
  vlanPriority?: number
  /** The kind of their tags. Default: '802.1q'. Needs `vlan`. */
  vlanProtocol?: keyof typeof vlanProtocols
  /** Bits per second that it may send at any rate; whole megabits, 0 for none. */
  minimumRate?: number
  /** Bits per second that it may send at most; whole megabits, 0 for no limit. */
  maximumRate?: number
  /** Drop frames that come from another MAC address than its own. */
  spoofCheck?: boolean
  /** Whether it has a carrier: as the card has ('auto'), always ('enable'), never ('disable'). */
  linkState?: keyof typeof linkStates
  /** Lets it read the receive-side scaling's hash and table. */
  rssQuery?: boolean
  /** Lets it change its MAC address and see all frames. */
  trust?: boolean
  /** InfiniBand: the node's and the port's GUID, '00:11:22:33:44:55:66:77'. */
  nodeGuid?: string
  portGuid?: string
}

/** A virtual function, as the card says. What it does not say is missing. */
export interface VirtualFunction {
  /** Its number on this card, from 0. */
  number: number
  mac: string
  broadcast?: string
  /** 0 when it has none. */
  vlan: number
  vlanPriority: number
  vlanProtocol: keyof typeof vlanProtocols | number
  minimumRate: number
  maximumRate: number
  spoofCheck?: boolean
  linkState?: keyof typeof linkStates | number
  rssQuery?: boolean
  trust?: boolean
  nodeGuid?: string
  portGuid?: string
  statistics?: Omit<AttributesOf<typeof statisticsAttributes>, `#${number}`>
}

const MEGABIT = 1_000_000
/** What a card answers that does not know: -1. */
const UNKNOWN = 0xffff_ffff

function wordOf<M extends Readonly<Record<string, number>>>(map: M, number: number): (keyof M & string) | number {
  return Object.keys(map).find((word) => map[word] === number) ?? number
}

function truth(setting: number | undefined): boolean | undefined {
  return setting === undefined || setting === UNKNOWN ? undefined : setting !== 0
}

/** One virtual function of the list; `macBytes` is the length of the card's own address. */
function readFunction(one: FunctionAttributes, macBytes: number): VirtualFunction {
  const { mac, broadcast, vlan, vlanList, rate, txRate, spoofCheck, linkState, rssQuery, trust, nodeGuid, portGuid } =
    one
  const tag: Partial<StructOf<typeof vlanInfoStruct>> = vlanList?.vlans?.[0] ?? vlan ?? {}
  const said = {
    number: mac?.vf ?? vlan?.vf ?? rate?.vf ?? 0,
    mac: mac === undefined ? '' : formatMac(mac.mac, 0, macBytes),
    broadcast: broadcast === undefined ? undefined : formatMac(broadcast.broadcast, 0, macBytes),
    vlan: tag.vlan ?? 0,
    vlanPriority: tag.priority ?? 0,
    vlanProtocol: wordOf(vlanProtocols, tag.protocol || vlanProtocols['802.1q']),
    minimumRate: (rate?.minimum ?? 0) * MEGABIT,
    maximumRate: (rate?.maximum ?? txRate?.rate ?? 0) * MEGABIT,
    spoofCheck: truth(spoofCheck?.setting),
    linkState: linkState === undefined ? undefined : wordOf(linkStates, linkState.state),
    rssQuery: truth(rssQuery?.setting),
    trust: truth(trust?.setting),
    nodeGuid: nodeGuid === undefined ? undefined : formatGuid(nodeGuid.guid),
    portGuid: portGuid === undefined ? undefined : formatGuid(portGuid.guid),
    statistics: one.statistics,
  }
  return Object.fromEntries(
    Object.entries(said).filter(([, value]) => value !== undefined),
  ) as unknown as VirtualFunction
}

/** The virtual functions in a link's attributes. */
export function readVirtualFunctions(
  list: AttributesOf<typeof virtualFunctionAttributes> | undefined,
  mac: string,
): VirtualFunction[] {
  const macBytes = mac === '' ? 6 : Math.min(mac.split(':').length, MAX_ADDR_LEN)
  return (list?.functions ?? []).map((one) => readFunction(one, macBytes))
}

function formatGuid(guid: bigint): string {
  return (guid.toString(16).padStart(16, '0').match(/../g) ?? []).join(':')
}

const settingKeys = [
  ...['mac', 'vlan', 'vlanPriority', 'vlanProtocol', 'minimumRate', 'maximumRate', 'spoofCheck', 'linkState'],
  ...['rssQuery', 'trust', 'nodeGuid', 'portGuid'],
]

export function checkVirtualFunction(number: unknown, settings: VirtualFunctionSettings): void {
  checkInteger(number, 'number', 0, 0xffff)
  checkOptions(settings, 'settings', settingKeys)
  const { mac, vlan, vlanPriority, vlanProtocol, linkState } = settings
  if (mac !== undefined) checkInterfaceMac(mac, 'settings.mac')
  if (vlan !== undefined) checkInteger(vlan, 'settings.vlan', 0, 4094)
  if (vlanPriority !== undefined) checkInteger(vlanPriority, 'settings.vlanPriority', 0, 7)
  if (vlanProtocol !== undefined) {
    checkOneOf(vlanProtocol, 'settings.vlanProtocol', Object.keys(vlanProtocols) as (keyof typeof vlanProtocols)[])
  }
  for (const key of ['vlanPriority', 'vlanProtocol'] as const) {
    if (settings[key] !== undefined && vlan === undefined) {
      throw valueError(`settings.${key}`, settings[key], 'is given with vlan: the card takes them together')
    }
  }
  for (const key of ['minimumRate', 'maximumRate'] as const) {
    const rate = settings[key]
    if (rate === undefined) continue
    checkInteger(rate, `settings.${key}`, 0, 0xffff_ffff * MEGABIT)
    if (rate % MEGABIT !== 0) throw valueError(`settings.${key}`, rate, 'must be whole megabits, 1000000 each')
  }
  for (const key of ['spoofCheck', 'rssQuery', 'trust'] as const) {
    if (settings[key] !== undefined) checkBoolean(settings[key], `settings.${key}`)
  }
  if (linkState !== undefined) {
    checkOneOf(linkState, 'settings.linkState', Object.keys(linkStates) as (keyof typeof linkStates)[])
  }
  for (const key of ['nodeGuid', 'portGuid'] as const) {
    if (settings[key] !== undefined) parseGuid(settings[key], `settings.${key}`)
  }
}

function parseGuid(value: unknown, name: string): bigint {
  checkString(value, name)
  if (!/^([0-9a-f]{2}:){7}[0-9a-f]{2}$/i.test(value)) {
    throw valueError(name, value, "is not eight hexadecimal octets, as in '00:11:22:33:44:55:66:77'")
  }
  return BigInt(`0x${value.replaceAll(':', '')}`)
}

/**
 * The attributes that set a virtual function. The card takes both rates at once: `known` has the one that is not given.
 * The settings are checked.
 */
export function virtualFunctionRequest(
  vf: number,
  settings: VirtualFunctionSettings,
  known: Pick<VirtualFunction, 'minimumRate' | 'maximumRate'> | undefined,
): AttributesOf<typeof virtualFunctionAttributes> {
  const { mac, vlan, vlanPriority = 0, vlanProtocol = '802.1q', spoofCheck, linkState, rssQuery, trust } = settings
  const { nodeGuid, portGuid, minimumRate, maximumRate } = settings
  const one: FunctionAttributes = {}
  if (mac !== undefined) {
    const padded = new Uint8Array(MAX_ADDR_LEN)
    padded.set(checkInterfaceMac(mac, 'settings.mac'))
    one.mac = { vf, mac: padded }
  }
  if (vlan !== undefined) {
    const protocol = vlanProtocols[vlanProtocol]
    one.vlanList = { vlans: [{ vf, vlan, priority: vlanPriority, protocol }] }
  }
  if (minimumRate !== undefined || maximumRate !== undefined) {
    const minimum = (minimumRate ?? known?.minimumRate ?? 0) / MEGABIT
    one.rate = { vf, minimum, maximum: (maximumRate ?? known?.maximumRate ?? 0) / MEGABIT }
  }
  if (spoofCheck !== undefined) one.spoofCheck = { vf, setting: Number(spoofCheck) }
  if (linkState !== undefined) one.linkState = { vf, state: linkStates[linkState] }
  if (rssQuery !== undefined) one.rssQuery = { vf, setting: Number(rssQuery) }
  if (trust !== undefined) one.trust = { vf, setting: Number(trust) }
  if (nodeGuid !== undefined) one.nodeGuid = { vf, guid: parseGuid(nodeGuid, 'settings.nodeGuid') }
  if (portGuid !== undefined) one.portGuid = { vf, guid: parseGuid(portGuid, 'settings.portGuid') }
  return { functions: [one] }
}
