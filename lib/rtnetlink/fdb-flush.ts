/** Removing many entries of a forwarding database at once (NLM_F_BULK). */
import { hasCode } from '../errors.js'
import { netlinkConstants } from '../netlink/message.js'
import type { FdbEntry } from './fdb-entry.js'
import { linkFdbListing } from './fdb-listing.js'
import type { FdbFilter } from './fdb-options.js'
import type { FdbAsk } from './fdb-place.js'
import type { Link } from './link.js'
import { indexIfGiven } from './link-lookup.js'
import { AF_BRIDGE, neighborFlags, neighborMessage, neighborStates } from './neighbor.js'
import { allOrFirstError, change, dump } from './talk.js'
import './links.js'

const { NLM_F_BULK } = netlinkConstants
const { permanent, noarp } = neighborStates

/** For the kernel: which bits of the state are looked at, and what they must be. */
const stateBits = {
  permanent: { state: permanent, stateMask: permanent },
  static: { state: noarp, stateMask: noarp | permanent },
  dynamic: { state: 0, stateMask: noarp | permanent },
} as const

/** Flushes what `LinkFdb#flush` says. */
export async function flushFdb(link: Link, filter: FdbFilter): Promise<void> {
  // Read before anything is sent: it checks the filter.
  const listing = await linkFdbListing(link, filter)
  if (link.kind !== 'bridge' || filter.self !== undefined) return flushDatabases(link, filter, listing)
  const { namespace } = link
  const ports = await namespace.links.list({ kind: 'vxlan', master: link.index })
  const found = indexIfGiven(namespace, filter.port, 'filter.port')
  const port = typeof found === 'object' ? await found : found
  const vxlans = ports.filter(({ index }) => port === undefined || index === port)
  const known = async () => {
    const lists = await Promise.all(
      vxlans.map(({ index }) =>
        linkFdbListing(link, { port: index, self: false }).then(({ question, read }) =>
          dump(namespace, question, read),
        ),
      ),
    )
    return lists.flat()
  }
  const before = await known()
  await flushDatabases(link, filter, listing)
  if (before.length === 0) return
  const keyOf = ({ index, mac }: FdbEntry) => `${index} ${mac}`
  const left = new Set((await known()).map(keyOf))
  const gone = new Map(before.filter((entry) => !left.has(keyOf(entry))).map((entry) => [keyOf(entry), entry]))
  await allOrFirstError(
    [...gone.values()].map(({ index, mac }) =>
      change(namespace, {
        definition: neighborMessage,
        request: 'RTM_DELNEIGH',
        header: { family: AF_BRIDGE, index, flags: neighborFlags.self },
        attributes: { mac },
        what: `cannot flush the forwarding entries of ${link.name}`,
      }).catch((error: unknown) => {
        if (!hasCode(error, 'ENOENT')) throw error
      }),
    ),
  )
}

async function flushDatabases(
  link: Link,
  filter: FdbFilter,
  listing: Awaited<ReturnType<typeof linkFdbListing>>,
): Promise<void> {
  const isBridge = link.kind === 'bridge'
  const found = indexIfGiven(link.namespace, filter.port, 'filter.port')
  const port = typeof found === 'object' ? await found : found
  const what = `cannot flush the forwarding entries of ${link.name}`
  const { state, self, mac, destination, vni, vlan } = filter
  const states = state === undefined ? (isBridge ? { state: 0, stateMask: permanent } : undefined) : bulkState(state)
  // The bridge flushes its own database, and looks at neither addresses nor what VXLANs know.
  const isForKernel =
    mac === undefined &&
    state !== 'stale' &&
    (isBridge ? self !== true && destination === undefined && vni === undefined : self !== false && vlan === undefined)
  if (isForKernel) {
    const flags = (['externallyLearned', 'sticky'] as const).filter((key) => filter[key] !== undefined)
    const bits = (keys: readonly (typeof flags)[number][]) => keys.reduce((sum, key) => sum | neighborFlags[key], 0)
    const asked: FdbAsk = {
      definition: neighborMessage,
      request: 'RTM_DELNEIGH',
      flags: NLM_F_BULK,
      header: {
        family: AF_BRIDGE,
        index: link.index,
        state: states?.state ?? 0,
        flags: neighborFlags.self | bits(flags.filter((key) => filter[key] === true)),
      },
      attributes: {
        vlan,
        link: isBridge ? port : undefined,
        destination,
        vni,
        stateMask: states?.stateMask,
        flagsMask: flags.length === 0 ? undefined : bits(flags),
      },
      what,
    }
    try {
      return await change(link.namespace, asked)
    } catch (error) {
      // Older kernels flush no links of this kind, or not by all of this.
      if (!hasCode(error, 'EOPNOTSUPP', 'EINVAL')) throw error
      if (!isBridge && link.kind !== 'vxlan') throw error
    }
  }
  const entries = await dump(link.namespace, listing.question, listing.read)
  const ownOnly = isBridge ? self === true : self !== false
  const meant = entries.filter((entry) => {
    if (ownOnly !== (entry.master === undefined)) return false
    return state !== undefined || !isBridge || entry.state !== 'permanent'
  })
  await allOrFirstError(
    meant.map((entry) =>
      change(link.namespace, {
        definition: neighborMessage,
        request: 'RTM_DELNEIGH',
        header: {
          family: AF_BRIDGE,
          index: entry.index,
          flags: ownOnly || entry.index === entry.master ? neighborFlags.self : neighborFlags.master,
        },
        attributes: {
          mac: entry.mac,
          vlan: entry.vlan,
          destination: entry.destination,
          destinationPort: entry.destinationPort,
          vni: entry.vni,
          sourceVni: entry.sourceVni,
          link: entry.via,
          nexthopId: entry.nexthopId,
        },
        what,
      }).catch((error: unknown) => {
        if (!hasCode(error, 'ENOENT')) throw error
      }),
    ),
  )
}

function bulkState(state: NonNullable<FdbFilter['state']>): { state: number; stateMask: number } {
  return state === 'stale' ? stateBits.dynamic : stateBits[state]
}
