/** In which databases an entry is, or is to be, and which requests reach them. */
import type { Namespace } from '../namespace/namespace.js'
import { sourceOf } from '../netlink/bytes.js'
import { valueError } from '../validate.js'
import { type FdbMatch, fdbMatchAttributes, isForTunnel, type NewFdbEntry, newFdbParts } from './fdb-options.js'
import type { Link } from './link.js'
import { linkMessage } from './link-attributes.js'
import { fetchLink, indexIfGiven } from './link-lookup.js'
import { isLink } from './link-options.js'
import { AF_BRIDGE, neighborFlags, neighborMessage, neighborStates } from './neighbor.js'
import type { Ask } from './talk.js'

export type FdbAsk = Ask<typeof neighborMessage.header, typeof neighborMessage.table>

/** The link that an entry is at, and the databases it is in: the link's own, that of the bridge whose port it is, or both. */
export interface Place {
  index: number
  self: boolean
  master: boolean
  via: number | undefined
}

/** Where a match's entry is. A promise only when a link must be looked up: requests keep the order of the calls. */
export function placeOf(link: Link, match: FdbMatch, name: string): Place | Promise<Place> {
  const { namespace } = link
  const { port, self, master } = match
  const isBridge = link.kind === 'bridge'
  if (!isBridge && port !== undefined && (isLink(port) ? port.index : port) !== link.index)
    throw valueError(`${name}.port`, isLink(port) ? port.name : port, `${link.name} is no bridge, and has no ports`)
  if (self === false && master === false)
    throw valueError(`${name}.self`, self, 'with master false, no database is left')
  const place = (index: number, via: number | undefined, isVxlan: boolean): Place => {
    const atPort = isBridge && index !== link.index
    const inOwn = self ?? (atPort ? isVxlan && isForTunnel(match) : master !== true)
    return { index, self: inOwn, master: master ?? (atPort ? self !== true : !inOwn), via }
  }
  const found = indexIfGiven(namespace, port, `${name}.port`)
  const foundVia = indexIfGiven(namespace, match.via, `${name}.via`)
  // Of a port that is not given as a Link, the kind must be asked for.
  const mustAsk = isBridge && port !== undefined && !isLink(port) && self === undefined && isForTunnel(match)
  const isVxlan = isLink(port) && port.kind === 'vxlan'
  if (typeof found !== 'object' && typeof foundVia !== 'object' && !mustAsk) {
    return place(found ?? link.index, foundVia, isVxlan)
  }
  const complete = async () => {
    const index = (await found) ?? link.index
    return place(index, await foundVia, mustAsk ? (await kindOf(namespace, index, name)) === 'vxlan' : isVxlan)
  }
  return complete()
}

/** The kind of a link by its index. */
export async function kindOf(namespace: Namespace, index: number, name: string): Promise<string | undefined> {
  const payload = await fetchLink(namespace, index, `${name}.port: no link ${index}`)
  const message = { source: sourceOf(payload), type: 0, flags: 0, sequence: 0, start: 0, end: payload.length }
  return linkMessage.decode(message).attributes.info?.kind
}

/** One request for each of the databases, that of the bridge first. */
function each(place: Place, make: (self: boolean, both: boolean) => FdbAsk): FdbAsk[] {
  const both = place.self && place.master
  return [...(place.master ? [make(false, both)] : []), ...(place.self ? [make(true, both)] : [])]
}

/** The requests that put an entry into its databases; `flags` are those of the message, for each. */
export function newFdbRequests(
  entry: NewFdbEntry,
  place: Place,
  flags: (self: boolean, both: boolean) => number,
  what: string,
): FdbAsk[] {
  return each(place, (self, both) => {
    const { flags: bits, state, attributes } = newFdbParts(entry, place.via, self, both)
    const database = self ? neighborFlags.self : neighborFlags.master
    return {
      definition: neighborMessage,
      request: 'RTM_NEWNEIGH',
      flags: flags(self, both),
      header: { family: AF_BRIDGE, index: place.index, state, flags: bits | database },
      attributes,
      what,
    }
  })
}

/** The requests that remove an entry from its databases. */
export function fdbRemovals(match: FdbMatch, place: Place, what: string): FdbAsk[] {
  return each(place, (self, both) => ({
    definition: neighborMessage,
    request: 'RTM_DELNEIGH',
    header: {
      family: AF_BRIDGE,
      index: place.index,
      // Most links take no other from their own database.
      state: neighborStates.permanent,
      flags: self ? neighborFlags.self : neighborFlags.master,
    },
    attributes: fdbMatchAttributes(match, place.via, self, both),
    what,
  }))
}
