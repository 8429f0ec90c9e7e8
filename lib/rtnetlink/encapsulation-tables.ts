/**
 * What a route's next hop wraps packets in (lightweight tunnels): the attributes of each type (linux/lwtunnel.h,
 * linux/mpls_iptunnel.h, linux/seg6_iptunnel.h, linux/seg6_local.h), and the attribute RTA_ENCAP that holds them.
 */
import {
  type AttributeType,
  attributeBe16,
  attributeBe64,
  attributeU8,
  attributeU16,
  attributeU32,
  attributeU64,
  binary,
  ip,
  Malformed,
} from '../netlink/attribute.js'
import { sourceOf } from '../netlink/bytes.js'
import { headerWords } from '../netlink/header-words.js'
import { Struct, s32, u8, u16 } from '../netlink/struct.js'
import { type AnyTable, attributes, forEachAttribute, NLA_TYPE_MASK, nested } from '../netlink/table.js'
import { valueError } from '../validate.js'
import { formatIp, parseIp } from '../values/ip.js'
import { labelStack } from './mpls-labels.js'

/** RTA_ENCAP_TYPE (linux/lwtunnel.h). */
export const encapsulationTypes = headerWords(
  'LWTUNNEL_ENCAP_',
  { mpls: 1, ip: 2, ila: 3, ip6: 4, seg6: 5, bpf: 6, seg6local: 7, rpl: 8, ioam6: 9, xfrm: 10 },
  { seg6local: 'LWTUNNEL_ENCAP_SEG6_LOCAL' },
)

export const mplsEncapsulation = attributes({
  labels: [1, 'MPLS_IPTUNNEL_DST', labelStack],
  ttl: [2, 'MPLS_IPTUNNEL_TTL', attributeU8],
})

// LWTUNNEL_IP_OPTS and LWTUNNEL_IP6_OPTS are not in the tables: they are never sent, for the reason that stands at `checkTunnel`.
export const ipEncapsulation = attributes({
  id: [1, 'LWTUNNEL_IP_ID', attributeBe64],
  destination: [2, 'LWTUNNEL_IP_DST', ip],
  source: [3, 'LWTUNNEL_IP_SRC', ip],
  ttl: [4, 'LWTUNNEL_IP_TTL', attributeU8],
  tos: [5, 'LWTUNNEL_IP_TOS', attributeU8],
  flags: [6, 'LWTUNNEL_IP_FLAGS', attributeBe16],
  padding: [7, 'LWTUNNEL_IP_PAD', binary],
})

export const ip6Encapsulation = attributes({
  id: [1, 'LWTUNNEL_IP6_ID', attributeBe64],
  destination: [2, 'LWTUNNEL_IP6_DST', ip],
  source: [3, 'LWTUNNEL_IP6_SRC', ip],
  ttl: [4, 'LWTUNNEL_IP6_HOPLIMIT', attributeU8],
  tos: [5, 'LWTUNNEL_IP6_TC', attributeU8],
  flags: [6, 'LWTUNNEL_IP6_FLAGS', attributeBe16],
  padding: [7, 'LWTUNNEL_IP6_PAD', binary],
})

/** Flags of an IP tunnel's header, TUNNEL_… (linux/if_tunnel.h, where they are in network byte order). */
export const tunnelFlags = headerWords(
  'TUNNEL_',
  { checksum: 0x01, key: 0x04, sequence: 0x08 },
  { checksum: '__be16_to_cpu(TUNNEL_CSUM)', key: '__be16_to_cpu(TUNNEL_KEY)', sequence: '__be16_to_cpu(TUNNEL_SEQ)' },
)

/** The segment routing header of RFC 8754, without its segments. */
export const segmentHeader = new Struct('ipv6_sr_hdr', {
  nextHeader: ['nexthdr', u8],
  length: ['hdrlen', u8],
  type: ['type', u8],
  segmentsLeft: ['segments_left', u8],
  lastEntry: ['first_segment', u8],
  flags: ['flags', u8],
  tag: ['tag', u16],
})

const encapsulationMode = new Struct('seg6_iptunnel_encap', { mode: ['mode', s32] })

