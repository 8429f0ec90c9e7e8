/** What a caller says about VLANs of bridges, and the requests for it. */
import type { AttributesOf } from '../netlink/table.js'
import { checkBoolean, checkInteger, checkOneOf, checkOptions, valueError } from '../validate.js'
import {
  type BridgeVlan,
  bridgeLinkMessage,
  type bridgeSpecAttributes,
  bridgeVlanConstants,
  vlanMessage,
} from './bridge-vlan.js'
import { multicastRouters, portStates } from './kinds/bridge-port.js'
import type { Link } from './link.js'
import { AF_BRIDGE } from './neighbor.js'
import type { Ask } from './talk.js'

const {
  BRIDGE_FLAGS_SELF,
  BRIDGE_VLAN_INFO_ONLY_OPTS,
  BRIDGE_VLAN_INFO_PVID,
  BRIDGE_VLAN_INFO_RANGE_BEGIN,
  BRIDGE_VLAN_INFO_RANGE_END,
  BRIDGE_VLAN_INFO_UNTAGGED,
} = bridgeVlanConstants

/** One VLAN, or a range. */
export interface VlanRange {
  /** 1 to 4094. */
  id: number
  /** The last of a range. */
  to?: number
}

/** Options that a VLAN has at a port or at the bridge itself. */
export interface BridgeVlanOptions {
  /** Its state in the spanning tree. */
  state?: keyof typeof portStates
  multicastRouter?: keyof typeof multicastRouters
  /** Multicast groups that it may have; 0: any number (Linux 6.3). */
  multicastMaxGroups?: number
  /** The bridge answers ARP and neighbor discovery (Linux 6.4; needs the port's `neighborVlanSuppression`). */
  neighborSuppression?: boolean
}

/** New VLANs of a port or of the bridge itself (bridge(8), "vlan"). */
export interface NewBridgeVlan extends VlanRange, BridgeVlanOptions {
  /** Frames that come without a tag belong to it. One VLAN of a port can have it. */
  pvid?: boolean
  /** Its frames leave without a tag. */
  untagged?: boolean
  /**
   * The VXLAN network that it is carried in; of a range, that of its first VLAN: the others follow. Needs the port's `vlanTunnel`,
   * and a VXLAN with `external`.
   */
  tunnelId?: number
}

const optionKeys = ['state', 'multicastRouter', 'multicastMaxGroups', 'neighborSuppression'] as const
export const bridgeVlanOptionKeys = ['id', 'to', ...optionKeys] as const
const vlanKeys = [...bridgeVlanOptionKeys, 'pvid', 'untagged', 'tunnelId'] as const

/** The range of a row of `list`. */
export function vlanRangeOf(given: VlanRange | BridgeVlan): VlanRange {
  if (typeof given !== 'object' || given === null || !('index' in given)) return given
  return { id: given.id, to: given.to }
}

export function checkVlanRange(range: VlanRange, name: string, keys: readonly string[]): void {
  checkOptions(range, name, keys)
  checkInteger(range.id, `${name}.id`, 1, 4094)
  if (range.to !== undefined) checkInteger(range.to, `${name}.to`, range.id, 4094)
}

function checkVlanOptions(options: BridgeVlanOptions, name: string): void {
  const { state, multicastRouter, multicastMaxGroups, neighborSuppression } = options
  if (state !== undefined) checkOneOf(state, `${name}.state`, Object.keys(portStates))
  if (multicastRouter !== undefined)
    checkOneOf(multicastRouter, `${name}.multicastRouter`, Object.keys(multicastRouters))
  if (multicastMaxGroups !== undefined) checkInteger(multicastMaxGroups, `${name}.multicastMaxGroups`, 0, 0xffff_ffff)
  if (neighborSuppression !== undefined) checkBoolean(neighborSuppression, `${name}.neighborSuppression`)
}

export function checkBridgeVlan(vlan: NewBridgeVlan, name: string): void {
  checkVlanRange(vlan, name, vlanKeys)
  checkVlanOptions(vlan, name)
  for (const key of ['pvid', 'untagged'] as const)
    if (vlan[key] !== undefined) checkBoolean(vlan[key], `${name}.${key}`)
  if (vlan.tunnelId !== undefined) checkInteger(vlan.tunnelId, `${name}.tunnelId`, 1, 0xff_ffff)
  if (vlan.pvid === true && vlan.to !== undefined && vlan.to !== vlan.id) {
    throw valueError(`${name}.pvid`, vlan.pvid, 'is for one VLAN, and this is a range')
  }
}

