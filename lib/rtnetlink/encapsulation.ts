/** What packets of a route are wrapped in, in words: what callers say, and what is read. */
import { Malformed } from '../netlink/attribute.js'
import { sourceOf, Writer } from '../netlink/bytes.js'
import type { AnyTable, AttributesOf } from '../netlink/table.js'
import {
  encapsulationTable,
  encapsulationTypes,
  type ip6Encapsulation,
  type ipEncapsulation,
  type mplsEncapsulation,
  type seg6Encapsulation,
  type seg6LocalEncapsulation,
  segmentActions,
  segmentModes,
  tunnelFlags,
  type xfrmEncapsulation,
} from './encapsulation-tables.js'
import type { LinkReference } from './link-options.js'

/** MPLS labels pushed onto the packet (`ip route … encap mpls`, ip-route(8)). The kernel needs CONFIG_MPLS_IPTUNNEL. */
export interface MplsEncapsulation {
  type: 'mpls'
  /** Labels, the outermost first: 0 to 1,048,575. */
  labels: readonly number[]
  /** Default: that of the packet, or the sysctl net.mpls.default_ttl. */
  ttl?: number
}

/**
 * Metadata for the tunnel device that the route leads to, one made with `external` (`ip route … encap ip`, `encap ip6`).
 *
 * The options of Geneve, VXLAN and ERSPAN headers (`geneve_opts` of iproute2) are not among them: Linux 6.16 and later crash on
 * them, and with them the networking of the whole machine.
 */
export interface TunnelEncapsulation {
  type: 'ip' | 'ip6'
  /** The tunnel's key: a VNI, a GRE key. */
  id?: number | bigint
  /** The tunnel's other end. */
  destination?: string
  /** The tunnel's own end. */
  source?: string
  /** The outer packet's TTL or hop limit. */
  ttl?: number
  /** The outer packet's type of service or traffic class. */
  tos?: number
  /** What the outer header has: a key, a checksum, sequence numbers. */
  flags?: readonly ('key' | 'checksum' | 'sequence')[]
}

/** Segment routing over IPv6 (`ip route … encap seg6`, RFC 8754). */
export interface Seg6Encapsulation {
  type: 'seg6'
  /** 'inline' adds the header to the IPv6 packet, 'encap' wraps packets, 'l2encap' frames. */
  mode: keyof typeof segmentModes
  /** IPv6 addresses in the order in which they are visited. */
  segments: readonly string[]
}

/** What is done with packets that reach one of this host's segments (`ip route … encap seg6local`, RFC 8986). */
export interface Seg6LocalEncapsulation {
  type: 'seg6local'
  action: keyof typeof segmentActions | number
  /** For 'End.B6' and 'End.B6.Encaps'. */
  segments?: readonly string[]
  /** For 'End.T', 'End.DT6'. */
  table?: number
  /** The table of a VRF, for 'End.DT4', 'End.DT6', 'End.DT46'. */
  vrfTable?: number
  /** The next hop of 'End.DX4'. */
  nexthop4?: string
  /** The next hop of 'End.X', 'End.DX6'. */
  nexthop6?: string
  inputLink?: LinkReference
  /** Where 'End.DX2' sends frames. */
  outputLink?: LinkReference
  /** Count what is processed. */
  count?: boolean
}

/** Wrapped by IPsec, through an XFRM interface of this id (`ip route … encap xfrm`). */
export interface XfrmEncapsulation {
  type: 'xfrm'
  interfaceId: number
  link?: LinkReference
}

/** Another type, by the bytes of its attributes. */
export interface RawEncapsulation {
  type: 'ila' | 'bpf' | 'rpl' | 'ioam6' | number
  data: Uint8Array
}

export type Encapsulation =
  | MplsEncapsulation
  | TunnelEncapsulation
  | Seg6Encapsulation
  | Seg6LocalEncapsulation
  | XfrmEncapsulation
  | RawEncapsulation

/** How many packets, bytes and failures a segment has seen. */
export interface SegmentCounters {
  packets: number
  bytes: number
  errors: number
}

/** As read: links by their index. */
export type EncapsulationRow =
  | MplsEncapsulation
  | TunnelEncapsulation
  | Seg6Encapsulation
  | (Omit<Seg6LocalEncapsulation, 'inputLink' | 'outputLink'> & {
      inputLink?: number
      outputLink?: number
      /** What was counted, when that was asked for. */
      counters?: SegmentCounters
    })
  | (Omit<XfrmEncapsulation, 'link'> & { link?: number })
  | RawEncapsulation

/** The word of a number, or the number. */
function word<N extends string>(table: Readonly<Record<N, number>>, number: number): N | number {
  return (Object.keys(table) as N[]).find((name) => table[name] === number) ?? number
}

/** The attributes of an encapsulation as its object. What cannot be read as what its type says is given as it came. */
export function readEncapsulation(type: number, payload: Uint8Array): EncapsulationRow {
  const table = encapsulationTable(type)
  const raw = { type: word(encapsulationTypes, type), data: payload } as RawEncapsulation
  if (table === undefined) return raw
  try {
    return readers[type]?.(table.decode(sourceOf(payload), 0, payload.length) as never, type) ?? raw
  } catch (error) {
    if (error instanceof Malformed) return raw
    throw error
  }
}

