/** Tables of neighbors and their parameters: their messages (struct ndtmsg, linux/neighbour.h), and what they are read as. */
import {
  type AttributeType,
  attributeU32,
  attributeU64,
  binary,
  mapped,
  structure,
  text,
} from '../netlink/attribute.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { counter64, Struct, type StructOf, u8, u16, u32 } from '../netlink/struct.js'
import { attributes, nested } from '../netlink/table.js'
import { checkInteger } from '../validate.js'
import { AF_INET } from '../values/ip.js'

export const ndtmsg = new Struct('ndtmsg', {
  family: ['ndtm_family', u8],
  pad1: ['ndtm_pad1', u8],
  pad2: ['ndtm_pad2', u16],
})

export const neighborTableConfiguration = new Struct('ndt_config', {
  keyLength: ['ndtc_key_len', u16],
  entrySize: ['ndtc_entry_size', u16],
  entries: ['ndtc_entries', u32],
  lastFlush: ['ndtc_last_flush', u32],
  lastRandom: ['ndtc_last_rand', u32],
  hashRandom: ['ndtc_hash_rnd', u32],
  hashMask: ['ndtc_hash_mask', u32],
  hashChain: ['ndtc_hash_chain_gc', u32],
  proxyQueueLength: ['ndtc_proxy_qlen', u32],
})

export const neighborTableStatistics = new Struct('ndt_stats', {
  allocations: ['ndts_allocs', counter64],
  destroys: ['ndts_destroys', counter64],
  hashGrows: ['ndts_hash_grows', counter64],
  failedResolutions: ['ndts_res_failed', counter64],
  lookups: ['ndts_lookups', counter64],
  hits: ['ndts_hits', counter64],
  receivedMulticastProbes: ['ndts_rcv_probes_mcast', counter64],
  receivedUnicastProbes: ['ndts_rcv_probes_ucast', counter64],
  periodicCollections: ['ndts_periodic_gc_runs', counter64],
  forcedCollections: ['ndts_forced_gc_runs', counter64],
  tableFulls: ['ndts_table_fulls', counter64],
})

const MOST = 0x7fff_ffff

/** Milliseconds; the kernel's nla_put_msecs. */
const milliseconds64: AttributeType<number> = mapped(attributeU64, Number, (value, name) => {
  checkInteger(value, name, 0, MOST)
  return BigInt(value)
})

export const neighborParameterAttributes = attributes({
  index: [1, 'NDTPA_IFINDEX', attributeU32],
  references: [2, 'NDTPA_REFCNT', attributeU32],
  reachableTime: [3, 'NDTPA_REACHABLE_TIME', milliseconds64],
  baseReachableTime: [4, 'NDTPA_BASE_REACHABLE_TIME', milliseconds64],
  retransmitTime: [5, 'NDTPA_RETRANS_TIME', milliseconds64],
  staleTime: [6, 'NDTPA_GC_STALETIME', milliseconds64],
  delayProbeTime: [7, 'NDTPA_DELAY_PROBE_TIME', milliseconds64],
  queueLength: [8, 'NDTPA_QUEUE_LEN', attributeU32],
  applicationProbes: [9, 'NDTPA_APP_PROBES', attributeU32],
  unicastProbes: [10, 'NDTPA_UCAST_PROBES', attributeU32],
  multicastProbes: [11, 'NDTPA_MCAST_PROBES', attributeU32],
  anycastDelay: [12, 'NDTPA_ANYCAST_DELAY', milliseconds64],
  proxyDelay: [13, 'NDTPA_PROXY_DELAY', milliseconds64],
  proxyQueueLength: [14, 'NDTPA_PROXY_QLEN', attributeU32],
  lockTime: [15, 'NDTPA_LOCKTIME', milliseconds64],
  queueBytes: [16, 'NDTPA_QUEUE_LENBYTES', attributeU32],
  multicastReprobes: [17, 'NDTPA_MCAST_REPROBES', attributeU32],
  padding: [18, 'NDTPA_PAD', binary],
  intervalProbeTime: [19, 'NDTPA_INTERVAL_PROBE_TIME_MS', milliseconds64],
})

export const neighborTableAttributes = attributes({
  name: [1, 'NDTA_NAME', text],
  threshold1: [2, 'NDTA_THRESH1', attributeU32],
  threshold2: [3, 'NDTA_THRESH2', attributeU32],
  threshold3: [4, 'NDTA_THRESH3', attributeU32],
  configuration: [5, 'NDTA_CONFIG', structure(neighborTableConfiguration)],
  parameters: [6, 'NDTA_PARMS', nested(neighborParameterAttributes)],
  statistics: [7, 'NDTA_STATS', structure(neighborTableStatistics)],
  collectionInterval: [8, 'NDTA_GC_INTERVAL', milliseconds64],
  padding: [9, 'NDTA_PAD', binary],
})

/** RTM_NEWNEIGHTBL, RTM_GETNEIGHTBL, RTM_SETNEIGHTBL. */
export const neighborTableMessage = new MessageDefinition(ndtmsg, neighborTableAttributes)

/** What can be set of a table's parameters: those of a link, or those that new links begin with. Times in milliseconds. */
export interface NeighborParameters {
  /** How long a neighbor counts as reachable; the kernel takes between half and one and a half of it. */
  baseReachableTime?: number
  /** Between two solicitations. */
  retransmitTime?: number
  /** How long an unused neighbor is kept. */
  staleTime?: number
  /** From the use of a stale neighbor to the first probe. */
  delayProbeTime?: number
  /** Between two probes of managed neighbors. At least 1 ms. */
  intervalProbeTime?: number
  /** Bytes and (an older way to say it) packets that wait for a neighbor to be found. */
  queueBytes?: number
  queueLength?: number
  applicationProbes?: number
  unicastProbes?: number
  multicastProbes?: number
  multicastReprobes?: number
  anycastDelay?: number
  proxyDelay?: number
  proxyQueueLength?: number
  lockTime?: number
}

/** A table, or the parameters that a link has in one, as read from the kernel. */
export interface NeighborTable {
  family: 'inet' | 'inet6'
  /** 'arp_cache' or 'ndisc_cache'. */
  name: string
  /** The link whose parameters these are; absent in the table's own row, which has what new links begin with. */
  index?: number
  /** `reachableTime` is what the kernel took at random, for now; `references` how many use the parameters. */
  parameters: NeighborParameters & { reachableTime?: number; references?: number }
  /** Entries below which none is thrown away, above which it is after 5 s, and that there can be (gc_thresh1 … 3; arp(7)). */
  threshold1?: number
  threshold2?: number
  threshold3?: number
  /** Milliseconds between two collections of what nobody uses. */
  collectionInterval?: number
  /** Entries that the table has now, in all namespaces. */
  entries?: number
  statistics?: StructOf<typeof neighborTableStatistics>
}

/** A kernel's message as a NeighborTable. */
export function readNeighborTable({
  header,
  attributes: own,
}: Decoded<typeof ndtmsg, typeof neighborTableAttributes>): NeighborTable {
  const { index, padding: _, ...parameters } = own.parameters ?? {}
  const table: NeighborTable = {
    family: header.family === AF_INET ? 'inet' : 'inet6',
    name: own.name ?? '',
    parameters,
  }
  if (index !== undefined) table.index = index
  for (const key of ['threshold1', 'threshold2', 'threshold3', 'collectionInterval', 'statistics'] as const) {
    if (own[key] !== undefined) Object.assign(table, { [key]: own[key] })
  }
  if (own.configuration !== undefined) table.entries = own.configuration.entries
  return table
}
