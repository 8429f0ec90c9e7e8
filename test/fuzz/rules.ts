/** Rules and nexthop objects: RTM_NEWRULE, RTM_NEWNEXTHOP. */
import { nexthopMessage, readNexthopObject } from '../../dist/rtnetlink/nexthop.js'
import { readRule, ruleMessage } from '../../dist/rtnetlink/rule.js'
import { messageTarget } from './target.js'

export const targets = [
  messageTarget('rules', ruleMessage, readRule),
  messageTarget('nexthops', nexthopMessage, readNexthopObject),
]
