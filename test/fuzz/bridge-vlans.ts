/** VLANs of bridges: RTM_NEWVLAN, what asks for them, and a bridge's own RTM_NEWLINK. */
import {
  bridgeLinkMessage,
  readBridgeVlanGlobals,
  readBridgeVlans,
  vlanDumpMessage,
  vlanMessage,
} from '../../dist/rtnetlink/bridge-vlan.js'
import { messageTarget } from './target.js'

export const targets = [
  messageTarget('bridge-vlans', vlanMessage, (decoded) => [readBridgeVlans(decoded), readBridgeVlanGlobals(decoded)]),
  messageTarget('bridge-vlan-dumps', vlanDumpMessage),
  messageTarget('bridge-links', bridgeLinkMessage),
]