const readers: Readonly<Record<number, (values: never, type: number) => EncapsulationRow>> = {
  [encapsulationTypes.mpls]: readMpls,
  [encapsulationTypes.ip]: readTunnel,
  [encapsulationTypes.ip6]: readTunnel,
  [encapsulationTypes.seg6]: readSegments,
  [encapsulationTypes.seg6local]: readSegment,
  [encapsulationTypes.xfrm]: readXfrm,
}

function readMpls({ labels = [], ttl }: AttributesOf<typeof mplsEncapsulation>): MplsEncapsulation {
  return ttl === undefined ? { type: 'mpls', labels } : { type: 'mpls', labels, ttl }
}

type TunnelAttributes = AttributesOf<typeof ipEncapsulation | typeof ip6Encapsulation>

/** The kernel tells everything of a tunnel; what is zero was not given. */
function readTunnel(own: TunnelAttributes, type: number): TunnelEncapsulation {
  const row: TunnelEncapsulation = { type: type === encapsulationTypes.ip ? 'ip' : 'ip6' }
  const { id, destination, source, ttl, tos, flags } = own
  if (id) row.id = id <= Number.MAX_SAFE_INTEGER ? Number(id) : id
  if (destination !== undefined && !isUnspecified(destination)) row.destination = destination
  if (source !== undefined && !isUnspecified(source)) row.source = source
  if (ttl) row.ttl = ttl
  if (tos) row.tos = tos
  const names = (Object.keys(tunnelFlags) as (keyof typeof tunnelFlags)[]).filter(
    (name) => ((flags ?? 0) & tunnelFlags[name]) !== 0,
  )
  if (names.length > 0) row.flags = names
  return row
}

const isUnspecified = (address: string) => address === '0.0.0.0' || address === '::'

/** Segments that are inserted end with the packet's own destination, for which there is '::' in the kernel's list. */
function withoutPlace(segments: readonly string[]): readonly string[] {
  return segments.at(-1) === '::' ? segments.slice(0, -1) : segments
}

function readSegments({ header }: AttributesOf<typeof seg6Encapsulation>): Seg6Encapsulation {
  if (header === undefined) throw new Malformed('has no segments')
  const { mode, segments } = header
  const name = word(segmentModes, mode) as Seg6Encapsulation['mode']
  return { type: 'seg6', mode: name, segments: name === 'inline' ? withoutPlace(segments) : segments }
}

function readSegment(own: AttributesOf<typeof seg6LocalEncapsulation>): EncapsulationRow {
  const { action: number = 0, segments, table, vrfTable, nexthop4, nexthop6, inputLink, outputLink, counters } = own
  const row: Extract<EncapsulationRow, { type: 'seg6local' }> = {
    type: 'seg6local',
    action: word(segmentActions, number),
  }
  if (segments !== undefined) row.segments = row.action === 'End.B6' ? withoutPlace(segments) : segments
  if (table !== undefined) row.table = table
  if (vrfTable !== undefined) row.vrfTable = vrfTable
  if (nexthop4 !== undefined) row.nexthop4 = nexthop4
  if (nexthop6 !== undefined) row.nexthop6 = nexthop6
  if (inputLink !== undefined) row.inputLink = inputLink
  if (outputLink !== undefined) row.outputLink = outputLink
  if (counters !== undefined) {
    const { packets = 0n, bytes = 0n, errors = 0n } = counters
    row.count = true
    row.counters = { packets: Number(packets), bytes: Number(bytes), errors: Number(errors) }
  }
  return row
}

function readXfrm({ interfaceId = 0, link }: AttributesOf<typeof xfrmEncapsulation>): EncapsulationRow {
  return link === undefined ? { type: 'xfrm', interfaceId } : { type: 'xfrm', interfaceId, link }
}

/** An encapsulation as the two attributes that say it: the links by the indexes that were found for them. */
export function encapsulationAttributes(
  wanted: EncapsulationRow,
  name: string,
): { encapsulationType: number; encapsulation: Uint8Array } {
  const type = typeof wanted.type === 'number' ? wanted.type : encapsulationTypes[wanted.type]
  if ('data' in wanted) return { encapsulationType: type, encapsulation: wanted.data }
  const writer = new Writer(256)
  const table = encapsulationTable(type) as AnyTable
  table.encode(writer, valuesOf(wanted) as never, {}, name)
  return { encapsulationType: type, encapsulation: writer.take() }
}

type Worded = Exclude<EncapsulationRow, RawEncapsulation>

function valuesOf(wanted: Worded): object {
  switch (wanted.type) {
    case 'mpls':
      return { labels: wanted.labels, ttl: wanted.ttl }
    case 'ip':
    case 'ip6': {
      const { id, destination, source, ttl, tos, flags } = wanted
      const bits = flags?.reduce((sum, flag) => sum | tunnelFlags[flag], 0)
      return { id: id === undefined ? undefined : BigInt(id), destination, source, ttl, tos, flags: bits }
    }
    case 'seg6': {
      const { mode, segments } = wanted
      return { header: { mode: segmentModes[mode], segments: mode === 'inline' ? [...segments, '::'] : segments } }
    }
    case 'seg6local': {
      const { type: _, action, segments, count, counters: __, ...rest } = wanted
      return {
        action: typeof action === 'number' ? action : segmentActions[action],
        segments: action === 'End.B6' && segments !== undefined ? [...segments, '::'] : segments,
        ...rest,
        counters: count === true ? { packets: 0n, bytes: 0n, errors: 0n } : undefined,
      }
    }
    case 'xfrm':
      return { interfaceId: wanted.interfaceId, link: wanted.link }
  }
}
