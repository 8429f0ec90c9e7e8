/** mirred: packets, or copies of them, to another link (tc-mirred(8); linux/tc_act/tc_mirred.h). */
import { attributeU32, binary, structure } from '../../../netlink/attribute.js'
import { headerWords } from '../../../netlink/header-words.js'
import { Struct, s32, u32 } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { checkOneOf } from '../../../validate.js'
import type { LinkReference } from '../../link-options.js'
import { checkLinkIndex } from '../../names.js'
import { checkVerdict, genericMembers, readVerdict, type Verdict } from '../action.js'
import { actionKinds } from '../kinds.js'

export const mirredParameters = new Struct('tc_mirred', {
  ...genericMembers,
  way: ['eaction', s32],
  link: ['ifindex', u32],
})

export const mirredAttributes = attributes({
  times: [1, 'TCA_MIRRED_TM', binary],
  parameters: [2, 'TCA_MIRRED_PARMS', structure(mirredParameters)],
  padding: [3, 'TCA_MIRRED_PAD', binary],
  block: [4, 'TCA_MIRRED_BLOCKID', attributeU32],
})

const ways = headerWords(
  'TCA_',
  { 'redirect egress': 1, 'mirror egress': 2, 'redirect ingress': 3, 'mirror ingress': 4 },
  {
    'redirect egress': 'TCA_EGRESS_REDIR',
    'mirror egress': 'TCA_EGRESS_MIRROR',
    'redirect ingress': 'TCA_INGRESS_REDIR',
    'mirror ingress': 'TCA_INGRESS_MIRROR',
  },
)

export interface MirredOptions {
  /** The packet itself ('redirect'), or a copy ('mirror'). */
  action: 'redirect' | 'mirror'
  /** The link, in the same namespace. Read as its index. */
  link: LinkReference
  /** Sent out of the link ('egress'), or as if it had come in there ('ingress'). Default: 'egress'. */
  direction?: 'egress' | 'ingress'
  /** What becomes of the packet then. Default: 'stolen' when it is redirected, 'pipe' when it is mirrored. */
  verdict?: Verdict
}

declare module '../action.js' {
  interface ActionKinds {
    mirred: MirredOptions
  }
}

actionKinds.define({
  kind: 'mirred',
  wire: nested(mirredAttributes),
  keys: ['action', 'link', 'direction', 'verdict'],
  toWire({ action, link, direction = 'egress', verdict }: MirredOptions, name): AttributesOf<typeof mirredAttributes> {
    checkOneOf(action, `${name}.action`, ['redirect', 'mirror'])
    checkOneOf(direction, `${name}.direction`, ['egress', 'ingress'])
    checkLinkIndex(link, `${name}.link`)
    const chosen = verdict ?? (action === 'redirect' ? 'stolen' : 'pipe')
    return {
      parameters: {
        index: 0,
        capabilities: 0,
        action: checkVerdict(chosen, `${name}.verdict`),
        references: 0,
        bindings: 0,
        way: ways[`${action} ${direction}`],
        link,
      },
    }
  },
  fromWire({ parameters, block }) {
    if (parameters === undefined) return {}
    const way = Object.entries(ways).find(([, number]) => number === parameters.way)?.[0] ?? ''
    const [action = parameters.way, direction] = way === '' ? [] : way.split(' ')
    return {
      index: parameters.index,
      action,
      direction,
      link: parameters.link,
      verdict: readVerdict(parameters.action),
      ...(block === undefined ? {} : { block }),
    }
  },
})
