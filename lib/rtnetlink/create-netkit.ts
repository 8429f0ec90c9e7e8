/** Pairs of the kernel's netkit devices, and of vxcan: made as those of veth are. */
import { makePair } from './create-pair.js'
import { kindOptions } from './kind-options.js'
import type { NetkitOptions } from './kinds/netkit.js'
import type { Link } from './link.js'
import { type NewLink, newLinkKeys } from './link-options.js'

/**
 * Creates a pair of netkit devices (Linux 6.7): like veth, with BPF programs in place of queues. The options of the pair are
 * given with the primary end, through which alone they can be changed; programs are attached to the primary for both ends.
 * Without options the other end is made where the first is.
 *
 * @throws as `createLink`; needs CAP_NET_ADMIN in both namespaces. A failure leaves neither end.
 */
export async function createNetkit(
  primary: NewLink & NetkitOptions,
  peer: NewLink = {},
): Promise<[primary: Link<'netkit'>, peer: Link<'netkit'>]> {
  const { common, own } = kindOptions('netkit', primary, newLinkKeys, 'primary', true)
  return makePair({ kind: 'netkit', ends: ['primary', 'peer'], data: own }, common, peer)
}

/**
 * Creates a pair of vxcan devices: two CAN interfaces, what is sent on one of which is received on the other, in namespaces
 * of their own. Otherwise as `createVeth`.
 */
export async function createVxcan(
  left: NewLink,
  right: NewLink = {},
): Promise<[left: Link<'vxcan'>, right: Link<'vxcan'>]> {
  return makePair({ kind: 'vxcan', ends: ['left', 'right'] }, left, right)
}
