/** Actions: what a filter does with a packet (linux/pkt_cls.h, TCA_ACT_…; tc-actions(8)). */
import { type AttributeType, attributeU32, binary, Malformed, text } from '../../netlink/attribute.js'
import { LITTLE_ENDIAN } from '../../netlink/bytes.js'
import { headerConstants, headerWords } from '../../netlink/header-words.js'
import { s32, u32 } from '../../netlink/struct.js'
import { type AttributesOf, attributes, forEachAttribute, NLA_TYPE_MASK, nested } from '../../netlink/table.js'
import { checkInteger, checkOneOf, checkOptions, checkString, typeError, valueError } from '../../validate.js'
import { actionKinds, optionsOfKind, type RawOptions, rawKind } from './kinds.js'
import { readStatistics, statisticsAttributes, type TrafficStatistics } from './statistics.js'
import { checkCount } from './units.js'

/** What becomes of a packet, TC_ACT_…: 'pipe' is on to the next action, 'continue' on to the next filter. */
export const verdicts = headerWords(
  'TC_ACT_',
  {
    continue: -1,
    pass: 0,
    reclassify: 1,
    drop: 2,
    pipe: 3,
    stolen: 4,
    queued: 5,
    repeat: 6,
    redirect: 7,
    trap: 8,
  },
  { continue: 'TC_ACT_UNSPEC', pass: 'TC_ACT_OK', drop: 'TC_ACT_SHOT' },
)

const { TC_ACT_GOTO_CHAIN, TC_ACT_EXT_VAL_MASK, TCA_ACT_MAX_PRIO } = headerConstants({
  TC_ACT_GOTO_CHAIN: 0x2000_0000,
  TC_ACT_EXT_VAL_MASK: 0x0fff_ffff,
  TCA_ACT_MAX_PRIO: 32,
})

export type VerdictName = keyof typeof verdicts

/** A word, or `{ chain: 5 }` for "go on with the filters of chain 5". Numbers that have no word stay numbers. */
export type Verdict = VerdictName | { chain: number } | number

export function checkVerdict(value: unknown, name: string): number {
  if (typeof value === 'number') {
    checkInteger(value, name, -1, 0x7fff_ffff)
    return value
  }
  if (typeof value === 'object' && value !== null) {
    checkOptions(value, name, ['chain'])
    return TC_ACT_GOTO_CHAIN + checkCount((value as { chain: unknown }).chain, `${name}.chain`, 0, TC_ACT_EXT_VAL_MASK)
  }
  checkOneOf(value, name, Object.keys(verdicts) as VerdictName[])
  return verdicts[value]
}

export function readVerdict(number: number): Verdict {
  const word = (Object.keys(verdicts) as VerdictName[]).find((name) => verdicts[name] === number)
  if (word !== undefined) return word
  const isChain = number >>> 28 === TC_ACT_GOTO_CHAIN >>> 28
  return isChain ? { chain: number & TC_ACT_EXT_VAL_MASK } : number
}

/** `tc_gen`: the members that the structs of all actions begin with. */
export const genericMembers = {
  index: ['index', u32],
  capabilities: ['capab', u32],
  action: ['action', s32],
  references: ['refcnt', s32],
  bindings: ['bindcnt', s32],
} as const

export const actionAttributes = attributes({
  kind: [1, 'TCA_ACT_KIND', text],
  options: [2, 'TCA_ACT_OPTIONS', actionKinds.wire],
  index: [3, 'TCA_ACT_INDEX', attributeU32],
  statistics: [4, 'TCA_ACT_STATS', nested(statisticsAttributes)],
  padding: [5, 'TCA_ACT_PAD', binary],
  cookie: [6, 'TCA_ACT_COOKIE', binary],
  flags: [7, 'TCA_ACT_FLAGS', binary],
  hardwareStatistics: [8, 'TCA_ACT_HW_STATS', binary],
  usedHardwareStatistics: [9, 'TCA_ACT_USED_HW_STATS', binary],
  inHardware: [10, 'TCA_ACT_IN_HW_COUNT', attributeU32],
})

export type RawAction = AttributesOf<typeof actionAttributes>

