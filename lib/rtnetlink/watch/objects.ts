/** Everything that can be watched. */
import type { ObjectName, WatchedObjects } from './events.js'
import type { Observed } from './observed.js'
import { observedAddress } from './observed-address.js'
import { observedFdb } from './observed-fdb.js'
import { observedLink } from './observed-link.js'
import { observedNamespace } from './observed-namespace.js'
import { observedNeighbor } from './observed-neighbor.js'
import { observedRoute } from './observed-route.js'
import { observedNexthop, observedRule } from './observed-rule.js'

export const observedObjects: { readonly [O in ObjectName]: Observed<WatchedObjects[O]> } = {
  link: observedLink,
  address: observedAddress,
  route: observedRoute,
  neighbor: observedNeighbor,
  fdb: observedFdb,
  rule: observedRule,
  nexthop: observedNexthop,
  namespace: observedNamespace,
}

/** Tells two rows of one object apart, wherever they are told of. */
export function identityOf(object: ObjectName, row: object): string {
  const { key, identity } = observedObjects[object] as Observed
  return `${object} ${key(row)} ${identity?.(row) ?? ''}`
}