export function checkBridgeVlanOptions(vlan: VlanRange & BridgeVlanOptions, name: string): void {
  checkVlanRange(vlan, name, bridgeVlanOptionKeys)
  checkVlanOptions(vlan, name)
}

/** Our words for a range: '10' or '10-20'. */
export function rangeText({ id, to = id }: VlanRange): string {
  return to === id ? `${id}` : `${id}-${to}`
}

type Spec = AttributesOf<typeof bridgeSpecAttributes>

/** RTM_SETLINK or RTM_DELLINK of AF_BRIDGE: VLANs, and the networks that they are carried in. */
export function vlanRequest(
  request: 'RTM_SETLINK' | 'RTM_DELLINK',
  link: Link,
  vlan: NewBridgeVlan,
  what: string,
): Ask<typeof bridgeLinkMessage.header, typeof bridgeLinkMessage.table> {
  const { id, to = id, tunnelId } = vlan
  const bits =
    (vlan.pvid === true ? BRIDGE_VLAN_INFO_PVID : 0) | (vlan.untagged === true ? BRIDGE_VLAN_INFO_UNTAGGED : 0)
  const ends = [
    { id, flags: BRIDGE_VLAN_INFO_RANGE_BEGIN },
    { id: to, flags: BRIDGE_VLAN_INFO_RANGE_END },
  ]
  const parts = to === id ? [{ id, flags: 0 }] : ends
  // Of the bridge itself, not of the bridge whose port it is.
  const spec: Spec = { flags: link.kind === 'bridge' ? BRIDGE_FLAGS_SELF : undefined }
  spec.vlans = parts.map((part) => ({ id: part.id, flags: part.flags | bits }))
  if (tunnelId !== undefined) {
    spec.tunnels = parts.map((part) => ({ tunnelId: tunnelId + part.id - id, id: part.id, flags: part.flags }))
  }
  return {
    definition: bridgeLinkMessage,
    request,
    header: { family: AF_BRIDGE, index: link.index },
    attributes: { spec },
    what,
  }
}

/** RTM_NEWVLAN that changes options of VLANs that there are; undefined when no option is given. */
export function vlanOptionsRequest(
  link: Link,
  vlan: VlanRange & BridgeVlanOptions,
  what: string,
): Ask<typeof vlanMessage.header, typeof vlanMessage.table> | undefined {
  const { id, to, state, multicastRouter, multicastMaxGroups, neighborSuppression } = vlan
  if (optionKeys.every((key) => vlan[key] === undefined)) return undefined
  const info = { id, flags: BRIDGE_VLAN_INFO_ONLY_OPTS }
  return {
    definition: vlanMessage,
    request: 'RTM_NEWVLAN',
    header: { family: AF_BRIDGE, index: link.index },
    attributes: {
      entries: [
        {
          info,
          to: to === id ? undefined : to,
          state,
          multicastRouter,
          multicastMaxGroups,
          neighborSuppression,
        },
      ],
    },
    what,
  }
}

/** True when every VLAN of a range is among these, as asked. What is not said is not compared. */
export function areVlansAsAsked(known: readonly BridgeVlan[], wish: NewBridgeVlan): boolean {
  const { id, to = id, tunnelId } = wish
  let next = id
  for (const vlan of [...known].sort((a, b) => a.id - b.id)) {
    const last = vlan.to ?? vlan.id
    if (last < next) continue
    if (next > to || vlan.id > next) break
    const tunnel = tunnelId === undefined ? undefined : tunnelId + next - id
    const isAsAsked =
      (tunnel === undefined || (vlan.tunnelId !== undefined && vlan.tunnelId + next - vlan.id === tunnel)) &&
      (['pvid', 'untagged', ...optionKeys] as const).every((key) => wish[key] === undefined || vlan[key] === wish[key])
    if (!isAsAsked) return false
    next = last + 1
  }
  return next > to
}
