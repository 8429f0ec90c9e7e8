/**
 * Entries of forwarding databases, as a watch sees them: those of bridges and of VXLANs. The addresses that other links listen to
 * by themselves, which `bridge fdb` shows as 'self permanent', are left out: the kernel does not tell of them.
 */
import type { Message } from '../../netlink/message.js'
import { rtnetlinkConstants } from '../constants.js'
import { type FdbEntry, readFdbEntry } from '../fdb-entry.js'
import { AF_BRIDGE, neighborMessage } from '../neighbor.js'
import { goneWithLink, type Observed, sameBut } from './observed.js'

const { RTM_NEWNEIGH, RTM_DELNEIGH, RTNLGRP_NEIGH } = rtnetlinkConstants

const isTold = ({ master, destination, nexthopId }: FdbEntry) =>
  master !== undefined || destination !== undefined || nexthopId !== undefined

async function* listed(rows: AsyncIterable<FdbEntry>): AsyncIterable<FdbEntry> {
  for await (const row of rows) if (isTold(row)) yield row
}

export const observedFdb: Observed<FdbEntry> = {
  object: 'fdb',
  groups: [RTNLGRP_NEIGH],
  there: RTM_NEWNEIGH,
  gone: RTM_DELNEIGH,
  needs: ['link'],
  list: (namespace) => listed(namespace.fdb.stream()),
  read(_, message: Message) {
    if (message.source.view.getUint8(message.start) !== AF_BRIDGE) return undefined
    const entry = readFdbEntry(neighborMessage.decode(message))
    return isTold(entry) ? entry : undefined
  },
  placesOf: ({ index, master }) => (master === undefined || master === index ? [index] : [index, master]),
  // A bridge has an address once, at whatever port; a VXLAN once for each destination.
  key: ({ mac, index, master, vlan, destination, vni, sourceVni }) =>
    `${master === undefined ? `self ${index}` : master} ${mac} ${vlan ?? ''} ${destination ?? ''} ${vni ?? ''} ${sourceVni ?? ''}`,
  same: (a, b) => sameBut(a, b, ['cacheInfo', 'inactive']),
  after: goneWithLink,
}
