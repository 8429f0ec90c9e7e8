/** tun: taps and tuns, as rtnetlink tells of them (linux/if_link.h, IFLA_TUN_…). They are made by `openTap` and `openTun`. */
import { attributeU8, attributeU32, boolean8, words } from '../../netlink/attribute.js'
import { headerWords } from '../../netlink/header-words.js'
import { type AnyTable, attributes } from '../../netlink/table.js'
import { defineKind } from './registry.js'

/** IFF_TUN and IFF_TAP of linux/if_tun.h. */
const modes = headerWords('IFF_', { tun: 1, tap: 2 })

export const tunAttributes = attributes({
  owner: [1, 'IFLA_TUN_OWNER', attributeU32],
  group: [2, 'IFLA_TUN_GROUP', attributeU32],
  mode: [3, 'IFLA_TUN_TYPE', words(attributeU8, modes)],
  packetInfo: [4, 'IFLA_TUN_PI', boolean8],
  virtioHeader: [5, 'IFLA_TUN_VNET_HDR', boolean8],
  persist: [6, 'IFLA_TUN_PERSIST', boolean8],
  multiQueue: [7, 'IFLA_TUN_MULTI_QUEUE', boolean8],
  queues: [8, 'IFLA_TUN_NUM_QUEUES', attributeU32],
  disabledQueues: [9, 'IFLA_TUN_NUM_DISABLED_QUEUES', attributeU32],
})

// Nothing of it can be set through rtnetlink: the kernel's ioctls do (TUNSETIFF, TUNSETOWNER …).
defineKind({
  kind: 'tun',
  options: tunAttributes as unknown as AnyTable,
  maker: 'is made through /dev/net/tun: use openTap or openTun',
  kernel: { config: 'CONFIG_TUN', module: 'tun' },
  readOnly: tunAttributes.attributes.map(({ key }) => key),
})
