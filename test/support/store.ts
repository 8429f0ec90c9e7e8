/** A store held against what lists say. */
import type { Namespace, Neighbor, Store } from '../../dist/index.js'

/** Without what runs, and in the order of their texts. */
function texts(rows: readonly object[], ignored: readonly string[]): string[] {
  return rows
    .map((row) => {
      const said = Object.entries(row).filter(([key]) => !ignored.includes(key))
      const sorted = said.map(([key, value]) => [
        key,
        key === 'nexthops' ? [...value].map((hop) => JSON.stringify(hop)).sort() : value,
      ])
      return JSON.stringify(sorted.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)))
    })
    .sort()
}

/** What the first of two lists has and the second has not, and the other way round; undefined when they are alike. */
function difference(what: string, known: string[], truth: string[]): string | undefined {
  const extra = known.filter((one) => !truth.includes(one))
  const missing = truth.filter((one) => !known.includes(one))
  if (known.length === truth.length && extra.length + missing.length === 0) return undefined
  return `${what}: the store has ${known.length}, the list ${truth.length}; too much: ${extra.slice(0, 3)}; missing: ${missing.slice(0, 3)}`
}

/** What the store leaves out, as the kernel tells nobody of it. */
const isOwn = ({ state, type, mac }: Neighbor) =>
  state === 'noarp' && (type !== 'unicast' || mac === undefined || /^[0:]*$/.test(mac))

/** Those of the store's that are there only when selected. */
async function othersEqualLists(store: Store, namespace: Namespace): Promise<string | undefined> {
  const rows = (list: Iterable<object>, ...ignored: string[]) => texts([...list], ignored)
  const isTold = ({ master, destination }: { master?: number; destination?: string }) =>
    master !== undefined || destination !== undefined
  const fdb = (await namespace.fdb.list()).filter(isTold)
  return (
    difference('fdb', rows(store.fdb, 'cacheInfo', 'inactive'), rows(fdb, 'cacheInfo', 'inactive')) ??
    difference('rules', rows(store.rules, 'flags'), rows(await namespace.rules.list(), 'flags')) ??
    difference('nexthops', rows(store.nexthops), rows(await namespace.nexthops.list()))
  )
}

/** Whether a store has these at all. */
function hasOthers(store: Store): boolean {
  try {
    return store.rules.size >= 0
  } catch {
    return false
  }
}

/** How a store differs from fresh lists; undefined when it does not. */
export async function storeEqualsLists(store: Store, namespace: Namespace): Promise<string | undefined> {
  const [links, addresses, routes, neighbors] = await Promise.all([
    namespace.links.list(),
    namespace.addresses.list(),
    namespace.routes.list({ table: 'all' }),
    namespace.neighbors.list(),
  ])
  const link = (list: Iterable<(typeof links)[number]>) =>
    [...list].map(({ index, name, mac, mtu, up, running, master, parent, alias, alternativeNames }) => ({
      ...{ index, name, mac, mtu, up, running, master, parent, alias, alternativeNames },
    }))
  const others = hasOthers(store) ? await othersEqualLists(store, namespace) : undefined
  return (
    others ??
    difference('links', texts(link(store.links), []), texts(link(links), [])) ??
    difference(
      'addresses',
      texts(store.addresses.toArray(), ['validLifetime', 'preferredLifetime']),
      texts(addresses, ['validLifetime', 'preferredLifetime']),
    ) ??
    difference('routes', texts(store.routes.toArray(), ['expires']), texts(routes, ['expires'])) ??
    difference(
      'neighbors',
      texts(store.neighbors.toArray(), ['cacheInfo', 'probes', 'state']),
      texts(
        neighbors.filter((one) => !isOwn(one)),
        ['cacheInfo', 'probes', 'state'],
      ),
    )
  )
}
