/** skbedit: changes what goes with a packet inside the kernel (tc-skbedit(8); linux/tc_act/tc_skbedit.h). */
import { attributeU16, attributeU32, binary, structure } from '../../../netlink/attribute.js'
import { Struct } from '../../../netlink/struct.js'
import { type AttributesOf, attributes, nested } from '../../../netlink/table.js'
import { typeError } from '../../../validate.js'
import { checkVerdict, genericMembers, readVerdict, type Verdict } from '../action.js'
import { checkParent, formatHandle } from '../handles.js'
import { actionKinds } from '../kinds.js'
import { checkCount, number64 } from '../units.js'

export const skbeditParameters = new Struct('tc_skbedit', genericMembers)

export const skbeditAttributes = attributes({
  times: [1, 'TCA_SKBEDIT_TM', binary],
  parameters: [2, 'TCA_SKBEDIT_PARMS', structure(skbeditParameters)],
  priority: [3, 'TCA_SKBEDIT_PRIORITY', attributeU32],
  queue: [4, 'TCA_SKBEDIT_QUEUE_MAPPING', attributeU16],
  mark: [5, 'TCA_SKBEDIT_MARK', attributeU32],
  padding: [6, 'TCA_SKBEDIT_PAD', binary],
  packetType: [7, 'TCA_SKBEDIT_PTYPE', attributeU16],
  markMask: [8, 'TCA_SKBEDIT_MASK', attributeU32],
  flags: [9, 'TCA_SKBEDIT_FLAGS', number64],
  lastQueue: [10, 'TCA_SKBEDIT_QUEUE_MAPPING_MAX', attributeU16],
})

export interface SkbeditOptions {
  /** The packet's mark (SO_MARK). */
  mark?: number
  /** Which bits of the mark are set. Default: all. */
  markMask?: number
  /** The packet's priority: a class such as '1:10', or a number; read as a class. */
  priority?: string | number
  /** The queue of the device that it leaves by. Newer kernels refuse it at ingress (EOPNOTSUPP) but for work in hardware. */
  queue?: number
  /** What becomes of the packet then. Default: 'pipe'. */
  verdict?: Verdict
}

declare module '../action.js' {
  interface ActionKinds {
    skbedit: SkbeditOptions
  }
}

actionKinds.define({
  kind: 'skbedit',
  wire: nested(skbeditAttributes),
  keys: ['mark', 'markMask', 'priority', 'queue', 'verdict'],
  toWire(
    { mark, markMask, priority, queue, verdict = 'pipe' }: SkbeditOptions,
    name,
  ): AttributesOf<typeof skbeditAttributes> {
    if (mark === undefined && priority === undefined && queue === undefined) {
      throw typeError(`${name}.mark`, 'a number, where there is neither priority nor queue', mark)
    }
    const isText = typeof priority === 'string'
    return {
      parameters: {
        index: 0,
        capabilities: 0,
        action: checkVerdict(verdict, `${name}.verdict`),
        references: 0,
        bindings: 0,
      },
      priority:
        priority === undefined
          ? undefined
          : isText
            ? checkParent(priority, `${name}.priority`)
            : checkCount(priority, `${name}.priority`),
      queue: queue === undefined ? undefined : checkCount(queue, `${name}.queue`, 0, 0xffff),
      mark: mark === undefined ? undefined : checkCount(mark, `${name}.mark`),
      markMask: markMask === undefined ? undefined : checkCount(markMask, `${name}.markMask`),
    }
  },
  fromWire({ parameters, mark, markMask, priority, queue }) {
    return {
      index: parameters?.index,
      ...(mark === undefined ? {} : { mark }),
      ...(markMask === undefined || markMask === 0xffff_ffff ? {} : { markMask }),
      ...(priority === undefined ? {} : { priority: formatHandle(priority) }),
      ...(queue === undefined ? {} : { queue }),
      verdict: readVerdict(parameters?.action ?? 0),
    }
  },
})
