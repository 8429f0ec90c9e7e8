/** The messages of traffic control: RTM_NEWQDISC, RTM_NEWTCLASS, RTM_NEWTFILTER and their like (linux/rtnetlink.h, TCA_…). */
import { attributeU8, attributeU32, binary, flag, text } from '../../netlink/attribute.js'
import { MessageDefinition } from '../../netlink/message.js'
import { Struct, s32, u8, u16, u32 } from '../../netlink/struct.js'
import { attributes, nested } from '../../netlink/table.js'
import { classKinds, filterKinds, type KindRegistry, qdiscKinds } from './kinds.js'
import { statisticsAttributes } from './statistics.js'

export const tcmsg = new Struct('tcmsg', {
  family: ['tcm_family', u8],
  padding1: ['tcm__pad1', u8],
  padding2: ['tcm__pad2', u16],
  index: ['tcm_ifindex', s32],
  handle: ['tcm_handle', u32],
  parent: ['tcm_parent', u32],
  info: ['tcm_info', u32],
})

/** Kernels name the kind before its options, and so do we: the options' table depends on it. */
const tableFor = (kinds: KindRegistry) =>
  attributes({
    kind: [1, 'TCA_KIND', text],
    options: [2, 'TCA_OPTIONS', kinds.wire],
    oldStatistics: [3, 'TCA_STATS', binary],
    ownStatistics: [4, 'TCA_XSTATS', binary],
    estimator: [5, 'TCA_RATE', binary],
    filterCount: [6, 'TCA_FCNT', binary],
    statistics: [7, 'TCA_STATS2', nested(statisticsAttributes)],
    sizeTable: [8, 'TCA_STAB', binary],
    padding: [9, 'TCA_PAD', binary],
    dumpInvisible: [10, 'TCA_DUMP_INVISIBLE', flag],
    chain: [11, 'TCA_CHAIN', attributeU32],
    offloaded: [12, 'TCA_HW_OFFLOAD', attributeU8],
    ingressBlock: [13, 'TCA_INGRESS_BLOCK', attributeU32],
    egressBlock: [14, 'TCA_EGRESS_BLOCK', attributeU32],
    dumpFlags: [15, 'TCA_DUMP_FLAGS', binary],
    warning: [16, 'TCA_EXT_WARN_MSG', text],
  })

export const qdiscMessage = new MessageDefinition(tcmsg, tableFor(qdiscKinds))
export const classMessage = new MessageDefinition(tcmsg, tableFor(classKinds))
export const filterMessage = new MessageDefinition(tcmsg, tableFor(filterKinds))
