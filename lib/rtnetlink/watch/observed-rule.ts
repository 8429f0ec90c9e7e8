/** Rules and nexthop objects, as a watch sees them. */
import { rtnetlinkConstants } from '../constants.js'
import { type NexthopObject, nexthopMessage, readNexthopObject } from '../nexthop.js'
import { type Rule, readRule, ruleMessage } from '../rule.js'
import { type Observed, sameBut } from './observed.js'
import { linkState } from './observed-link.js'

const { RTM_NEWRULE, RTM_DELRULE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE } = rtnetlinkConstants
const { RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTNLGRP_NEXTHOP } = rtnetlinkConstants

/** A rule is all that it says: it cannot be changed, and its flags follow the links that it names. */
function ruleKey({ flags: _, ...rule }: Rule): string {
  const said = Object.entries(rule).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(said, (__, value) => (typeof value === 'bigint' ? String(value) : value))
}

export const observedRule: Observed<Rule> = {
  object: 'rule',
  groups: [RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE],
  there: RTM_NEWRULE,
  gone: RTM_DELRULE,
  list: (namespace) => namespace.rules.stream(),
  read: (_, message) => readRule(ruleMessage.decode(message)),
  key: ruleKey,
  same: () => true,
}

export const observedNexthop: Observed<NexthopObject> = {
  object: 'nexthop',
  groups: [RTNLGRP_NEXTHOP],
  there: RTM_NEWNEXTHOP,
  gone: RTM_DELNEXTHOP,
  needs: ['link'],
  list: (namespace) => namespace.nexthops.stream(),
  read: (_, message) => readNexthopObject(nexthopMessage.decode(message)),
  placesOf: ({ index }) => (index === undefined ? [] : [index]),
  key: ({ id }) => String(id),
  same: (a, b) => sameBut(a, b, ['unbalancedTime']),
  /** Those of a link that goes down or away go without a word, and groups lose them (nexthop_flush_dev in net/ipv4/nexthop.c). */
  after(rows, { object, change }) {
    if (object !== 'link' || change.type === 'added') return undefined
    if (change.type === 'changed' && linkState(change.row) === linkState(change.previous)) return undefined
    const { index } = change.row as { index: number }
    return rows.has(index) ? { changes: [], unsure: { name: 'all', has: () => true } } : undefined
  },
}