/** A filter's actions, in their order: attributes whose number is the place. */
export const actionList: AttributeType<RawAction[]> = {
  decode(source, start, length) {
    const actions: RawAction[] = []
    forEachAttribute(source, start, start + length, (type, offset, size) => {
      try {
        actions.push(actionAttributes.decode(source, offset, offset + size))
      } catch (error) {
        if (error instanceof Malformed) error.path.unshift(`action ${type & NLA_TYPE_MASK}`)
        throw error
      }
    })
    return actions
  },
  encode(writer, actions) {
    actions.forEach((action, i) => {
      const start = writer.reserve(4)
      actionAttributes.encode(writer, action)
      writer.view.setUint16(start, writer.length - start, LITTLE_ENDIAN)
      writer.view.setUint16(start + 2, i + 1, LITTLE_ENDIAN)
      writer.align()
    })
  },
}

/** The options of each kind of action. Each kind's file adds its own. */
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface ActionKinds {}

export type ActionOptionsOf<K extends string> = K extends keyof ActionKinds
  ? Partial<ActionKinds[K]>
  : Record<string, unknown>

/** An action, as read from the kernel. */
export interface Action<K extends string = string> {
  kind: K
  /** Its number among those of its kind in this namespace. */
  index?: number
  options: ActionOptionsOf<K>
  statistics: TrafficStatistics
  /** What was said with it: hexadecimal digits. */
  cookie?: string
}

/** What every action may be given. */
export interface ActionExtras {
  /** Up to 16 bytes that the kernel keeps, as hexadecimal digits. */
  cookie?: string
}

/** One of a kind that netkit has a file for. */
export type NewActionOfKind<K extends keyof ActionKinds> = { kind: K } & ActionKinds[K] & ActionExtras

/** One of any other kind: `data` has its attributes by number (`{ '#1': bytes }`). */
export interface NewRawAction extends ActionExtras {
  kind: string
  data?: RawOptions
}

/** An action; a word alone is the verdict of a gact: 'drop', 'pass', 'pipe', 'reclassify', 'continue', 'trap'. */
export type NewAction = VerdictName | { [K in keyof ActionKinds]: NewActionOfKind<K> }[keyof ActionKinds] | NewRawAction

/** Checks a caller's actions. Links in them are indexes already. */
export function checkActions(value: unknown, name: string): RawAction[] {
  if (!Array.isArray(value)) throw typeError(name, 'an array of actions', value)
  if (value.length > TCA_ACT_MAX_PRIO) throw valueError(name, value, `has more than ${TCA_ACT_MAX_PRIO} actions`)
  return value.map((action, i) => checkAction(action, `${name}[${i}]`))
}

function checkAction(action: unknown, name: string): RawAction {
  if (typeof action === 'string') {
    checkOneOf(action, name, Object.keys(verdicts))
    return { kind: 'gact', options: actionKinds.of('gact')?.toWire({ action }, name) }
  }
  if (typeof action !== 'object' || action === null) throw typeError(name, 'an action or a verdict', action)
  const given = action as Readonly<Record<string, unknown>>
  checkString(given.kind, `${name}.kind`)
  const { wire } = optionsOfKind(actionKinds, given, ['kind', 'cookie'], name)
  return { kind: given.kind, options: wire, cookie: checkCookie(given.cookie, `${name}.cookie`) }
}

function checkCookie(value: unknown, name: string): Uint8Array | undefined {
  if (value === undefined) return undefined
  checkString(value, name)
  if (!/^([0-9a-f]{2}){1,16}$/i.test(value)) throw valueError(name, value, 'is not 1 to 16 pairs of hexadecimal digits')
  return Buffer.from(value, 'hex')
}

export function readAction({ kind = '', options, index, statistics, cookie }: RawAction): Action {
  const known = actionKinds.of(kind) ?? rawKind
  const { index: own, ...read } = (options === undefined ? {} : known.fromWire(options, 0)) as Record<string, unknown>
  const number = index ?? (own as number | undefined)
  return {
    kind,
    ...(number === undefined ? {} : { index: number }),
    options: read as Action['options'],
    statistics: readStatistics(statistics ?? {}),
    ...(cookie === undefined ? {} : { cookie: Buffer.from(cookie).toString('hex') }),
  }
}
