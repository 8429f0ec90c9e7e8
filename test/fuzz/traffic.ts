/** Traffic control: RTM_NEWQDISC, RTM_NEWTCLASS, RTM_NEWTFILTER, with the options of every kind and actions. */
import { readClass } from '../../dist/rtnetlink/traffic/class.js'
import { readFilter } from '../../dist/rtnetlink/traffic/filter.js'
import { classMessage, filterMessage, qdiscMessage } from '../../dist/rtnetlink/traffic/message.js'
import { readQdisc } from '../../dist/rtnetlink/traffic/qdisc.js'
import { messageTarget } from './target.js'
import '../../dist/index.js'

export const targets = [
  messageTarget('qdiscs', qdiscMessage, readQdisc),
  messageTarget('classes', classMessage, readClass),
  messageTarget('filters', filterMessage, readFilter),
]
