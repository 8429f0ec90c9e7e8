/** Nexthop objects: their messages (linux/nexthop.h, ip-nexthop(8)), and the plain objects they are read as. */
import {
  type AttributeType,
  attributeU16,
  attributeU32,
  clock32,
  clock64,
  flag,
  ip,
  Malformed,
  words,
} from '../netlink/attribute.js'
import { headerWords } from '../netlink/header-words.js'
import { type Decoded, MessageDefinition } from '../netlink/message.js'
import { Struct, u8, u16, u32 } from '../netlink/struct.js'
import { attributes, nested } from '../netlink/table.js'
import { AF_INET, AF_INET6 } from '../values/ip.js'
import { flagNames, nexthopFlags, type routeProtocols, type scopes } from './constants.js'
import { type EncapsulationRow, readEncapsulation } from './encapsulation.js'
import { encapsulation, encapsulationType } from './encapsulation-tables.js'
import { type NexthopFlag, protocolWord, scopeWord } from './route.js'

export const nexthopHeader = new Struct('nhmsg', {
  family: ['nh_family', u8],
  scope: ['nh_scope', u8],
  protocol: ['nh_protocol', u8],
  reserved: ['resvd', u8],
  flags: ['nh_flags', u32],
})

/** The weight less one, in two octets: the upper one is for Linux 6.12 and later. */
const member = new Struct('nexthop_grp', {
  id: ['id', u32],
  weight: ['weight', u8],
  weightHigh: ['weight_high', u8],
  reserved: ['resvd2', u16],
})

/** One of the nexthop objects of a group. */
export interface NexthopMember {
  id: number
  /** Its share among the others, from 1 to 255; to 65,535 since Linux 6.12. */
  weight: number
}

const group: AttributeType<NexthopMember[]> = {
  decode(source, offset, length) {
    if (length % member.size !== 0) throw new Malformed(`has ${length} bytes, which are no whole members of a group`)
    return Array.from({ length: length / member.size }, (_, i) => {
      const { id, weight, weightHigh } = member.decode(source, offset + i * member.size, member.size)
      return { id, weight: weight + weightHigh * 256 + 1 }
    })
  },
  encode(writer, members) {
    for (const { id, weight } of members) {
      member.encode(writer, { id, weight: (weight - 1) & 0xff, weightHigh: (weight - 1) >> 8 })
    }
  },
}

/** NEXTHOP_GRP_TYPE_…: a resilient group keeps flows where they are when its members change. */
export const groupTypes = headerWords(
  'NEXTHOP_GRP_TYPE_',
  { multipath: 0, resilient: 1 },
  { multipath: 'NEXTHOP_GRP_TYPE_MPATH', resilient: 'NEXTHOP_GRP_TYPE_RES' },
)

const resilientAttributes = attributes({
  buckets: [1, 'NHA_RES_GROUP_BUCKETS', attributeU16],
  idleTimer: [2, 'NHA_RES_GROUP_IDLE_TIMER', clock32],
  unbalancedTimer: [3, 'NHA_RES_GROUP_UNBALANCED_TIMER', clock32],
  unbalancedTime: [4, 'NHA_RES_GROUP_UNBALANCED_TIME', clock64],
})

const bucketAttributes = attributes({
  index: [1, 'NHA_RES_BUCKET_INDEX', attributeU16],
  idleTime: [2, 'NHA_RES_BUCKET_IDLE_TIME', clock64],
  nexthopId: [3, 'NHA_RES_BUCKET_NH_ID', attributeU32],
})

