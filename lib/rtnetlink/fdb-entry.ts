/** Entries of forwarding databases (struct ndmsg with AF_BRIDGE; bridge(8), "fdb"), as they are read. */
import { headerConstants } from '../netlink/header-words.js'
import { routeProtocols, wordOf } from './constants.js'
import {
  ages,
  type DecodedNeighbor,
  type Neighbor,
  type NeighborFlag,
  neighborFlagNames,
  neighborStates,
} from './neighbor.js'

/** NFEA_ACTIVITY_NOTIFY's bits. */
const { FDB_NOTIFY_BIT, FDB_NOTIFY_INACTIVE_BIT } = headerConstants({ FDB_NOTIFY_BIT: 1, FDB_NOTIFY_INACTIVE_BIT: 2 })

/**
 * How an entry stands. In a bridge, 'permanent' is an address of the bridge's own host, 'static' is at a port and does not age,
 * 'dynamic' ages as what was learned, and 'stale' is about to go. In a VXLAN 'permanent' and 'static' do not age.
 */
export type FdbState = 'permanent' | 'static' | 'dynamic' | 'stale'

/** An entry of a forwarding database, as read from the kernel. */
export interface FdbEntry {
  mac: string
  /** The index of the link it is at: a bridge's port, the bridge itself, or the link whose own database this is. */
  index: number
  /** The index of the bridge in whose database it is; absent in a link's own database (`self`). */
  master?: number
  vlan?: number
  /** VXLAN: where frames are sent to, an IP address; its UDP port and network identifier where they are not the link's. */
  destination?: string
  destinationPort?: number
  vni?: number
  /** VXLAN with `external`: the network identifier that the entry is for. */
  sourceVni?: number
  /** VXLAN: the index of the link that they leave through. */
  via?: number
  /** VXLAN: the nexthop group in place of a destination. */
  nexthopId?: number
  /** A number when the kernel's bits have no word. */
  state: FdbState | number
  flags: NeighborFlag[]
  /** Who made it, as of routes. */
  protocol?: keyof typeof routeProtocols | number
  /** Whether the kernel tells when it becomes active or inactive, and which it is. */
  activityNotify?: boolean
  inactive?: boolean
  /** Milliseconds since it was used and updated. */
  cacheInfo?: Neighbor['cacheInfo']
}

function readState(bits: number): FdbState | number {
  if ((bits & neighborStates.permanent) !== 0) return 'permanent'
  if ((bits & neighborStates.noarp) !== 0) return 'static'
  if ((bits & neighborStates.stale) !== 0) return 'stale'
  return (bits & neighborStates.reachable) !== 0 ? 'dynamic' : bits
}

const copied = ['master', 'vlan', 'destination', 'destinationPort', 'vni', 'sourceVni', 'nexthopId'] as const

/** A kernel's message as an FdbEntry. */
export function readFdbEntry(decoded: DecodedNeighbor): FdbEntry {
  const { header, attributes: own } = decoded
  const entry: FdbEntry = {
    mac: own.mac ?? '',
    index: header.index,
    state: readState(header.state),
    flags: neighborFlagNames(decoded),
  }
  for (const key of copied) if (own[key] !== undefined) Object.assign(entry, { [key]: own[key] })
  if (own.link !== undefined) entry.via = own.link
  if (own.protocol !== undefined) entry.protocol = wordOf(routeProtocols, own.protocol)
  const { activityNotify } = own.fdbExtra ?? {}
  if (activityNotify !== undefined) {
    entry.activityNotify = (activityNotify & FDB_NOTIFY_BIT) !== 0
    entry.inactive = (activityNotify & FDB_NOTIFY_INACTIVE_BIT) !== 0
  }
  if (own.cacheInfo !== undefined) entry.cacheInfo = ages(own.cacheInfo)
  return entry
}
