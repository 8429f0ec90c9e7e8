/** Listing entries of forwarding databases: the question, and which of the answers are meant. */
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import type { Message } from '../netlink/message.js'
import { type FdbEntry, readFdbEntry } from './fdb-entry.js'
import { checkFdbFilter, type FdbFilter, fdbFilterKeys, isFdbMeant } from './fdb-options.js'
import type { FdbAsk } from './fdb-place.js'
import type { Link } from './link.js'
import { indexIfGiven } from './link-lookup.js'
import { checkLinkReference, type LinkReference } from './link-options.js'
import { AF_BRIDGE, neighborMessage } from './neighbor.js'

/** A filter over all databases of a namespace. */
export interface NamespaceFdbFilter extends Omit<FdbFilter, 'port'> {
  /** Those of this bridge and its ports. */
  bridge?: LinkReference
  /** Those at this link. */
  link?: LinkReference
}

interface Listing {
  question: FdbAsk
  read(message: Message): FdbEntry | undefined
}

function listing(namespace: Namespace, filter: FdbFilter, bridge?: number, index?: number): Listing {
  return {
    question: {
      definition: neighborMessage,
      request: 'RTM_GETNEIGH',
      header: { family: AF_BRIDGE, index: index ?? 0 },
      attributes: { master: bridge },
      what: `cannot list the forwarding entries of ${labelOf(namespace)}`,
    },
    read(message) {
      const decoded = neighborMessage.decode(message)
      if (decoded.header.family !== AF_BRIDGE || (index !== undefined && decoded.header.index !== index))
        return undefined
      const entry = readFdbEntry(decoded)
      const isMeant = isFdbMeant(entry, filter) && (bridge === undefined || (entry.master ?? bridge) === bridge)
      return isMeant ? entry : undefined
    },
  }
}

/** What lists a link's entries: of a bridge those of its ports, too. */
export async function linkFdbListing(link: Link, filter: FdbFilter): Promise<Listing> {
  const checked = checkFdbFilter(filter)
  const found = indexIfGiven(link.namespace, filter.port, 'filter.port')
  const port = typeof found === 'object' ? await found : found
  return link.kind === 'bridge'
    ? listing(link.namespace, checked, link.index, port)
    : listing(link.namespace, checked, undefined, port ?? link.index)
}

/** What lists the entries of a namespace. */
export async function namespaceFdbListing(namespace: Namespace, filter: NamespaceFdbFilter): Promise<Listing> {
  const keys = [...fdbFilterKeys.filter((key) => key !== 'port'), 'bridge', 'link']
  const checked = checkFdbFilter(filter as FdbFilter, keys)
  for (const key of ['bridge', 'link'] as const) {
    if (filter[key] !== undefined) checkLinkReference(filter[key], `filter.${key}`)
  }
  const foundBridge = indexIfGiven(namespace, filter.bridge, 'filter.bridge')
  const found = indexIfGiven(namespace, filter.link, 'filter.link')
  const bridge = typeof foundBridge === 'object' ? await foundBridge : foundBridge
  return listing(namespace, checked, bridge, typeof found === 'object' ? await found : found)
}