export const nexthopObjectAttributes = attributes({
  id: [1, 'NHA_ID', attributeU32],
  group: [2, 'NHA_GROUP', group],
  groupType: [3, 'NHA_GROUP_TYPE', words(attributeU16, groupTypes)],
  blackhole: [4, 'NHA_BLACKHOLE', flag],
  link: [5, 'NHA_OIF', attributeU32],
  gateway: [6, 'NHA_GATEWAY', ip],
  encapsulationType: [7, 'NHA_ENCAP_TYPE', encapsulationType],
  encapsulation: [8, 'NHA_ENCAP', encapsulation],
  groups: [9, 'NHA_GROUPS', flag],
  master: [10, 'NHA_MASTER', attributeU32],
  fdb: [11, 'NHA_FDB', flag],
  // Checked strictly, these must have the flag.
  resilient: [12, 'NHA_RES_GROUP', nested(resilientAttributes, { flag: true })],
  bucket: [13, 'NHA_RES_BUCKET', nested(bucketAttributes, { flag: true })],
})

/** RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP, and those about the buckets of resilient groups. */
export const nexthopMessage = new MessageDefinition(nexthopHeader, nexthopObjectAttributes)

/** A nexthop object, as read from the kernel. `add`, `replace`, `ensure` and `remove` take it as it is. */
export interface NexthopObject {
  /** What routes name it by. */
  id: number
  /** That of routes that use it; a group has that of its members. */
  family?: 'inet' | 'inet6'
  via?: string
  /** The index of the link that it leads out of. */
  index?: number
  /** It throws packets away. */
  blackhole?: boolean
  /** The objects that it spreads packets over. */
  group?: NexthopMember[]
  groupType?: keyof typeof groupTypes | number
  /** Resilient groups: into how many parts flows are put. */
  buckets?: number
  /** Resilient groups: milliseconds for which a bucket must have been idle to be moved to another member. */
  idleTimer?: number
  /** Resilient groups: milliseconds after which buckets are moved even if they are not idle; 0 is never. */
  unbalancedTimer?: number
  /** Resilient groups: milliseconds for which it has been out of balance. */
  unbalancedTime?: number
  /** It is for entries of a bridge's or VXLAN's forwarding database, and not for routes. */
  fdb?: boolean
  protocol: keyof typeof routeProtocols | number
  scope: keyof typeof scopes | number
  encapsulation?: EncapsulationRow
  flags: NexthopFlag[]
}

/** A bucket of a resilient group. */
export interface NexthopBucket {
  index: number
  /** The member that the bucket's flows go to. */
  nexthopId: number
  /** Milliseconds since the last packet. */
  idleTime: number
  flags: NexthopFlag[]
}

/** A kernel's message as a NexthopObject. */
export function readNexthopObject(
  message: Decoded<typeof nexthopHeader, typeof nexthopObjectAttributes>,
): NexthopObject {
  const { header, attributes: own } = message
  const object: NexthopObject = {
    id: own.id ?? 0,
    protocol: protocolWord(header.protocol),
    scope: scopeWord(header.scope),
    flags: flagNames(nexthopFlags, header.flags & 0xff),
  }
  if (header.family === AF_INET || header.family === AF_INET6)
    object.family = header.family === AF_INET ? 'inet' : 'inet6'
  if (own.gateway !== undefined) object.via = own.gateway
  if (own.link !== undefined) object.index = own.link
  if (own.blackhole === true) object.blackhole = true
  if (own.fdb === true) object.fdb = true
  if (own.group !== undefined) {
    object.group = own.group
    object.groupType = own.groupType ?? 'multipath'
  }
  // Named like the row's own.
  if (own.resilient !== undefined) Object.assign(object, own.resilient)
  if (own.encapsulationType !== undefined && own.encapsulation !== undefined) {
    object.encapsulation = readEncapsulation(own.encapsulationType, own.encapsulation)
  }
  return object
}

/** A kernel's message as a NexthopBucket. */
export function readBucket(message: Decoded<typeof nexthopHeader, typeof nexthopObjectAttributes>): NexthopBucket {
  const { index = 0, nexthopId = 0, idleTime = 0 } = message.attributes.bucket ?? {}
  return { index, nexthopId, idleTime, flags: flagNames(nexthopFlags, message.header.flags & 0xff) }
}
