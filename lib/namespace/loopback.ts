/** Bringing up `lo` in a new namespace: one RTM_NEWLINK (rtnetlink(7)), so that 127.0.0.1 and ::1 are there. */
import { ifinfomsg } from '../netlink/ifinfomsg.js'
import { MessageDefinition } from '../netlink/message.js'
import { attributes } from '../netlink/table.js'
import { capabilityHint, labelOf, netlinkOf } from './internal.js'
import type { Namespace } from './namespace.js'

const RTM_NEWLINK = 16
/** LOOPBACK_IFINDEX of net/net_namespace.h. */
const LOOPBACK_INDEX = 1
/** net/if.h. */
const IFF_UP = 1

/** The header alone: the attributes of links belong to the layer above. */
const definition = new MessageDefinition(ifinfomsg, attributes({}))

export async function bringUpLoopback(namespace: Namespace): Promise<void> {
  const bytes = definition.encode(RTM_NEWLINK, 0, { index: LOOPBACK_INDEX, flags: IFF_UP, change: IFF_UP }, {})
  const connection = await netlinkOf(namespace)
  await connection.request({
    bytes,
    definition,
    what: `cannot bring up lo in ${labelOf(namespace)}`,
    syscall: 'RTM_NEWLINK',
    hint: () => capabilityHint(namespace, 'CAP_NET_ADMIN'),
  })
}