/** The routing type of a segment routing header (RFC 8754 section 2; IPV6_SRCRT_TYPE_4). */
const ROUTING_TYPE = 4

/** A segment routing header: the addresses in the order in which they are visited, which is the reverse of the header's. */
export const segments: AttributeType<readonly string[]> = {
  decode(source, offset, length) {
    const { lastEntry } = segmentHeader.decode(source, offset, length)
    const count = lastEntry + 1
    if (segmentHeader.size + 16 * count > length) throw new Malformed(`has ${length} bytes where ${count} segments are`)
    return Array.from({ length: count }, (_, i) =>
      formatIp(source.bytes, offset + segmentHeader.size + 16 * (lastEntry - i), 16),
    )
  },
  encode(writer, list) {
    const last = list.length - 1
    segmentHeader.encode(writer, { length: 2 * list.length, type: ROUTING_TYPE, segmentsLeft: last, lastEntry: last })
    for (const text of [...list].reverse()) writer.append(parseIp(text) ?? new Uint8Array(16))
  },
}

export const segmentModes = headerWords(
  'SEG6_IPTUN_MODE_',
  { inline: 0, encap: 1, l2encap: 2, 'encap.red': 3, 'l2encap.red': 4 },
  { 'encap.red': 'SEG6_IPTUN_MODE_ENCAP_RED', 'l2encap.red': 'SEG6_IPTUN_MODE_L2ENCAP_RED' },
)

const modeAndSegments: AttributeType<{ mode: number; segments: readonly string[] }> = {
  decode(source, offset, length, context) {
    const { size } = encapsulationMode
    if (length < size) throw new Malformed(`has ${length} bytes where a mode and segments are`)
    const { mode } = encapsulationMode.decode(source, offset, length)
    return { mode, segments: segments.decode(source, offset + size, length - size, context) }
  },
  encode(writer, { mode, segments: list }, name, context) {
    encapsulationMode.encode(writer, { mode })
    segments.encode(writer, list, name, context)
  },
}

export const seg6Encapsulation = attributes({ header: [1, 'SEG6_IPTUNNEL_SRH', modeAndSegments] })

export const seg6Counters = attributes({
  padding: [1, 'SEG6_LOCAL_CNT_PAD', binary],
  packets: [2, 'SEG6_LOCAL_CNT_PACKETS', attributeU64],
  bytes: [3, 'SEG6_LOCAL_CNT_BYTES', attributeU64],
  errors: [4, 'SEG6_LOCAL_CNT_ERRORS', attributeU64],
})

export const seg6LocalEncapsulation = attributes({
  action: [1, 'SEG6_LOCAL_ACTION', attributeU32],
  segments: [2, 'SEG6_LOCAL_SRH', segments],
  table: [3, 'SEG6_LOCAL_TABLE', attributeU32],
  nexthop4: [4, 'SEG6_LOCAL_NH4', ip],
  nexthop6: [5, 'SEG6_LOCAL_NH6', ip],
  inputLink: [6, 'SEG6_LOCAL_IIF', attributeU32],
  outputLink: [7, 'SEG6_LOCAL_OIF', attributeU32],
  program: [8, 'SEG6_LOCAL_BPF', binary],
  vrfTable: [9, 'SEG6_LOCAL_VRFTABLE', attributeU32],
  counters: [10, 'SEG6_LOCAL_COUNTERS', nested(seg6Counters)],
  flavors: [11, 'SEG6_LOCAL_FLAVORS', binary],
})

