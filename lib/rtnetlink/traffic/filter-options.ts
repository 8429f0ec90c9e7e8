/** Checks of what a caller says of a filter, and whether one is as it was asked for. */
import type { Namespace } from '../../namespace/namespace.js'
import { checkOptions, checkString, typeError } from '../../validate.js'
import { indexOfLink } from '../link-lookup.js'
import type { LinkReference } from '../link-options.js'
import { checkActions, type NewAction, type RawAction, readAction } from './action.js'
import './actions/index.js'
import {
  type CommonWire,
  checkProtocol,
  type FilterPlace,
  formatU32Handle,
  type NewFilter,
  type NewRawFilter,
  protocols,
  type TrafficFilter,
} from './filter.js'
import './filters/index.js'
import { checkClassHandle, checkFilterParent, checkU32Handle, formatFilterParent, formatHandle } from './handles.js'
import { type AnyKind, actionKinds, filterKinds, hasOptions, optionsOfKind, rawKind, readBack } from './kinds.js'
import { checkCount } from './units.js'

/** Which filter is meant. */
export interface FilterMatch extends Pick<FilterPlace, 'parent' | 'protocol' | 'preference' | 'handle' | 'chain'> {
  kind?: string
}

export interface CheckedFilter {
  kind: string
  parent: number
  protocol: number
  /** 0: the kernel chooses. */
  preference: number
  /** 0: the kernel chooses. */
  handle: number
  chain: number
  /** All of the kind's attributes. */
  wire: unknown
  /** The options as the caller named them. */
  own: Record<string, unknown>
  of: AnyKind
  classId: number | undefined
  /** The kinds of the actions. */
  actions: string[]
  rawActions: RawAction[]
}

const commonKeys = ['kind', 'parent', 'protocol', 'preference', 'handle', 'chain', 'classId', 'actions']
const rawKeys = commonKeys.filter((key) => key !== 'classId' && key !== 'actions')

export function checkFilterHandle(value: unknown, kind: unknown, name: string): number {
  return kind === 'u32' ? checkU32Handle(value, name) : checkCount(value, name, 1)
}

/** What is sent, with the attributes that all kinds have. */
export function checkFilter(filter: NewFilter | NewRawFilter, name: string, needsPreference = false): CheckedFilter {
  const given = filter as unknown as Readonly<Record<string, unknown>>
  checkString(given.kind, `${name}.kind`)
  const { kind, preference, handle, chain, classId, actions } = given
  if (preference === undefined && needsPreference) {
    throw typeError(`${name}.preference`, 'a number, which says what filter is meant', preference)
  }
  const protocol = given.protocol === undefined ? protocols.all : checkProtocol(given.protocol, `${name}.protocol`)
  const keys = filterKinds.of(kind) === undefined ? rawKeys : commonKeys
  const { kind: of, own, wire } = optionsOfKind(filterKinds, given, keys, name, { protocol })
  const rawActions = actions === undefined ? [] : checkActions(actions, `${name}.actions`)
  const checked = {
    kind,
    parent: checkFilterParent(given.parent, `${name}.parent`),
    protocol,
    preference: preference === undefined ? 0 : checkCount(preference, `${name}.preference`, 1, 0xffff),
    handle: handle === undefined ? 0 : checkFilterHandle(handle, kind, `${name}.handle`),
    chain: chain === undefined ? 0 : checkCount(chain, `${name}.chain`, 0, 0x0fff_ffff),
    own,
    of,
    classId: classId === undefined ? undefined : checkClassHandle(classId, `${name}.classId`),
    actions: rawActions.map((action) => action.kind ?? ''),
    rawActions,
  }
  if (of === rawKind) return { ...checked, wire }
  const common: CommonWire = {}
  if (checked.classId !== undefined) common.classId = checked.classId
  if (rawActions.length > 0) common.actions = rawActions
  return { ...checked, wire: { ...(wire as object), ...common } }
}

export function checkFilterMatch(match: FilterMatch, name: string) {
  const keys = ['parent', 'protocol', 'preference', 'handle', 'chain', 'kind']
  // A filter that was read may be passed as it is.
  const isRow = typeof match === 'object' && match !== null && 'index' in match
  checkOptions(match, name, isRow ? [...keys, 'index', 'options', 'actions', 'classId'] : keys)
  const { protocol, preference, handle, chain, kind } = match
  if (kind !== undefined) checkString(kind, `${name}.kind`)
  const isU32 = kind === 'u32' || (kind === undefined && typeof handle === 'string')
  return {
    parent: checkFilterParent(match.parent, `${name}.parent`),
    protocol: protocol === undefined ? undefined : checkProtocol(protocol, `${name}.protocol`),
    preference: preference === undefined ? undefined : checkCount(preference, `${name}.preference`, 1, 0xffff),
    handle: handle === undefined ? undefined : checkFilterHandle(handle, isU32 ? 'u32' : kind, `${name}.handle`),
    chain: chain === undefined ? undefined : checkCount(chain, `${name}.chain`, 0, 0x0fff_ffff),
    kind,
  }
}

/**
 * A filter whose actions name links by their index. A promise only when one must be looked up: what needs no answer first must
 * not be overtaken by what is asked for later in the same tick.
 */
export function withIndexes<F extends NewFilter | NewRawFilter>(
  namespace: Namespace,
  filter: F,
  name: string,
): F | Promise<F> {
  if (typeof filter !== 'object' || filter === null) throw typeError(name, 'an object', filter)
  const { actions } = filter as { actions?: readonly NewAction[] }
  if (!Array.isArray(actions)) return filter
  const found = actions.map((action: unknown, i) => {
    const link = (action as { link?: LinkReference } | null)?.link
    if (typeof action !== 'object' || link === undefined) return action
    const index = indexOfLink(namespace, link, `${name}.actions[${i}].link`)
    return typeof index === 'number'
      ? { ...action, link: index }
      : index.then((number) => ({ ...action, link: number }))
  })
  const of = (known: unknown[]): F => ({ ...filter, actions: known })
  return found.some((one) => one instanceof Promise) ? Promise.all(found).then(of) : of(found)
}

/** Whether a filter that was read is as it was asked for. */
export function isAsAsked(known: TrafficFilter, asked: CheckedFilter): boolean {
  const { of, wire, own } = asked
  if (known.kind !== asked.kind || known.chain !== asked.chain) return false
  if (formatFilterParent(asked.parent) !== known.parent && asked.parent !== 0) return false
  if (checkProtocol(known.protocol, 'protocol') !== asked.protocol) return false
  if (asked.handle !== 0 && known.handle !== (asked.kind === 'u32' ? formatU32Handle(asked.handle) : asked.handle))
    return false
  if (known.classId !== (asked.classId === undefined ? undefined : formatHandle(asked.classId))) return false
  // A filter that looks at more is another one: what is not named counts too.
  const named = of.keys.filter((key) => own[key] !== undefined || of.chosen?.includes(key) !== true)
  const everyOption = Object.fromEntries(named.map((key) => [key, true]))
  if (!hasOptions(of, known.options, readBack(of, wire, 0), everyOption)) return false
  return (
    known.actions.length === asked.rawActions.length &&
    asked.rawActions.every((raw, i) => {
      const action = known.actions[i]
      const kind = actionKinds.of(raw.kind) ?? rawKind
      const wanted = readAction(raw)
      return action?.kind === wanted.kind && hasOptions(kind, action.options, wanted.options, wanted.options)
    })
  )
}
