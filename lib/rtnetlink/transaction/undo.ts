/** How a change is undone: by what was there before it, or by the opposite request. */

import type { ErrnoName } from '../../errno.js'
import { hasCode } from '../../errors.js'
import type { Namespace } from '../../namespace/namespace.js'
import { netlinkConstants } from '../../netlink/message.js'
import type { AnyAsk } from '../interceptor.js'
import { change } from '../talk.js'

/** A step that undoes something. */
export type Undo = () => Promise<void>

/** What a rule knows of the transaction that it serves. */
export interface Scope {
  /** The namespace itself, beneath the transaction's view. */
  readonly namespace: Namespace
  /** The other namespaces of the transaction, likewise. */
  readonly namespaces: readonly Namespace[]
  /** The links that were created in it, by `linkKey`: what belongs to one goes with it. */
  readonly created: Set<string>
}

/** What tells a link from others of all namespaces. */
export const linkKey = ({ inode }: Namespace, index: number) => `${inode} ${index}`

export interface UndoRule {
  /**
   * Looks at what is there before the request is sent. What it resolves to is called once the request has been done, or
   * refused, and resolves to the steps that undo it, or what of it was done, in the order in which they are to be taken.
   */
  prepare(scope: Scope, ask: AnyAsk): Promise<(refused: boolean) => Promise<Undo[]>>
}

const { NLM_F_EXCL, NLM_F_CREATE } = netlinkConstants

/** A step that sends a request; these codes say that there was nothing to undo any more. */
export function step(namespace: Namespace, ask: AnyAsk, ...tolerated: ErrnoName[]): Undo {
  return async () => {
    try {
      await change(namespace, ask)
    } catch (error) {
      if (!hasCode(error, ...tolerated)) throw error
    }
  }
}

/** A row as the kernel sent it: what is read can be sent again. */
export interface Raw {
  header: Record<string, unknown>
  attributes: Record<string, unknown>
}

/** What a rule of rows needs to know of them. */
export interface RowRule {
  /** Those that the request may add, change or remove. */
  list(namespace: Namespace, ask: AnyAsk): Promise<Raw[]>
  /** The same text for the same object, whatever else it says. */
  key(raw: Raw): string
  /** The request that removes a row, or what a request has added. */
  remove(raw: Raw): AnyAsk
  /** The request that puts a row back, or back to what it was. */
  restore(raw: Raw): AnyAsk
  /** True when `restore` changes a row of the same key that is there: it need not be removed, which may take others along. */
  readonly replaces: boolean
  /** Attributes that run, or that the kernel alone sets. */
  readonly ignored: readonly string[]
}

/** What makes two rows alike. */
function contents({ header, attributes }: Raw, ignored: readonly string[]): string {
  const said = Object.entries(attributes).filter(([key]) => !ignored.includes(key))
  return JSON.stringify([header, said.sort(([a], [b]) => (a < b ? -1 : 1))], (_, value) =>
    typeof value === 'bigint'
      ? String(value)
      : value instanceof Uint8Array
        ? Buffer.from(value).toString('hex')
        : value,
  )
}

/** A rule for objects that are rows of a list. */
export function rowRule(rule: RowRule): UndoRule {
  const { ignored } = rule
  const clean = ({ header, attributes }: Raw): Raw => ({
    header,
    attributes: Object.fromEntries(Object.entries(attributes).filter(([key]) => !ignored.includes(key))),
  })
  return {
    async prepare({ namespace }, ask) {
      const flags = ask.flags ?? 0
      const isNew = ask.request.includes('_NEW')
      if (isNew && (flags & (NLM_F_CREATE | NLM_F_EXCL)) === (NLM_F_CREATE | NLM_F_EXCL)) {
        // It is there because of this request, or the request fails.
        return async (refused) =>
          refused ? [] : [step(namespace, rule.remove(clean(ask)), 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL', 'ENODEV')]
      }
      const group = (rows: readonly Raw[]) => {
        const groups = new Map<string, Map<string, Raw>>()
        for (const raw of rows) {
          const key = rule.key(raw)
          const known = groups.get(key) ?? new Map<string, Raw>()
          groups.set(key, known.set(contents(raw, ignored), raw))
        }
        return groups
      }
      const before = group(await rule.list(namespace, ask))
      return async (refused) => {
        if (refused) return []
        const after = group(await rule.list(namespace, ask))
        const steps: Undo[] = []
        for (const [key, rows] of after) {
          for (const [text, raw] of rows) {
            if (before.get(key)?.has(text) || (rule.replaces && before.has(key))) continue
            steps.push(step(namespace, rule.remove(clean(raw)), 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL', 'ENODEV'))
          }
        }
        for (const [key, rows] of before) {
          for (const [text, raw] of rows) {
            if (!after.get(key)?.has(text)) steps.push(step(namespace, rule.restore(clean(raw)), 'EEXIST'))
          }
        }
        return steps
      }
    },
  }
}