/** SEG6_LOCAL_ACTION_…, by the names of RFC 8986. */
export const segmentActions = headerWords(
  'SEG6_LOCAL_ACTION_',
  {
    End: 1,
    'End.X': 2,
    'End.T': 3,
    'End.DX2': 4,
    'End.DX6': 5,
    'End.DX4': 6,
    'End.DT6': 7,
    'End.DT4': 8,
    'End.B6': 9,
    'End.B6.Encaps': 10,
    'End.BM': 11,
    'End.S': 12,
    'End.AS': 13,
    'End.AM': 14,
    'End.BPF': 15,
    'End.DT46': 16,
  },
  {
    'End.X': 'SEG6_LOCAL_ACTION_END_X',
    'End.T': 'SEG6_LOCAL_ACTION_END_T',
    'End.DX2': 'SEG6_LOCAL_ACTION_END_DX2',
    'End.DX6': 'SEG6_LOCAL_ACTION_END_DX6',
    'End.DX4': 'SEG6_LOCAL_ACTION_END_DX4',
    'End.DT6': 'SEG6_LOCAL_ACTION_END_DT6',
    'End.DT4': 'SEG6_LOCAL_ACTION_END_DT4',
    'End.B6': 'SEG6_LOCAL_ACTION_END_B6',
    'End.B6.Encaps': 'SEG6_LOCAL_ACTION_END_B6_ENCAP',
    'End.BM': 'SEG6_LOCAL_ACTION_END_BM',
    'End.S': 'SEG6_LOCAL_ACTION_END_S',
    'End.AS': 'SEG6_LOCAL_ACTION_END_AS',
    'End.AM': 'SEG6_LOCAL_ACTION_END_AM',
    'End.BPF': 'SEG6_LOCAL_ACTION_END_BPF',
    'End.DT46': 'SEG6_LOCAL_ACTION_END_DT46',
  },
)

export const xfrmEncapsulation = attributes({
  interfaceId: [1, 'LWT_XFRM_IF_ID', attributeU32],
  link: [2, 'LWT_XFRM_LINK', attributeU32],
})

const tables: Readonly<Record<number, AnyTable>> = {
  [encapsulationTypes.mpls]: mplsEncapsulation as unknown as AnyTable,
  [encapsulationTypes.ip]: ipEncapsulation as unknown as AnyTable,
  [encapsulationTypes.ip6]: ip6Encapsulation as unknown as AnyTable,
  [encapsulationTypes.seg6]: seg6Encapsulation as unknown as AnyTable,
  [encapsulationTypes.seg6local]: seg6LocalEncapsulation as unknown as AnyTable,
  [encapsulationTypes.xfrm]: xfrmEncapsulation as unknown as AnyTable,
}

/** The attributes of an encapsulation type; undefined for one that is known by its bytes only. */
export function encapsulationTable(type: number): AnyTable | undefined {
  return tables[type]
}

function notSent(name: string): Error {
  return valueError(name, 'options', 'the options of a tunnel header are not sent: Linux 6.16 and later crash on them')
}

/**
 * Keeps the options of a tunnel header (LWTUNNEL_IP_OPTS: Geneve's, VXLAN's, ERSPAN's) out of every request, however its bytes
 * were made. Linux 6.16 and later (seen with 6.18) oops on them while they hold the lock of all network configuration (RTNL): from
 * then on no request of any process is answered, in any namespace, until the machine is started anew.
 */
function checkTunnel(payload: Uint8Array, name: string): void {
  try {
    forEachAttribute(sourceOf(payload), 0, payload.length, (type) => {
      const number = type & NLA_TYPE_MASK
      if (number < 1 || number > 7) throw notSent(name)
    })
  } catch (error) {
    if (error instanceof Malformed) throw valueError(name, payload, error.message)
    throw error
  }
}

/**
 * RTA_ENCAP and NHA_ENCAP: attributes of the type that stands beside it. The kernel sends that type after them, so they are read
 * as bytes, for `readEncapsulation`.
 */
export const encapsulation: AttributeType<Uint8Array> = {
  decode: binary.decode,
  encode(writer, payload, name, context) {
    const type = context.siblings.encapsulationType
    if (type === encapsulationTypes.ip || type === encapsulationTypes.ip6) checkTunnel(payload, name)
    binary.encode(writer, payload, name, context)
  },
  nested({ siblings: { encapsulationType } }) {
    const table = typeof encapsulationType === 'number' ? encapsulationTable(encapsulationType) : undefined
    return table === undefined ? undefined : { table, skip: 0 }
  },
  // Nexthop objects, whose messages are checked strictly, demand the flag; routes take it.
  nestedFlag: true,
}

export const encapsulationType = attributeU16
