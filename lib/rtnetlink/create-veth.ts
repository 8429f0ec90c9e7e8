/** veth pairs: two links joined like the ends of a cable (veth(4)). */
import { makePair } from './create-pair.js'
import type { Link } from './link.js'
import type { NewLink } from './link-options.js'

/**
 * Creates a veth pair; one request makes both ends where they belong. Each end has its own options, namespace included; the
 * second end is made where the first is, unless it has one.
 *
 * @throws as `createLink`; needs CAP_NET_ADMIN in both namespaces. A failure leaves neither end.
 */
export async function createVeth(
  left: NewLink,
  right: NewLink = {},
): Promise<[left: Link<'veth'>, right: Link<'veth'>]> {
  return makePair({ kind: 'veth', ends: ['left', 'right'] }, left, right)
}
