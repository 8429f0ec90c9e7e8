/**
 * netkit: the kernel's device of that name, a pair whose ends run BPF programs on what is sent (Linux 6.7; linux/if_link.h,
 * IFLA_NETKIT_…). They are made by `createNetkit`.
 */
import { attributeU32, boolean8, words } from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AnyTable, type AttributesOf, attributes } from '../../netlink/table.js'
import { nestedLink } from '../link-attributes.js'
import { defineKind } from './registry.js'

const policies = headerWords('NETKIT_', { pass: 0, drop: 2 })
const modes = headerWords('NETKIT_', { l2: 0, l3: 1 })
const scrubbings = headerWords('NETKIT_SCRUB_', { none: 0, default: 1 })

export const netkitAttributes = attributes({
  peer: [1, 'IFLA_NETKIT_PEER_INFO', nestedLink],
  /** True of the end that was made first, through which alone the options can be changed. */
  primary: [2, 'IFLA_NETKIT_PRIMARY', boolean8],
  /** What becomes of packets that this end sends when no BPF program is attached to it. Default 'pass'. */
  policy: [3, 'IFLA_NETKIT_POLICY', words(attributeU32, policies)],
  /** The same of the other end. */
  peerPolicy: [4, 'IFLA_NETKIT_PEER_POLICY', words(attributeU32, policies)],
  /** 'l3' (default) carries IP packets, without ARP; 'l2' Ethernet frames. Of both ends; stays. */
  mode: [5, 'IFLA_NETKIT_MODE', words(attributeU32, modes)],
  /** Whether mark and priority of a packet that comes from the other end are cleared: 'default' does. Linux 6.13. Stays. */
  scrub: [6, 'IFLA_NETKIT_SCRUB', words(attributeU32, scrubbings)],
  /** The same of the other end. */
  peerScrub: [7, 'IFLA_NETKIT_PEER_SCRUB', words(attributeU32, scrubbings)],
})

const readOnly = ['peer', 'primary'] as const

/** What an end of a netkit pair tells of itself. */
export type NetkitState = AttributesOf<typeof netkitAttributes>

/** The options of a netkit pair. The policies can be changed, through the primary end. */
export type NetkitOptions = Omit<NetkitState, (typeof readOnly)[number]>

declare module './registry.js' {
  interface LinkKinds {
    netkit: NetkitOptions
  }
  interface LinkKindStates {
    netkit: NetkitState
  }
}

defineKind({
  kind: 'netkit',
  options: netkitAttributes as unknown as AnyTable,
  readOnly,
  fixed: ['mode', 'scrub', 'peerScrub'],
  maker: 'has two ends: use createNetkit',
  kernel: { config: 'CONFIG_NETKIT' },
})
