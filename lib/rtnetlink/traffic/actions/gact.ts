/** gact: a verdict alone, always or by chance (linux/tc_act/tc_gact.h). */
import { binary, structure } from '../../../netlink/attribute.js'
import { headerWords } from '../../../netlink/header-words.js'
import { Struct, s32, u16 } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { checkOneOf, checkOptions } from '../../../validate.js'
import { checkVerdict, genericMembers, readVerdict, type Verdict } from '../action.js'
import { actionKinds } from '../kinds.js'
import { checkCount } from '../units.js'

export const gactParameters = new Struct('tc_gact', genericMembers)

export const gactChance = new Struct('tc_gact_p', {
  type: ['ptype', u16],
  value: ['pval', u16],
  action: ['paction', s32],
})

export const gactAttributes = attributes({
  times: [1, 'TCA_GACT_TM', binary],
  parameters: [2, 'TCA_GACT_PARMS', structure(gactParameters)],
  chance: [3, 'TCA_GACT_PROB', structure(gactChance)],
  padding: [4, 'TCA_GACT_PAD', binary],
})

/** By chance ('random'), or by counting ('counted'). */
const chances = headerWords(
  'PGACT_',
  { none: 0, random: 1, counted: 2 },
  { random: 'PGACT_NETRAND', counted: 'PGACT_DETERM' },
)

export interface GactOptions {
  action: Verdict
  /** Another verdict for one packet of `each` (1 to 10,000): by chance, or each such one by counting. */
  random?: { type: 'random' | 'counted'; each: number; action: Verdict }
}

declare module '../action.js' {
  interface ActionKinds {
    gact: GactOptions
  }
}

actionKinds.define({
  kind: 'gact',
  wire: nested(gactAttributes),
  keys: ['action', 'random'],
  toWire({ action, random }: GactOptions, name): AttributesOf<typeof gactAttributes> {
    const parameters = {
      index: 0,
      capabilities: 0,
      action: checkVerdict(action, `${name}.action`),
      references: 0,
      bindings: 0,
    }
    if (random === undefined) return { parameters }
    checkOptions(random, `${name}.random`, ['type', 'each', 'action'])
    checkOneOf(random.type, `${name}.random.type`, ['random', 'counted'])
    return {
      parameters,
      chance: {
        type: chances[random.type],
        value: checkCount(random.each, `${name}.random.each`, 1, 10_000),
        action: checkVerdict(random.action, `${name}.random.action`),
      },
    }
  },
  fromWire({ parameters, chance }) {
    const action = readVerdict(parameters?.action ?? 0)
    if (chance === undefined || chance.type === chances.none) return { index: parameters?.index, action }
    const type = chance.type === chances.random ? 'random' : 'counted'
    return {
      index: parameters?.index,
      action,
      random: { type, each: chance.value, action: readVerdict(chance.action) },
    }
  },
})
