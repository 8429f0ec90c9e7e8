/** Tests of the Ethernet header: MAC addresses, VLAN tags (IEEE 802.1Q), types. */
import { protocols } from '../../rtnetlink/traffic/filter.js'
import { all, any, type Expression, equals, type Load, test } from './expression.js'
import { ancillary } from './instructions.js'
import { besideLoad, load } from './loads.js'

export const ETHERNET_HEADER = 14
/** The bytes of one tag: its type and what it says. */
export const VLAN_TAG = 4
/** The types of tags: those of IEEE 802.1Q and 802.1ad, and the one that was used before the latter. */
export const tagTypes: readonly number[] = [protocols['802.1q'], protocols['802.1ad'], 0x9100]
const ID_BITS = 0xfff

/** What a test needs to know of where it looks. */
export interface Place {
  /** IP packets, without an Ethernet header. */
  readonly layer3: boolean
  /** How many bytes of VLAN tags lie between the MAC addresses and the Ethernet type that is meant. */
  readonly tags: number
}

export interface Tag {
  readonly isTag: Expression
  readonly id: Load
}

/** Where the IP header begins. */
export const ipOffset = ({ layer3, tags }: Place): number => (layer3 ? 0 : ETHERNET_HEADER + tags)

/** Whether a frame is of this type. A tun's packets say it in their version. */
export function typeIs(type: number, place: Place): Expression {
  if (!place.layer3) return equals(load(ETHERNET_HEADER - 2 + place.tags, 2), type)
  return equals(load(0, 1, 0xf0), type === protocols.ip ? 0x40 : 0x60)
}

/** Whether an address is this one. The end of it tells more than its beginning. */
export function macIs(side: 'source' | 'destination', octets: Uint8Array): Expression {
  const at = side === 'source' ? 6 : 0
  const view = new DataView(octets.buffer, octets.byteOffset, 6)
  return all(equals(load(at + 2, 4), view.getUint32(2)), equals(load(at, 2), view.getUint16(0)))
}

/** Whether the destination is a group: the first bit that was sent. */
export const isGroup: Expression = test(load(0, 1), 'BPF_JSET', 1)

/** A tag that lies in the frame, behind so many bytes of others. */
export function tagInside(tags: number): Tag {
  const type = load(ETHERNET_HEADER - 2 + tags, 2)
  return { isTag: any(...tagTypes.map((tag) => equals(type, tag))), id: load(ETHERNET_HEADER + tags, 2, ID_BITS) }
}

/** A tag that the kernel has taken out of the frame, as it does with every frame that comes in by an interface. */
export const tagBeside: Tag = {
  isTag: equals(besideLoad(ancillary.SKF_AD_VLAN_TAG_PRESENT, 1), 1),
  id: besideLoad(ancillary.SKF_AD_VLAN_TAG, 2, ID_BITS),
}
