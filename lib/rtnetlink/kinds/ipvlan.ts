/**
 * ipvlan: links with IP addresses of their own and one link's MAC address, and ipvtap: the same with a character device for a
 * hypervisor (ip-link(8), "IPVLAN Type Support"; Documentation/networking/ipvlan.rst; linux/if_link.h, IFLA_IPVLAN_…).
 */
import { attributeU16, words } from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AnyTable, type AttributesOf, attributes } from '../../netlink/table.js'
import { valueError } from '../../validate.js'
import type { LinkReference } from '../link-options.js'
import { flags } from './flags.js'
import { defineKind, type Kind } from './registry.js'

const modes = headerWords('IPVLAN_MODE_', { l2: 0, l3: 1, l3s: 2 })
const flagBits = headerWords('IPVLAN_F_', { private: 1, vepa: 2 })

export const ipvlanAttributes = attributes({
  /**
   * 'l2' has ARP and broadcasts, 'l3' (default) routes in the parent's namespace and has neither, 'l3s' passes the firewall of
   * the parent's namespace too. All links of a parent have the same: changing one changes all.
   */
  mode: [1, 'IFLA_IPVLAN_MODE', words(attributeU16, modes)],
  /**
   * `private`: links of the same parent do not reach each other. `vepa`: they do through a switch that sends back. Without
   * either (default) at once. What is not given is off; they are those of the parent, as the mode is.
   */
  flags: [2, 'IFLA_IPVLAN_FLAGS', flags(attributeU16, flagBits)],
})

/** An ipvlan's or ipvtap's own options. */
export type IpvlanOptions = AttributesOf<typeof ipvlanAttributes>

const shared: Omit<Kind, 'kind'> = {
  options: ipvlanAttributes as unknown as AnyTable,
  parent: 'required',
  check({ flags: given }, path) {
    const { private: isPrivate, vepa } = (given ?? {}) as { private?: boolean; vepa?: boolean }
    if (isPrivate && vepa) throw valueError(`${path}.flags`, given, 'can be private or vepa, not both')
  },
}

declare module './registry.js' {
  interface LinkKinds {
    ipvlan: IpvlanOptions
    ipvtap: IpvlanOptions
  }
  interface LinkKindNeeds {
    ipvlan: { parent: LinkReference }
    ipvtap: { parent: LinkReference }
  }
}

defineKind({ ...shared, kind: 'ipvlan', kernel: { config: 'CONFIG_IPVLAN', module: 'ipvlan' } })
defineKind({ ...shared, kind: 'ipvtap', kernel: { config: 'CONFIG_IPVTAP', module: 'ipvtap' } })
