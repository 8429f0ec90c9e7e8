/**
 * macvlan: links with MAC addresses of their own on one link, and macvtap: the same with a character device for a hypervisor
 * (ip-link(8), "MACVLAN and MACVTAP Type Support"; linux/if_link.h, IFLA_MACVLAN_…).
 */
import {
  attributeS32,
  attributeU16,
  attributeU32,
  hardwareAddress,
  mapped,
  repeated,
  words,
} from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AnyTable, type AttributesOf, attributes, nested } from '../../netlink/table.js'
import { valueError } from '../../validate.js'
import { normalMac } from '../../values/mac.js'
import type { LinkReference } from '../link-options.js'
import { flags } from './flags.js'
import { defineKind, type Kind } from './registry.js'

const modes = headerWords(
  'MACVLAN_MODE_',
  { private: 1, vepa: 2, bridge: 4, passthrough: 8, source: 16 },
  { passthrough: 'MACVLAN_MODE_PASSTHRU' },
)

/** What is done with the addresses that are given along (source mode). */
const listChanges = headerWords(
  'MACVLAN_MACADDR_',
  { add: 0, remove: 1, flush: 2, set: 3 },
  { remove: 'MACVLAN_MACADDR_DEL' },
)

const flagBits = headerWords(
  'MACVLAN_FLAG_',
  { noPromiscuous: 1, noDestination: 2 },
  { noPromiscuous: 'MACVLAN_FLAG_NOPROMISC', noDestination: 'MACVLAN_FLAG_NODST' },
)

/** Within IFLA_MACVLAN_MACADDR_DATA. */
const addressList = attributes({
  addresses: [4, 'IFLA_MACVLAN_MACADDR', repeated(hardwareAddress)],
})

export const macvlanAttributes = attributes({
  /**
   * Whom of the same parent it reaches: 'private' nobody, 'vepa' (default) others through a switch that sends back, 'bridge'
   * others at once; 'passthrough' is the only one, and takes the parent over; 'source' gets frames from `macAddresses` only.
   */
  mode: [1, 'IFLA_MACVLAN_MODE', words(attributeU32, modes)],
  /**
   * `noPromiscuous`: a passthrough does not make its parent promiscuous. `noDestination`: a source macvlan gets each frame in
   * place of the one that it is addressed to. What is not given is off.
   */
  flags: [2, 'IFLA_MACVLAN_FLAGS', flags(attributeU16, flagBits)],
  change: [3, 'IFLA_MACVLAN_MACADDR_MODE', words(attributeU32, listChanges)],
  changed: [4, 'IFLA_MACVLAN_MACADDR', hardwareAddress],
  /** Of mode 'source': the senders whose frames it gets, all of them. */
  macAddresses: [
    5,
    'IFLA_MACVLAN_MACADDR_DATA',
    mapped(
      nested(addressList),
      ({ addresses = [] }) => addresses,
      (addresses) => ({ addresses }),
    ),
  ],
  macAddressCount: [6, 'IFLA_MACVLAN_MACADDR_COUNT', attributeU32],
  /** Broadcast and multicast frames that may wait to be copied, for all links of the parent: the largest that one asks for. Default 1000. */
  broadcastQueueLength: [7, 'IFLA_MACVLAN_BC_QUEUE_LEN', attributeU32],
  /** What is in force of it. */
  broadcastQueueLengthUsed: [8, 'IFLA_MACVLAN_BC_QUEUE_LEN_USED', attributeU32],
  /** Multicast to fewer links than this is copied at once, not queued. Linux 6.4. Default 1. */
  broadcastCutoff: [9, 'IFLA_MACVLAN_BC_CUTOFF', attributeS32],
})

const readOnly = ['change', 'changed', 'macAddressCount', 'broadcastQueueLengthUsed'] as const

/** What a macvlan or macvtap tells of itself. */
export type MacvlanState = AttributesOf<typeof macvlanAttributes>

/** A macvlan's or macvtap's own options. */
export type MacvlanOptions = Omit<MacvlanState, (typeof readOnly)[number]>

const shared: Omit<Kind, 'kind'> = {
  options: macvlanAttributes as unknown as AnyTable,
  readOnly,
  parent: 'required',
  check({ mode, macAddresses }, path, creating) {
    if (creating && macAddresses !== undefined && mode !== 'source' && mode !== modes.source) {
      throw valueError(`${path}.macAddresses`, macAddresses, "goes with mode 'source'")
    }
  },
  complete: (options) => (options.macAddresses === undefined ? { ...options } : { ...options, change: 'set' }),
  isAsAsked(key, wanted, known) {
    if (key === 'change') return true
    if (key !== 'macAddresses') return undefined
    const [want, have] = [wanted as string[], (known.macAddresses ?? []) as string[]]
    return new Set(want.map(normalMac)).size === have.length && want.every((mac) => have.includes(normalMac(mac)))
  },
}

declare module './registry.js' {
  interface LinkKinds {
    macvlan: MacvlanOptions
    macvtap: MacvlanOptions
  }
  interface LinkKindStates {
    macvlan: MacvlanState
    macvtap: MacvlanState
  }
  interface LinkKindNeeds {
    macvlan: { parent: LinkReference }
    macvtap: { parent: LinkReference }
  }
}

defineKind({ ...shared, kind: 'macvlan', kernel: { config: 'CONFIG_MACVLAN', module: 'macvlan' } })
defineKind({ ...shared, kind: 'macvtap', kernel: { config: 'CONFIG_MACVTAP', module: 'macvtap' } })
