/** Listing neighbors and proxies: the question, and which of the answers are meant. */
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import type { Message } from '../netlink/message.js'
import { checkOptions } from '../validate.js'
import { AF_INET, AF_INET6, AF_UNSPEC, checkIp, formatIp } from '../values/ip.js'
import { indexIfGiven } from './link-lookup.js'
import { isIpNeighbor, type Neighbor, neighborMessage, readNeighbor } from './neighbor.js'
import {
  checkFamily,
  checkHardwareAddress,
  type NeighborFilter,
  neighborFilterKeys,
  stateBits,
} from './neighbor-options.js'
import { checkProtocol, protocolNumber } from './route-options.js'
import type { Ask } from './talk.js'

export type NeighborAsk = Ask<typeof neighborMessage.header, typeof neighborMessage.table>

/** What lists neighbors: the question, and how its answers are read. */
interface Listing {
  question: NeighborAsk
  read(message: Message): Neighbor | undefined
}

/** The question for a list. Where a link's name must be looked up first, a promise. */
export async function neighborListing(
  namespace: Namespace,
  filter: NeighborFilter,
  flags: number,
  what: string,
): Promise<Listing> {
  checkOptions(filter, 'filter', neighborFilterKeys)
  checkFamily(filter.family, 'filter.family')
  if (filter.protocol !== undefined) checkProtocol(filter.protocol, 'filter.protocol')
  const address = filter.address === undefined ? undefined : formatIp(checkIp(filter.address, 'filter.address'))
  const mac = filter.mac === undefined ? undefined : checkHardwareAddress(filter.mac, 'filter.mac')
  const states = filter.state === undefined ? undefined : [filter.state].flat()
  const bits = states?.map((state, i) =>
    stateBits(state, Array.isArray(filter.state) ? `filter.state[${i}]` : 'filter.state'),
  )
  const protocol = filter.protocol === undefined ? undefined : protocolNumber(filter.protocol)
  const found = indexIfGiven(namespace, filter.link, 'filter.link')
  const foundMaster = indexIfGiven(namespace, filter.master, 'filter.master')
  const index = typeof found === 'object' ? await found : found
  const master = typeof foundMaster === 'object' ? await foundMaster : foundMaster
  const six = filter.family === undefined ? address?.includes(':') : filter.family === 'inet6'
  const family = six === undefined ? AF_UNSPEC : six ? AF_INET6 : AF_INET
  return {
    question: {
      definition: neighborMessage,
      request: 'RTM_GETNEIGH',
      header: { family, flags },
      attributes: { link: index, master },
      what: `cannot list the ${what} of ${labelOf(namespace)}`,
    },
    read(message) {
      if (!isIpNeighbor(message)) return undefined
      const decoded = neighborMessage.decode(message)
      const { header, attributes: own } = decoded
      const isMeant =
        (family === AF_UNSPEC || header.family === family) &&
        (index === undefined || header.index === index) &&
        (address === undefined || own.destination === address) &&
        (mac === undefined || own.mac === mac) &&
        (bits === undefined || bits.some((bit) => (bit === 0 ? header.state === 0 : (header.state & bit) !== 0))) &&
        (protocol === undefined || (own.protocol ?? 0) === protocol)
      return isMeant ? readNeighbor(decoded) : undefined
    },
  }
}
