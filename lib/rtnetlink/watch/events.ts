/** What a watch tells. */
import type { Address } from '../address.js'
import type { FdbEntry } from '../fdb-entry.js'
import type { Link } from '../link.js'
import type { NamespaceId } from '../namespace-ids.js'
import type { Neighbor } from '../neighbor.js'
import type { NexthopObject } from '../nexthop.js'
import type { Route } from '../route.js'
import type { Rule } from '../rule.js'

/** The objects that can be watched, by the name that events call them, and what their rows are. */
export interface WatchedObjects {
  link: Link
  address: Address
  route: Route
  neighbor: Neighbor
  fdb: FdbEntry
  rule: Rule
  nexthop: NexthopObject
  namespace: NamespaceId
}

export type ObjectName = keyof WatchedObjects

/** What happened to an object: `event.link`, `event.address` … is what it is now, or, when it was removed, what it was. */
type EventOf<O extends ObjectName> =
  | ({ type: 'added' | 'removed'; object: O } & { [K in O]: WatchedObjects[O] })
  | ({ type: 'changed'; object: O /** What it was before. */; previous: WatchedObjects[O] } & {
      [K in O]: WatchedObjects[O]
    })

/** An event about an object. */
export type ObjectEvent = { [O in ObjectName]: EventOf<O> }[ObjectName]

/**
 * An event of a watch. After a 'resync' come the differences between what was told before and what is now: events were lost in
 * the kernel, or the consumer was so slow that they were put together.
 */
export type NetworkEvent = ObjectEvent | { type: 'resync' }

/** A change of one row, before it is an event of its object. */
export type Change<R> =
  | { type: 'added'; row: R }
  | { type: 'removed'; row: R }
  | { type: 'changed'; row: R; previous: R }

export function eventOf(object: ObjectName, change: Change<object>): ObjectEvent {
  const event =
    change.type === 'changed'
      ? { type: change.type, object, [object]: change.row, previous: change.previous }
      : { type: change.type, object, [object]: change.row }
  return event as unknown as ObjectEvent
}

/** The change that an event tells of. */
export function changeOf(event: ObjectEvent): Change<object> {
  const row = (event as unknown as Record<string, object>)[event.object] as object
  return event.type === 'changed' ? { type: 'changed', row, previous: event.previous } : { type: event.type, row }
}
