/**
 * Neighbors, as a watch sees them. The kernel tells of each that it learns, loses or is told; not of those that it makes without
 * asking anybody (multicast and broadcast addresses, the loopback's), which are left out, nor of every step between 'stale',
 * 'delay' and 'probe' (net/core/neighbour.c).
 */
import type { Message } from '../../netlink/message.js'
import { rtnetlinkConstants } from '../constants.js'
import { isIpNeighbor, type Neighbor, neighborMessage, readNeighbor } from '../neighbor.js'
import { goneWithLink, type Observed, sameBut } from './observed.js'

const { RTM_NEWNEIGH, RTM_DELNEIGH, RTNLGRP_NEIGH } = rtnetlinkConstants

/** What the kernel has made by itself, without an event. */
function isOwn({ state, type, mac }: Neighbor): boolean {
  return state === 'noarp' && (type !== 'unicast' || mac === undefined || /^(00:)*00$/.test(mac))
}

async function* listed(rows: AsyncIterable<Neighbor>): AsyncIterable<Neighbor> {
  for await (const row of rows) if (!isOwn(row)) yield row
}

export const observedNeighbor: Observed<Neighbor> = {
  object: 'neighbor',
  groups: [RTNLGRP_NEIGH],
  there: RTM_NEWNEIGH,
  gone: RTM_DELNEIGH,
  needs: ['link'],
  list: (namespace) => listed(namespace.neighbors.stream()),
  read(_, message: Message) {
    // The group also has the entries of forwarding databases, and proxies.
    if (!isIpNeighbor(message)) return undefined
    const neighbor = readNeighbor(neighborMessage.decode(message))
    return neighbor.flags.includes('proxy') || isOwn(neighbor) ? undefined : neighbor
  },
  placesOf: ({ index }) => [index],
  key: ({ index, address }) => `${index} ${address}`,
  same: (a, b) => sameBut(a, b, ['cacheInfo', 'probes']),
  after: goneWithLink,
}
