/**
 * hsr: two links as one, on which each frame goes both ways (IEC 62439-3: HSR rings, PRP; ip-link(8), "HSR Type Support";
 * linux/if_link.h, IFLA_HSR_…).
 */
import { attributeU8, attributeU16, attributeU32, hardwareAddress, words } from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AnyTable, type AttributesOf, attributes } from '../../netlink/table.js'
import { parseMac } from '../../values/mac.js'
import type { LinkReference } from '../link-options.js'
import { defineKind, type LinksIn } from './registry.js'

const protocols = headerWords('HSR_PROTOCOL_', { hsr: 0, prp: 1 })

export const hsrAttributes = attributes({
  /** The two links. Must be given. Read as their indexes. */
  port1: [1, 'IFLA_HSR_SLAVE1', attributeU32],
  port2: [2, 'IFLA_HSR_SLAVE2', attributeU32],
  /** Last octet of the address that supervision frames go to, 01:15:4e:00:01:xx. Default 0. Read in `supervisionAddress`. */
  multicastSpecifier: [3, 'IFLA_HSR_MULTICAST_SPEC', attributeU8],
  supervisionAddress: [4, 'IFLA_HSR_SUPERVISION_ADDR', hardwareAddress],
  sequenceNumber: [5, 'IFLA_HSR_SEQ_NR', attributeU16],
  /** 0 for the standard of 2010 (default), 1 for that of 2012. The kernel does not tell it. */
  version: [6, 'IFLA_HSR_VERSION', attributeU8],
  /** 'hsr' (default) or 'prp'. */
  protocol: [7, 'IFLA_HSR_PROTOCOL', words(attributeU8, protocols)],
})

const readOnly = ['supervisionAddress', 'sequenceNumber'] as const

/** What an HSR link tells of itself. */
export type HsrState = AttributesOf<typeof hsrAttributes>

/** An HSR link's own options. They stay as they were when the link was made. */
export type HsrOptions = LinksIn<Omit<HsrState, (typeof readOnly)[number]>, 'port1' | 'port2'>

declare module './registry.js' {
  interface LinkKinds {
    hsr: HsrOptions
  }
  interface LinkKindStates {
    hsr: HsrState
  }
  interface LinkKindNeeds {
    hsr: { port1: LinkReference; port2: LinkReference }
  }
}

const link = "a Link, a link's name or its index"

defineKind({
  kind: 'hsr',
  options: hsrAttributes as unknown as AnyTable,
  readOnly,
  links: ['port1', 'port2'],
  required: { port1: link, port2: link },
  fixed: ['port1', 'port2', 'multicastSpecifier', 'version', 'protocol'],
  kernel: { config: 'CONFIG_HSR', module: 'hsr' },
  isAsAsked(key, wanted, known) {
    if (key === 'version') return true
    if (key !== 'multicastSpecifier') return undefined
    return parseMac(String(known.supervisionAddress))?.[5] === wanted
  },
})
