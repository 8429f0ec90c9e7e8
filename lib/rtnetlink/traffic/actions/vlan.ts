/** vlan: puts a VLAN tag on a packet, takes it off, or changes it (tc-vlan(8); linux/tc_act/tc_vlan.h). */
import { attributeBe16, attributeU8, attributeU16, binary, structure, words } from '../../../netlink/attribute.js'
import { headerWords } from '../../../netlink/header-words.js'
import { Struct, s32 } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { checkOneOf, valueError } from '../../../validate.js'
import { checkVerdict, genericMembers, readVerdict, type Verdict } from '../action.js'
import { actionKinds } from '../kinds.js'
import { checkCount } from '../units.js'

export const vlanParameters = new Struct('tc_vlan', { ...genericMembers, way: ['v_action', s32] })

const tagTypes = headerWords(
  'ETH_P_',
  { '802.1q': 0x8100, '802.1ad': 0x88a8 },
  { '802.1q': 'ETH_P_8021Q', '802.1ad': 'ETH_P_8021AD' },
)

export const vlanActionAttributes = attributes({
  times: [1, 'TCA_VLAN_TM', binary],
  parameters: [2, 'TCA_VLAN_PARMS', structure(vlanParameters)],
  id: [3, 'TCA_VLAN_PUSH_VLAN_ID', attributeU16],
  protocol: [4, 'TCA_VLAN_PUSH_VLAN_PROTOCOL', words(attributeBe16, tagTypes)],
  padding: [5, 'TCA_VLAN_PAD', binary],
  priority: [6, 'TCA_VLAN_PUSH_VLAN_PRIORITY', attributeU8],
  destinationMac: [7, 'TCA_VLAN_PUSH_ETH_DST', binary],
  sourceMac: [8, 'TCA_VLAN_PUSH_ETH_SRC', binary],
})

const ways = headerWords('TCA_VLAN_ACT_', { pop: 1, push: 2, modify: 3 })

export interface VlanActionOptions {
  action: 'push' | 'pop' | 'modify'
  /** The VLAN, 0 to 4095; for 'push' and 'modify'. */
  id?: number
  /** 0 to 7. Default: 0 for 'push', the same as before for 'modify'. */
  priority?: number
  /** Default: '802.1q'. */
  protocol?: keyof typeof tagTypes
  /** What becomes of the packet then. Default: 'pipe'. */
  verdict?: Verdict
}

declare module '../action.js' {
  interface ActionKinds {
    vlan: VlanActionOptions
  }
}

actionKinds.define({
  kind: 'vlan',
  wire: nested(vlanActionAttributes),
  keys: ['action', 'id', 'priority', 'protocol', 'verdict'],
  toWire(options: VlanActionOptions, name): AttributesOf<typeof vlanActionAttributes> {
    const { action, id, priority, protocol, verdict = 'pipe' } = options
    checkOneOf(action, `${name}.action`, ['push', 'pop', 'modify'])
    if (action === 'pop') {
      for (const key of ['id', 'priority', 'protocol'] as const) {
        if (options[key] !== undefined) throw valueError(`${name}.${key}`, options[key], "does not go with 'pop'")
      }
    } else checkCount(id, `${name}.id`, 0, 4095)
    if (priority !== undefined) checkCount(priority, `${name}.priority`, 0, 7)
    if (protocol !== undefined)
      checkOneOf(protocol, `${name}.protocol`, Object.keys(tagTypes) as (keyof typeof tagTypes)[])
    return {
      parameters: {
        index: 0,
        capabilities: 0,
        action: checkVerdict(verdict, `${name}.verdict`),
        references: 0,
        bindings: 0,
        way: ways[action],
      },
      id,
      protocol,
      priority,
    }
  },
  fromWire({ parameters, id, protocol, priority }) {
    const action = Object.entries(ways).find(([, number]) => number === parameters?.way)?.[0] ?? parameters?.way
    return {
      index: parameters?.index,
      action,
      ...(id === undefined ? {} : { id }),
      ...(priority === undefined ? {} : { priority }),
      ...(protocol === undefined ? {} : { protocol }),
      verdict: readVerdict(parameters?.action ?? 0),
    }
  },
})
