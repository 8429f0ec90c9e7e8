/** What can be watched: for each sort of object how it is listed, what the kernel tells of it, and what tells two apart. */
import { isDeepStrictEqual } from 'node:util'
import type { Namespace } from '../../namespace/namespace.js'
import type { Message } from '../../netlink/message.js'
import type { Change, ObjectName } from './events.js'
import type { Place, Rows } from './rows.js'

/** A part of the rows of one sort of object, to be read anew. */
export interface Part<R> {
  /** The same text for the same part: it is read once however often it was asked for. */
  readonly name: string
  /** True for the rows that belong to it. */
  has(row: R): boolean
  /** Asks the kernel for them (or for more); `undefined`: for all rows. */
  list?: ((namespace: Namespace) => AsyncIterable<R>) | undefined
}

/** What an event does to the rows: changes, and a part whose reading only can tell. */
export interface Effect<R> {
  changes: Change<R>[]
  unsure?: Part<R> | undefined
}

/** Something that the hub was told, and that other objects may want to know: the kernel does not tell everything. */
export interface Happening {
  object: ObjectName
  change: Change<object>
  /** The rows of another object, when it is observed. */
  rowsOf(object: ObjectName): Rows<object> | undefined
}

export interface Observed<R extends object = object> {
  readonly object: ObjectName
  /** Multicast groups, RTNLGRP_… */
  readonly groups: readonly number[]
  /** The types of the messages that tell of one that is there, and of one that is gone. */
  readonly there: number
  readonly gone: number
  /** Objects that have to be observed too, for `after`. */
  readonly needs?: readonly ObjectName[]
  /** All of them. */
  list(namespace: Namespace): AsyncIterable<R>
  /** Reads an event; undefined when it is about something else. */
  read(namespace: Namespace, message: Message): R | undefined
  /** The indexes of the links that a row is at, and what else it is looked for by. */
  placesOf?(row: R): readonly Place[]
  /** What the rows are kept under. */
  key(row: R): string
  /** Tells rows of one key apart; where it is not given, a key has one row. */
  identity?(row: R): string
  /** True when nothing differs that is worth an event: counters and times run. */
  same(a: R, b: R): boolean
  /** What an event does, where it is not simply the row of its key that is there or gone. */
  effect?(rows: Rows<R>, row: R, message: Pick<Message, 'type' | 'flags'>): Effect<R>
  /** A message that is no event of this object, and yet tells that something of it has to be read anew. */
  hint?(message: Message): Part<R> | undefined
  /** What has to be read anew, or is gone, after something happened to an object that it needs. */
  after?(rows: Rows<R>, happening: Happening): Effect<R> | undefined
}

/** The rows of a link that is gone. The kernel tells of most: this is for those that it forgets. */
export function goneWithLink<R extends object>(
  rows: Rows<R>,
  { object, change, rowsOf }: Happening,
): Effect<R> | undefined {
  if (object !== 'link' || change.type !== 'removed') return undefined
  const { index } = change.row as { index: number }
  // Another link has its index by now.
  if (rowsOf('link')?.of(String(index)).length) return undefined
  return { changes: rows.at(index).map((row) => ({ type: 'removed', row })) }
}

/** The change that makes a row of what was there; undefined when it is the same. */
export function difference<R extends object>(
  observed: Pick<Observed<R>, 'same'>,
  previous: R | undefined,
  row: R,
): Change<R> | undefined {
  if (previous === undefined) return { type: 'added', row }
  return observed.same(previous, row) ? undefined : { type: 'changed', row, previous }
}

/** The effect of an event on objects of which each key has one. */
export function simpleEffect<R extends object>(observed: Observed<R>, rows: Rows<R>, row: R, type: number): Effect<R> {
  const [known] = rows.of(observed.key(row))
  if (type === observed.gone) return { changes: known === undefined ? [] : [{ type: 'removed', row: known }] }
  const change = difference(observed, known, row)
  return { changes: change === undefined ? [] : [change] }
}

/** Equal but for some members. */
export function sameBut<R extends object>(a: R, b: R, ignored: readonly (keyof R & string)[]): boolean {
  const counts = (key: string) => !(ignored as readonly string[]).includes(key)
  const [one, other] = [a, b] as Record<string, unknown>[] as [Record<string, unknown>, Record<string, unknown>]
  for (const key of Object.keys(one)) {
    const [left, right] = [one[key], other[key]]
    if (left !== right && counts(key) && !isDeepStrictEqual(left, right)) return false
  }
  return Object.keys(other).every((key) => key in one || other[key] === undefined || !counts(key))
}
